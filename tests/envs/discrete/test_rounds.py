"""Discrete networks in rounds: what nodes see, and one that learns among frozen ones."""

import numpy as np
import pytest

from neuromas_env import discrete_v0
from neuromas_env.envs.discrete.layout import make_layout
from neuromas_env.envs.discrete.levels import level
from neuromas_env.envs.discrete.views import OneLearnerView
from neuromas_env.errors import InputError


def test_later_rounds_see_what_feedback_carries_and_a_clock():
    env = discrete_v0.raw_env(
        "xor", "2-1:rounds=3:feedback=0>1+2>2:memory=none", observation="multidiscrete", clock=True
    )
    env.reset(options={"question": (0, 1)})
    # Slots: node, two parts, a symbol of each sender, of the two that feed back, the round.
    assert env.observe("node_1").tolist() == [1, 0, 2, 0, 0, 0, 0, 1]
    for message in (1, 0, 1):
        env.step(message)
    assert env.rewards == dict.fromkeys(env.possible_agents, 0.0)
    assert env.observe("node_0").tolist() == [0, 1, 0, 0, 0, 0, 0, 2]
    assert env.observe("node_1").tolist() == [1, 0, 2, 0, 0, 2, 0, 2]
    env.step(0)
    assert env.observe("node_1").tolist() == [1, 0, 2, 0, 0, 2, 0, 2]
    env.step(1)
    assert env.observe("node_2").tolist() == [2, 0, 0, 1, 2, 0, 2, 2]
    for message in (0, 1, 1, 1):
        env.step(message)
    assert env.rewards == dict.fromkeys(env.possible_agents, 1.0)  # of the last round's answer
    assert env.observe("node_2").tolist() == [2, 0, 0, 2, 2, 0, 1, 3]


def test_a_node_learns_in_a_frozen_network_of_several_rounds():
    """The node with the word is told of the place in the second round, and paid at the end."""
    layout = make_layout(**level("index-easy-v0"))
    table = np.zeros((sum(layout.sizes), 2))
    table[1, 1] = 1.0  # node_0 says which place
    output = layout.offsets[2] + np.arange(9)
    table[output, np.arange(9) % 3 // 2] = 1.0  # node_2 repeats what node_1 says
    view = OneLearnerView(
        **level("index-easy-v0"), observation="multidiscrete", learner="node_1", others=table
    )
    for place, word in np.ndindex(2, 4):
        observation, _ = view.reset(options={"question": (place, word)})
        assert observation.tolist() == [1, 0, word + 1, 0, 0, 0]
        observation, *rest = view.step(0)
        assert observation.tolist() == [1, 0, word + 1, 0, 0, place + 1]
        assert rest == [0.0, False, False, {}]
        assert view.step(word >> place & 1)[1:4] == (1.0, True, False)


def test_a_frozen_network_sends_messages_of_several_symbols():
    layout = make_layout(**level("lewis-easy-v0"))
    table = np.zeros((sum(layout.sizes), 4))
    table[np.arange(8), np.arange(8) % 4] = 1.0
    view = OneLearnerView(**level("lewis-easy-v0"), learner="node_1", others=table)
    for shown in range(8):
        view.reset(options={"question": (shown, shown, (shown + 1) % 8)})
        assert view.network.episode.said == {"node_0": shown % 4}


def test_a_table_of_another_network_is_refused():
    for table, given in (
        (np.zeros((13, 3)), r"float64 in shape \(13, 3\)"),
        (np.array("x"), "<U1"),
    ):
        with pytest.raises(InputError, match=rf"must hold numbers in shape \(13, 2\), got {given}"):
            OneLearnerView(others=table)
