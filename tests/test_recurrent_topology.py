import json
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.toy_tasks import RECURRENT, topologies

from neuromas_env import Topology
from neuromas_env.errors import InputError


@pytest.mark.parametrize("text", RECURRENT)
def test_a_name_is_read_back(text):
    topology = Topology.parse(text)
    assert Topology.from_json(json.loads(json.dumps(topology.to_json()))) == topology
    if not text.startswith("tree"):
        assert topology.name == text
        assert Topology.parse(topology.name) == topology


@given(topologies(), st.data())
def test_any_rounds_travel_as_json(topology, data):
    pairs = st.tuples(st.sampled_from(topology.nodes), st.sampled_from(topology.nodes))
    memory = data.draw(st.booleans())
    feedback = data.draw(st.lists(pairs.filter(lambda pair: not memory or pair[0] != pair[1])))
    recurrent = topology.recurrent(data.draw(st.integers(2, 5)), feedback, memory)
    assert Topology.from_json(json.loads(json.dumps(recurrent.to_json()))) == recurrent
    for node in topology.nodes:
        heard = {source for source, reader in feedback if reader == node}
        assert set(recurrent.feedback_sources(node)) == heard
    assert recurrent.layers == topology.layers and recurrent.edges == topology.edges


def test_what_a_text_with_rounds_leaves_open():
    assert Topology.parse("2-1:rounds=3") == Topology.parse("2-1:memory:feedback=output:rounds=3")
    assert Topology.parse("2-1:rounds=3") == Topology.parse("2-1").recurrent(3)
    assert Topology.parse("2-1:rounds=1") == Topology.parse("2-1")
    assert Topology.parse("2-1:rounds=2:feedback=1>0+2>0") == Topology.parse("2-1").recurrent(
        2, [("node_2", 0), (1, 0)]
    )


@pytest.mark.parametrize(
    "rule, memory, pairs",
    [
        ("output", True, [(3, 0), (3, 1), (3, 2)]),
        ("none", True, []),
        ("self", False, [(node, node) for node in range(4)]),
        ("all", False, [(a, b) for a in range(4) for b in range(4)]),
        ("all", True, [(a, b) for a in range(4) for b in range(4) if a != b]),
    ],
)
def test_rules_of_feedback(rule, memory, pairs):
    topology = Topology.parse("3-1").recurrent(2, rule, memory)
    assert topology.feedback == tuple((f"node_{a}", f"node_{b}") for a, b in pairs)


def test_one_round_is_written_as_before():
    assert Topology.parse("2-1").to_json().keys() == {"name", "nodes", "edges"}


@pytest.mark.parametrize(
    "text, message",
    [
        ("2-1,rounds=3", "its parts are joined by ':', as in '2-1:rounds=3'"),
        ("2-1:rounds=0", "rounds must be at least 1 and at most 1000, got 0"),
        ("2-1:rounds=9999", "rounds must be at least 1 and at most 1000, got 9999"),
        ("2-1:rounds=two", "unknown topology part 'rounds=two'. Did you mean 'rounds=3'?"),
        ("2-1:feedback=output", "feedback needs at least 2 rounds, got 1"),
        ("2-1:rounds=1:feedback=0>1", "feedback needs at least 2 rounds, got 1"),
        ("2-1:memory", "memory needs at least 2 rounds, got 1"),
        ("2-1:rounds=2:feedback=9>0", "node_9 is named by a feedback edge, but there are 3 nodes"),
        ("2-1:rounds=2:feedback=nobody", "unknown feedback 'nobody'"),
        ("2-1:rounds=2:feedback=self", "tells a node what its memory keeps already"),
        ("2-1:rounds=2:feedback=0>0", "tells a node what its memory keeps already"),
        ("2-1:rounds=2:rounds=3", "gives its rounds twice"),
        ("2-1:rounds=1:rounds=3", "gives its rounds twice"),
        ("2-1:memory:rounds=2:memory=none", "gives its memory twice"),
        ("33-1:rounds=2:feedback=all", "feedback 'all' is for at most 32 nodes, got 34"),
        ("tree-4:skip", "'tree-4:skip' is not a topology"),
    ],
)
def test_a_wrong_text_is_refused(text, message):
    with pytest.raises(InputError) as error:
        Topology.parse(text)
    assert message in str(error.value)


def test_an_unknown_key_in_json_is_refused():
    data = Topology.parse("2-1:rounds=2").to_json()
    with pytest.raises(InputError, match="unknown key of a topology in JSON 'clocks'"):
        Topology.from_json(data | {"clocks": 2})
    with pytest.raises(InputError, match="'feedback' must be a list of pairs, not 3"):
        Topology.from_json(data | {"feedback": 3})


def test_growth_keeps_or_adds_rounds():
    one, three = Topology.parse("2-1"), Topology.parse("2-1:rounds=3:feedback=all")
    assert one.grow_to(three) == {node: node for node in one.nodes}
    assert Topology.parse("2-1:rounds=3").grow_to(Topology.parse("3-1:rounds=3:memory=none"))
    with pytest.raises(InputError, match="it has 3 rounds and there only 1"):
        three.grow_to(one)
    with pytest.raises(InputError, match="it has 3 rounds and there only 1"):
        three.grow_to(one, {node: node for node in one.nodes})


def test_feedback_is_drawn_as_such():
    one, two = Topology.parse("2-1"), Topology.parse("2-1:rounds=2")
    assert two.draw() == one.draw() + (
        "\n2 rounds, every node remembers what it read and said"
        "\nnode_0 hears node_2 of the round before\nnode_1 hears node_2 of the round before"
    )
    assert "stroke-dasharray" not in one.svg()
    paths = ElementTree.fromstring(two.svg()).iter("{http://www.w3.org/2000/svg}path")
    assert sum("stroke-dasharray" in path.attrib for path in paths) == 2
    loops = Topology.parse("2-1:rounds=2:feedback=self:memory=none")
    assert loops.svg().count("stroke-dasharray") == 3
