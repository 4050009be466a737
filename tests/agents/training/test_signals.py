"""Signs that a run learns nothing or collapses."""

from dataclasses import replace

import pytest

from neuromas_env.agents.training.signals import IN_A_ROW, MEASURES, Watch, measures
from neuromas_env.policy import Completion, Trajectory, Turn
from neuromas_env.tasks.base import Example, Score

FINE = {
    "reward": 0.5, "strict": 0.5, "extracted": 0.5, "cut_off": 0.0, "equal_groups": 0.3,
    "same_answer": 0.3, "same_target": 0.2, "entropy/node_0": 0.5, "entropy/node_1": 0.7,
}  # fmt: skip
SIGNS = {
    "equal_groups": (0.95, "raise --rollouts or --temperature"),
    "same_answer": (0.9, "lower --learning-rate"),
    "cut_off": (0.5, "raise --max-new-tokens"),
    "strict": (0.1, "take --warm-up with --reward strict, or --shaping format=0.2"),
}


def episode(group, answer, reward, target="a", finished=True):
    score = Score(reward, reward, "ok", answer=answer)
    turn = Turn("node_0", answer, "node_0", Completion(answer, finished=finished))
    example = Example(f"q{group}", "Why?", target)
    return Trajectory(example, group, 0, (turn,), answer, score, reward)


def test_measures_are_shares_of_the_batch():
    found = measures(
        [
            episode(0, "a", 1.0), episode(0, "a", 1.0, finished=False),
            episode(1, "a", 0.0, "b"), episode(1, "b", 1.0, "b"),
        ]
    )  # fmt: skip
    assert found == {
        "cut_off": 0.25, "equal_groups": 0.5, "same_answer": 0.75, "same_target": 0.5,
    }  # fmt: skip
    assert tuple(found) == MEASURES
    scripted = replace(episode(0, "a", 1.0), turns=(Turn("node_0", "a"),))
    assert measures([scripted])["cut_off"] == 0


@pytest.mark.parametrize("name", SIGNS)
def test_a_sign_is_told_once_when_it_has_lasted(name):
    value, says = SIGNS[name]
    watch = Watch()
    told = [watch.step(FINE | {name: value}) for _ in range(3 * IN_A_ROW)]
    assert [bool(lines) for lines in told] == [i == IN_A_ROW - 1 for i in range(3 * IN_A_ROW)]
    [line] = told[IN_A_ROW - 1]
    assert says in line and f"for {IN_A_ROW} steps" in line and "{" not in line


def test_a_run_that_goes_on_is_told_what_is_new_alone():
    cut = FINE | {"cut_off": 1.0}
    log = [{"event": "before", "step": 0, "evaluation": None}, *[cut] * (IN_A_ROW - 1)]
    stopped, later = Watch(), Watch()
    stopped.resume(log)
    [told] = stopped.step(cut)  # the steps of the log count
    assert "cut off" in told
    later.resume([*log, cut])
    assert not any(later.step(cut) for _ in range(2 * IN_A_ROW))


def test_a_sign_that_does_not_last_is_not_told():
    watch = Watch()
    for step in range(40):
        bad = {"cut_off": 1.0} if (step + 1) % IN_A_ROW else {}
        assert not watch.step(FINE | bad)


def test_entropy_is_the_mean_over_the_nodes():
    watch = Watch()
    gone = FINE | {"entropy/node_0": 0.001, "entropy/node_1": 0.002}
    assert "next token is 0.002" in [watch.step(gone) for _ in range(IN_A_ROW)][-1][0]
    assert not any(Watch().step(gone | {"entropy/node_1": 1.0}) for _ in range(IN_A_ROW))


def test_a_network_that_is_right_is_left_alone():
    watch = Watch()
    right = FINE | {
        "reward": 1.0, "strict": 1.0, "extracted": 1.0, "equal_groups": 1.0, "entropy/node_0": 0.0,
        "entropy/node_1": 0.0,
    }  # fmt: skip
    assert not any(watch.step(right) for _ in range(2 * IN_A_ROW))


def test_the_warm_up_shows_no_sign():
    watch, warming = Watch(), FINE | {"equal_groups": 1.0, "imitated": 0.9}
    assert not any(watch.step(warming) for _ in range(2 * IN_A_ROW))
    assert not any(watch.step(FINE | {"equal_groups": 1.0}) for _ in range(IN_A_ROW - 1))
