"""The shape of a network: which node reads which, in layers and rounds, and how it may grow.

Nodes are named `node_0`, `node_1`, ... in topological order; the last one is the
output node. A node's layer is the length of the longest path that leads to it
from a node without sources, so a topology is fully given by its edges.

A recurrent network passes over its layers several times, each pass a round. Feedback edges carry
the messages of one round into the next; memory keeps what a node itself has read and said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from neuromas_env.checks import Range, arguments, check, shown
from neuromas_env.dag import (
    by_column,
    check_outputs,
    edge_indices,
    group_layers,
    layered_edges,
    longest_paths,
    neighbours,
    numbered,
    one_to_one,
    tree_edges,
)
from neuromas_env.drawing import draw_svg, picture, rounds_lines
from neuromas_env.errors import InputError, placed, unknown
from neuromas_env.feedback import feedback_pairs, read_parts, rounds_text

if TYPE_CHECKING:
    import networkx

MAX_NODES = 1000
MAX_ROUNDS = 1000
CONNECTIONS = ("dense", "skip")
_EXAMPLE = "write layer widths from the input side, ending in 1, such as '2-2-1' or '2-2-1:skip'"
_KEYS = ("name", "nodes", "edges", "rounds", "feedback", "memory")


@arguments
@dataclass(frozen=True)
class Topology:
    """An immutable directed acyclic graph of nodes with one output node.

    Build one with `parse`, `layered`, `tree`, `from_edges`, `from_networkx` or `from_json`, and
    let it act more than once with `recurrent`.

    Attributes:
        size: Number of nodes.
        edges: `(source, reader)` pairs of node names, sorted by position: they carry a message to
            its readers in the same round.
        rounds: Passes over the layers, so how often a node acts.
        feedback: Such pairs, any two nodes: they carry a message into the next round.
        memory: Whether a node keeps what it read and said in earlier rounds.
    """

    size: int
    edges: tuple[tuple[str, str], ...]
    rounds: Annotated[int, Range(low=1, high=MAX_ROUNDS)] = 1
    feedback: tuple[tuple[str, str], ...] = ()
    memory: bool = False

    def __post_init__(self) -> None:
        """Check that edges name nodes and that feedback and memory have a second round."""
        _check_size(self.size)
        for kind, edges in (("an edge", self.edges), ("a feedback edge", self.feedback)):
            for node in {node for edge in edges for node in edge} - set(self.nodes):
                raise InputError(f"{node} is named by {kind}, but there are {self.size} nodes")
        for name in ("feedback", "memory"):
            if self.rounds == 1 and getattr(self, name):
                raise InputError(f"{name} needs at least 2 rounds, got 1; write rounds=2")
        for source, reader in self.feedback:
            if self.memory and source == reader:
                raise InputError(
                    f"feedback {source} -> {reader} tells a node what its memory keeps already: "
                    "leave out the one or the other"
                )

    @classmethod
    @arguments
    def parse(cls, text: str | int, connect: str = "dense") -> Topology:
        """Read a topology from its text.

        Args:
            text: Layer widths such as `2-2-1`, or `tree-4`, see `tree`. Parts follow in any order,
                each after a colon: `skip` or `dense`, `rounds=3`, `feedback=output`, and `memory`
                or `memory=none`. With rounds, `feedback=output` and `memory` are the defaults.
            connect: `skip` or `dense` where the text does not say.

        Raises:
            InputError: The text is no topology.
        """
        head, *parts = str(text).strip().split(":")
        read = read_parts(str(text), parts)
        leaves = re.fullmatch(r"tree-([0-9]{1,3})", head, re.ASCII)
        if leaves and read.connect is None:
            shape = cls.tree(int(leaves[1]))
        elif re.fullmatch(r"[0-9]{1,9}(?:-[0-9]{1,9})*", head, re.ASCII):
            widths = [int(width) for width in head.split("-")]
            shape = cls.layered(widths, read.connect or connect)
        else:
            colons = "; its parts are joined by ':', as in '2-1:rounds=3'" * ("," in head)
            raise InputError(f"{text!r} is not a topology: {_EXAMPLE}{colons}")
        if read.rounds == 1 and read.feedback is None and not read.memory:
            return shape
        several = read.rounds > 1
        memory = several if read.memory is None else read.memory
        feedback = read.feedback or ("output" if several else "none")
        return shape.recurrent(read.rounds, feedback, memory)

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
        return cls(sum(widths), _named(layered_edges(widths, connect)))

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
        return cls.from_edges(tree_edges(leaves))

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

    @arguments
    def recurrent(
        self,
        rounds: int,
        feedback: str | Sequence[Iterable[int | str]] = "output",
        memory: bool = True,
    ) -> Topology:
        """Return the network over several rounds; its nodes and edges stay.

        Args:
            rounds: Passes over the layers.
            feedback: `output` (from the output node to every input node), `self`, `all`, `none`,
                text such as `2>0+1>0`, or `(source, reader)` pairs of numbers or names.
            memory: Whether a node keeps what it read and said in earlier rounds. Rules leave out
                the edge from a node to itself then.

        Raises:
            InputError: There are no such rounds or nodes, or the parts contradict one another.
        """
        if isinstance(feedback, str):
            pairs = feedback_pairs(feedback, self._numbers, memory)
        else:
            pairs = tuple(sorted({edge_indices(edge) for edge in feedback}))
        return replace(self, rounds=rounds, feedback=_named(pairs), memory=memory)

    @classmethod
    def from_networkx(cls, graph: networkx.DiGraph) -> Topology:
        """Take a directed graph; its nodes are renamed in topological order.

        Nodes keep the order in which the graph lists them wherever their edges allow.

        Raises:
            InputError: The graph is undirected, has a cycle or not exactly one output.
        """
        number = numbered(graph)
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
        data = {"name": self.name, "nodes": self.size, "edges": [list(edge) for edge in self.edges]}
        if self.rounds > 1:
            feedback = [list(edge) for edge in self.feedback]
            data |= {"rounds": self.rounds, "feedback": feedback, "memory": self.memory}
        return data

    @classmethod
    @arguments
    def from_json(cls, data: Mapping[str, Any]) -> Topology:
        """Read data that `to_json` gave.

        Raises:
            InputError: The dict is not a topology.
        """
        if not isinstance(data, Mapping) or not {"nodes", "edges"} <= data.keys():
            raise InputError("a topology in JSON needs the keys 'nodes' (a number) and 'edges'")
        for key in data:
            if key not in _KEYS:  # of a later version: to leave it out is to run another network
                raise unknown("key of a topology in JSON", str(key), _KEYS)
        for key in ("edges", "feedback"):
            if not isinstance(data.get(key, []), list | tuple):
                raise InputError(f"{key!r} must be a list of pairs, not {data[key]!r}")
        several = data.get("rounds", 1), data.get("feedback", []), data.get("memory", False)
        return cls.from_edges(data["edges"], data["nodes"]).recurrent(*several)

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
        """`2-2-1`, `2-2-1:skip`, or `custom-5` where neither fits the edges; then the rounds."""
        widths = [len(layer) for layer in self.layers]
        pairs = [edge_indices(edge) for edge in self.feedback]
        rounds = rounds_text(self.rounds, pairs, self._numbers, self.memory)
        for connect, suffix in (("dense", ""), ("skip", ":skip")):
            if self.edges == _named(layered_edges(widths, connect)):
                return "-".join(map(str, widths)) + suffix + rounds
        return f"custom-{self.size}{rounds}"

    def layer_of(self, node: str) -> int:
        """Return the number of a node's layer; inputs are in layer 0."""
        return self._depths[self._known(node)]

    def sources(self, node: str) -> tuple[str, ...]:
        """Return the nodes that a node reads in the same round, in topological order."""
        return self._sources[self._known(node)]

    def readers(self, node: str) -> tuple[str, ...]:
        """Return the nodes that read a node in the same round, in topological order."""
        return self._readers[self._known(node)]

    def feedback_sources(self, node: str) -> tuple[str, ...]:
        """Return the nodes whose messages of the round before a node reads, in their order."""
        return self._feedback_sources[self._known(node)]

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
            InputError: The other topology has fewer layers or rounds or a narrower layer, or
                the mapping names unknown nodes or one new node twice.
        """
        with placed(f"topology {self.name!r} cannot grow to {other.name!r}"):
            if other.rounds < self.rounds:
                raise InputError(f"it has {self.rounds} rounds and there only {other.rounds}")
            if mapping is None:
                return by_column(self.layers, other.layers)
        for old, new in mapping.items():
            self._known(old), other._known(new)
        return one_to_one(mapping)

    def draw(self, labels: Mapping[str, str] | None = None) -> str:
        """Draw the network for a terminal; `labels` replace node names."""
        drawn = picture(self.layers, {node: self.sources(node) for node in self.nodes}, labels)
        return "\n".join([drawn, *rounds_lines(self.rounds, self.feedback, self.memory)])

    def svg(self) -> str:
        """Draw the network as an SVG document."""
        return draw_svg(self.layers, self.edges, self.name, self.feedback)

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

    @cached_property
    def _feedback_sources(self) -> dict[str, tuple[str, ...]]:
        return neighbours(self.nodes, ((reader, source) for source, reader in self.feedback))

    @cached_property
    def _numbers(self) -> list[list[int]]:
        return [[edge_indices((n, n))[0] for n in layer] for layer in self.layers]

    def _known(self, node: str) -> str:
        if not isinstance(node, str) or node not in self._depths:
            raise unknown(f"node of topology {self.name!r}", str(node), self.nodes)
        return node


def _check_size(size: int) -> None:
    if type(size) is not int or not 1 <= size <= MAX_NODES:
        raise InputError(f"a topology has 1 to {MAX_NODES} nodes, not {shown(size)}")


def _named(pairs: Iterable[tuple[int, int]]) -> tuple[tuple[str, str], ...]:
    return tuple((f"node_{source}", f"node_{reader}") for source, reader in pairs)
