"""Plain functions over nodes and directed edges: reading edges, order, layers, cycles."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeVar

from neuromas_env.errors import InputError

if TYPE_CHECKING:
    import networkx

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


def layered_edges(widths: Sequence[int], connect: str) -> list[tuple[int, int]]:
    """Return the edges of layers of the given widths: `dense` reads one layer, `skip` all."""
    starts = list(accumulate(widths, initial=0))
    return sorted(
        (source, reader)
        for layer, (start, end) in enumerate(pairwise(starts))
        for reader in range(start, end)
        for source in range(0 if connect == "skip" else starts[max(layer - 1, 0)], start)
    )


def tree_edges(leaves: int) -> list[tuple[int, int]]:
    """Return the edges that join leaves in pairs, the pairs in pairs; one left over goes up."""
    edges, layer, size = [], list(range(leaves)), leaves
    while len(layer) > 1:
        above = []
        for i in range(0, len(layer) - 1, 2):
            edges += [(layer[i], size), (layer[i + 1], size)]
            above.append(size)
            size += 1
        layer = above + layer[len(layer) - len(layer) % 2 :]
    return edges


def numbered(graph: networkx.DiGraph) -> dict[Any, int]:
    """Number the nodes of a graph in topological order, in the order it lists them if edges allow.

    Raises:
        InputError: The graph is undirected, has a cycle or not exactly one output.
    """
    if not hasattr(graph, "is_directed") or not graph.is_directed():
        raise InputError("the graph is undirected: give a networkx.DiGraph, source to reader")
    if not graph:
        raise InputError("the graph has no nodes: a topology needs at least its output node")
    import networkx

    longest_paths(list(graph), list(graph.edges()))
    check_outputs(list(graph), list(graph.edges()))
    listed = {node: position for position, node in enumerate(graph)}
    order = networkx.lexicographical_topological_sort(graph, key=listed.__getitem__)
    return {node: position for position, node in enumerate(order)}


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


def by_column(old: Sequence[Sequence[str]], new: Sequence[Sequence[str]]) -> dict[str, str]:
    """Map the nodes of layers to those of larger ones: each by layer and column, the last to it.

    Raises:
        InputError: There are fewer layers, or a narrower one.
    """
    if len(new) < len(old):
        raise InputError(
            f"it has {len(old)} layers and would have to fit into {len(new)}; keep every layer, "
            "or give a mapping"
        )
    grown: dict[str, str] = {}
    for layer, (few, many) in enumerate(zip(old[:-1], new[:-1], strict=False)):
        if len(many) < len(few):
            raise InputError(
                f"layer {layer} holds {len(few)} nodes and there only {len(many)}; "
                "no layer may become narrower, or give a mapping"
            )
        grown.update(zip(few, many, strict=False))
    return grown | {old[-1][0]: new[-1][0]}


def one_to_one(mapping: Mapping[str, str]) -> dict[str, str]:
    """Return a growth map.

    Raises:
        InputError: Two nodes lead to the same one.
    """
    taken: dict[str, str] = {}
    for old, new in mapping.items():
        if new in taken:
            raise InputError(
                f"the growth map sends both {taken[new]} and {old} to {new}: "
                "every new node can inherit from one node only"
            )
        taken[new] = old
    return dict(mapping)
