"""What the AEC environments of both kinds of network share: their agents end together."""

from __future__ import annotations

from typing import Any

from pettingzoo import AECEnv


class JointEnd(AECEnv):
    """All agents live through the whole episode and read one shared reward at its end."""

    def _open(self) -> None:
        """Start an episode of all possible agents."""
        self.agents = self.possible_agents.copy()
        self._pay(0.0, ended=False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        self._skip_agent_selection = None

    def _end(self, reward: float) -> None:
        """End the episode; what is left are the agents' dead steps, in their order."""
        self._pay(reward, ended=True)
        self.agent_selection = self.agents[0]

    def _pay(self, reward: float, ended: bool) -> None:
        # Rewards need no clearing or adding up: there is one, at the end.
        self.rewards = dict.fromkeys(self.agents, reward)
        self._cumulative_rewards = dict.fromkeys(self.agents, reward)
        self.terminations = dict.fromkeys(self.agents, ended)
