"""Many episodes of a discrete network at once, in numpy: one step is one layer of all of them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from gymnasium.spaces import Space

from neuromas_env.checks import Count, Natural, arguments
from neuromas_env.envs.discrete.layout import Layout, Thing, make_layout
from neuromas_env.envs.discrete.tasks import DiscreteTask, Dtype
from neuromas_env.errors import InputError
from neuromas_env.topology import Topology

Questions = tuple[np.ndarray, np.ndarray]
"""Integer arrays `parts [n_parts, batch]` and `query [n_query, batch]`."""


class VectorNetwork:
    """A batch of episodes in lock-step.

    Messages are numbers from 0 to `layout.messages - 1`; with a bandwidth above 1 that is
    the row of symbols read as one number, the first symbol most significant.

    Attributes:
        layout: Who sees what, and the known returns.
        batch: Number of episodes.
        parts: int16 array `[n_parts, batch]`, the questions' parts.
        query: int16 array `[n_query, batch]`, the questions' queries.
        messages: int16 array `[nodes, batch]`, those of this round; -1 where nothing was said yet.
        before: The same of the round before, all -1 in the first; it is what feedback carries.
        round: Number of the round, counted from 0; the last one after the end.
        layer: Number of the layer whose turn it is; the number of layers after the end.
    """

    @arguments
    def __init__(
        self,
        task: DiscreteTask | str = "xor",
        topology: Topology | str = "2-1",
        codebook: int | None = None,
        bandwidth: int = 1,
        observation: str = "discrete",
        batch: Count = 4096,
        seed: Natural | None = None,
        clock: bool = False,
    ) -> None:
        """Fit task and topology together.

        Args:
            task: As in `neuromas_env.discrete_v0.make`.
            topology: As in `neuromas_env.discrete_v0.make`.
            codebook: As in `neuromas_env.discrete_v0.make`.
            bandwidth: As in `neuromas_env.discrete_v0.make`.
            observation: `discrete`, `multidiscrete` or `box`.
            batch: Number of episodes.
            seed: Seeds the choice of questions.
            clock: As in `neuromas_env.discrete_v0.make`.

        Raises:
            InputError: An argument is wrong, or they do not fit together.
        """
        self.layout: Layout = make_layout(task, topology, codebook, bandwidth, clock)
        self.batch = batch
        self.observation_space: Space = self.layout.observation_space(observation)
        self._encoding = observation
        self._rng = np.random.default_rng(seed)
        # Numbers of observations are worked out in few bytes where that is enough.
        self._digits = np.int16 if sum(self.layout.sizes) < 2**15 else np.int64
        self.round, self.layer = 0, len(self.layout.layers)

    @classmethod
    def of(cls, layout: Layout, **options: Any) -> Self:
        """Make the batch of a layout; options are `observation`, `batch` and `seed`."""
        return cls(
            layout.task, layout.topology, layout.codebook, layout.bandwidth, clock=layout.clock,
            **options,
        )  # fmt: skip

    def reset(self, seed: int | None = None, questions: Questions | None = None) -> np.ndarray:
        """Start all episodes and return what the input nodes see.

        Args:
            seed: Seeds the choice of questions from here on.
            questions: Parts and query of every episode, instead of random ones.

        Returns:
            Array `[width of the layer, batch, ...]`.

        Raises:
            InputError: The questions are not integers in their ranges, or of another shape.
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        if questions is None:
            self.parts, self.query = self.layout.task.draw(self._rng, self.batch)
        else:
            self.parts, self.query = self._checked(questions)
        self.messages = np.full((len(self.layout.topology), self.batch), -1, Dtype)
        self.before = self.messages.copy()
        self.round = self.layer = 0
        return self.observations()

    def step(self, messages: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Send the messages of the current layer's nodes.

        Args:
            messages: Integer array `[width of the layer, batch]`.

        Returns:
            What the next layer's nodes see, those of the first layer after the last of a round,
            None after the last round; and the rewards, float32 `[batch]`, None before that.

        Raises:
            InputError: The episodes have ended, or the messages are not of the code book.
        """
        if self.layer >= len(self.layout.layers):
            raise InputError("the episodes have ended: call reset()")
        nodes = self.layout.layers[self.layer]
        messages = np.asarray(messages)
        if messages.shape != (len(nodes), self.batch) or messages.dtype.kind not in "iu":
            raise InputError(
                f"the messages of layer {self.layer} must be integers of shape "
                f"{(len(nodes), self.batch)}, not {messages.dtype} of shape {messages.shape}"
            )
        if messages.min() < 0 or messages.max() >= self.layout.messages:
            raise InputError(
                f"the messages of layer {self.layer} are out of the code book: they must be from "
                f"0 to {self.layout.messages - 1}, not {messages.min()} to {messages.max()}"
            )
        for node, message in zip(nodes, messages, strict=True):
            self.messages[node] = message
        self.layer += 1
        if self.layer == len(self.layout.layers) and self.round + 1 < self.layout.topology.rounds:
            self._next_round()
        if self.layer < len(self.layout.layers):
            return self.observations(), None
        right = self.layout.task.rule(self.parts, self.query) == self.messages[-1]
        return None, right.astype(np.float32)

    def observations(self) -> np.ndarray:
        """Return what the nodes of the current layer see: array `[width, batch, ...]`.

        Raises:
            InputError: The episodes have ended.
        """
        if self.layer >= len(self.layout.layers):
            raise InputError("the episodes have ended: call reset()")
        seen = [self._see(node) for node in self.layout.layers[self.layer]]
        return np.stack(seen, dtype=self.observation_space.dtype)

    def observe(self, node: int) -> np.ndarray:
        """Return what the node of this number sees: array `[batch, ...]`.

        The rest of the shape and the type are those of the encoding: int64 without further
        axes for `discrete`, int64 `[slots]` for `multidiscrete`, float32 `[width]` for `box`.

        Raises:
            InputError: `reset()` was never called.
        """
        self._check_started()
        return self._see(node).astype(self.observation_space.dtype, copy=False)

    def _see(self, node: int) -> np.ndarray:
        """What a node sees, in the encoding but perhaps in a smaller type."""
        if self._encoding == "discrete":
            return self._index(node)
        rows = self._rows(node)
        if self._encoding == "multidiscrete":
            return np.ascontiguousarray(rows.T)
        rows[0] += 1  # the node's number is always known: its slot has no value for "unseen"
        return _one_hot(rows, [self.layout.nvec[0], *(self.layout.nvec[1:] - 1)])

    def state(self) -> np.ndarray:
        """Return all parts, the query and all messages so far, one-hot: float32 `[batch, width]`.

        With rounds these are the messages of this round, those that feedback carries out of the
        round before, and the round. It equals the AEC environment's `state()`.

        Raises:
            InputError: `reset()` was never called.
        """
        self._check_started()
        layout = self.layout
        known = [self.parts + 1, self.query + 1, *map(self._symbols, self.messages)]
        known += [self._symbols(self.before[source]) for source in layout.feedback_sources]
        if layout.topology.rounds > 1:
            known.append(np.full((1, self.batch), self.round + 1))
        return _one_hot(np.concatenate(known), layout.state_sizes)

    def _next_round(self) -> None:
        self.round, self.layer = self.round + 1, 0
        self.before, self.messages = self.messages, self.before
        self.messages.fill(-1)

    def _check_started(self) -> None:
        if not hasattr(self, "messages"):
            raise InputError("no episodes have started: call reset()")

    def _index(self, node: int) -> np.ndarray:
        """The number of the observation, whose digits are the things that the node sees."""
        index: np.ndarray = np.zeros(self.batch, self._digits)
        shift = 0
        for i, thing in enumerate(self.layout.things[node]):
            if i:
                index *= thing.radix
            index += self._value(thing)
            shift = shift * thing.radix + thing.said  # a message counts from 1
        index += shift + self.layout.offsets[node]
        return index

    def _rows(self, node: int) -> np.ndarray:
        layout = self.layout
        rows = np.zeros((len(layout.nvec), self.batch), np.int64)
        rows[0] = node
        for thing in layout.things[node]:
            if thing.said:
                places = slice(thing.slot, thing.slot + layout.bandwidth)
                rows[places] = self._symbols(self._value(thing))
            else:
                rows[thing.slot] = self._value(thing) + 1
        return rows

    def _value(self, thing: Thing) -> Any:
        """The values of a thing that a node sees: int16 array `[batch]`, or the one round."""
        if thing.kind == "clock":
            return self.round
        return getattr(self, thing.kind)[thing.number]

    def _symbols(self, said: np.ndarray) -> np.ndarray:
        """Slots of a node's messages: 0 for nothing yet, else the symbol plus one."""
        book, places = self.layout.codebook, range(self.layout.bandwidth)
        digits = [said // book**place % book + 1 for place in reversed(places)]
        return np.where(said < 0, 0, np.stack(digits))

    def _checked(self, questions: Any) -> Questions:
        task = self.layout.task
        parts, query = (np.asarray(numbers) for numbers in questions)
        for name, numbers, sizes in (("parts", parts, task.parts), ("query", query, task.query)):
            limits = np.array(sizes, dtype=np.int64)[:, None]
            fits = numbers.shape == (len(sizes), self.batch) and numbers.dtype.kind in "iu"
            if not fits or (numbers < 0).any() or (numbers >= limits).any():
                raise InputError(
                    f"{name} of task {task.name} must be integers of shape "
                    f"{(len(sizes), self.batch)}, each below {sizes}"
                )
        return parts.astype(Dtype), query.astype(Dtype)


def _one_hot(slots: np.ndarray, sizes: Any) -> np.ndarray:
    """Encode slots `[n_slots, batch]`, 0 for unseen, as float32 `[batch, sum of sizes]`."""
    starts = np.cumsum([0, *sizes])
    encoded = np.zeros((slots.shape[1], int(starts[-1])), np.float32)
    rows = np.arange(slots.shape[1])
    for slot, start in zip(slots, starts[:-1], strict=True):
        seen = slot > 0
        encoded[rows[seen], start + slot[seen] - 1] = 1
    return encoded
