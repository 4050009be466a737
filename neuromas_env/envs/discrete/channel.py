"""Symbols of a code book as messages: a discrete task's questions, observations and answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box

from neuromas_env.checks import arguments
from neuromas_env.envs.discrete.layout import Layout, Thing
from neuromas_env.envs.discrete.tasks import check_question
from neuromas_env.envs.spaces import Spaces
from neuromas_env.envs.wiring import Wiring, wiring
from neuromas_env.errors import InputError
from neuromas_env.tasks.base import Score
from neuromas_env.tasks.interactive import InteractiveTask
from neuromas_env.topology import Topology

if TYPE_CHECKING:
    from neuromas_env.envs.episode import Episode


class Question(NamedTuple):
    """One question of a discrete task.

    Attributes:
        parts: What is dealt to the input nodes.
        query: What later nodes read.
    """

    parts: tuple[int, ...]
    query: tuple[int, ...]


@arguments
class DiscreteChannel:
    """Messages of a code book; see `neuromas_env.envs.channel.Channel`.

    A message is kept as a number: its row of symbols, the first most significant.

    Attributes:
        layout: Who sees what, and the known returns.
        task: The task.
    """

    name = "discrete_v0"
    options: tuple[str, ...] = ("question",)
    world: InteractiveTask | None = None

    def __init__(self, layout: Layout, observation: str = "box") -> None:
        """Take a layout and an encoding.

        Args:
            layout: Task, topology and code book.
            observation: `box` (one-hot, float32), `multidiscrete` or `discrete`.

        Raises:
            InputError: The encoding is unknown, or `discrete` would need too many numbers.
        """
        layout.observation_space(observation)
        self.layout, self.task, self._encoding = layout, layout.task, observation
        self._sources = wiring(layout.topology).sources
        self._numbers = {node: i for i, node in enumerate(layout.topology.nodes)}
        self._starts = np.cumsum([0, *layout.state_sizes])

    def draw(self, rng: np.random.Generator, options: Mapping[str, Any]) -> Question:
        """Return the given `question`, its numbers parts before query, or else a random one.

        Raises:
            InputError: The numbers are no question of the task.
        """
        if "question" in options:
            numbers = check_question(self.task, options["question"]).tolist()
        else:
            parts, query = self.task.draw(rng, 1)
            numbers = parts[:, 0].tolist() + query[:, 0].tolist()
        count = len(self.task.parts)
        return Question(tuple(numbers[:count]), tuple(numbers[count:]))

    def deal(self, example: Question, topology: Topology, wiring: Wiring) -> None:
        """Refuse what the layout was not made for; it says who sees what.

        Raises:
            InputError: The episode has another topology, or edges of its own.
        """
        # The same object, but for a channel that has been pickled.
        if wiring.sources is not self._sources and wiring.sources != self._sources:
            raise InputError(
                f"a discrete network has the edges of its topology {self.layout.topology.name!r}; "
                "they cannot change by episode"
            )

    def check(self, node: str, message: Any) -> int:
        """Return a message's number.

        Raises:
            InputError: It is no integer symbol (or row of them) of the code book.
        """
        codebook, number = self.layout.codebook, 0
        for symbol in self._symbols(node, message):
            if not 0 <= symbol < codebook:
                raise InputError(
                    f"the message of {node} is out of the code book: {symbol} is not in "
                    f"0..{codebook - 1}"
                )
            number = number * codebook + symbol
        return number

    def _symbols(self, node: str, message: Any) -> list[int]:
        width = self.layout.bandwidth
        if width == 1 and type(message) is int:  # no need of numpy, which takes longer
            return [message]
        value = np.asarray(message) if not isinstance(message, list | tuple) else _ints(message)
        if value.shape != (() if width == 1 else (width,)) or value.dtype.kind not in "iu":
            wanted = "an integer" if width == 1 else f"a row of {width} integers"
            raise InputError(
                f"the message of {node} must be {wanted} from 0 to {self.layout.codebook - 1}, "
                f"not {message!r}"
            )
        return value.ravel().tolist()

    def observe(self, episode: Episode, node: str) -> Any:
        """Return what a node sees now, in the encoding."""
        layout, number = self.layout, self._numbers[node]
        if self._encoding == "discrete":
            index = 0
            for thing in layout.things[number]:
                index = index * thing.radix + self._value(episode, thing)
            return np.int64(layout.offsets[number] + index)
        known = self._known(episode, number)
        if self._encoding == "multidiscrete":
            row = np.zeros(len(layout.nvec), np.int64)
            row[0] = number
            for slot, value in known:
                row[slot] = value + 1
            return row
        starts = layout.starts
        encoded = np.zeros(starts[-1], np.float32)
        encoded[[number, *[starts[slot] + value for slot, value in known]]] = 1
        return encoded

    def state(self, episode: Episode) -> np.ndarray:
        """Return all parts, the query and all messages so far, one-hot in float32.

        With rounds these are the messages of this round, those that feedback carries out of the
        round before, and the round.
        """
        layout = self.layout
        slots = [number + 1 for number in episode.example.parts + episode.example.query]
        for node in self._numbers.values():
            slots += self._slots(self._said(episode.said, node))
        for node in layout.feedback_sources:
            slots += self._slots(self._said(episode.before, node))
        if layout.topology.rounds > 1:
            slots.append(episode.round + 1)
        row, state = np.array(slots), np.zeros(self._starts[-1], np.float32)
        known = np.flatnonzero(row)
        state[self._starts[known] + row[known] - 1] = 1
        return state

    def score(self, episodes: Sequence[Episode]) -> list[Score]:
        """Score 1 where an answer is the task's, else 0."""
        parts, query = zip(*[episode.example for episode in episodes], strict=True)
        right = self.task.rule(np.array(parts).T, np.array(query).T).tolist()
        return [_RIGHT if a == e.answer else _WRONG for a, e in zip(right, episodes, strict=True)]

    def reward(self, score: Score) -> float:
        """Return 1 for a right answer, else 0."""
        return score.strict

    def outcome(self, episode: Episode) -> dict[str, Any]:
        """Return nothing: the reward says it all."""
        return {}

    def spaces(self, topology: Topology) -> Spaces:
        """Make the spaces of a node's observations, of its messages and of the state."""
        return Spaces(
            self.layout.observation_space(self._encoding),
            self.layout.action_space(),
            Box(0.0, 1.0, (int(self._starts[-1]),), np.float32),
        )

    def question(self, example: Question) -> str:
        """Return the task and the numbers of a question."""
        return f"{self.task.name}: parts {example.parts}, query {example.query}"

    def write(self, message: int) -> str:
        """Return the symbols of a message."""
        return " ".join(map(str, self.layout.symbols(message)))

    def _known(self, episode: Episode, number: int) -> Iterator[tuple[int, int]]:
        """Yield the slots in which a node sees a value, and the value, counted from 0."""
        for thing in self.layout.things[number]:
            value = self._value(episode, thing)
            if not thing.said:
                yield thing.slot, value
            elif value:
                yield from enumerate(self.layout.symbols(value - 1), thing.slot)

    def _value(self, episode: Episode, thing: Thing) -> int:
        """The value of a thing that a node sees; of a message 0 if there is none, else from 1."""
        if thing.kind == "messages":
            return self._said(episode.said, thing.number)
        if thing.kind == "before":
            return self._said(episode.before, thing.number)
        if thing.kind == "clock":
            return episode.round
        return getattr(episode.example, thing.kind)[thing.number]

    def _said(self, messages: Mapping[str, int], node: int) -> int:
        return messages.get(self.layout.topology.nodes[node], -1) + 1

    def _slots(self, value: int) -> Sequence[int]:
        """Slots of a message that counts from 1: 0 for none yet, else the symbol plus one."""
        if not value:
            return (0,) * self.layout.bandwidth
        return [symbol + 1 for symbol in self.layout.symbols(value - 1)]


_RIGHT, _WRONG = Score(1.0, 1.0, "ok"), Score(0.0, 0.0, "wrong")


def _ints(action: Any) -> np.ndarray:
    try:
        return np.asarray(action)
    except ValueError:  # rows of different lengths
        return np.array("ragged")
