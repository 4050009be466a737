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
        sources: For every node whom it reads, in the order of acting.
        places: For every node the `place` of its observation.
    """

    layers: tuple[tuple[str, ...], ...]
    inputs: tuple[str, ...]
    sources: Mapping[str, tuple[str, ...]]
    places: Mapping[str, dict[str, Any]]


@lru_cache(maxsize=128)
def wiring(topology: Topology, edges: Edges | None = None) -> Wiring:
    """Work out the wiring of a topology, with its own edges or with others.

    Raises:
        InputError: The edges hold a cycle.
    """
    edges = topology.edges if edges is None else edges
    depth = longest_paths(topology.nodes, edges)
    all_layers = group_layers(topology.nodes, depth)
    order = {node: position for position, node in enumerate(sum(all_layers, ()))}
    sources = neighbours(
        topology.nodes, sorted(((b, a) for a, b in edges), key=lambda e: order[e[1]])
    )
    useful = {topology.output}
    for node in sorted(order, key=order.__getitem__, reverse=True):
        if node in useful:
            useful.update(sources[node])
    acting = [tuple(node for node in layer if node in useful) for layer in all_layers]
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
    layers = tuple(layer for layer in acting if layer)
    return Wiring(layers, layers[0], sources, places)


def named_edges(topology: Topology, graph: Iterable[Iterable[int | str]]) -> Edges:
    """Read edges by number or name (`3` or `node_3`) over a topology's nodes.

    Raises:
        InputError: An edge is no pair of nodes, or names one that the topology lacks.
    """
    pairs = sorted({edge_indices(edge) for edge in graph})
    for pair in pairs:
        if max(pair) >= len(topology):
            raise unknown("node in the graph", f"node_{max(pair)}", topology.nodes)
    return tuple((topology.nodes[source], topology.nodes[reader]) for source, reader in pairs)
