"""The shape of a network: which node reads which, in layers, and how it may grow.

Nodes are named `node_0`, `node_1`, ... in topological order; the last one is the
output node. A node's layer is the length of the longest path that leads to it
from a node without sources, so a topology is fully given by its edges.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from neuromas_env.checks import arguments, check, shown
from neuromas_env.dag import (
    check_outputs,
    edge_indices,
    group_layers,
    longest_paths,
    neighbours,
)
from neuromas_env.drawing import draw_svg, picture
from neuromas_env.errors import InputError, unknown

if TYPE_CHECKING:
    import networkx

MAX_NODES = 1000
CONNECTIONS = ("dense", "skip")
_EXAMPLE = "write layer widths from the input side, ending in 1, such as '2-2-1' or '2-2-1:skip'"


@arguments
@dataclass(frozen=True)
class Topology:
    """An immutable directed acyclic graph of nodes with one output node.

    Build one with `parse`, `layered`, `tree`, `from_edges`, `from_networkx` or `from_json`.

    Attributes:
        size: Number of nodes.
        edges: `(source, reader)` pairs of node names, sorted by position.
    """

    size: int
    edges: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        """Check that the edges name nodes."""
        _check_size(self.size)
        for node in {node for edge in self.edges for node in edge} - set(self.nodes):
            raise InputError(f"{node} is named by an edge, but there are {self.size} nodes")

    @classmethod
    @arguments
    def parse(cls, text: str | int, connect: str = "dense") -> Topology:
        """Read layer widths such as `2-2-1`, or `tree-4`, see `tree`.

        A suffix `:skip` or `:dense` of the widths overrides `connect`.

        Raises:
            InputError: The text is no topology.
        """
        if leaves := re.fullmatch(r"tree-([0-9]{1,3})", str(text).strip(), re.ASCII):
            return cls.tree(int(leaves[1]))
        match = re.fullmatch(
            r"([0-9]{1,9}(?:-[0-9]{1,9})*)(?::(\w+))?", str(text).strip(), re.ASCII
        )
        if match is None:
            raise InputError(f"{text!r} is not a topology: {_EXAMPLE}")
        widths, suffix = match.groups()
        return cls.layered([int(width) for width in widths.split("-")], suffix or connect)

    @classmethod
    def layered(cls, widths: Sequence[int], connect: str = "dense") -> Topology:
        """Connect layers of the given widths.

        Args:
            widths: Nodes per layer, input side first, ending in 1.
            connect: `dense` reads the layer before, `skip` reads all earlier layers.

        Raises:
            InputError: A layer is empty, the last is not one node, or `connect` is unknown.
        """
        name = "-".join(map(str, check("widths", widths, Sequence)))
        if connect not in CONNECTIONS:
            raise unknown("connectivity", connect, CONNECTIONS)
        if not widths or any(type(width) is not int or width < 0 for width in widths):
            raise InputError(f"{list(widths)!r} are not layer widths: {_EXAMPLE}")
        if 0 in widths:
            raise InputError(f"topology {name!r}: layer {widths.index(0)} is empty; {_EXAMPLE}")
        if widths[-1] != 1:
            raise InputError(
                f"topology {name!r}: the last layer holds {widths[-1]} nodes but must be the one "
                f"output node; did you mean '{name}-1'?"
            )
        _check_size(sum(widths))
        return cls(sum(widths), _named(_layered_edges(widths, connect)))

    @classmethod
    @arguments
    def tree(cls, leaves: int) -> Topology:
        """Join leaves in pairs, the pairs in pairs, and so on; one left over is passed up.

        Raises:
            InputError: There are fewer than two leaves, or too many nodes.
        """
        if leaves < 2:
            raise InputError(
                f"a tree has at least 2 leaves, not {shown(leaves)}; did you mean 'tree-2'?"
            )
        _check_size(2 * leaves - 1)
        edges, layer, size = [], list(range(leaves)), leaves
        while len(layer) > 1:
            above = []
            for i in range(0, len(layer) - 1, 2):
                edges += [(layer[i], size), (layer[i + 1], size)]
                above.append(size)
                size += 1
            layer = above + layer[len(layer) - len(layer) % 2 :]
        return cls.from_edges(edges)

    @classmethod
    def from_edges(
        cls, edges: Iterable[Iterable[int | str]], n_nodes: int | None = None
    ) -> Topology:
        """Take explicit edges.

        Args:
            edges: `(source, reader)` pairs of numbers or names (`3` or `node_3`).
                Sources must be numbered before their readers.
            n_nodes: Number of nodes; by default as many as the edges name, at least one.

        Raises:
            InputError: There is a cycle, a node leads nowhere, or the order is wrong.
        """
        pairs = sorted({edge_indices(edge) for edge in check("edges", edges, Iterable)})
        named = 1 + max((max(pair) for pair in pairs), default=0)
        size = named if n_nodes is None else n_nodes
        _check_size(size)
        if size < named:
            raise InputError(f"node_{named - 1} is named by an edge, but there are {size} nodes")
        longest_paths(range(size), pairs)
        check_outputs(range(size), pairs)
        for source, reader in pairs:
            if source > reader:
                raise InputError(
                    f"edge node_{source} -> node_{reader} goes against the numbering: number every "
                    "node after its sources, or let Topology.from_networkx do it"
                )
        return cls(size, _named(pairs))

    @classmethod
    def from_networkx(cls, graph: networkx.DiGraph) -> Topology:
        """Take a directed graph; its nodes are renamed in topological order.

        Nodes keep the order in which the graph lists them wherever their edges allow.

        Raises:
            InputError: The graph is undirected, has a cycle or not exactly one output.
        """
        import networkx

        if not hasattr(graph, "is_directed") or not graph.is_directed():
            raise InputError("the graph is undirected: give a networkx.DiGraph, source to reader")
        if not graph:
            raise InputError("the graph has no nodes: a topology needs at least its output node")
        longest_paths(list(graph), list(graph.edges()))
        check_outputs(list(graph), list(graph.edges()))
        listed = {node: position for position, node in enumerate(graph)}
        order = networkx.lexicographical_topological_sort(graph, key=listed.__getitem__)
        number = {node: position for position, node in enumerate(order)}
        return cls.from_edges([(number[a], number[b]) for a, b in graph.edges()], len(number))

    def to_networkx(self) -> networkx.DiGraph:
        """Return the graph over node names, with each node's `layer` as an attribute."""
        import networkx

        graph = networkx.DiGraph(name=self.name)
        graph.add_nodes_from((node, {"layer": self.layer_of(node)}) for node in self.nodes)
        graph.add_edges_from(self.edges)
        return graph

    def to_json(self) -> dict[str, Any]:
        """Return a dict that `json.dumps` takes and `from_json` reads."""
        return {"name": self.name, "nodes": self.size, "edges": [list(edge) for edge in self.edges]}

    @classmethod
    @arguments
    def from_json(cls, data: Mapping[str, Any]) -> Topology:
        """Read what `to_json` gave.

        Raises:
            InputError: The dict is not a topology.
        """
        if not isinstance(data, Mapping) or not {"nodes", "edges"} <= data.keys():
            raise InputError("a topology in JSON needs the keys 'nodes' (a number) and 'edges'")
        if not isinstance(data["edges"], list | tuple):
            raise InputError(f"'edges' must be a list of pairs, not {data['edges']!r}")
        return cls.from_edges(data["edges"], data["nodes"])

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """All node names in topological order."""
        return tuple(f"node_{i}" for i in range(self.size))

    @cached_property
    def layers(self) -> tuple[tuple[str, ...], ...]:
        """Node names by layer, input side first; the last layer is the output node alone."""
        return group_layers(self.nodes, self._depths)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The nodes without sources, which is the first layer."""
        return self.layers[0]

    @property
    def output(self) -> str:
        """The node whose text is the network's answer."""
        return self.nodes[-1]

    @cached_property
    def name(self) -> str:
        """`2-2-1`, `2-2-1:skip`, or `custom-5` where neither describes the edges."""
        widths = [len(layer) for layer in self.layers]
        for connect, suffix in (("dense", ""), ("skip", ":skip")):
            if self.edges == _named(_layered_edges(widths, connect)):
                return "-".join(map(str, widths)) + suffix
        return f"custom-{self.size}"

    def layer_of(self, node: str) -> int:
        """Return the number of a node's layer; inputs are in layer 0."""
        return self._depths[self._known(node)]

    def sources(self, node: str) -> tuple[str, ...]:
        """Return the nodes that a node reads, in topological order."""
        return self._sources[self._known(node)]

    def readers(self, node: str) -> tuple[str, ...]:
        """Return the nodes that read a node, in topological order."""
        return self._readers[self._known(node)]

    def nearest(self, node: str, candidates: Sequence[str]) -> str:
        """Return the candidate nearest to a node: first by layer, then by column, then by order."""

        def distance(other: str) -> tuple[int, int]:
            layer, own = self.layer_of(other), self.layer_of(node)
            column = self.layers[layer].index(other)
            return abs(layer - own), abs(column - self.layers[own].index(node))

        return min(candidates, key=distance)

    @arguments
    def grow_to(self, other: Topology, mapping: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return which node of the larger topology inherits which node of this one.

        By default the output goes to the output, every other node keeps its layer and
        its column in it; so new layers come just before the output, new columns on
        the right, and `1` grows as the output.

        Args:
            other: The topology to grow into.
            mapping: Old node to new node, instead of the default. Old nodes that
                it leaves out are not inherited.

        Raises:
            InputError: The other topology has fewer layers or a narrower layer, or
                the mapping names unknown nodes or one new node twice.
        """
        if mapping is not None:
            return self._checked_growth(other, mapping)
        problem = f"topology {self.name!r} cannot grow to {other.name!r}: "
        if len(other.layers) < len(self.layers):
            raise InputError(
                f"{problem}it has {len(self.layers)} layers and would have to fit into "
                f"{len(other.layers)}; keep every layer, or give a mapping"
            )
        grown: dict[str, str] = {}
        for layer, (old, new) in enumerate(zip(self.layers[:-1], other.layers[:-1], strict=False)):
            if len(new) < len(old):
                raise InputError(
                    f"{problem}layer {layer} holds {len(old)} nodes and there only {len(new)}; "
                    "no layer may become narrower, or give a mapping"
                )
            grown.update(zip(old, new, strict=False))
        return grown | {self.output: other.output}

    def draw(self, labels: Mapping[str, str] | None = None) -> str:
        """Draw the network for a terminal; `labels` replace node names."""
        return picture(self.layers, {node: self.sources(node) for node in self.nodes}, labels)

    def svg(self) -> str:
        """Draw the network as an SVG document."""
        return draw_svg(self.layers, self.edges, self.name)

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    def __repr__(self) -> str:
        """Return the name and the counts of nodes and edges."""
        return f"<Topology {self.name}: {self.size} nodes, {len(self.edges)} edges>"

    def __len__(self) -> int:
        """Return the number of nodes."""
        return self.size

    @cached_property
    def _depths(self) -> dict[str, int]:
        return longest_paths(self.nodes, self.edges)

    @cached_property
    def _sources(self) -> dict[str, tuple[str, ...]]:
        return neighbours(self.nodes, ((reader, source) for source, reader in self.edges))

    @cached_property
    def _readers(self) -> dict[str, tuple[str, ...]]:
        return neighbours(self.nodes, self.edges)

    def _known(self, node: str) -> str:
        if not isinstance(node, str) or node not in self._depths:
            raise unknown(f"node of topology {self.name!r}", str(node), self.nodes)
        return node

    def _checked_growth(self, other: Topology, mapping: Mapping[str, str]) -> dict[str, str]:
        inherited: dict[str, str] = {}
        for old, new in mapping.items():
            self._known(old)
            other._known(new)
            if new in inherited:
                raise InputError(
                    f"the growth map sends both {inherited[new]} and {old} to {new}: "
                    "every new node can inherit from one node only"
                )
            inherited[new] = old
        return dict(mapping)


def _check_size(size: int) -> None:
    if type(size) is not int or not 1 <= size <= MAX_NODES:
        raise InputError(f"a topology has 1 to {MAX_NODES} nodes, not {shown(size)}")


def _layered_edges(widths: Sequence[int], connect: str) -> list[tuple[int, int]]:
    starts = list(accumulate(widths, initial=0))
    return sorted(
        (source, reader)
        for layer, (start, end) in enumerate(pairwise(starts))
        for reader in range(start, end)
        for source in range(0 if connect == "skip" else starts[max(layer - 1, 0)], start)
    )


def _named(pairs: Iterable[tuple[int, int]]) -> tuple[tuple[str, str], ...]:
    return tuple((f"node_{source}", f"node_{reader}") for source, reader in pairs)
