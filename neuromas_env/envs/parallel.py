"""A network as a PettingZoo parallel environment: one step is one layer of one round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pettingzoo import ParallelEnv

from neuromas_env.checks import arguments
from neuromas_env.envs.network import Network
from neuromas_env.errors import InputError

Infos = dict[str, dict[str, Any]]


class ParallelNetwork(Network, ParallelEnv):
    """One parallel step commits one layer of one round; all nodes stay alive until the end.

    Actions of nodes that are not in the current layer are ignored. Every node always
    sees its true observation; whose turn it is stands in `infos[node]["active"]`.
    """

    metadata = Network.metadata | {"is_parallelizable": True}

    def reset(  # type: ignore[override]
        self, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], Infos]:
        """Start an episode; arguments as in the AEC environment's `reset`.

        Raises:
            InputError: An option is unknown or wrong, or the prefix ends the episode,
                which leaves no parallel step to take.
        """
        self._begin(seed, options)
        if self.episode.done:
            raise InputError("the prefix holds every message: a parallel episode needs one step")
        self.agents = self.possible_agents.copy()
        return self._observations(), self._infos()

    @arguments
    def step(  # type: ignore[override]
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """Commit the messages of the current layer's nodes.

        Raises:
            InputError: The episode has ended, or a node of the layer has no action or one that
                is no message. Nothing is committed then.
        """
        episode, nodes = self.episode, self.possible_agents
        acting, round = episode.active, episode.round
        missing = [node for node in acting if node not in actions]
        if missing:
            raise InputError(f"no action for {', '.join(missing)}, whose turn it is")
        episode.commit({node: actions[node] for node in acting})
        done, truncated = episode.done, episode.truncated
        over = done or episode.round > round
        result = (
            self._observations(),
            dict.fromkeys(nodes, episode.earned(round) if over else 0.0),
            dict.fromkeys(nodes, done and not truncated),
            dict.fromkeys(nodes, done and truncated),
            self._infos(),
        )
        if done:
            self.agents = []
        if self.render_mode == "human":
            self.render()
        return result

    def _observations(self) -> dict[str, Any]:
        # These nodes exist, and no reply is awaited: nothing that `Episode.observe` would check.
        episode, observe = self.episode, self.channel.observe
        return {node: observe(episode, node) for node in self.possible_agents}

    def _infos(self) -> Infos:
        episode = self.episode
        active = episode.active
        outcome = {} if active else self.channel.outcome(episode)
        if episode.horizon > 1:
            outcome = {"round": episode.round, **outcome}
        return {node: {"active": node in active, **outcome} for node in self.possible_agents}
