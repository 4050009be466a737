import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.toy_tasks import topologies

from neuromas_env import Topology
from neuromas_env.errors import InputError

parse = Topology.parse
hidden_widths = st.lists(st.integers(1, 3), max_size=3)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("1", "1", {0: 0}),
        ("1", "2-1", {0: 2}),
        ("1", "2-2-1", {0: 4}),
        ("2-1", "2-2-1", {0: 0, 1: 1, 2: 4}),
        ("2-2-1", "2-2-2-1", {0: 0, 1: 1, 2: 2, 3: 3, 4: 6}),
        ("2-1", "3-1", {0: 0, 1: 1, 2: 3}),
        ("2-2-1", "3-3-2-1", {0: 0, 1: 1, 2: 3, 3: 4, 4: 8}),
        ("2-2-1:skip", "2-2-1", {0: 0, 1: 1, 2: 2, 3: 3, 4: 4}),
    ],
)
def test_the_default_map(old, new, expected):
    named = {f"node_{a}": f"node_{b}" for a, b in expected.items()}
    assert parse(old).grow_to(parse(new)) == named


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("2-2-1", "2-1", "3 layers .* fit into 2"),
        ("2-1", "1", "2 layers .* fit into 1"),
        ("2-2-1", "2-1-1", "layer 1 holds 2 nodes and there only 1"),
        ("3-1", "2-2-1", "layer 0 holds 3 nodes and there only 2"),
    ],
)
def test_a_network_cannot_shrink(old, new, reason):
    with pytest.raises(InputError, match=f"'{old}' cannot grow to '{new}'.*{reason}"):
        parse(old).grow_to(parse(new))


@given(hidden_widths, st.lists(st.integers(0, 2), min_size=3, max_size=3), hidden_widths,
       st.sampled_from(["dense", "skip"]))  # fmt: skip
def test_growth_keeps_every_node_its_column_and_its_edges(hidden, wider, deeper, connect):
    grown = [w + more for w, more in zip(hidden, wider, strict=False)]
    old = Topology.layered([*hidden, 1], connect)
    new = Topology.layered([*grown, *deeper, 1], connect)
    mapping = old.grow_to(new)
    assert set(mapping) == set(old.nodes)
    assert len(set(mapping.values())) == len(mapping)
    assert mapping[old.output] == new.output
    for layer, nodes in enumerate(old.layers[:-1]):
        for column, node in enumerate(nodes):
            assert mapping[node] == new.layers[layer][column]
    for source, reader in old.edges:
        kept = (mapping[source], mapping[reader]) in new.edges
        # A dense output reads its new neighbours instead, where layers came between.
        assert kept or (reader == old.output and deeper and connect == "dense")


@pytest.mark.slow
@given(topologies(), topologies())
def test_any_two_networks_map_soundly_or_say_why_not(old, new):
    assert old.grow_to(old) == {node: node for node in old.nodes}
    fits = len(old.layers) <= len(new.layers) and all(
        len(a) <= len(b) for a, b in zip(old.layers[:-1], new.layers[:-1], strict=False)
    )
    if not fits:
        with pytest.raises(InputError, match="cannot grow"):
            old.grow_to(new)
        return
    mapping = old.grow_to(new)
    assert set(mapping) == set(old.nodes)
    assert len(set(mapping.values())) == len(mapping)
    assert set(mapping.values()) <= set(new.nodes)
    assert mapping[old.output] == new.output


growth = st.tuples(st.lists(st.integers(0, 2), min_size=6, max_size=6), hidden_widths)


@given(hidden_widths, st.tuples(growth, growth))
def test_growing_twice_is_growing_once(hidden, stages_of_growth):
    stages = [Topology.layered([*hidden, 1])]
    for wider, deeper in stages_of_growth:
        hidden = [w + more for w, more in zip(hidden, wider, strict=False)] + deeper
        stages.append(Topology.layered([*hidden, 1]))
    first, second, third = stages
    one, two = first.grow_to(second), second.grow_to(third)
    assert {node: two[one[node]] for node in first.nodes} == first.grow_to(third)


def test_an_explicit_map_overrides_and_is_checked():
    old, new = parse("2-1"), parse("1-1-1")
    swapped = {"node_0": "node_1", "node_2": "node_2"}
    assert old.grow_to(new, mapping=swapped) == swapped
    with pytest.raises(InputError, match="unknown node of topology '2-1' 'node_9'"):
        old.grow_to(new, mapping={"node_9": "node_0"})
    with pytest.raises(InputError, match="unknown node of topology '1-1-1' 'node_7'"):
        old.grow_to(new, mapping={"node_0": "node_7"})
    with pytest.raises(InputError, match="both node_0 and node_1 to node_2"):
        old.grow_to(new, mapping={"node_0": "node_2", "node_1": "node_2"})
