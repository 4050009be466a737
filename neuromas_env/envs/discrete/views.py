"""Gymnasium views of a discrete network, for libraries that know one learner only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gymnasium
import numpy as np

from neuromas_env.checks import arguments
from neuromas_env.envs.aec import AECNetwork
from neuromas_env.envs.discrete.channel import DiscreteChannel
from neuromas_env.envs.discrete.layout import Layout, make_layout
from neuromas_env.envs.network import RENDER_MODES
from neuromas_env.errors import InputError, unknown

Act = Callable[[Any], Any]
"""A policy of a node that does not learn: observation to action."""


class _View(gymnasium.Env):
    """A network, seen by one learner: its spaces, which are the same for all nodes."""

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 1}

    def __init__(
        self, *args: Any, observation: str = "box", render_mode: str | None = None, **kwargs: Any
    ) -> None:
        """Make the network; arguments as in `neuromas_env.discrete_v0.make`."""
        self.layout, self.render_mode = make_layout(*args, **kwargs), render_mode
        channel, topology = DiscreteChannel(self.layout, observation), self.layout.topology
        self.network = AECNetwork(topology, channel, render_mode=render_mode)
        self.observation_space = self.network.observation_space(topology.output)
        self.action_space = self.network.action_space(topology.output)

    def render(self) -> Any:
        """Show the network and the messages so far."""
        return self.network.render()

    def _begin(self, seed: int | None, options: dict[str, Any] | None) -> None:
        super().reset(seed=seed)
        self.network.reset(seed=seed, options=options)

    def _send(self, action: Any) -> None:
        if action is None:  # which the network would take for a dead step
            raise InputError("the message must be an integer of the code book, not None")
        self.network.step(action)


class TurnView(_View):
    """One step is one node's turn: a single policy, shared by all nodes, plays each in turn.

    The observation says whose turn it is, and so does `info["agent"]`. The reward comes
    with the output node's turn of the last round, which ends the episode.
    """

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; arguments as in the AEC environment's `reset`."""
        self._begin(seed, options)
        return self._seen(), {"agent": self.network.agent_selection}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Send the message of the node whose turn it is.

        Raises:
            InputError: The message is not of the code book, or the episode has ended.
        """
        self._send(action)
        network, agent = self.network, self.network.agent_selection
        ends = network.terminations[agent], network.truncations[agent]
        return self._seen(), network.rewards[agent], *ends, {"agent": agent}

    def _seen(self) -> Any:
        return self.network.observe(self.network.agent_selection)


@arguments
class OneLearnerView(_View):
    """One node learns, the others follow given policies: a step leads to its next turn or the end.

    A node speaks once a round, so an episode has as many steps as the network has rounds.
    """

    def __init__(
        self,
        *args: Any,
        learner: str = "node_0",
        others: Mapping[str, Act] | np.ndarray | None = None,
        **kwargs: Any,
    ) -> None:
        """Make the network.

        Args:
            *args: As in `neuromas_env.discrete_v0.make`.
            learner: The node that learns.
            others: A policy for every other node, or the trained table of a network, float array
                `[observations, messages]`, of which each sends its best message; by default all
                act at random.
            **kwargs: As in `neuromas_env.discrete_v0.make`.

        Raises:
            InputError: There is no such node, a policy is missing or too many, or the table is of
                another network.
        """
        super().__init__(*args, **kwargs)
        nodes = self.network.possible_agents
        if learner not in nodes:
            raise unknown("node", str(learner), nodes)
        rest = [node for node in nodes if node != learner]
        if isinstance(others, np.ndarray):
            others = _frozen(self.network, self.layout, others)
        elif others is not None and set(others) != set(rest):
            raise InputError(
                f"others must give a policy for each of {', '.join(rest) or 'no node'}, "
                f"not for {', '.join(sorted(others)) or 'none'}"
            )
        self._learner, self._others = learner, others

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode and play it up to the learner's turn."""
        self._begin(seed, options)
        self._play_others()
        return self.network.observe(self._learner), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Send the learner's message and play up to its next turn, or to the end.

        Raises:
            InputError: The message is not of the code book, or the episode has ended.
        """
        self._send(action)
        self._play_others()
        network, node = self.network, self._learner
        ends = network.terminations[node], network.truncations[node]
        return network.observe(node), network._cumulative_rewards[node], *ends, {}

    def _play_others(self) -> None:
        network = self.network
        while not network.episode.done and network.agent_selection != self._learner:
            node = network.agent_selection
            if self._others is None:
                nvec = getattr(self.action_space, "nvec", self.layout.codebook)
                network.step(self.np_random.integers(nvec))
            else:
                network.step(self._others[node](network.observe(node)))


def _frozen(network: AECNetwork, layout: Layout, table: np.ndarray) -> dict[str, Act]:
    """Return policies that send the best messages of a table, whatever the network's encoding."""
    shape = sum(layout.sizes), layout.messages
    if table.shape != shape or table.dtype.kind not in "iuf":
        raise InputError(
            f"the table of the others must hold numbers in shape {shape}, got {table.dtype} in "
            f"shape {table.shape}"
        )
    numbers, best = DiscreteChannel(layout, "discrete"), table.argmax(1)

    def act(node: str, observation: Any) -> Any:
        symbols = layout.symbols(int(best[numbers.observe(network.episode, node)]))
        return symbols if layout.bandwidth > 1 else symbols[0]

    return {node: partial(act, node) for node in layout.topology.nodes}
