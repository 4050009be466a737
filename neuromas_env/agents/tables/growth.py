"""Growing the tables of a trained discrete network into those of a larger one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neuromas_env.envs.discrete.layout import Layout
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
    """Turn the tables of a network into those of a larger one.

    An inherited node acts as it did: where it still reads the heir of a node that it read, it
    reads it as before. What is left is matched in order (its first other source takes the
    place of its first other source, and so on), and what it did not see before makes no
    difference at first.

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
        InputError: The networks do not fit, or `init` is unknown.
    """
    if init not in INITS:
        raise unknown("initialisation", init, INITS)
    if (old.task.name, old.codebook, old.bandwidth) != (new.task.name, new.codebook, new.bandwidth):
        raise InputError("a discrete network grows on its own task and code book only")
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
    sizes = new.radices[now] or (1,)
    seen = np.stack(np.unravel_index(np.arange(new.sizes[now]), sizes))
    known, query = _slots(new, now, seen[: len(new.radices[now])])
    wanted, asked = _slots(old, before, np.zeros((len(old.radices[before]), 1), np.int64))
    count = seen.shape[1]
    places = _places(old, before, new, now, moved)
    rows = [known[places[i]] if i in places else np.full(count, -1) for i in range(len(wanted))]
    for i in range(len(asked)):
        rows.append(query[i] if i < len(query) else np.zeros(count, np.int64))
    parts = len(old.parts[before])
    # In the order of `radices`: parts, query, messages; a message counts from 1.
    ordered = rows[:parts] + rows[len(wanted) :] + [row + 1 for row in rows[parts : len(wanted)]]
    index = np.zeros(count, np.int64)
    for row, radix in zip(ordered, old.radices[before], strict=True):
        index = index * radix + row.clip(0, radix - 1)
    return index


def _places(
    old: Layout, before: int, new: Layout, now: int, moved: Mapping[int, int]
) -> dict[int, int]:
    """For each part and message that the old node saw its place in what the new node sees."""
    first, new_first = len(old.parts[before]), len(new.parts[now])
    place_of = {source: new_first + i for i, source in enumerate(new.sources[now])}
    places = {
        first + i: place_of[moved[source]]
        for i, source in enumerate(old.sources[before])
        if moved.get(source) in place_of
    }
    left = (i for i in range(first + len(old.sources[before])) if i not in places)
    free = [i for i in range(new_first + len(new.sources[now])) if i not in places.values()]
    return places | dict(zip(left, free, strict=False))


def _slots(layout: Layout, node: int, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split what a node sees into values of parts and messages (-1 for none), and the query."""
    parts = len(layout.parts[node])
    query = len(layout.task.query) if layout.reads_query[node] else 0
    data = np.concatenate([seen[:parts], seen[parts + query :] - 1])
    return data, seen[parts : parts + query]


def _number(node: str) -> int:
    return int(node.removeprefix("node_"))
