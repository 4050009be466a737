"""What the AEC and the parallel environment share: topology, channel, spaces, the episode."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from gymnasium.spaces import Space
from gymnasium.utils import seeding

from neuromas_env.checks import Natural, arguments
from neuromas_env.envs.channel import Channel
from neuromas_env.envs.episode import Episode
from neuromas_env.envs.render import draw_episode
from neuromas_env.envs.schedules import Schedule
from neuromas_env.errors import InputError, unknown
from neuromas_env.text import visible
from neuromas_env.topology import Topology

RENDER_MODES = ("human", "ansi")
RESET_OPTIONS = ("mask", "graph", "prefix")
"""What every channel's `reset` takes beside the channel's own options."""


@arguments
class Network:
    """A topology whose nodes send messages through a channel, an episode at a time.

    A copy, by `copy.deepcopy` or by pickle, continues where the original stands. PettingZoo's
    usual `EzPickle` would make a new environment of the same arguments instead.

    Attributes:
        topology: The network.
        channel: What messages are; it holds the task.
        possible_agents: The node names.
        state_space: Space of `state()`.
        np_random: Source of the question drawn at a reset that picks none.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 1}

    def __init__(
        self,
        topology: Topology,
        channel: Channel,
        schedule: Schedule | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Build the spaces.

        Args:
            topology: The network.
            channel: What messages are.
            schedule: Pure function from the messages so far to the nodes that may act in
                the next layer, None for all; asked at layer boundaries.
            render_mode: `human` prints, `ansi` returns a text, None renders nothing.

        Raises:
            InputError: The render mode is unknown.
        """
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise unknown("render mode", str(render_mode), RENDER_MODES)
        self.metadata = self.metadata | {"name": channel.name}
        self.topology, self.channel = topology, channel
        self.render_mode = render_mode
        self.possible_agents = list(topology.nodes)
        self.agents: list[str] = []
        self._spaces = {node: channel.spaces(topology) for node in topology.nodes}
        self.state_space = self._spaces[topology.output].state
        self._schedule = schedule
        self.np_random: np.random.Generator | None = None
        self._episode: Episode | None = None

    @property
    def episode(self) -> Episode:
        """The running or just ended episode.

        Raises:
            InputError: There was no reset yet.
        """
        if self._episode is None:
            raise InputError("there is no episode yet: call reset() first")
        return self._episode

    def observation_space(self, agent: str) -> Space:
        """Return the space of a node's observations, equal for all nodes."""
        return self._spaces[agent].observation

    def action_space(self, agent: str) -> Space:
        """Return the space of a node's messages, equal for all nodes."""
        return self._spaces[agent].action

    def state(self) -> Any:
        """Return what a critic that sees all is shown: the question and all messages so far."""
        return self.channel.state(self.episode)

    def render(self) -> str | None:
        """Show the network and the messages so far, as `render_mode` says."""
        if self.render_mode is None:
            return None
        picture = visible(draw_episode(self.episode))
        if self.render_mode == "ansi":
            return picture
        print(picture)
        return None

    def close(self) -> None:
        """Release nothing; there is nothing to release."""

    def fork(self) -> Self:
        """Return an independent environment in the same state, sharing task and rows.

        Raises:
            InputError: There was no reset yet.
        """
        _ = self.episode
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copy all but the topology and the channel with its task, which nobody changes."""
        memo |= {id(shared): shared for shared in (self.topology, self.channel)}
        twin = memo[id(self)] = object.__new__(type(self))
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    @arguments
    def _begin(self, seed: Natural | None, options: Mapping[str, Any] | None) -> None:
        # PettingZoo's own api_test resets every environment with the key "options".
        given = {key: value for key, value in (options or {}).items() if key != "options"}
        for key in given:
            if key not in self.channel.options and key not in RESET_OPTIONS:
                raise unknown("reset option", str(key), self.channel.options + RESET_OPTIONS)
        if seed is not None or self.np_random is None:
            self.np_random, _ = seeding.np_random(seed)
        picked = {key: given.pop(key) for key in self.channel.options if key in given}
        example = self.channel.draw(self.np_random, picked)
        self._episode = Episode(
            self.topology, self.channel, example, schedule=self._schedule, **given
        )
