"""Rounds in the text form of a topology: `2-1:rounds=3:feedback=output:memory`.

Feedback edges carry a message of one round into the next. They are given by rule, such as
`output`, or as pairs of node numbers, such as `2>0+1>0`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from neuromas_env.errors import InputError, unknown

Pairs = tuple[tuple[int, int], ...]
MOST_ALL = 32
"""Nodes of a network in which all hear all: the pairs are the square of it."""
_PARTS = ("skip", "dense", "rounds=3", "feedback=output", "memory", "memory=none")
_PAIRS = re.compile(r"[0-9]{1,9}>[0-9]{1,9}(?:\+[0-9]{1,9}>[0-9]{1,9})*", re.ASCII)


class Parts(NamedTuple):
    """What follows the widths in a topology's text; None is what the text leaves open."""

    connect: str | None = None
    rounds: int = 1
    feedback: str | None = None
    memory: bool | None = None


def read_parts(text: str, parts: Iterable[str]) -> Parts:
    """Read the parts after the widths, in any order.

    Args:
        text: The whole, for messages.
        parts: Such as `rounds=3` and `memory`.

    Raises:
        InputError: A part is unknown or stands there twice.
    """
    read, given = Parts(), set[str]()
    new: Any
    for part in parts:
        name, _, value = part.partition("=")
        if part in ("skip", "dense"):
            name, new = "connect", part
        elif name == "rounds" and re.fullmatch("[0-9]{1,9}", value, re.ASCII):
            new = int(value)
        elif name == "feedback" and value:
            new = value
        elif part in ("memory", "memory=none"):
            new = part == "memory"
        else:
            raise unknown("topology part", part, _PARTS)
        if name in given:
            raise InputError(f"topology {text!r} gives its {name} twice")
        given.add(name)
        read = read._replace(**{name: new})
    return read


def feedback_pairs(rule: str, layers: Sequence[Sequence[int]], memory: bool) -> Pairs:
    """Return the `(source, reader)` pairs that a rule stands for, sorted.

    Args:
        rule: A name of `RULES`, or pairs such as `2>0+1>0`.
        layers: Node numbers by layer.
        memory: Whether nodes remember what they said, so that no rule leads it back to them.

    Raises:
        InputError: There is no such rule.
    """
    if rule in RULES:
        pairs = RULES[rule](layers)
        return tuple(sorted({(a, b) for a, b in pairs if rule == "self" or a != b or not memory}))
    if not _PAIRS.fullmatch(rule):
        raise unknown("feedback", rule, [*RULES, "2>0+1>0"])
    read = (pair.split(">") for pair in rule.split("+"))
    return tuple(sorted({(int(source), int(reader)) for source, reader in read}))


def rounds_text(
    rounds: int, pairs: Iterable[tuple[int, int]], layers: Sequence[Sequence[int]], memory: bool
) -> str:
    """Return the part of a topology's name that tells of its rounds, empty for one round."""
    if rounds == 1:
        return ""
    known = [rule for rule in RULES if rule != "all" or sum(map(len, layers)) <= MOST_ALL]
    same = (rule for rule in known if feedback_pairs(rule, layers, memory) == tuple(pairs))
    feedback = next(same, None) or "+".join(f"{source}>{reader}" for source, reader in pairs)
    said = "" if feedback == "output" else f":feedback={feedback}"
    return f":rounds={rounds}{said}" + ":memory=none" * (not memory)


def _every_pair(layers: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    nodes = [node for layer in layers for node in layer]
    if len(nodes) > MOST_ALL:
        raise InputError(
            f"feedback 'all' is for at most {MOST_ALL} nodes, got {len(nodes)}; name the pairs, "
            "as in feedback=2>0+1>0"
        )
    return [(a, b) for a in nodes for b in nodes]


RULES: Mapping[str, Callable[[Sequence[Sequence[int]]], Iterable[tuple[int, int]]]] = {
    "output": lambda layers: [(layers[-1][0], node) for node in layers[0]],
    "none": lambda layers: [],
    "self": lambda layers: [(node, node) for layer in layers for node in layer],
    "all": _every_pair,
}
"""Name to the feedback edges that it stands for, given the node numbers by layer: from the
output node to every input node, none, from every node to itself, between all nodes."""
