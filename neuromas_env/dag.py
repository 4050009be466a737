"""Plain functions over nodes and directed edges: reading edges, order, layers, cycles."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from numbers import Integral
from typing import TypeVar

from neuromas_env.errors import InputError

Node = TypeVar("Node", bound=Hashable)


def edge_indices(edge: Iterable[int | str]) -> tuple[int, int]:
    """Read an edge such as `(0, 2)` or `("node_0", "node_2")` as a pair of numbers.

    Raises:
        InputError: It is something else.
    """
    ends = () if isinstance(edge, str) or not isinstance(edge, Iterable) else tuple(edge)
    if len(ends) != 2:
        raise InputError(f"{edge!r} is not an edge: give (source, reader), such as (0, 2)")
    return _node_index(ends[0]), _node_index(ends[1])


def longest_paths(nodes: Iterable[Node], edges: Iterable[tuple[Node, Node]]) -> dict[Node, int]:
    """Return for every node the length of the longest path that ends in it.

    Raises:
        InputError: The edges hold a cycle; the message names it.
    """
    edges = list(edges)
    readers = neighbours(nodes, edges)
    waiting = dict.fromkeys(readers, 0)
    for _, reader in edges:
        waiting[reader] += 1
    depth = dict.fromkeys(readers, 0)
    ready = [node for node, count in waiting.items() if not count]
    for node in ready:
        for reader in readers[node]:
            depth[reader] = max(depth[reader], depth[node] + 1)
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    if len(ready) < len(depth):
        stuck = {node for node, count in waiting.items() if count}
        cycle = [_label(node) for node in _find_cycle(stuck, edges)]
        raise InputError(f"the edges form a cycle: {' -> '.join(cycle)}; messages need an order")
    return depth


def group_layers(nodes: Iterable[str], depth: Mapping[str, int]) -> tuple[tuple[str, ...], ...]:
    """Group nodes by depth, keeping their order within each layer."""
    layers: dict[int, list[str]] = {}
    for node in nodes:
        layers.setdefault(depth[node], []).append(node)
    return tuple(tuple(layers[layer]) for layer in sorted(layers))


def neighbours(
    nodes: Iterable[Node], pairs: Iterable[tuple[Node, Node]]
) -> dict[Node, tuple[Node, ...]]:
    """Return for every node the second members of the pairs that it leads, in their order."""
    found: dict[Node, list[Node]] = {node: [] for node in nodes}
    for first, second in pairs:
        found[first].append(second)
    return {node: tuple(others) for node, others in found.items()}


def check_outputs(nodes: Iterable[Node], edges: Iterable[tuple[Node, Node]]) -> None:
    """Make sure that exactly one node of an acyclic graph has no reader.

    Raises:
        InputError: A node is connected to nothing, or there are several outputs.
    """
    edges = list(edges)
    readers, sources = neighbours(nodes, edges), neighbours(nodes, ((b, a) for a, b in edges))
    ends = [node for node in readers if not readers[node]]
    if len(ends) == 1:
        return
    for node in ends:
        if not sources[node]:
            raise InputError(
                f"{_label(node)} is unreachable: it has no edge, so it has no path to the output"
            )
    raise InputError(
        f"several outputs: {', '.join(map(_label, ends))} have no reader; "
        "exactly one node may have none, the output node"
    )


def _find_cycle(stuck: set[Node], edges: Iterable[tuple[Node, Node]]) -> list[Node]:
    # Every stuck node waits for another stuck node, so walking to a source must come round.
    source_of = {b: a for a, b in edges if a in stuck and b in stuck}
    walk = [next(b for b in source_of)]
    while walk[-1] not in walk[:-1]:
        walk.append(source_of[walk[-1]])
    return walk[walk.index(walk[-1]) :][::-1]


def _label(node: Hashable) -> str:
    return f"node_{node}" if isinstance(node, int) else str(node)


def _node_index(label: int | str) -> int:
    if isinstance(label, str) and re.fullmatch(r"node_(0|[1-9][0-9]{0,8})", label, re.ASCII):
        return int(label.removeprefix("node_"))
    if isinstance(label, Integral) and not isinstance(label, bool) and label >= 0:
        return int(label)
    raise InputError(
        f"{label!r} is not a node: give a number such as 3, or a name such as 'node_3'"
    )
