"""A discrete network as a PettingZoo parallel environment: one step is one layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pettingzoo import ParallelEnv

from neuromas_env.envs.discrete.aec import RENDER_MODES, DiscreteNetwork, read_message
from neuromas_env.errors import InputError

Infos = dict[str, dict[str, Any]]


class parallel_env(DiscreteNetwork, ParallelEnv):
    """One parallel step sends the messages of one layer; all nodes stay until the end.

    Actions of nodes that are not in the current layer are ignored; whose turn it is stands
    in `infos[node]["active"]`. Arguments as in `raw_env`.
    """

    metadata = {
        "name": "discrete_v0",
        "render_modes": list(RENDER_MODES),
        "render_fps": 1,
        "is_parallelizable": True,
    }

    def reset(  # type: ignore[override]
        self, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], Infos]:
        """Start an episode; arguments as in the AEC environment's `reset`.

        Raises:
            InputError: An option is unknown or wrong.
        """
        self._begin(seed, options)
        self._layer = 0
        self.agents = self.possible_agents.copy()
        return self._observations(), self._infos()

    def step(  # type: ignore[override]
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """Send the messages of the current layer's nodes.

        Raises:
            InputError: The episode has ended, or a node of the layer has no action or one
                that is not of the code book. Nothing is sent then.
        """
        said = self.said
        if not self.agents:
            raise InputError("the episode has ended: call reset()")
        turn = [self.possible_agents[number] for number in self.layout.layers[self._layer]]
        missing = [node for node in turn if node not in actions]
        if missing:
            raise InputError(f"no action for {', '.join(missing)}, whose turn it is")
        messages = {node: read_message(actions[node], self.layout, node) for node in turn}
        said.update((self._number[node], message) for node, message in messages.items())
        self._layer += 1
        done, nodes = self._layer == len(self.layout.layers), self.possible_agents
        result = (
            self._observations(),
            dict.fromkeys(nodes, self._reward() if done else 0.0),
            dict.fromkeys(nodes, done),
            dict.fromkeys(nodes, False),
            self._infos(),
        )
        if done:
            self.agents = []
        if self.render_mode == "human":
            self.render()
        return result

    def _observations(self) -> dict[str, Any]:
        return {node: self.observe(node) for node in self.possible_agents}

    def _infos(self) -> Infos:
        layers = self.layout.layers
        turn = layers[self._layer] if self._layer < len(layers) else ()
        return {node: {"active": i in turn} for i, node in enumerate(self.possible_agents)}
