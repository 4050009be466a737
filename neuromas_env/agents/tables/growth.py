"""Growing the tables of a trained discrete network into those of a larger one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from neuromas_env.envs.discrete.layout import Layout, Thing
from neuromas_env.errors import InputError, unknown

INITS = ("zero", "copy", "noise")
NOISE = 1.0
"""Standard deviation of a new node's logits with the initialisation `noise`."""


def grow_table(
    old: Layout,
    new: Layout,
    table: np.ndarray,
    *,
    init: str = "zero",
    seed: int = 0,
    mapping: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Turn the tables of a network into those of one with more nodes, more rounds, or both.

    An inherited node acts as it did: where it still reads the heir of a node that it read, it
    reads it as before. What is left is matched in order (its first other source takes the
    place of its first other source, and so on), and what it did not see before makes no
    difference at first. So the first rounds of more rounds are those of the old network.

    Args:
        old: The trained network.
        new: The larger network, on the same task and code book.
        table: float array `[old observations, messages]`.
        init: New nodes start uniform (`zero`), as the nearest inherited node (`copy`) or
            with random logits (`noise`).
        seed: Of the noise.
        mapping: Old to new node, instead of `Topology.grow_to`'s default.

    Returns:
        float array `[new observations, messages]`.

    Raises:
        InputError: The networks do not fit, the larger one has no clock where this one has one,
            or `init` is unknown.
    """
    if init not in INITS:
        raise unknown("initialisation", init, INITS)
    if (old.task.name, old.codebook, old.bandwidth) != (new.task.name, new.codebook, new.bandwidth):
        raise InputError("a discrete network grows on its own task and code book only")
    if old.clock and not new.clock:
        raise InputError("a discrete network with a clock grows into one with a clock only")
    heir_of = old.topology.grow_to(new.topology, mapping)
    heirs = {heir: node for node, heir in heir_of.items()}
    moved = {_number(node): _number(heir) for node, heir in heir_of.items()}
    grown = np.zeros((sum(new.sizes), new.messages))
    rng = np.random.default_rng(seed)
    for number, node in enumerate(new.topology.nodes):
        rows = slice(new.offsets[number], new.offsets[number] + new.sizes[number])
        parent = heirs.get(node)
        if parent is None and init == "copy":
            parent = heirs[new.topology.nearest(node, tuple(heirs))]
        if parent is not None:
            before = _number(parent)
            grown[rows] = table[old.offsets[before] + _same_rows(old, before, new, number, moved)]
        elif init == "noise":
            grown[rows] = NOISE * rng.standard_normal(grown[rows].shape)
    return grown


def _same_rows(
    old: Layout, before: int, new: Layout, now: int, moved: Mapping[int, int]
) -> np.ndarray:
    """For every observation of the new node the old node's that looks most like it."""
    seen = np.stack(np.unravel_index(np.arange(new.sizes[now]), new.radices[now] or (1,)))
    places = _places(old.things[before], new.things[now], moved)
    index = np.zeros(seen.shape[1], np.int64)
    for i, thing in enumerate(old.things[before]):
        value = np.zeros_like(index)  # of what is not seen any more: the first, or nothing yet
        if i in places:
            value = seen[places[i]] + thing.said - new.things[now][places[i]].said
        index = index * thing.radix + value.clip(0, thing.radix - 1)
    return index


def _places(old: Sequence[Thing], new: Sequence[Thing], moved: Mapping[int, int]) -> dict[int, int]:
    """For each thing that the old node saw its place among those that the new node sees."""
    found: dict[int, int] = {}
    for kinds in (("parts", "messages"), ("query",), ("before",), ("clock",)):
        mine = [i for i, thing in enumerate(old) if thing.kind in kinds]
        free = [i for i, thing in enumerate(new) if thing.kind in kinds]
        place_of = {(new[i].kind, new[i].number): i for i in free if new[i].said}
        heirs = {i: place_of.get((old[i].kind, moved.get(old[i].number, -1))) for i in mine}
        found |= {i: place for i, place in heirs.items() if place is not None}
        left = [i for i in mine if i not in found]
        free = [i for i in free if i not in found.values()]
        found |= dict(zip(left, free, strict=False))
    return found


def _number(node: str) -> int:
    return int(node.removeprefix("node_"))
