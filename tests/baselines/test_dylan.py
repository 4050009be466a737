"""DyLAN: who speaks in which round, when it ends, and the importance that chooses a team."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.asking import Sums, Told, ask_one, by_label, text_of

from neuromas_env.baselines import make_baseline
from neuromas_env.baselines.adapted import adapt
from neuromas_env.baselines.cards import CARDS
from neuromas_env.baselines.dylan import best, consensus, importance, ratings
from neuromas_env.errors import InputError


def answering(*rounds, ranking="4, 2"):
    """Let each agent give the answer of its round and place; the ranking says what it is told."""
    left = [answer for answers in rounds for answer in answers]

    def say(request, number):
        if "Reply with their numbers" in request.turns[0][1]:
            return ranking
        return f"tag{number}x The answer is {left.pop(0)}.\nRatings: 1, 2, 3, 4"

    return Told(say)


def run(name, engine):
    method, trajectory, requests = ask_one(name, engine)
    return method, trajectory, by_label(method, requests)


def test_the_best_ranked_go_on_and_the_last_round_is_counted():
    method, trajectory, asked = run("dylan", answering([1, 2, 3, 4], [5, 5, 6, 7], [8, 9]))
    assert list(asked) == [
        *(f"agent {i} round 0" for i in range(4)), *(f"agent {i} round 1" for i in range(4)),
        "ranking", "agent 1 round 2", "agent 3 round 2",
    ]  # fmt: skip
    assert method.calls == 11 == len(asked)
    assert trajectory.answer.startswith("tag9x The answer is 8.") and method.tied(trajectory)
    assert all(f"{i + 1}. tag{4 + i}x" in text_of(asked["agent 3 round 2"]) for i in range(4))
    assert CARDS[3][1] in text_of(asked["agent 3 round 2"])
    assert "Ratings:" in asked["agent 0 round 1"].turns[0][1]
    assert "Ratings:" not in asked["agent 0 round 0"].turns[0][1]


@pytest.mark.parametrize(
    ("rounds", "calls", "answer"),
    [
        (([5, 5, 5, 1],), 4, "tag0x"),
        (([5, 5, 1, 1], [6, 1, 6, 6]), 8, "tag4x"),
        (([5, 5, 1, 1], [6, 6, 1, 2], [7, 7]), 11, "tag9x"),
    ],
)
def test_it_ends_when_more_than_two_thirds_agree(rounds, calls, answer):
    _, trajectory, asked = run("dylan", answering(*rounds))
    assert len(asked) == calls and trajectory.answer.startswith(answer)


@pytest.mark.parametrize(
    ("name", "calls"),
    [("dylan:rounds=1", 4), ("dylan:agents=3", 9), ("dylan:rounds=5", 15), ("dylan:keep=4", 12),
     ("dylan:agents=6,keep=3,rounds=4", 19)],
)  # fmt: skip
def test_calls_are_the_closed_form(name, calls):
    said = Told(lambda request, number: f"The answer is {number}.")
    method, _, asked = run(name, said)
    assert method.calls == calls == len(asked)


def test_if_all_abstain_nobody_agrees():
    _, trajectory, asked = run("dylan", Told("no idea"))
    assert len(asked) == 11 and trajectory.answer == "" and trajectory.reward == 0


@given(st.lists(st.sampled_from([1, 2, None]), max_size=7))
def test_consensus_is_more_than_two_thirds(keys):
    # the authors' count: above the whole part of 2/3 of those asked
    most = max((keys.count(key) for key in (1, 2)), default=0)
    assert consensus(keys) == (most > 2 * len(keys) // 3)


def test_rankings_and_ratings_are_read():
    assert best("4, 2, 1", 4, 2) == [3, 1] and best("[[2, 2, 9]]", 4, 2) == [1, 0]
    assert best("", 3, 5) == [0, 1, 2]
    assert ratings("So.\n**Ratings:** 5, 3, 2", 3) == pytest.approx([0.5, 0.3, 0.2])
    assert ratings("Ratings: 5, 3", 3) == ratings("", 3) == pytest.approx([1 / 3] * 3)


def test_importance_flows_back_along_the_ratings():
    """Counted out by hand for two agents and three rounds, by the paper's backward pass."""
    second, third = np.array([[0.25, 0.75], [0.5, 0.5]]), np.array([[0.4, 0.6], [0.0, 0.0]])
    # last (1, 0); before it (.4, .6); first .4 (.25, .75) + .6 (.5, .5) = (.4, .6)
    assert importance([1, 0], [second, third]) == pytest.approx([1.8, 1.2])


@given(st.integers(1, 4), st.integers(0, 3), st.integers(0, 99))
def test_every_round_hands_on_the_whole_importance(agents, later, seed):
    rng = np.random.default_rng(seed)
    weights = [rng.dirichlet(np.ones(agents), agents) for _ in range(later)]
    last = rng.dirichlet(np.ones(agents))
    assert importance(last, weights).sum() == pytest.approx(1 + later)


def by_role(request, number):
    """Two roles are always right, and everybody likes the answers of the first of them best."""
    system, user = request.turns[0][1], request.turns[1][1]
    value = int(user.splitlines()[1]) + 1000
    roles = [i for i, (_, about) in enumerate(CARDS) if system.startswith(about)]
    if not roles:
        return "6, 3"
    said = value if roles[0] in (2, 5) else request.seed % 997
    return f"The answer is {said}.\nRatings: 1, 1, 5, 1, 1, 3"


def test_a_team_is_chosen_by_contribution_and_kept_when_it_goes_on(tmp_path):
    name = "dylan:batch=2"
    whole = adapt(name, Sums(), Told(by_role), 3, tmp_path / "whole")
    adapt(name, Sums(), Told(by_role), 1, tmp_path / "parts")
    assert adapt(name, Sums(), Told(by_role), 3, tmp_path / "parts") == whole
    assert whole.state["questions"] == 6 and whole.cost["calls"] == 6 * (6 + 6 + 1 + 2)
    found = whole.state["importance"]
    assert sorted(range(6), key=lambda i: -found[i])[:2] == [2, 5]
    _, _, asked = run(f"dylan:agents=2,state={tmp_path / 'whole'}", Told(by_role))
    assert [label for label in asked if "round 0" in label] == [
        "agent 2 round 0",
        "agent 5 round 0",
    ]
    assert len(asked) == 2  # they agree
    with pytest.raises(InputError, match="learned with rounds=3, not 4; give the same rounds"):
        make_baseline(f"dylan:rounds=4,state={tmp_path / 'whole'}", Sums(), Told())
    with pytest.raises(InputError, match="importance must have 7 entries or more, got 6"):
        make_baseline(f"dylan:agents=7,state={tmp_path / 'whole'}", Sums(), Told())


def test_a_failed_call_ends_the_choice(tmp_path):
    with pytest.raises(InputError, match="train/7.*told to fail"):
        adapt("dylan", Sums(), Told(fail=range(99)), 1, tmp_path)
