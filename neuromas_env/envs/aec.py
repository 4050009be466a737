"""A network as a PettingZoo AEC environment: one node speaks at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pettingzoo import AECEnv
from pettingzoo.utils import OrderEnforcingWrapper

from neuromas_env.envs.episode import Episode
from neuromas_env.envs.network import Network
from neuromas_env.errors import InputError


class AECNetwork(Network, AECEnv):
    """The bare AEC environment of a network; `checked` adds PettingZoo's check of the order.

    Every node speaks at most once a round. What a round earns is paid to all nodes when it is over,
    and `last` gives a node what was paid since its own last turn. When the last round is over, all
    nodes end together and each reads the one shared reward, and the outcome in its info, on its
    dead step. Nodes that a mask, a graph or a schedule leaves out have a dead step only.
    """

    # The conversion would collect all actions before it delivers any message.
    metadata = Network.metadata | {"is_parallelizable": False}

    def reset(self, seed: int | None = None, options: Mapping[str, Any] | None = None) -> None:
        """Start an episode.

        Args:
            seed: Seeds the choice of questions from here on.
            options: What picks the question (`index` or `id` of texts, `question` of discrete
                networks), and `mask`, `graph` and `prefix` as in `Episode`.

        Raises:
            InputError: An option is unknown or wrong.
        """
        self._begin(seed, options)
        self.agents = self.possible_agents.copy()
        self._unpaid = dict.fromkeys(self.agents, 0.0)
        self.rewards, self._cumulative_rewards = self._unpaid.copy(), self._unpaid.copy()
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = self.terminations.copy()
        self.infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        self._skip_agent_selection = None
        self._select(self.episode, self.episode.round)

    def observe(self, agent: str) -> Any:
        """Return what a node sees now."""
        return self.episode.observe(agent)

    def step(self, action: Any) -> None:
        """Commit the selected node's message, or take its dead step if `action` is None.

        Raises:
            InputError: The message is none, or the episode has ended.
        """
        episode = self.episode
        if not self.agents:
            raise InputError("the episode has ended: call reset()")
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            if action is not None:
                raise InputError("the episode has ended: take the dead step None")
            self._was_dead_step(action)
            return
        round = episode.round
        episode.say(agent, action)  # first, so that a refused message changes nothing
        self._cumulative_rewards[agent] = 0.0
        self.rewards = self._unpaid.copy()  # several times as fast as `dict.fromkeys`
        self._select(episode, round)
        if self.render_mode == "human":
            self.render()

    def _select(self, episode: Episode, round: int) -> None:
        """Turn to the next node, and pay the given round if it is over.

        Where nobody is left to act, all nodes end; their dead steps come in their order.
        """
        if episode.active:
            self.agent_selection = episode.active[0]
            if episode.round > round:
                self._pay(episode.earned(round))
            return
        self._pay(episode.earned(episode.round))
        self.terminations = dict.fromkeys(self.agents, not episode.truncated)
        self.truncations = dict.fromkeys(self.agents, episode.truncated)
        outcome = self.channel.outcome(episode)
        self.infos = {agent: outcome.copy() for agent in self.agents}
        self.agent_selection = self.agents[0]

    def _pay(self, earned: float) -> None:
        self.rewards = dict.fromkeys(self.agents, earned)
        self._accumulate_rewards()


class OrderedNetwork(OrderEnforcingWrapper):
    """PettingZoo's check of the order of calls, which would only warn of a step after the end."""

    def step(self, action: Any) -> None:
        """Step as the environment does.

        Raises:
            InputError: The message is none, or the episode has ended.
        """
        if self._has_reset and not self.agents:
            raise InputError("the episode has ended: call reset()")
        super().step(action)


def checked(*args: Any, **kwargs: Any) -> OrderedNetwork:
    """Make an AEC network with a check of the order of calls; arguments as in `AECNetwork`."""
    return OrderedNetwork(AECNetwork(*args, **kwargs))
