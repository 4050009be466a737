"""Tasks for discrete networks, each with its known returns.

A question is a few small integers: `parts`, which are dealt to the input nodes, and a
`query`, which later nodes read. The answer is one integer, and the reward is 1 if the
output node's message is that integer, else 0. All questions of a task are equally likely.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from math import comb, prod
from typing import Any, Literal

import numpy as np

from neuromas_env.errors import InputError, unknown
from neuromas_env.registry import Registry, built_in
from neuromas_env.tasks.names import check_int, full_name, split_name
from neuromas_env.topology import Topology

MAX_VALUES = 64
MAX_PARTS = 64
MAX_LISTED = 1_000_000
"""So many questions at most are listed one by one."""
Dtype = np.int16
"""Of parts, queries, messages and answers."""


@dataclass(frozen=True)
class Returns:
    """What a task on a network is worth, as expected reward of an episode.

    Attributes:
        optimal: Of the best joint policy.
        random: Of uniformly random messages at every node.
        silent: Of the best policy whose output node hears nothing.
    """

    optimal: float
    random: float
    silent: float

    def normalise(self, value: float) -> float:
        """Place a return on the scale where random is 0 and optimal is 1."""
        return (value - self.random) / (self.optimal - self.random)


@dataclass(frozen=True)
class DiscreteTask:
    """Independent uniform parts and query, and a rule that makes the answer of them.

    Attributes:
        name: With parameters, as `make_discrete_task` takes it.
        parts: How many values each part can take.
        query: How many values each number of the query can take.
        query_readers: Who reads the query: all nodes `later` than the input layer, or
            the `output` node alone. A network of one node reads everything.
        answers: How many different answers there are: 0 to `answers - 1`.
        rule: `(parts [n_parts, n], query [n_query, n])` to answers `[n]`.
    """

    name: str
    parts: tuple[int, ...]
    query: tuple[int, ...]
    query_readers: Literal["later", "output"]
    answers: int
    rule: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw questions: integer arrays `parts [n_parts, n]` and `query [n_query, n]`."""
        parts, query = (
            np.stack([rng.integers(size, size=n, dtype=Dtype) for size in sizes])
            if len(set(sizes)) > 1
            else rng.integers(sizes[0], size=(len(sizes), n), dtype=Dtype)
            if sizes
            else np.empty((0, n), Dtype)
            for sizes in (self.parts, self.query)
        )
        return parts, query

    def every(self) -> tuple[np.ndarray, np.ndarray]:
        """Return every question once, in the form of `draw`.

        Raises:
            InputError: There are more than `MAX_LISTED`.
        """
        self._check_few()
        places = np.unravel_index(np.arange(self.questions()), self.parts + self.query)
        table = np.stack(places).astype(Dtype)
        return table[: len(self.parts)], table[len(self.parts) :]

    def questions(self) -> int:
        """How many different questions there are."""
        return prod(self.parts) * prod(self.query)

    def _check_few(self) -> None:
        if self.questions() > MAX_LISTED:
            raise InputError(
                f"task {self.name} has {self.questions():.1e} questions, too many to list: at most "
                f"{MAX_LISTED:,} can be; draw some of them, or take a smaller task"
            )

    def returns(self, topology: Topology, messages: int) -> Returns:
        """Work out the known returns on a network whose nodes choose between `messages`.

        Any network with a path from each part to the output reaches 1: along a tree of such
        paths every node sends the sum of what it has heard (relay, parity, modsum), or
        what it heard from the leaf that is asked for (routing).
        """
        silent = 1.0 if len(topology) == 1 else 1 / self.answers
        return Returns(1.0, 1 / messages, silent)


class Lewis(DiscreteTask):
    """Point out, among `candidates`, the one object of `objects` that the senders see.

    The question's part is the object, the query the candidates in random order, the
    answer the object's position among them (a referential game; Lewis 1969, Lazaridou
    et al. 2017).
    """

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw questions; see `DiscreteTask.draw`."""
        objects, count = self.parts[0], len(self.query)
        query = np.empty((count, n), dtype=Dtype)
        for i in range(count):
            query[i] = rng.integers(objects - i, size=n, dtype=Dtype)
            # The i-th free object: step over the earlier ones in rising order.
            for taken in np.sort(query[:i], axis=0):
                query[i] += query[i] >= taken
        position = rng.integers(count, size=n)
        return query[position, np.arange(n)][None], query

    def every(self) -> tuple[np.ndarray, np.ndarray]:
        """Return every question once; see `DiscreteTask.every`."""
        self._check_few()
        chosen = permutations(range(self.parts[0]), len(self.query))
        rows = [(shown, *among) for among in chosen for shown in among]
        table = np.array(rows, dtype=Dtype).T
        return table[:1], table[1:]

    def questions(self) -> int:
        """How many different questions there are."""
        count = len(self.query)
        return prod(range(self.parts[0] - count + 1, self.parts[0] + 1)) * count

    def returns(self, topology: Topology, messages: int) -> Returns:
        """Work out the known returns.

        What reaches the output puts the objects into classes: as many as `messages` to the
        power of the number of disjoint paths that lead there (Menger's theorem gives the
        bound, a symbol routed along each path attains it). The best answer then is right
        with the probability E[different classes among the candidates] / candidates, which
        is largest when the classes differ least in size.
        """
        count, objects = len(self.query), self.parts[0]
        if len(topology) == 1:
            return Returns(1.0, 1 / messages, 1.0)
        classes = min(objects, messages ** disjoint_paths(topology))
        sizes = [objects // classes + (i < objects % classes) for i in range(classes)]
        absent = sum(comb(objects - size, count) for size in sizes) / comb(objects, count)
        return Returns((classes - absent) / count, 1 / messages, 1 / count)


class Knockout(DiscreteTask):
    """Rock, paper, scissors: which of the three the last match of a knock-out leaves.

    The matches are those of the tree with as many leaves: neighbours in pairs, the winners in
    pairs, and so on, one left over goes through. Paper (1) beats rock (0), scissors (2) beat
    paper, rock beats scissors. So all three win as often at every depth, and each hint at a
    subtree's winner is worth something: with both uniform, a player wins its match, or draws
    with its like, two times of three.
    """

    def returns(self, topology: Topology, messages: int) -> Returns:
        """Work out the known returns; see `DiscreteTask.returns`.

        The optimum is 1 where every match can be decided: somewhere both of its players are
        heard of, when each node sends the winner of the most matches that it can decide.

        Raises:
            InputError: It cannot be said so of the last match, and the optimum is not known.
        """
        matches = _bracket(len(self.parts))
        sent: dict[str, _Players] = {}
        dealt = {node: i % len(self.parts) for i, node in enumerate(topology.inputs)}
        for node in topology.nodes if len(topology) > 1 else ():
            known = {sent[source] for source in topology.sources(node)}
            if node in dealt:
                known.add((dealt[node],))
            for pair in matches:
                if known.issuperset(pair):
                    known.add(pair[0] + pair[1])
            sent[node] = max(known, key=lambda players: (len(players), players))
        if sent and len(sent[topology.output]) < len(self.parts):
            raise InputError(
                f"the optimum of task {self.name} on {topology.name} is not known: its nodes do "
                f"not hear of the players of each match; take 'tree-{len(self.parts)}'"
            )
        return super().returns(topology, messages)


_Players = tuple[int, ...]


def _bracket(leaves: int) -> list[tuple[_Players, _Players]]:
    """Return the two players of each match, as the leaves that they stand for, rounds in order."""
    matches: list[tuple[_Players, _Players]] = []
    players: list[_Players] = [(leaf,) for leaf in range(leaves)]
    while len(players) > 1:
        pairs = list(zip(players[::2], players[1::2], strict=False))
        matches += pairs
        players = [a + b for a, b in pairs] + players[2 * len(pairs) :]
    return matches


def disjoint_paths(topology: Topology) -> int:
    """Count the paths from input nodes to the output that share no node but the output."""
    import networkx

    graph = networkx.DiGraph()
    for node in topology.nodes[:-1]:
        graph.add_edge((node, "in"), (node, "out"), capacity=1)
    for node in topology.inputs:
        graph.add_edge("start", (node, "in"))
    for source, reader in topology.edges:
        end = "end" if reader == topology.output else (reader, "in")
        graph.add_edge((source, "out"), end)
    return int(networkx.maximum_flow_value(graph, "start", "end"))


def _sum_rule(modulus: int, parts: np.ndarray, query: np.ndarray) -> np.ndarray:
    return parts.sum(0, dtype=Dtype) % Dtype(modulus)


def _xor_rule(parts: np.ndarray, query: np.ndarray) -> np.ndarray:
    return np.bitwise_xor.reduce(parts, axis=0)


def _pointed_rule(parts: np.ndarray, query: np.ndarray) -> np.ndarray:
    return parts[query[0], np.arange(parts.shape[1])]


def _position_rule(parts: np.ndarray, query: np.ndarray) -> np.ndarray:
    return (query == parts).argmax(0).astype(Dtype)


def _knockout_rule(parts: np.ndarray, query: np.ndarray) -> np.ndarray:
    winner: dict[_Players, np.ndarray] = {(leaf,): part for leaf, part in enumerate(parts)}
    for pair in _bracket(len(parts)):
        one, other = winner[pair[0]], winner[pair[1]]
        winner[pair[0] + pair[1]] = np.where((other - one) % 3 == 1, other, one)
    return winner[tuple(range(len(parts)))]


def _relay(name: str, values: int = 4) -> DiscreteTask:
    check_int("relay", "values", values, 2, MAX_VALUES)
    return DiscreteTask(name, (values,), (), "later", values, partial(_sum_rule, values))


def _parity(name: str, bits: int = 4) -> DiscreteTask:
    check_int("parity", "bits", bits, 1, MAX_PARTS)
    return DiscreteTask(name, (2,) * bits, (), "later", 2, _xor_rule)


def _xor(name: str) -> DiscreteTask:
    return _parity(name, 2)


def _modsum(name: str, parts: int = 4, modulus: int = 3) -> DiscreteTask:
    check_int("modsum", "parts", parts, 1, MAX_PARTS)
    check_int("modsum", "modulus", modulus, 2, MAX_VALUES)
    return DiscreteTask(name, (modulus,) * parts, (), "later", modulus, partial(_sum_rule, modulus))


def _lewis(name: str, objects: int = 8, candidates: int = 2) -> DiscreteTask:
    check_int("lewis", "objects", objects, 2, MAX_VALUES)
    check_int("lewis", "candidates", candidates, 2, 8)
    if candidates > objects:
        raise InputError(
            f"task {name}: candidates must be at most the {objects} objects, not {candidates}"
        )
    query = (objects,) * candidates
    return Lewis(name, (objects,), query, "output", candidates, _position_rule)


def _routing(name: str, leaves: int = 4, values: int = 4) -> DiscreteTask:
    check_int("routing", "leaves", leaves, 2, MAX_PARTS)
    check_int("routing", "values", values, 2, MAX_VALUES)
    return DiscreteTask(name, (values,) * leaves, (leaves,), "later", values, _pointed_rule)


def _knockout(name: str, leaves: int = 4) -> DiscreteTask:
    check_int("knockout", "leaves", leaves, 2, MAX_PARTS)
    return Knockout(name, (3,) * leaves, (), "later", 3, _knockout_rule)


_BUILT_IN = {
    "relay": ("tasks:_relay", "repeat what the input node was shown"),
    "xor": ("tasks:_xor", "the exclusive or of two bits"),
    "parity": ("tasks:_parity", "the parity of all bits"),
    "modsum": ("tasks:_modsum", "the sum of all parts, modulo"),
    "lewis": ("tasks:_lewis", "which candidate the senders were shown"),
    "routing": ("tasks:_routing", "the value of the one leaf that later nodes are told to ask"),
    "knockout": (
        "tasks:_knockout",
        "which of rock, paper and scissors wins a knock-out of the leaves",
    ),
}
DISCRETE_TASKS: Registry[Callable[..., DiscreteTask]] = Registry(
    "discrete task", "neuromas_env.discrete_tasks", built_in(__package__, _BUILT_IN)
)


def register_discrete_task(
    name: str, make: Callable[..., DiscreteTask] | None = None, *, about: str = ""
) -> Any:
    """Make a family of discrete tasks known under a name, in this process.

    Packages do it by the entry point group `neuromas_env.discrete_tasks`.

    Args:
        name: A plain word that no discrete task of this project has.
        make: Takes the task's full name and then its integer parameters, by keyword and with
            defaults; returns the task. Left out, what comes back is a decorator.
        about: One line for lists; by default the first line of the docstring.

    Raises:
        InputError: The name is no plain word, or is one of this project's.
    """
    return DISCRETE_TASKS.register(name, make, about=about)


def list_discrete_tasks() -> dict[str, str]:
    """Names of the families and what the answer is; without packages' own, with parameters."""
    listed = {}
    for name, about in DISCRETE_TASKS.abouts().items():
        defaults = _parameters(name) if name in DISCRETE_TASKS.built_in else {}
        listed[full_name(name, defaults, dict.fromkeys(defaults))] = about
    return listed


def _parameters(family: str) -> dict[str, Any]:
    """The parameters of a family, with their defaults."""
    first, *rest = inspect.signature(DISCRETE_TASKS.find(family)).parameters.values()
    return {parameter.name: parameter.default for parameter in rest}


def make_discrete_task(task: str | DiscreteTask) -> DiscreteTask:
    """Build a task from a name such as `parity:bits=8`.

    Raises:
        InputError: The family or a parameter is unknown, or a value is out of range.
    """
    if isinstance(task, DiscreteTask):
        return task
    family, variant, given = split_name(str(task))
    if variant or family not in DISCRETE_TASKS:
        raise unknown("discrete task", f"{family}/{variant}" if variant else family, DISCRETE_TASKS)
    defaults = _parameters(family)
    for key in given:
        if key not in defaults:
            raise unknown(f"parameter of task {family}", key, defaults)
    values = defaults | given
    name = full_name(family, values, defaults)
    made = DISCRETE_TASKS.find(family)(name, **values)
    if not isinstance(made, DiscreteTask):
        raise InputError(
            f"task {name!r}: its function must return a DiscreteTask, got {made!r:.80}"
        )
    return made


def check_question(task: DiscreteTask, numbers: Sequence[int]) -> np.ndarray:
    """Check the numbers of one question, parts before query, and return them as an array.

    Raises:
        InputError: There are too many or too few, or one is out of its range.
    """
    sizes = task.parts + task.query
    try:
        values = np.asarray(numbers)
    except ValueError:
        values = np.zeros((2, 2))
    fits = values.shape == (len(sizes),) and values.dtype.kind in "iu"
    if not fits or (values < 0).any() or (values >= sizes).any():
        ranges = ", ".join(f"0..{size - 1}" for size in sizes)
        raise InputError(f"a question of task {task.name} is integers in {ranges}; not {numbers!r}")
    return values.astype(Dtype)
