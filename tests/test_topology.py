import json
import pickle
from itertools import pairwise
from xml.etree import ElementTree

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.toy_tasks import TOPOLOGIES, topologies

from neuromas_env import Topology
from neuromas_env.errors import InputError

widths = st.lists(st.integers(1, 4), max_size=4).map(lambda hidden: [*hidden, 1])


def edge_numbers(topology):
    return {tuple(int(node.split("_")[1]) for node in edge) for edge in topology.edges}


@given(widths)
def test_dense_reads_exactly_the_layer_before_and_skip_all_earlier_ones(widths):
    dense, skip = Topology.layered(widths), Topology.layered(widths, connect="skip")
    assert [len(layer) for layer in dense.layers] == widths
    assert dense.layers == skip.layers
    for layer, nodes in enumerate(dense.layers):
        for node in nodes:
            assert dense.sources(node) == (dense.layers[layer - 1] if layer else ())
            assert skip.sources(node) == sum(dense.layers[:layer], ())


@pytest.mark.parametrize("text", ["1", "1-1-1", "2-1", "2-2-1", "2-2-2-1", "2-2-1:skip", "10-5-1"])
def test_a_name_is_read_back(text):
    topology = Topology.parse(text)
    assert str(topology) == topology.name == text
    assert len(topology) == sum(int(width) for width in text.split(":")[0].split("-"))
    assert topology.output == f"node_{len(topology) - 1}"
    assert Topology.parse(topology.name) == topology


def test_a_tree_joins_leaves_in_pairs():
    assert Topology.parse("tree-4").edges == tuple(
        (f"node_{a}", f"node_{b}") for a, b in [(0, 4), (1, 4), (2, 5), (3, 5), (4, 6), (5, 6)]
    )
    assert [len(layer) for layer in Topology.parse("tree-8").layers] == [8, 4, 2, 1]
    for leaves in range(2, 20):
        topology = Topology.parse(f"tree-{leaves}")
        assert len(topology.inputs) == leaves and len(topology) == 2 * leaves - 1
        assert all(len(topology.sources(n)) in (0, 2) for n in topology.nodes)
        assert all(len(topology.readers(n)) <= 1 for n in topology.nodes)


def test_names_follow_the_edges_and_not_the_way_of_building():
    assert Topology.from_edges([(0, 2), (1, 2)]) == Topology.parse("2-1")
    assert Topology.parse("2-1:skip") == Topology.parse("2-1") == Topology.parse(" 2-1 ")
    assert Topology.parse("2-2-1", connect="skip") == Topology.parse("2-2-1:skip")
    assert Topology.parse("2-2-1:dense", connect="skip") == Topology.parse("2-2-1")
    assert TOPOLOGIES["edges"].name == "custom-5"
    assert Topology.from_edges([]) == Topology.parse("1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'2-2-1'"),
        ("abc", "'2-2-1'"),
        ("2--1", "'2-2-1'"),
        ("²-1", "'2-2-1'"),
        ("2-2-1:", "unknown topology part ''"),
        ("custom-5", "'2-2-1'"),
        ("tree-", "'2-2-1'"),
        ("tree-4:skip", "'2-2-1'"),
        ("tree-1", "at least 2 leaves, not 1"),
        ("2-2", "did you mean '2-2-1'"),
        ("2-0-1", "layer 1 is empty"),
        ("2-0", "layer 1 is empty"),
        ("2-1:skp", "'skip'"),
        ("999999999-1", "1 to 1000 nodes"),
        ("1" * 5000, "'2-2-1'"),
    ],
)
def test_junk_text_is_refused_with_what_would_be_right(text, message):
    with pytest.raises(InputError) as error:
        Topology.parse(text)
    assert message in str(error.value)


@pytest.mark.parametrize("widths", [[], [2.0, 1], [-1, 1], ["2", 1], [True]])
def test_layer_widths_must_be_positive_integers(widths):
    with pytest.raises(InputError, match="layer widths"):
        Topology.layered(widths)


@pytest.mark.parametrize(
    ("edges", "size", "message"),
    [
        ([(0, 1), (1, 2), (2, 1), (2, 3)], None, "cycle: node_[12] -> node_[12] -> node_[12];"),
        ([(0, 0)], None, "cycle: node_0 -> node_0"),
        ([(0, 2)], None, "node_1 is unreachable"),
        ([(0, 1)], 3, "node_2 is unreachable"),
        ([(0, 1), (0, 2)], None, "several outputs: node_1, node_2"),
        ([(1, 0)], None, "node_1 -> node_0 goes against the numbering"),
        ([(0, 2), (1, 2)], 2, "node_2 is named by an edge, but there are 2 nodes"),
        ([(0, 1, 2)], None, "not an edge"),
        (["ab"], None, "not an edge"),
        ([5], None, "not an edge"),
        ([(0, "x")], None, "'x' is not a node"),
        ([(0, -1)], None, "-1 is not a node"),
        ([(0, True)], None, "True is not a node"),
        ([], 0, "1 to 1000 nodes"),
        ([], "3", "1 to 1000 nodes"),
    ],
)
def test_bad_edges_are_refused_with_the_reason(edges, size, message):
    with pytest.raises(InputError, match=message):
        Topology.from_edges(edges, size)


@pytest.mark.slow
@given(topologies())
def test_layers_are_longest_paths_and_everything_round_trips(topology):
    graph = networkx.DiGraph(topology.edges)
    graph.add_nodes_from(topology.nodes)
    longest = {}
    for node in networkx.topological_sort(graph):
        longest[node] = max((longest[s] + 1 for s in graph.predecessors(node)), default=0)
    assert {node: topology.layer_of(node) for node in topology.nodes} == longest
    assert topology.layers[-1] == (topology.output,)
    assert sorted(sum(topology.layers, ())) == sorted(topology.nodes)
    assert topology.inputs == tuple(n for n in topology.nodes if not topology.sources(n))
    for source, reader in topology.edges:
        assert source in topology.sources(reader)
        assert reader in topology.readers(source)
    twins = (
        Topology.from_json(json.loads(json.dumps(topology.to_json()))),
        Topology.from_networkx(topology.to_networkx()),
        Topology.from_edges(edge_numbers(topology), len(topology)),
        Topology.from_edges(reversed(topology.edges), len(topology)),
        pickle.loads(pickle.dumps(topology)),
    )
    for twin in twins:
        assert twin == topology
        assert hash(twin) == hash(topology)


def test_a_foreign_graph_is_renamed_in_topological_order():
    graph = networkx.DiGraph([("vote", "end"), ("a", "vote"), ("b", "vote"), ("a", "end")])
    assert edge_numbers(Topology.from_networkx(graph)) == {(0, 2), (1, 2), (2, 3), (0, 3)}
    with pytest.raises(InputError, match="undirected"):
        Topology.from_networkx(networkx.Graph([(0, 1)]))
    with pytest.raises(InputError, match="no nodes"):
        Topology.from_networkx(networkx.DiGraph())
    with pytest.raises(InputError, match="cycle: (a -> b -> a|b -> a -> b);"):
        Topology.from_networkx(networkx.DiGraph([("a", "b"), ("b", "a")]))
    with pytest.raises(InputError, match="several outputs: y, z"):
        Topology.from_networkx(networkx.DiGraph([("x", "y"), ("x", "z")]))


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        "2-1",
        {"nodes": 2},
        {"nodes": "2", "edges": []},
        {"nodes": 2, "edges": "ab"},
        {"nodes": 1, "edges": [[0, 1]]},
    ],
)
def test_json_that_is_no_topology_is_refused(data):
    with pytest.raises(InputError):
        Topology.from_json(data)


def test_unknown_nodes_are_named_with_a_suggestion():
    topology = Topology.parse("2-1")
    for ask in (topology.layer_of, topology.sources, topology.readers):
        with pytest.raises(InputError, match="Did you mean 'node_"):
            ask("nod_1")


def test_the_picture_of_a_dense_network():
    assert Topology.parse("2-1").draw({"node_0": "left", "node_2": "answer"}) == (
        "┌──────┐ ┌────────┐\n"
        "│ left │ │ node_1 │\n"
        "└──┬───┘ └───┬────┘\n"
        "   └────┬────┘\n"
        "    ┌───┴────┐\n"
        "    │ answer │\n"
        "    └────────┘"
    )


def test_edges_that_no_line_shows_are_listed():
    assert "node_4 also reads node_0, node_1" in Topology.parse("2-2-1:skip").draw()
    picture = TOPOLOGIES["edges"].draw()
    assert "node_2 reads node_0" in picture
    assert "node_3 also reads node_1" in picture


@pytest.mark.slow
@given(topologies(max_nodes=9), st.text(max_size=30))
def test_pictures_stay_narrow_rectangular_and_complete(topology, label):
    lines = topology.draw({"node_0": label}).splitlines()
    assert max(map(len, lines)) <= 80
    for node in topology.nodes[1:]:
        assert any(node in line for line in lines)
    assert sum(line.count("┌") for line in lines) >= len(topology.layers)


def test_wide_layers_stay_readable():
    lines = Topology.parse("10-5-1").draw().splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert all(f"node_{i} " in text for i in range(16))


@given(topologies())
def test_the_svg_is_valid_and_shows_every_node_and_edge(topology):
    root = ElementTree.fromstring(topology.svg())
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    assert [text.text for text in root.findall(f"{space}text")] == [
        node for layer in topology.layers for node in layer
    ]
    assert len(root.findall(f"{space}circle")) == len(topology)
    assert len(root.findall(f"{space}path")) == len(topology.edges)
    left, top, width, height = map(float, root.attrib["viewBox"].split())
    for circle in root.findall(f"{space}circle"):
        x, y, r = (float(circle.attrib[key]) for key in ("cx", "cy", "r"))
        assert left <= x - r and x + r <= left + width
        assert top <= y - r and y + r <= top + height


def test_layers_read_strictly_upwards():
    for topology in TOPOLOGIES.values():
        for above, below in pairwise(topology.layers):
            assert all(set(topology.sources(node)) & set(above) for node in below)
