"""Random exact trees of one kind of operation, with their values and their text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

_WORDS = ("False", "True")


@dataclass(frozen=True)
class Node:
    """A leaf with its text, or an operation on children; truth values are 0 and 1.

    Attributes:
        value: What the subtree amounts to.
        text: What a leaf reads.
        op: What stands between the arguments of an operation.
        children: The arguments, empty for a leaf.
    """

    value: int
    text: str = ""
    op: str = ""
    children: tuple[Node, ...] = ()

    def show(self) -> str:
        """Write the operation between its arguments, nested ones in brackets."""
        if not self.children:
            return self.text
        return self.op.join(f"({c.show()})" if c.children else c.text for c in self.children)

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
        return Node(self.value, op=self.op, children=children)


@dataclass(frozen=True)
class Kind:
    """What the questions of a kind look like.

    Attributes:
        draw: Makes a tree from a random generator, the number of arguments at each
            level from the root down, and the modulus.
        query: The question, without values.
        leaf_choices: How many different leaves there are; None: as many as the modulus.
        mixed: Whether operations differ, so that the query must name the parts.
        label: What stands before the values of a part.
    """

    draw: Callable[[np.random.Generator, Sequence[int], int], Node]
    query: str
    leaf_choices: int | None
    mixed: bool = False
    label: str = ""


def _combine(
    fanouts: Sequence[int], leaves: Iterator[Node], op: str, fold: Callable[[list[int]], int]
) -> Node:
    if not fanouts:
        return next(leaves)
    children = tuple(_combine(fanouts[1:], leaves, op, fold) for _ in range(fanouts[0]))
    return Node(fold([child.value for child in children]), op=op, children=children)


def _draw_max(rng: np.random.Generator, fanouts: Sequence[int], modulus: int) -> Node:
    values = (rng.permutation(90)[: math.prod(fanouts)] + 10).tolist()
    return _combine(fanouts, (Node(v, str(v)) for v in values), ", ", max)


def _draw_modsum(rng: np.random.Generator, fanouts: Sequence[int], modulus: int) -> Node:
    values = rng.integers(modulus, size=math.prod(fanouts)).tolist()
    leaves = (Node(v, str(v)) for v in values)
    return _combine(fanouts, leaves, " + ", lambda parts: sum(parts) % modulus)


def _draw_nav(rng: np.random.Generator, fanouts: Sequence[int], modulus: int) -> Node:
    moves = rng.integers(1, 10, size=math.prod(fanouts)) * rng.choice((-1, 1), math.prod(fanouts))
    leaves = (Node(m, f"right {m}" if m > 0 else f"left {-m}") for m in moves.tolist())
    return _combine(fanouts, leaves, ", ", sum)


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


KINDS = {
    "max": Kind(_draw_max, "What is the largest number?", 90, label="Numbers: "),
    "bool": Kind(_draw_bool, "True or False?", 4, mixed=True),
    "modsum": Kind(_draw_modsum, "What is the sum modulo {modulus}?", None),
    "nav": Kind(
        _draw_nav,
        "Start at 0. Right adds, left subtracts. Where do you end?",
        18,
    ),
}
