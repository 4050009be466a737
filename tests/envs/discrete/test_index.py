"""The task that takes two rounds: what one round and two can reach, counted out, and learned."""

import itertools

import numpy as np
import pytest

from neuromas_env.agents.tables.play import play
from neuromas_env.agents.tables.registry import make_algorithm
from neuromas_env.envs.discrete.layout import make_layout
from neuromas_env.envs.discrete.vector import VectorNetwork

TWICE = "2-1:rounds=2:feedback=0>1:memory=none"


def best_of_all_senders(layout):
    """Play every question with every pair of sender tables at once; the output answers best."""
    parts, query = layout.task.every()
    questions, senders = parts.shape[1], layout.sizes[0] + layout.sizes[1]
    tables = np.array(list(itertools.product(range(layout.messages), repeat=senders)))
    which = np.arange(len(tables)).repeat(questions)
    network = VectorNetwork.of(layout, batch=len(which))
    network.reset(questions=(np.tile(parts, len(tables)), np.tile(query, len(tables))))
    while True:
        heard = network.observe(2) - layout.offsets[2]
        # The tables stand in the order of the numbers of observations.
        sent = tables[which, network.observations()] if network.layer == 0 else heard[None] * 0
        if network.step(sent)[1] is not None:
            break
    target = np.tile(layout.task.rule(parts, query), len(tables))
    counts = np.zeros((len(tables), layout.sizes[2], layout.task.answers))
    np.add.at(counts, (which, heard, target), 1)
    return counts.max(2).sum(1).max() / questions


@pytest.mark.parametrize(
    ("topology", "bits", "codebook", "best"),
    [
        ("2-1", 2, 2, 0.75),
        ("2-1", 2, 3, 0.875),
        ("2-1:rounds=2:feedback=none:memory=none", 2, 2, 0.75),
        (TWICE, 2, 2, 1.0),
    ],
)
def test_the_best_of_all_sender_tables(topology, bits, codebook, best):
    layout = make_layout(f"index:bits={bits}", topology, codebook)
    assert best_of_all_senders(layout) == layout.returns.optimal == best


@pytest.mark.parametrize(("bits", "messages"), [(3, 3), (3, 4), (2, 4)])
def test_the_best_classes_of_words_are_those_of_the_formula(bits, messages):
    words, places = np.arange(2**bits), np.arange(bits)
    bit = words[:, None] >> places & 1
    classes = np.array(list(itertools.product(range(messages), repeat=len(words))))
    member = classes[:, :, None] == np.arange(messages)
    ones = np.einsum("nwm,wp->nmp", member.astype(int), bit)
    right = np.maximum(ones, member.sum(1)[..., None] - ones).sum((1, 2))
    known = make_layout(f"index:bits={bits}", "2-1", messages).returns
    assert known.optimal == pytest.approx(right.max() / bit.size)


@pytest.mark.parametrize(
    ("bits", "topology", "codebook"),
    [
        (2, "2-1:rounds=2:memory=none", 2),  # the place comes by the node that must also answer
        (2, "3-1", 2),
        (3, "2-1", 2),  # one message does not tell three places apart
        (6, "2-1", 6),  # too many codes to try
    ],
)  # fmt: skip
def test_an_optimum_that_was_not_counted_out_is_not_claimed(bits, topology, codebook):
    known = make_layout(f"index:bits={bits}", topology, codebook).returns
    assert known.optimal is None and known.silent == 0.5


def learned(topology, seed, updates=100):
    """The greedy return over all questions after training."""
    layout = make_layout("index", topology)
    learner = make_algorithm("IQL", layout, seed=seed, updates=updates)
    network, rng = VectorNetwork.of(layout, batch=256), np.random.default_rng(seed)
    for _ in range(updates):
        network.reset(questions=layout.task.draw(rng, network.batch))
        learner.update(play(network, lambda seen: learner.act(seen, rng)))
    network = VectorNetwork.of(layout, batch=layout.task.questions())
    network.reset(questions=layout.task.every())
    return play(network, lambda seen: learner.table.argmax(1)[seen]).rewards.mean()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_two_rounds_learn_what_one_cannot_say(seed):
    assert learned("2-1", seed) <= 0.75
    assert learned(TWICE, seed) > 0.95
