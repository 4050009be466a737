"""Random exact trees of operations, with their values and their text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations, cycle, islice
from operator import add, itemgetter, mul, sub
from statistics import median_low
from typing import Any

import numpy as np

_CUPS = 5
_WORDS = ("False", "True")


@dataclass(frozen=True)
class Node:
    """A leaf with its text, or an operation on children.

    Attributes:
        value: What the subtree amounts to: a number, the place of a word among the kind's
            words, or where the ball of each cup ends.
        text: What a leaf reads.
        op: What stands between the arguments of an operation.
        children: The arguments, empty for a leaf.
        form: What stands around the arguments, such as `max({})`.
        asked: What the question wants of a root, where that differs between trees.
    """

    value: Any
    text: str = ""
    op: str = ""
    children: tuple[Node, ...] = ()
    form: str = "{}"
    asked: str = ""

    def show(self) -> str:
        """Write the operation with its arguments, nested ones in brackets."""
        if not self.children:
            return self.text
        inner = (c.show() if c.form != "{}" or c.text else f"({c.show()})" for c in self.children)
        return self.form.format(self.op.join(inner))

    def cut(self, level: int) -> list[Node]:
        """Return the subtrees at a level, from left to right; the root is level 0."""
        if level == 0:
            return [self]
        return [piece for child in self.children for piece in child.cut(level - 1)]

    def above(self, level: int, names: Iterator[str]) -> Node:
        """Return the tree above a level, with names in place of the subtrees."""
        if level == 0:
            return Node(self.value, text=next(names))
        children = tuple(child.above(level - 1, names) for child in self.children)
        return replace(self, children=children)


@dataclass(frozen=True)
class Kind:
    """What the questions of a kind look like.

    Attributes:
        about: What is asked for, for lists.
        draw: Makes a tree from a random generator, the number of arguments at each
            level from the root down, and the modulus.
        query: The question, without values.
        leaf_choices: How many different leaves there are; None: as many as the modulus.
        answers: Number of answers that a guess is among, given leaves and modulus.
        named: Whether the query must name the parts, because what is done with them
            differs between questions or depends on their order.
        label: What stands before the values of a part.
        words: What the values stand for if not for numbers.
        modulo: Whether the modulus has a meaning.
    """

    about: str
    draw: Callable[[np.random.Generator, Sequence[int], int], Node]
    query: str
    leaf_choices: int | None
    answers: Callable[[int, int], int]
    named: bool = False
    label: str = ""
    words: tuple[str, ...] = ()
    modulo: bool = False


_Step = tuple[str, Callable[[list[Any]], Any]]
"""The form of the operations of a level, and what their children's values make."""


def _combine(
    steps: Sequence[_Step], fanouts: Sequence[int], leaves: Iterator[Node], op: str
) -> Node:
    if not fanouts:
        return next(leaves)
    children = tuple(_combine(steps[1:], fanouts[1:], leaves, op) for _ in range(fanouts[0]))
    form, fold = steps[0]
    return Node(fold([child.value for child in children]), op=op, children=children, form=form)


def _alike(
    fanouts: Sequence[int], leaves: Iterator[Node], op: str, fold: Callable[[list[Any]], Any]
) -> Node:
    return _combine([("{}", fold)] * len(fanouts), fanouts, leaves, op)


def _numbers(rng: np.random.Generator, count: int) -> Iterator[Node]:
    """Draw different numbers of two digits."""
    return (Node(v, str(v)) for v in (rng.permutation(90)[:count] + 10).tolist())


def _residues(rng: np.random.Generator, count: int, modulus: int) -> Iterator[Node]:
    return (Node(v, str(v)) for v in rng.integers(modulus, size=count).tolist())


def _draw_max(rng: np.random.Generator, fanouts: Sequence[int], modulus: int) -> Node:
    return _alike(fanouts, _numbers(rng, math.prod(fanouts)), ", ", max)


def _draw_minimax(rng: np.random.Generator, fanouts: Sequence[int], modulus: int) -> Node:
    turns: Iterator[_Step] = cycle([("max({})", max), ("min({})", min)])
    steps = list(islice(turns, len(fanouts)))
    return _combine(steps, fanouts, _numbers(rng, math.prod(fanouts)), ", ")


def _draw_median(rng: np.random.Generator, fanouts: Sequence[int], modulus: int) -> Node:
    steps: list[_Step] = [("median({})", median_low)] * len(fanouts)
    return _combine(steps, fanouts, _numbers(rng, math.prod(fanouts)), ", ")


def _draw_select(rng: np.random.Generator, fanouts: Sequence[int], modulus: int) -> Node:
    path = [int(rng.integers(count)) for count in fanouts]
    steps: list[_Step] = [("[{}]", itemgetter(place)) for place in path]
    tree = _combine(steps, fanouts, _numbers(rng, math.prod(fanouts)), ", ")
    return replace(tree, asked=" of ".join(f"item {place + 1}" for place in reversed(path)))


def _draw_modsum(rng: np.random.Generator, fanouts: Sequence[int], modulus: int) -> Node:
    leaves = _residues(rng, math.prod(fanouts), modulus)
    return _alike(fanouts, leaves, " + ", lambda parts: sum(parts) % modulus)


def _draw_parity(rng: np.random.Generator, fanouts: Sequence[int], modulus: int) -> Node:
    leaves = _residues(rng, math.prod(fanouts), 10)
    return _alike(fanouts, leaves, " + ", lambda parts: sum(parts) % 2)


def _draw_nav(rng: np.random.Generator, fanouts: Sequence[int], modulus: int) -> Node:
    moves = rng.integers(1, 10, size=math.prod(fanouts)) * rng.choice((-1, 1), math.prod(fanouts))
    leaves = (Node(m, f"right {m}" if m > 0 else f"left {-m}") for m in moves.tolist())
    return _alike(fanouts, leaves, ", ", sum)


def _swap(a: int, b: int) -> Node:
    ends = tuple({a: b, b: a}.get(cup, cup) for cup in range(_CUPS))
    return Node(ends, f"swap {a + 1} and {b + 1}")


_SWAPS = [_swap(a, b) for a, b in combinations(range(_CUPS), 2)]


def _draw_swap(rng: np.random.Generator, fanouts: Sequence[int], modulus: int) -> Node:
    def follow(moves: list[tuple[int, ...]]) -> tuple[int, ...]:
        return tuple(reduce(lambda cup, ends: ends[cup], moves, cup) for cup in range(_CUPS))

    drawn = rng.integers(len(_SWAPS), size=math.prod(fanouts)).tolist()
    tree = _alike(fanouts, (_SWAPS[number] for number in drawn), ", ", follow)
    start = int(rng.integers(_CUPS))
    return replace(tree, value=tree.value[start] + 1, asked=str(start + 1))


def _draw_arith(rng: np.random.Generator, fanouts: Sequence[int], modulus: int) -> Node:
    if not fanouts:
        digit = int(rng.integers(1, 10))
        return Node(digit % modulus, str(digit))
    op, apply = ((" + ", add), (" - ", sub), (" * ", mul))[rng.integers(3)]
    children = tuple(_draw_arith(rng, fanouts[1:], modulus) for _ in range(fanouts[0]))
    return Node(reduce(apply, (c.value for c in children)) % modulus, op=op, children=children)


def _draw_bool(rng: np.random.Generator, fanouts: Sequence[int], modulus: int) -> Node:
    # From the root down: the answer is a fair coin whatever the operations are, so
    # that the query alone says nothing about it.
    def draw(value: int, fanouts: Sequence[int]) -> Node:
        if not fanouts:
            return Node(value, _WORDS[value] if rng.integers(2) else f"not {_WORDS[1 - value]}")
        op, neutral = ((" and ", 1), (" or ", 0))[rng.integers(2)]
        values = [neutral] * fanouts[0]
        while value != neutral and all(v == neutral for v in values):
            values = rng.integers(2, size=fanouts[0]).tolist()
        return Node(value, op=op, children=tuple(draw(v, fanouts[1:]) for v in values))

    return draw(int(rng.integers(2)), fanouts)


def _one_of_the_leaves(leaves: int, modulus: int) -> int:
    return leaves


def _residue(leaves: int, modulus: int) -> int:
    return modulus


def _one_of_two(leaves: int, modulus: int) -> int:
    return 2


KINDS = {
    "max": Kind(
        "the largest of distinct two-digit numbers",
        _draw_max,
        "What is the largest number?",
        90,
        _one_of_the_leaves,
        label="Numbers: ",
    ),
    "minimax": Kind(
        "max of min of max of ..., as in a game of two players",
        _draw_minimax,
        "What is the value?",
        90,
        _one_of_the_leaves,
        named=True,
    ),
    "median": Kind(
        "medians of medians",
        _draw_median,
        "What is the value? The median of an even count is the lower one of the middle two.",
        90,
        _one_of_the_leaves,
        named=True,
    ),
    "select": Kind(
        "an item of an item of ... a nested list: only one part holds the answer",
        _draw_select,
        "What is {asked} of the list?",
        90,
        _one_of_the_leaves,
        named=True,
    ),
    "modsum": Kind(
        "a sum modulo a number",
        _draw_modsum,
        "What is the sum modulo {modulus}?",
        None,
        _residue,
        modulo=True,
    ),
    "arith": Kind(
        "sums, differences and products modulo a number",
        _draw_arith,
        "What is the value modulo {modulus}?",
        9,
        _residue,
        named=True,
        modulo=True,
    ),
    "parity": Kind(
        "whether a sum is even or odd",
        _draw_parity,
        "Is the sum odd or even?",
        10,
        _one_of_two,
        words=("even", "odd"),
    ),
    "bool": Kind(
        "and and or of truth values",
        _draw_bool,
        "True or False?",
        4,
        _one_of_two,
        named=True,
        words=_WORDS,
    ),
    "nav": Kind(
        "where steps to the left and right end",
        _draw_nav,
        "Start at 0. Right adds, left subtracts. Where do you end?",
        18,
        lambda leaves, modulus: 18 * leaves + 1,
    ),
    "swap": Kind(
        "where a ball is after cups were swapped: the order counts",
        _draw_swap,
        f"Of cups 1 to {_CUPS}, cup {{asked}} hides a ball. "
        "Which one does after the swaps, from left to right?",
        len(_SWAPS),
        lambda leaves, modulus: _CUPS,
        named=True,
    ),
}
