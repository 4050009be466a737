"""Studies of discrete networks in rounds: training by growth, stored answers, what is refused."""

import json

import numpy as np
import pytest

from neuromas_env.envs.discrete.layout import make_layout
from neuromas_env.errors import InputError
from neuromas_env.experiments import answers
from neuromas_env.experiments.backends import tables
from neuromas_env.experiments.options import DiscreteOptions

TWICE = "2-1:rounds=2:feedback=0>1:memory=none"
ONCE = {"start": "own", "evaluated_on": "all", "questions": 32, "learner": "IQL"}


@pytest.mark.slow
def test_a_network_grows_a_second_round_and_says_what_one_cannot():
    options = DiscreteOptions.from_mapping(ONCE | {"schedule": f"2-1:40, {TWICE}:80"})
    trained = tables.train(options, "index", 0, None)
    assert trained.layout.topology.name == TWICE and trained.score == 1.0
    assert trained.counters["calls"] == 32 * 8 * (40 * 3 + 80 * 6)
    once = DiscreteOptions.from_mapping(ONCE | {"topology": "2-1", "updates": 120})
    assert tables.train(once, "index", 0, None).score <= 0.75


def test_answers_of_rounds_tell_the_round_and_blank_a_node_in_all_of_them():
    layout = make_layout("index", TWICE)
    table = np.zeros((sum(layout.sizes), 2))
    table[:, 1] = 1.0
    [one] = answers.answer(layout, table, np.array([0]))
    said = json.loads(one.transcript)
    assert [turn["node"] for turn in said] == ["node_0", "node_1", "node_2"] * 2
    assert [turn.get("round", 0) for turn in said] == [0, 0, 0, 1, 1, 1]
    assert (one.calls, one.completion_tokens, one.answer) == (6, 6, "1")
    blank = answers.ablation(layout, 0, "blank", 0)
    [one] = answers.answer(layout, table, np.array([0]), change=blank)
    assert [turn["text"] for turn in json.loads(one.transcript)] == list("011011")


def test_credit_by_replay_is_for_one_round():
    options = DiscreteOptions.from_mapping({"topology": TWICE, "credit": "leave_one_node_out"})
    with pytest.raises(InputError, match="leave_one_node_out is for networks of one round, got 2"):
        options.layouts("index")


def test_a_schedule_cannot_take_rounds_away():
    with pytest.raises(InputError, match="it has 2 rounds and there only 1"):
        DiscreteOptions.from_mapping({"schedule": f"{TWICE}:1, 2-1:1"})
