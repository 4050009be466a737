"""Gymnasium views of a network, for libraries that know one learner only."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium

from neuromas_env.checks import arguments
from neuromas_env.envs.aec import AECNetwork
from neuromas_env.envs.channel import Channel
from neuromas_env.envs.network import RENDER_MODES
from neuromas_env.envs.schedules import Schedule
from neuromas_env.errors import InputError, unknown
from neuromas_env.topology import Topology

Act = Callable[[Any], Any]
"""A policy of a node that does not learn: observation to action."""


@arguments
class View(gymnasium.Env):
    """A network, seen by one learner: its spaces, which are the same for all nodes."""

    metadata = {"render_modes": list(RENDER_MODES), "render_fps": 1}

    def __init__(
        self,
        topology: Topology,
        channel: Channel,
        schedule: Schedule | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Make the network.

        Args:
            topology: The network.
            channel: What messages are.
            schedule: As in `Network`.
            render_mode: As in `Network`.
        """
        self.render_mode = render_mode
        self.network = AECNetwork(topology, channel, schedule, render_mode)
        self.observation_space = self.network.observation_space(topology.output)
        self.action_space = self.network.action_space(topology.output)

    def render(self) -> Any:
        """Show the network and the messages so far."""
        return self.network.render()

    def observe(self, node: str) -> Any:
        """Return what a node sees now, apart from what it saw before."""
        return copy.deepcopy(self.network.observe(node))

    def _begin(self, seed: int | None, options: dict[str, Any] | None) -> None:
        super().reset(seed=seed)
        self.network.reset(seed=seed, options=options)

    def _send(self, action: Any) -> None:
        if self.network.episode.done:
            raise InputError("the episode has ended: call reset()")
        self.network.step(action)


class TurnView(View):
    """One step is one node's turn: a single policy, shared by all nodes, plays each in turn.

    The observation says whose turn it is, and so does `info["agent"]`. The reward of a round comes
    with its last turn.
    """

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; `seed` and `options` are those of the AEC environment's `reset`."""
        self._begin(seed, options)
        return self._seen(), {"agent": self.network.agent_selection}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Send the message of the node whose turn it is: the action.

        Raises:
            InputError: It is no message, or the episode has ended.
        """
        self._send(action)
        network, agent = self.network, self.network.agent_selection
        ends = network.terminations[agent], network.truncations[agent]
        return self._seen(), network.rewards[agent], *ends, {"agent": agent}

    def _seen(self) -> Any:
        return self.observe(self.network.agent_selection)


@arguments
class OneLearnerView(View):
    """One node of a frozen network learns: a step leads to its next turn, or to the end.

    Its reward is what the network has earned since. A node speaks once a round, so an episode has
    as many steps as rounds in which it acts.
    """

    def __init__(
        self,
        topology: Topology,
        channel: Channel,
        schedule: Schedule | None = None,
        render_mode: str | None = None,
        *,
        learner: str = "node_0",
        others: Mapping[str, Act] | None = None,
    ) -> None:
        """Make the network.

        Args:
            topology: The network.
            channel: What messages are.
            schedule: As in `Network`.
            render_mode: As in `Network`.
            learner: The node that learns.
            others: A policy for every other node; by default all act at random.

        Raises:
            InputError: There is no such node, or a policy is missing or too many.
        """
        super().__init__(topology, channel, schedule, render_mode)
        if learner not in topology.nodes:
            raise unknown("node", str(learner), topology.nodes)
        rest = [node for node in topology.nodes if node != learner]
        if others is not None and set(others) != set(rest):
            raise InputError(
                f"others must give a policy for each of {', '.join(rest) or 'no node'}, "
                f"not for {', '.join(sorted(others)) or 'none'}"
            )
        self._learner, self._others = learner, others
        self._messages = channel.spaces(topology).action

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode and play it up to the learner's turn.

        Args:
            seed: Of the question that is drawn and of random messages.
            options: As in the AEC environment's `reset`.

        Raises:
            InputError: The episode ends before the learner has a turn, or an option is wrong.
        """
        self._begin(seed, options)
        if seed is not None:
            self._messages.seed(seed)
        self._play_others()
        if self.network.episode.done:
            raise InputError(
                f"{self._learner}, which learns, has no turn before the episode ends: mask, graph, "
                "schedule and prefix must leave it one"
            )
        return self.observe(self._learner), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Send the learner's message, the action, and play up to its next turn, or to the end.

        Raises:
            InputError: It is no message, or the episode has ended.
        """
        self._send(action)
        self._play_others()
        network, node = self.network, self._learner
        ends = network.terminations[node], network.truncations[node]
        return self.observe(node), network._cumulative_rewards[node], *ends, {}

    def _play_others(self) -> None:
        network = self.network
        while not network.episode.done and network.agent_selection != self._learner:
            network.step(self._message(network.agent_selection))

    def _message(self, node: str) -> Any:
        """Return what another node sends."""
        if self._others is None:
            return self._random()
        return self._others[node](self.network.observe(node))

    def _random(self) -> Any:
        return self._messages.sample()
