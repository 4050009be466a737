"""A discrete network as a PettingZoo AEC environment: one node sends one message at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Space
from gymnasium.utils import seeding
from pettingzoo.utils import OrderEnforcingWrapper

from neuromas_env.envs.discrete.layout import Layout, make_layout
from neuromas_env.envs.discrete.tasks import DiscreteTask, check_question
from neuromas_env.envs.joint_end import JointEnd
from neuromas_env.errors import InputError, unknown
from neuromas_env.topology import Topology

RENDER_MODES = ("human", "ansi")


class DiscreteNetwork:
    """What the AEC and the parallel environment share: layout, spaces, one question.

    A copy, by `copy.deepcopy` or by pickle, goes on where the original stands.

    Attributes:
        layout: Who sees what, and the known returns.
        possible_agents: The node names.
        state_space: Space of `state()`.
    """

    def __init__(
        self,
        task: DiscreteTask | str = "xor",
        topology: Topology | str = "2-1",
        codebook: int | None = None,
        bandwidth: int = 1,
        observation: str = "box",
        render_mode: str | None = None,
    ) -> None:
        """Fit task and topology together and build the spaces.

        Args:
            task: A task, or its name such as `parity:bits=8`.
            topology: A topology, or its text such as `2-2-1` or `tree-8`.
            codebook: Number of different symbols; by default as many as the task has answers.
            bandwidth: Symbols per message.
            observation: `box` (one-hot, float32), `multidiscrete` or `discrete`.
            render_mode: `human` prints, `ansi` returns a text, None renders nothing.

        Raises:
            InputError: An argument is wrong, or they do not fit together.
        """
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise unknown("render mode", str(render_mode), RENDER_MODES)
        self.layout: Layout = make_layout(task, topology, codebook, bandwidth)
        self.render_mode = render_mode
        self.possible_agents = list(self.layout.topology.nodes)
        self.agents: list[str] = []
        self._encoding = observation
        self._observation_spaces = {
            node: self.layout.observation_space(observation) for node in self.possible_agents
        }
        self._action_spaces = {node: self.layout.action_space() for node in self.possible_agents}
        whole = int(self.layout.starts[-1]) + self.layout.codebook * self.layout.bandwidth
        self.state_space = Box(0.0, 1.0, (whole - len(self.possible_agents),), np.float32)
        self._order = sum(self.layout.layers, ())
        self._number = {node: i for i, node in enumerate(self.possible_agents)}
        self.np_random: np.random.Generator | None = None
        self._said: dict[int, int] | None = None

    def observation_space(self, agent: str) -> Space:
        """Return the space of a node's observations, equal for all nodes."""
        return self._observation_spaces[agent]

    def action_space(self, agent: str) -> Space:
        """Return the space of a node's messages, equal for all nodes."""
        return self._action_spaces[agent]

    @property
    def question(self) -> tuple[int, ...]:
        """The parts and the query of this episode, as `reset(options={"question": ...})` takes."""
        return self._parts + self._query

    @property
    def said(self) -> dict[int, int]:
        """The messages so far as numbers, by node number.

        Raises:
            InputError: There was no reset yet.
        """
        if self._said is None:
            raise InputError("there is no episode yet: call reset() first")
        return self._said

    def observe(self, agent: str) -> Any:
        """Return what a node sees now, in the environment's encoding. Free of side effects."""
        if agent not in self._number:
            raise unknown("node", str(agent), self.possible_agents)
        node, layout, said = self._number[agent], self.layout, self.said
        parts = [(part, self._parts[part]) for part in layout.parts[node]]
        query = self._query if layout.reads_query[node] else ()
        heard = [(source, said[source]) for source in layout.sources[node] if source in said]
        if self._encoding == "discrete":
            values = [value for _, value in parts] + list(query)
            values += [said[s] + 1 if s in said else 0 for s in layout.sources[node]]
            index = 0
            for value, radix in zip(values, layout.radices[node], strict=True):
                index = index * radix + value
            return np.int64(layout.offsets[node] + index)
        row = self._row(node, parts, query, heard)
        if self._encoding == "multidiscrete":
            return row
        known = np.flatnonzero(row[1:]) + 1
        encoded = np.zeros(layout.starts[-1], np.float32)
        encoded[node] = 1
        encoded[layout.starts[known] + row[known] - 1] = 1
        return encoded

    def state(self) -> np.ndarray:
        """Return all parts, the query and all messages so far, one-hot in float32."""
        said, last = self.said, len(self.possible_agents) - 1
        heard = [(node, message) for node, message in said.items() if node != last]
        row = self._row(0, enumerate(self._parts), self._query, heard)
        known = np.flatnonzero(row[1:]) + 1
        state = np.zeros(self.state_space.shape, np.float32)
        state[self.layout.starts[known] + row[known] - 1 - self.layout.starts[1]] = 1
        if last in said:
            answer = self.layout.symbols(said[last])
            tail = len(state) - self.layout.codebook * self.layout.bandwidth
            for place, symbol in enumerate(answer):
                state[tail + place * self.layout.codebook + symbol] = 1
        return state

    def render(self) -> str | None:  # type: ignore[override]
        """Show the network and the messages so far, as `render_mode` says."""
        if self.render_mode is None:
            return None
        labels = {
            node: f"{node}: {' '.join(map(str, self.layout.symbols(self.said[i])))}"
            if i in self.said
            else node
            for i, node in enumerate(self.possible_agents)
        }
        head = f"{self.layout.task.name}: parts {self._parts}, query {self._query}"
        picture = f"{head}\n{self.layout.topology.draw(labels)}"
        if self.render_mode == "ansi":
            return picture
        print(picture)
        return None

    def close(self) -> None:
        """Release nothing; there is nothing to release."""

    def _begin(self, seed: int | None, options: Mapping[str, Any] | None) -> None:
        # PettingZoo's own api_test resets every environment with the key "options".
        given = {key: value for key, value in (options or {}).items() if key != "options"}
        for key in given:
            if key != "question":
                raise unknown("reset option", str(key), ("question",))
        if seed is not None or self.np_random is None:
            self.np_random, _ = seeding.np_random(seed)
        task = self.layout.task
        if "question" in given:
            numbers = check_question(task, given["question"]).tolist()
        else:
            parts, query = task.draw(self.np_random, 1)
            numbers = parts[:, 0].tolist() + query[:, 0].tolist()
        self._parts = tuple(numbers[: len(task.parts)])
        self._query = tuple(numbers[len(task.parts) :])
        self._said = {}

    def _say(self, node: int, action: Any) -> None:
        self.said[node] = read_message(action, self.layout, self.possible_agents[node])

    def _reward(self) -> float:
        parts, query = np.array(self._parts)[:, None], np.array(self._query)[:, None]
        return float(self.layout.task.rule(parts, query)[0] == self.said[self._order[-1]])

    def _row(self, node: int, parts: Any, query: Any, heard: Any) -> np.ndarray:
        layout = self.layout
        row = np.zeros(len(layout.nvec), np.int64)
        row[0] = node
        for part, value in parts:
            row[1 + part] = value + 1
        for i, value in enumerate(query):
            row[1 + len(layout.task.parts) + i] = value + 1
        for source, message in heard:
            first = layout.first_symbol + source * layout.bandwidth
            for place, symbol in enumerate(layout.symbols(message)):
                row[first + place] = symbol + 1
        return row


def read_message(action: Any, layout: Layout, node: str) -> int:
    """Check a node's action and return the message's number.

    Raises:
        InputError: The action is no integer symbol (or row of them) of the code book.
    """
    value = np.asarray(action) if not isinstance(action, list | tuple) else _ints(action)
    shape = () if layout.bandwidth == 1 else (layout.bandwidth,)
    if value.shape != shape or value.dtype.kind not in "iu":
        wanted = "an integer" if not shape else f"a row of {shape[0]} integers"
        raise InputError(
            f"the message of {node} must be {wanted} from 0 to {layout.codebook - 1}, "
            f"not {action!r}"
        )
    message = 0
    for symbol in value.ravel().tolist():
        if not 0 <= symbol < layout.codebook:
            raise InputError(
                f"the message of {node} is out of the code book: {symbol} is not in "
                f"0..{layout.codebook - 1}"
            )
        message = message * layout.codebook + symbol
    return message


def _ints(action: Any) -> np.ndarray:
    try:
        return np.asarray(action)
    except ValueError:  # rows of different lengths
        return np.array("ragged")


class raw_env(DiscreteNetwork, JointEnd):
    """The bare AEC environment; `env` adds PettingZoo's check of the order of calls.

    Nodes act layer by layer. When the output node has, all nodes end together and each
    reads the one shared reward on its dead step.
    """

    metadata = {
        "name": "discrete_v0",
        "render_modes": list(RENDER_MODES),
        "render_fps": 1,
        # The conversion would collect all actions before it delivers any message.
        "is_parallelizable": False,
    }

    def reset(self, seed: int | None = None, options: Mapping[str, Any] | None = None) -> None:
        """Start an episode.

        Args:
            seed: Seeds the choice of questions from here on.
            options: `question` gives the numbers of one, parts before query.

        Raises:
            InputError: An option is unknown or wrong.
        """
        self._begin(seed, options)
        self._open()
        self.agent_selection = self.possible_agents[self._order[0]]

    def step(self, action: Any) -> None:
        """Send the selected node's message, or take its dead step if `action` is None.

        Raises:
            InputError: The message is not of the code book, or the episode has ended.
        """
        said = self.said
        if len(said) == len(self._order):
            if not self.agents or action is not None:
                raise InputError(
                    "the episode has ended: "
                    + ("take the dead step None" if self.agents else "call reset()")
                )
            self._was_dead_step(action)
            return
        self._say(self._order[len(said)], action)
        if len(said) < len(self._order):
            self.agent_selection = self.possible_agents[self._order[len(said)]]
        else:
            self._end(self._reward())
        if self.render_mode == "human":
            self.render()


class _Ordered(OrderEnforcingWrapper):
    """PettingZoo's wrapper, which would only warn of a step after the end."""

    def step(self, action: Any) -> None:
        if self._has_reset and not self.agents:
            raise InputError("the episode has ended: call reset()")
        super().step(action)


def env(*args: Any, **kwargs: Any) -> OrderEnforcingWrapper:
    """Make the AEC environment with a check of the order of calls; arguments as in `raw_env`."""
    return _Ordered(raw_env(*args, **kwargs))
