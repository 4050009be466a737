"""The discrete tasks that come with the package: their rules and known returns."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from itertools import combinations, permutations
from math import comb, prod

import numpy as np

from neuromas_env.envs.discrete.tasks import MAX_PARTS, MAX_VALUES, DiscreteTask, Dtype, Returns
from neuromas_env.errors import InputError
from neuromas_env.tasks.names import check_int
from neuromas_env.topology import Topology

MAX_CODES = 50_000
"""So many codes at most are tried for the best one."""


class Passed(DiscreteTask):
    """A task whose answer is put together, or passed on, along the paths from the parts."""

    def returns(self, topology: Topology, messages: int) -> Returns:
        """Work out the known returns; see `DiscreteTask.returns`.

        Any network with a path from each part to the output reaches 1: along a tree of such
        paths every node sends the sum of what it has heard (relay, parity, modsum), or
        what it heard from the leaf that is asked for (routing). All answers are equally frequent.
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
        is largest when the classes differ least in size. Where feedback could tell the senders
        of the candidates, more than that is not ruled out, so the optimum is not known.
        """
        count, objects = len(self.query), self.parts[0]
        if len(topology) == 1:
            return Returns(1.0, 1 / messages, 1.0)
        classes = min(objects, messages ** disjoint_paths(topology))
        sizes = [objects // classes + (i < objects % classes) for i in range(classes)]
        if classes < objects and topology.feedback:
            return Returns(None, 1 / messages, 1 / count)
        absent = sum(comb(objects - size, count) for size in sizes) / comb(objects, count)
        return Returns((classes - absent) / count, 1 / messages, 1 / count)


class Knockout(Passed):
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
        heard of, when each node sends the winner of the most matches that it can decide. Where
        that is not so of the last match it is not known.
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
        found = super().returns(topology, messages)
        decided = not sent or len(sent[topology.output]) == len(self.parts)
        return found if decided else replace(found, optimal=None)


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


class Index(DiscreteTask):
    """Say the bit of a word at a place; the one is dealt to one node, the other to another.

    It is the communication problem INDEX (Kremer, Nisan and Ron 1999): the node with the word can
    say little of it in a message, and the one bit that matters once it has heard of the place.
    """

    def returns(self, topology: Topology, messages: int) -> Returns:
        """Work out the known returns; see `DiscreteTask.returns`.

        Messages must tell all places apart. Then the optimum is 1 where feedback leads from a
        node with the place to one with the word, which in the second round sends the bit.
        Without feedback, between two input nodes, the words fall into `messages` classes, and
        at each place the output says the more frequent bit: the best classes are those of the
        nearest among as many code words whose mean distance is least (a random access code
        without quantum mechanics, Ambainis et al. 1999). Elsewhere it is not known.
        """
        found, bits = super().returns(topology, messages), self.parts[0]
        if len(topology) == 1 or messages < bits:
            return found
        places, words = topology.inputs[::2], topology.inputs[1::2]
        if any(source in places and reader in words for source, reader in topology.feedback):
            return replace(found, optimal=1.0)
        if not topology.feedback and len(topology.inputs) == 2:
            return replace(found, optimal=_best_code(bits, messages))
        return found


@lru_cache
def _best_code(bits: int, size: int) -> float | None:
    """Return the share of right bits in the nearest of the best code words, None if too many."""
    words = np.arange(2**bits)
    if size >= len(words):
        return 1.0
    if comb(len(words) - 1, size - 1) > MAX_CODES:
        return None
    distance = np.bitwise_count(words[:, None] ^ words)
    codes = combinations(range(1, len(words)), size - 1)  # with 0: distances do not change by xor
    least = min(int(distance[[0, *code]].min(0).sum()) for code in codes)
    return 1 - least / (bits * len(words))


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


def _index_rule(parts: np.ndarray, query: np.ndarray) -> np.ndarray:
    place, word = parts
    return word >> place & 1


def relay(name: str, values: int = 4) -> DiscreteTask:
    """Repeat what the input node was shown."""
    check_int("relay", "values", values, 2, MAX_VALUES)
    return Passed(name, (values,), (), "later", values, partial(_sum_rule, values))


def parity(name: str, bits: int = 4) -> DiscreteTask:
    """The parity of all bits."""
    check_int("parity", "bits", bits, 1, MAX_PARTS)
    return Passed(name, (2,) * bits, (), "later", 2, _xor_rule)


def xor(name: str) -> DiscreteTask:
    """The exclusive or of two bits."""
    return parity(name, 2)


def modsum(name: str, parts: int = 4, modulus: int = 3) -> DiscreteTask:
    """The sum of all parts, modulo."""
    check_int("modsum", "parts", parts, 1, MAX_PARTS)
    check_int("modsum", "modulus", modulus, 2, MAX_VALUES)
    return Passed(name, (modulus,) * parts, (), "later", modulus, partial(_sum_rule, modulus))


def lewis(name: str, objects: int = 8, candidates: int = 2) -> DiscreteTask:
    """Which candidate the senders were shown."""
    check_int("lewis", "objects", objects, 2, MAX_VALUES)
    check_int("lewis", "candidates", candidates, 2, 8)
    if candidates > objects:
        raise InputError(
            f"task {name}: candidates must be at most the {objects} objects, not {candidates}"
        )
    query = (objects,) * candidates
    return Lewis(name, (objects,), query, "output", candidates, _position_rule)


def routing(name: str, leaves: int = 4, values: int = 4) -> DiscreteTask:
    """The value of the one leaf that the query names."""
    check_int("routing", "leaves", leaves, 2, MAX_PARTS)
    check_int("routing", "values", values, 2, MAX_VALUES)
    return Passed(name, (values,) * leaves, (leaves,), "later", values, _pointed_rule)


def knockout(name: str, leaves: int = 4) -> DiscreteTask:
    """Which of rock, paper and scissors wins a knock-out of the leaves."""
    check_int("knockout", "leaves", leaves, 2, MAX_PARTS)
    return Knockout(name, (3,) * leaves, (), "later", 3, _knockout_rule)


def index(name: str, bits: int = 2) -> DiscreteTask:
    """The bit at a place that another node knows."""
    check_int("index", "bits", bits, 2, MAX_VALUES.bit_length() - 1)
    return Index(name, (bits, 2**bits), (), "later", 2, _index_rule)
