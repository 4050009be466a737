"""Growth of tables: a grown network answers as before, and new nodes start as they are asked to."""

import numpy as np
import pytest

from neuromas_env.agents.tables.growth import grow_table
from neuromas_env.agents.tables.play import play
from neuromas_env.envs.discrete.layout import make_layout
from neuromas_env.envs.discrete.vector import VectorNetwork
from neuromas_env.errors import InputError


def answers(layout, table):
    parts, query = layout.task.every()
    network = VectorNetwork(
        layout.task, layout.topology, layout.codebook, layout.bandwidth, batch=parts.shape[1]
    )
    network.reset(questions=(parts, query))
    return play(network, lambda seen: table.argmax(1)[seen]).sent[-1]


ROUNDS = "2-1:rounds=2:feedback=0>1:memory=none"
WIDER = [
    ("xor", "2-1", "4-1"),
    ("routing:leaves=2,values=3", "2-1-1", "3-2-1"),
    ("lewis:objects=5,candidates=3", "1-1", "3-1"),
    ("modsum:parts=2,modulus=3", "2-2-1", "3-4-1"),
    ("modsum:parts=2,modulus=3", "2-1", "2-1"),
    ("xor", "2-1-1:skip", "3-1-1:skip"),
    ("routing:leaves=2,values=3", "2-1-1:skip", "3-2-1:skip"),
    ("index", ROUNDS, "3-1:rounds=2:feedback=0>1+1>0+2>0:memory=none"),
    ("routing:leaves=2,values=3", "2-1", "3-1:rounds=3:feedback=all:memory=none"),
]


@pytest.mark.parametrize(("task", "small", "large"), WIDER)
@pytest.mark.parametrize("init", ["zero", "copy", "noise"])
def test_a_network_that_grows_wider_answers_as_before(task, small, large, init):
    old, new = make_layout(task, small), make_layout(task, large)
    rng, before = np.random.default_rng(0), np.zeros(1)
    while len(set(before.tolist())) == 1:  # a constant answer would show nothing
        table = rng.normal(size=(sum(old.sizes), old.messages))
        before = answers(old, table)
    grown = grow_table(old, new, table, init=init)
    assert grown.shape == (sum(new.sizes), new.messages)
    assert np.array_equal(answers(new, grown), before)


def test_a_reader_follows_the_heirs_of_its_sources():
    old, new = (
        make_layout("modsum:parts=2,modulus=3", "2-1"),
        make_layout("modsum:parts=2,modulus=3", "3-1"),
    )
    table = np.random.default_rng(0).normal(size=(sum(old.sizes), 3))
    mapping = {"node_0": "node_2", "node_1": "node_0", "node_2": "node_3"}
    grown = grow_table(old, new, table, mapping=mapping)
    # Rows by messages, 0 for none yet: `[first, second]` and `[first, second, third]`.
    before = table[old.offsets[2] :].reshape(4, 4, 3)
    after = grown[new.offsets[3] :].reshape(4, 4, 4, 3)
    for first, second, third in np.ndindex(4, 4, 4):
        assert np.array_equal(after[first, second, third], before[third, first])


def test_a_network_that_grows_deeper_answers_as_before_when_new_nodes_pass_on():
    old, new = make_layout("relay:values=3", "1-1"), make_layout("relay:values=3", "1-1-1")
    table = np.random.default_rng(0).normal(size=(sum(old.sizes), 3))
    grown = grow_table(old, new, table)
    middle = slice(new.offsets[1], new.offsets[1] + new.sizes[1])
    assert not grown[middle].any()
    grown[middle][1:] = np.eye(3)  # row 0 is for no message yet
    assert np.array_equal(answers(old, table), answers(new, grown))


def test_new_nodes_start_uniform_copied_or_random():
    old, new = make_layout("xor", "2-1"), make_layout("xor", "4-1")
    table = np.random.default_rng(0).normal(size=(sum(old.sizes), 2))
    rows = slice(new.offsets[3], new.offsets[3] + 2)
    assert not grow_table(old, new, table, init="zero")[rows].any()
    assert np.array_equal(grow_table(old, new, table, init="copy")[rows], table[2:4])
    noise = grow_table(old, new, table, init="noise", seed=1)[rows]
    assert noise.all() and not np.array_equal(
        noise, grow_table(old, new, table, init="noise", seed=2)[rows]
    )
    swapped = grow_table(old, new, table, mapping={"node_0": "node_3", "node_2": "node_4"})
    assert np.array_equal(swapped[rows], table[0:2])
    assert new.topology.nearest("node_3", ("node_0", "node_1", "node_4")) == "node_1"


def turns_of(layout, table):
    network = VectorNetwork.of(layout, batch=layout.task.questions())
    network.reset(questions=layout.task.every())
    return play(network, lambda seen: table.argmax(1)[seen]).sent


@pytest.mark.parametrize("clocks", [(False, False), (False, True), (True, True)])
def test_the_first_rounds_of_a_network_with_more_rounds_are_those_of_the_smaller(clocks):
    old = make_layout("modsum:parts=2,modulus=3", ROUNDS, clock=clocks[0])
    more = ROUNDS.replace("rounds=2", "rounds=4")
    new = make_layout("modsum:parts=2,modulus=3", more, clock=clocks[1])
    table = np.random.default_rng(0).normal(size=(sum(old.sizes), 3))
    before = turns_of(old, table)
    after = turns_of(new, grow_table(old, new, table))
    assert np.array_equal(after[:6], before)
    assert not np.array_equal(before[:3], before[3:])


def test_what_new_feedback_carries_makes_no_difference_at_first():
    old = make_layout("modsum:parts=2,modulus=3", "2-1")
    new = make_layout("modsum:parts=2,modulus=3", "2-1:rounds=3:feedback=all:memory=none")
    table = np.random.default_rng(0).normal(size=(sum(old.sizes), 3))
    grown = grow_table(old, new, table)
    assert np.array_equal(turns_of(new, grown), np.tile(turns_of(old, table), (3, 1)))


def test_growth_refuses_what_does_not_fit():
    old, new = make_layout("xor", "2-1"), make_layout("xor", "3-1", 3)
    table = np.zeros((sum(old.sizes), 2))
    with pytest.raises(InputError, match="on its own task and code book only"):
        grow_table(old, new, table)
    with pytest.raises(InputError, match="unknown initialisation 'zeros'. Did you mean 'zero'"):
        grow_table(old, make_layout("xor", "3-1"), table, init="zeros")
    with pytest.raises(InputError, match="cannot grow"):
        grow_table(make_layout("xor", "3-1"), old, table)
    timed = make_layout("xor", ROUNDS, clock=True)
    with pytest.raises(InputError, match="a clock grows into one with a clock only"):
        grow_table(timed, make_layout("xor", ROUNDS), np.zeros((sum(timed.sizes), 2)))
    with pytest.raises(InputError, match="it has 2 rounds and there only 1"):
        grow_table(make_layout("xor", ROUNDS), make_layout("xor"), table)
