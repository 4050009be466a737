"""Who sees what in a discrete network, and how observations are numbered.

An observation is a row of small integers, its slots: the node's number, every part,
every number of the query, every symbol of every node's message but the output's. With rounds
follow every symbol that a feedback edge carries out of the round before, and the clock's round.
In a slot, 0 means that the node does not see it (or not yet) and `v + 1` the value `v`. The
encodings `multidiscrete`, `box` and `discrete` say the same in three ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import prod
from typing import Literal, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space

from neuromas_env.checks import Count, arguments
from neuromas_env.envs.discrete.tasks import DiscreteTask, Returns, make_discrete_task
from neuromas_env.errors import InputError, unknown
from neuromas_env.topology import Topology

OBSERVATIONS = ("box", "multidiscrete", "discrete")
MAX_MESSAGES = 4096
_MAX_INDEX = 2**31


class Thing(NamedTuple):
    """One thing that a node sees, a digit of its observation's number in the `discrete` encoding.

    Attributes:
        kind: Of the question, `parts` or `query`; `messages` of this round, those of the round
            `before`, or the `clock`.
        number: Which part, which number of the query, or whose message.
        radix: How many values it has; a message counts one more, for "nothing yet".
        slot: Its first slot in an observation.
    """

    kind: Literal["parts", "query", "messages", "before", "clock"]
    number: int
    radix: int
    slot: int

    @property
    def said(self) -> bool:
        """Whether it is a message, of which the value 0 means that there is none."""
        return self.kind in ("messages", "before")


@arguments
@dataclass(frozen=True)
class Layout:
    """A task on a topology with messages of `bandwidth` symbols from a code book.

    Build one with `make_layout`, which checks that they fit.

    Attributes:
        task: The task.
        topology: The network.
        codebook: Number of different symbols.
        bandwidth: Symbols per message.
        clock: Whether a node sees which round it is.
    """

    task: DiscreteTask
    topology: Topology
    codebook: Count
    bandwidth: Count
    clock: bool = False

    @cached_property
    def messages(self) -> int:
        """How many different messages there are."""
        return self.codebook**self.bandwidth

    @cached_property
    def layers(self) -> tuple[tuple[int, ...], ...]:
        """Node numbers by layer."""
        return tuple(tuple(map(_number, layer)) for layer in self.topology.layers)

    @cached_property
    def ticks(self) -> tuple[tuple[int, ...], ...]:
        """The turns that are taken at once, by layer and round: numbers `round * nodes + node`."""
        starts = range(0, self.topology.rounds * len(self.topology), len(self.topology))
        return tuple(tuple(start + n for n in layer) for start in starts for layer in self.layers)

    @cached_property
    def sources(self) -> tuple[tuple[int, ...], ...]:
        """For every node the numbers of the nodes that it reads in the same round."""
        return tuple(
            tuple(map(_number, self.topology.sources(node))) for node in self.topology.nodes
        )

    @cached_property
    def feedback_sources(self) -> tuple[int, ...]:
        """The numbers of the nodes whose messages of one round are read in the next."""
        return tuple(sorted({_number(source) for source, _ in self.topology.feedback}))

    @cached_property
    def parts(self) -> tuple[tuple[int, ...], ...]:
        """For every node the numbers of the parts that it sees.

        Input nodes get a part each; when there are more nodes than parts, it starts over. A
        node that is input and output at once sees all.
        """
        count, inputs = len(self.task.parts), self.layers[0]
        if len(self.topology) == 1:
            return (tuple(range(count)),)
        dealt = {node: (i % count,) for i, node in enumerate(inputs)}
        return tuple(dealt.get(node, ()) for node in range(len(self.topology)))

    @cached_property
    def reads_query(self) -> tuple[bool, ...]:
        """For every node whether it sees the query."""
        last = len(self.topology) - 1
        if self.task.query_readers == "output" or not last:
            return tuple(node == last for node in range(last + 1))
        return tuple(bool(sources) for sources in self.sources)

    @cached_property
    def nvec(self) -> np.ndarray:
        """Number of values of each slot of an observation."""
        senders = len(self.topology) - 1
        return np.array(
            [senders + 1]
            + [size + 1 for size in self.task.parts + self.task.query]
            + [self.codebook + 1] * ((senders + len(self.feedback_sources)) * self.bandwidth)
            + [self.topology.rounds + 1] * self.clock
        )

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where the one-hot code of each slot starts in the `box` encoding."""
        # The node's number is always known, so its slot has no value for "unseen".
        widths = [int(self.nvec[0])] + [int(size) - 1 for size in self.nvec[1:]]
        return tuple(accumulate(widths, initial=0))

    @cached_property
    def state_sizes(self) -> tuple[int, ...]:
        """Values of each slot of a state: parts, query and symbols, and with rounds what is next.

        These are the symbols that feedback edges carry out of the round before, and the round.
        """
        symbols = (len(self.topology) + len(self.feedback_sources)) * self.bandwidth
        rounds = self.topology.rounds
        return (
            *self.task.parts, *self.task.query, *[self.codebook] * symbols, *[rounds] * (rounds > 1)
        )  # fmt: skip

    @cached_property
    def things(self) -> tuple[tuple[Thing, ...], ...]:
        """For every node what it sees: parts, query, messages, those of the round before, clock."""
        return tuple(map(self._things, range(len(self.topology))))

    def _things(self, node: int) -> tuple[Thing, ...]:
        task, width, known = self.task, self.bandwidth, self.messages + 1
        query = 1 + len(task.parts)
        first = query + len(task.query)
        late = first + (len(self.topology) - 1) * width
        clock = len(self.nvec) - 1
        feedback = map(_number, self.topology.feedback_sources(self.topology.nodes[node]))
        slots = {source: late + i * width for i, source in enumerate(self.feedback_sources)}
        asked = enumerate(task.query) if self.reads_query[node] else ()
        return (
            *(Thing("parts", part, task.parts[part], 1 + part) for part in self.parts[node]),
            *(Thing("query", i, size, query + i) for i, size in asked),
            *(Thing("messages", s, known, first + s * width) for s in self.sources[node]),
            *(Thing("before", s, known, slots[s]) for s in feedback),
            *[Thing("clock", 0, self.topology.rounds, clock)] * self.clock,
        )

    @cached_property
    def radices(self) -> tuple[tuple[int, ...], ...]:
        """For every node how many values each thing that it sees has."""
        return tuple(tuple(thing.radix for thing in things) for things in self.things)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """For every node how many different observations it has in the `discrete` encoding."""
        return tuple(map(prod, self.radices))

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """The first number of every node's observations in the `discrete` encoding."""
        return tuple(accumulate(self.sizes, initial=0))[:-1]

    @property
    def returns(self) -> Returns:
        """The known returns."""
        return self.task.returns(self.topology, self.messages)

    def action_space(self) -> Discrete | MultiDiscrete:
        """Make the space of messages: one symbol, or a row of `bandwidth` symbols."""
        if self.bandwidth == 1:
            return Discrete(self.codebook)
        return MultiDiscrete([self.codebook] * self.bandwidth)

    def observation_space(self, observation: str) -> Space:
        """Make the space of observations in an encoding.

        Raises:
            InputError: The encoding is unknown, or `discrete` would need too many numbers.
        """
        if observation == "box":
            return Box(0.0, 1.0, (self.starts[-1],), np.float32)
        if observation == "multidiscrete":
            return MultiDiscrete(self.nvec)
        if observation != "discrete":
            raise unknown("observation encoding", str(observation), OBSERVATIONS)
        total = sum(self.sizes)
        if total >= _MAX_INDEX:
            raise InputError(
                f"{self.topology.name} on {self.task.name} has {total:.1e} different observations, "
                "too many to number; take observation='box' or 'multidiscrete'"
            )
        return Discrete(total)

    def symbols(self, message: int) -> tuple[int, ...]:
        """Write a message's number as its symbols, the most significant first."""
        if self.bandwidth == 1:
            return (message,)
        return tuple(
            message // self.codebook**place % self.codebook
            for place in reversed(range(self.bandwidth))
        )


@arguments
def make_layout(
    task: DiscreteTask | str = "xor",
    topology: Topology | str = "2-1",
    codebook: Count | None = None,
    bandwidth: Count = 1,
    clock: bool = False,
) -> Layout:
    """Fit a task, a topology and a code book together.

    Args:
        task: A task, or its name such as `parity:bits=8`.
        topology: A topology without memory, or its text such as `2-2-1` or `tree-8`.
        codebook: Number of different symbols; by default as many as the task has answers.
        bandwidth: Symbols per message.
        clock: Whether a node sees which round it is, and so may act otherwise in each.

    Raises:
        InputError: An argument is wrong, the network remembers or has fewer input nodes than the
            task has parts, or the messages are too few to give every answer.
    """
    task = make_discrete_task(task)
    topology = topology if isinstance(topology, Topology) else Topology.parse(topology)
    codebook = task.answers if codebook is None else codebook
    messages = codebook**bandwidth if bandwidth < 64 else MAX_MESSAGES + 1
    if messages > MAX_MESSAGES:
        raise InputError(
            f"codebook {codebook} with bandwidth {bandwidth} makes more than {MAX_MESSAGES} "
            "different messages; take a smaller one"
        )
    if messages < task.answers:
        raise InputError(
            f"codebook {codebook} with bandwidth {bandwidth} makes {messages} different messages, "
            f"but the output node must be able to give {task.answers} answers of task {task.name}"
        )
    inputs, parts = len(topology.inputs), len(task.parts)
    if inputs < parts and len(topology) > 1:
        raise InputError(
            f"topology {topology.name!r} has {inputs} input nodes, but task {task.name} has "
            f"{parts} parts: take at least {parts} input nodes, such as '{parts}-1'"
        )
    if topology.memory:
        raise InputError(
            f"a discrete network has no memory, but {topology.name!r} has: write memory=none, as "
            f"in '{topology.name}:memory=none'"
        )
    if clock and topology.rounds == 1:
        raise InputError("clock needs at least 2 rounds, got 1; write rounds=2")
    return Layout(task, topology, codebook, bandwidth, clock)


def _number(node: str) -> int:
    return int(node.removeprefix("node_"))
