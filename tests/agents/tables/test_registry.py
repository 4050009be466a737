"""Algorithms by name: built in, with options, of one's own, and what is wrong said at once."""

import numpy as np
import pytest

from neuromas_env.agents.tables.play import play
from neuromas_env.agents.tables.registry import (
    ALGORITHMS,
    list_algorithms,
    make_algorithm,
    register_algorithm,
    settings,
)
from neuromas_env.envs.discrete.layout import make_layout
from neuromas_env.envs.discrete.vector import VectorNetwork
from neuromas_env.errors import InputError

LAYOUT = make_layout("xor", "2-1")


@pytest.fixture
def mine(monkeypatch):
    monkeypatch.setattr(ALGORITHMS, "registered", {})

    @register_algorithm("mine")
    class Still:
        """Says the first message, whatever it sees."""

        def __init__(self, layout, *, seed, updates, rate=0.5, kind="plain"):
            self.layout, self.given = layout, (seed, updates, rate, kind)
            self.table = np.zeros((sum(layout.sizes), layout.messages))

    return Still


def make(name, **options):
    return make_algorithm(name, LAYOUT, seed=3, updates=10, **options)


def test_each_algorithm_has_a_line_and_makes_a_learner_of_the_network():
    for name, about in list_algorithms().items():
        assert about and make(name).layout is LAYOUT
    assert settings("IQL") == {"rate": 0.1, "negative": 1.0, "joint": False, "explore": 0.3}
    assert settings("IPPO")["epochs"] == 4 and settings("IPPO")["critic_rate"] == 0.2


def test_options_of_a_name_are_arguments(mine):
    changed = {"rate": 0.001, "joint": False}
    assert settings("VDN:rate=1e-3,joint=false") == settings("VDN") | changed
    assert make("mine:kind=odd,rate=2").given == (3, 10, 2, "odd")
    assert make("mine:kind=odd", rate=0.1).given == (3, 10, 0.1, "odd")
    assert list_algorithms()["mine"] == "Says the first message, whatever it sees."


def test_exploration_ends_half_way():
    learner, rng = make("IQL:explore=1"), np.random.default_rng(0)
    network, shares = VectorNetwork("xor", "2-1", batch=8, seed=0), []
    for _ in range(7):
        said = learner.act(np.zeros(4000, np.int64), rng)
        shares.append(float((said != learner.table[0].argmax()).mean()))
        network.reset()
        learner.update(play(network, lambda seen: learner.act(seen, rng)))
    # One in two random messages is the best one; of 10 updates 5 explore less and less.
    expected = [max(0.01, 1 - update / 5) / 2 for update in range(7)]
    assert np.allclose(shares, expected, atol=0.03)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("IQLL", "unknown algorithm 'IQLL'. Did you mean 'IQL'"),
        ("IQL:rte=1", "unknown option of algorithm IQL: 'rte'. Did you mean 'rate'"),
        ("IQL:rate", "options must be key=value, .* got 'rate'"),
        ("IQL:seed=1", "unknown option of algorithm IQL: 'seed'"),
        ("bare", "algorithm bare: got an unexpected keyword argument 'seed'"),
        ("small", r"algorithm small: the table must have shape \(13, 2\), got \(2, 2\)"),
    ],
)
def test_what_is_wrong_is_said(mine, name, said):
    register_algorithm("bare", lambda layout: None)
    small = mine(make_layout("xor", "1"), seed=0, updates=0)
    small.table = small.table[:2]
    register_algorithm("small", lambda layout, *, seed, updates: small)
    with pytest.raises(InputError, match=said):
        make(name)
