"""Who acts in which order and who reads whom: a topology, or other edges over its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from neuromas_env.dag import edge_indices, group_layers, longest_paths, neighbours
from neuromas_env.errors import unknown
from neuromas_env.topology import Topology

Edges = tuple[tuple[str, str], ...]
"""`(source, reader)` pairs of node names, sorted by position."""


@dataclass(frozen=True)
class Wiring:
    """Who acts in which order and who reads whom, over the fixed nodes of a topology.

    Attributes:
        layers: The nodes with a path to the output, by layer.
        inputs: The nodes of the first layer.
        acting: For every round those of `layers` that still have such a path; where an episode has
            edges of its own, it may lead over feedback, so over later rounds.
        sources: For every node whom it reads in the same round, in the order of acting.
        feedback: For every node whose messages of the round before it reads, in that order.
        places: For every node the `place` of its observation.
    """

    layers: tuple[tuple[str, ...], ...]
    inputs: tuple[str, ...]
    acting: tuple[tuple[tuple[str, ...], ...], ...]
    sources: Mapping[str, tuple[str, ...]]
    feedback: Mapping[str, tuple[str, ...]]
    places: Mapping[str, dict[str, Any]]


@lru_cache(maxsize=128)
def wiring(topology: Topology, edges: Edges | None = None, rounds: int | None = None) -> Wiring:
    """Work out the wiring of a topology, with its own edges or with others.

    Args:
        topology: The network; its feedback edges always hold.
        edges: Instead of the edges within a round.
        rounds: Of the episode, by default the topology's.

    Raises:
        InputError: The edges hold a cycle.
    """
    edges = topology.edges if edges is None else edges
    depth = longest_paths(topology.nodes, edges)
    all_layers = group_layers(topology.nodes, depth)
    order = {node: position for position, node in enumerate(sum(all_layers, ()))}
    sources, feedback = (
        neighbours(topology.nodes, sorted(((b, a) for a, b in pairs), key=lambda e: order[e[1]]))
        for pairs in (edges, topology.feedback)
    )
    heard = [_heard(order, sources, {topology.output})]  # of the last round first
    for _ in range(1, rounds or topology.rounds):
        later = {source for node in heard[-1] for source in feedback[node]}
        # Who is heard in a round would be heard in any before, so that one set comes to stay.
        stays = later <= heard[-1]
        heard.append(heard[-1] if stays else _heard(order, sources, heard[-1] | later))
    useful = [layer for layer in all_layers if not heard[-1].isdisjoint(layer)]
    by_set = {
        id(nodes): tuple(tuple(n for n in layer if n in nodes) for layer in useful)
        for nodes in heard
    }
    acting = tuple(by_set[id(nodes)] for nodes in reversed(heard))
    number = {node: position for position, node in enumerate(topology.nodes)}
    links = np.zeros((2, len(topology), len(topology)), dtype=np.int8)
    for source, reader in edges:
        links[0, number[reader], number[source]] = links[1, number[source], number[reader]] = 1
    # The rows are shared between observations; a policy must not be able to change them.
    links.setflags(write=False)
    places = {
        node: {
            "node": number[node],
            "layer": layer,
            "index": index,
            "sources": links[0, number[node]],
            "readers": links[1, number[node]],
        }
        for layer, nodes in enumerate(all_layers)
        for index, node in enumerate(nodes)
    }
    return Wiring(acting[0], acting[0][0], acting, sources, feedback, places)


def _heard(
    order: Mapping[str, int], sources: Mapping[str, tuple[str, ...]], ends: set[str]
) -> set[str]:
    """Return the nodes from which edges lead to one of the ends, and the ends."""
    found = set(ends)
    for node in sorted(order, key=order.__getitem__, reverse=True):
        if node in found:
            found.update(sources[node])
    return found


def named_edges(topology: Topology, graph: Iterable[Iterable[int | str]]) -> Edges:
    """Read edges by number or name (`3` or `node_3`) over a topology's nodes.

    Args:
        topology: Has the nodes.
        graph: `(source, reader)` pairs.

    Raises:
        InputError: An edge is no pair of nodes, or names one that the topology lacks.
    """
    pairs = sorted({edge_indices(edge) for edge in graph})
    for pair in pairs:
        if max(pair) >= len(topology):
            raise unknown("node in the graph", f"node_{max(pair)}", topology.nodes)
    return tuple((topology.nodes[source], topology.nodes[reader]) for source, reader in pairs)
