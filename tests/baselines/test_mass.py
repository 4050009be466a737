"""MASS: what each iteration tries and keeps, how workflows are drawn and built."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.asking import Sums, Told, ask_one, by_label, text_of

from neuromas_env.baselines import make_baseline
from neuromas_env.baselines.adapted import FILE, adapt
from neuromas_env.baselines.mass import (
    SMALLEST,
    START,
    MassLearning,
    calls,
    draw,
    influences,
    workflow,
)
from neuromas_env.baselines.net import Setup
from neuromas_env.errors import InputError

NAME = "mass:candidates=2,topologies=3,batch=4"


def told_well(request, number):
    """The model knows a better instruction, and answers rightly by it or in a debate."""
    system, user = request.turns[0][1], request.turns[1][1]
    if system.startswith("Improve the instruction"):
        assert "7" in user and "1000" in user and "SECRET" not in user
        return "Add the numbers." if START["predict"] in user else f"Better {number}."
    if system.startswith(("Add the numbers.", START["debate"])):
        return f"The answer is {int(user.splitlines()[1]) + 1000}."
    return "The answer is 1."


def learn(iterations, out, name=NAME, engine=None):
    return adapt(name, Sums(), engine or Told(told_well), iterations, out)


def test_stages_follow_one_another_and_the_better_stays(tmp_path):
    first = learn(1, tmp_path)
    assert first.state["prompts"] == {**START, "predict": "Add the numbers."}
    assert first.rewards == [1.0] and first.cost["calls"] == 1 + 4 + 4
    done = learn(8, tmp_path)
    assert {block: len(found) for block, found in done.state["scores"].items()} == dict.fromkeys(
        SMALLEST, 2
    )
    assert done.state["workflow"] == (1, 0, 0) and done.state["steps"] == 8
    # two predictor steps, two of aggregate alone, two each of reflect and debate
    assert done.cost["calls"] == 4 * (2 * 2 * 1 + 2 * 3 + 2 * 2 * 3 + 2 * 2 * 4) + 6
    assert done.state["prompts"]["debate"] == START["debate"]  # no better, so it stays
    engine = Told(told_well)
    _, trajectory, requests = ask_one(f"mass:state={tmp_path}", engine)
    assert trajectory.score.extracted == 1 and len(requests) == 1


def test_a_block_is_scored_on_questions_that_have_not_chosen_its_instruction(tmp_path):
    # The better instruction wins on the first questions, and counts from the next ones on.
    assert learn(3, tmp_path).state["scores"] == {"predict": [0.0, 1.0], "aggregate": [1.0]}


@pytest.mark.slow
def test_a_workflow_that_is_better_replaces_the_best_so_far(tmp_path):
    def debaters(request, number):
        return told_well(request, number).replace("Add the numbers.", "Do it.")

    done = learn(14, tmp_path, engine=Told(debaters))
    columns, _, debates = done.state["workflow"]
    assert columns >= 2 and debates >= 1 and calls(done.state["workflow"]) <= 10
    method, trajectory, requests = ask_one(f"mass:state={tmp_path}", Told(debaters))
    assert len(requests) == calls(done.state["workflow"]) == method.calls
    assert trajectory.score.extracted == 1


@pytest.mark.slow
def test_it_goes_on_as_if_it_had_not_been_killed(tmp_path):
    def say(request, number):  # by the request alone
        return told_well(request, request.seed % 100)

    whole = learn(13, tmp_path / "whole", engine=Told(say))
    learn(5, tmp_path / "parts", engine=Told(say))
    learn(12, tmp_path / "parts", engine=Told(say))
    assert learn(13, tmp_path / "parts", engine=Told(say)) == whole
    assert whole.iterations == 13 and len(whole.state["scores"]["debate"]) == 2


def build(shape):
    method = workflow(Setup("mass", Sums(), Told()), shape, START, "index")
    return method, [method.labels[node] for node in method.topology.nodes]


@pytest.mark.parametrize("shape", [*SMALLEST.values(), (3, 1, 1), (1, 4, 0), (2, 0, 4)])
def test_calls_are_the_closed_form(shape):
    method, labels = build(shape)
    assert method.calls == calls(shape) and ("vote" in labels) == (shape[0] > 1)


def test_who_reads_what(tmp_path):
    learn(1, tmp_path, engine=Told())
    held = json.loads((tmp_path / FILE).read_text())
    held["state"]["workflow"] = [2, 1, 1]
    (tmp_path / FILE).write_text(json.dumps(held))
    said = Told(lambda request, number: f"tag{number}x The answer is 1.")
    method, trajectory, requests = ask_one(f"mass:state={tmp_path}", said)
    asked = {label: text_of(request) for label, request in by_label(method, requests).items()}
    assert asked["feedback 1.0"].endswith("Answer:\ntag1x The answer is 1.")
    assert asked["reflection 0.0"].endswith(
        "Answer:\ntag0x The answer is 1.\n\nFeedback:\ntag2x The answer is 1."
    )
    assert asked["debate 1.0"].endswith(
        "Answers:\n1. tag4x The answer is 1.\n2. tag5x The answer is 1."
    )
    assert trajectory.answer.startswith("tag6x") and method.tied(trajectory) is False


def test_influence_is_the_ratio_of_scores_and_decides_which_blocks_are_tried():
    scores = {"predict": [0.4, 0.6], "aggregate": [0.5], "reflect": [0.25], "debate": [1.0]}
    found = influences(scores)
    assert found == {"aggregate": 1.0, "reflect": 0.5, "debate": 2.0}
    rng = np.random.default_rng(0)
    drawn = [draw(found, 10, rng) for _ in range(50)]
    # softmax(I / 0.05) leaves the others a chance of exp(-20)
    assert {shape[0] for shape in drawn} == {2} and {shape[1] for shape in drawn} == {0}
    assert {shape[2] for shape in drawn} == {1, 2, 3, 4}
    assert influences({"predict": [0.0], "debate": [0.0]})["debate"] == 1


@pytest.mark.slow
@given(st.lists(st.floats(0, 4), min_size=3, max_size=3), st.integers(4, 20), st.integers(0, 99))
def test_workflows_are_within_the_budget(values, budget, seed):
    influence = dict(zip(("aggregate", "reflect", "debate"), values, strict=True))
    shape = draw(influence, budget, np.random.default_rng(seed))
    assert calls(shape) <= budget
    assert shape[0] >= 2 or not shape[2]


def test_what_cannot_be_learned_is_refused(tmp_path):
    with pytest.raises(InputError, match="at temperature 0 they would all give the same reply"):
        learn(1, tmp_path / "x", "mass:temperature=0")
    with pytest.raises(InputError, match="budget must be from 4 to 100, not 3"):
        learn(1, tmp_path / "x", "mass:budget=3")
    with pytest.raises(InputError, match="an instruction for predict was asked for: .*fail"):
        learn(1, tmp_path / "x", engine=Told(fail=[0]))
    with pytest.raises(InputError, match="train/7.*told to fail"):
        learn(1, tmp_path / "x", engine=Told(fail=[2]))
    with pytest.raises(InputError, match="neuromas adapt mass --task sums --out DIR"):
        make_baseline("mass", Sums(), Told())
    learn(1, tmp_path / "y", engine=Told())
    path = tmp_path / "y" / FILE
    path.write_text(path.read_text().replace('"debate": "', '"debat": "'))
    with pytest.raises(InputError, match="prompts must have an entry for debate"):
        make_baseline(f"mass:state={tmp_path / 'y'}", Sums(), Told())


def test_learning_starts_with_one_predictor():
    state = MassLearning(Setup("mass", Sums(), Told())).state
    assert state["workflow"] == (1, 0, 0) and state["prompts"] == START
