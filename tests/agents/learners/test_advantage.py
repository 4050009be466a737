import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromas_env.agents.learners.advantage import Advantage
from neuromas_env.agents.learners.base import reward_table
from neuromas_env.agents.learners.names import ADVANTAGES
from neuromas_env.errors import InputError
from neuromas_env.policy import Trajectory
from neuromas_env.tasks.base import Example

TABLES = st.tuples(st.integers(1, 4), st.integers(2, 5)).flatmap(
    lambda shape: st.lists(
        st.lists(st.floats(-5, 5), min_size=shape[1], max_size=shape[1]),
        min_size=shape[0],
        max_size=shape[0],
    ).map(np.array)
)


@given(TABLES)
def test_leave_one_out_is_the_reward_minus_the_mean_of_the_others(rewards):
    found = Advantage("leave_one_out")(rewards)
    for group, values in enumerate(rewards):
        for i, value in enumerate(values):
            assert np.isclose(found[group, i], value - np.delete(values, i).mean(), atol=1e-9)


@given(TABLES)
def test_group_and_batch_means_are_taken_off(rewards):
    normalised = Advantage("group_normalised")(rewards)
    assert np.allclose(normalised.mean(1), 0, atol=1e-6)
    spread = rewards.std(1)
    assert np.allclose(normalised.std(1), spread / (spread + 1e-6), atol=1e-9)
    assert np.allclose(Advantage("batch_mean")(rewards), rewards - rewards.mean())
    assert np.array_equal(Advantage("none")(rewards), rewards)


@pytest.mark.parametrize("mode", ["leave_one_out", "group_normalised", "batch_mean"])
def test_equal_rewards_give_exactly_zero(mode):
    assert not Advantage(mode)(np.full((3, 8), 1.0)).any()
    assert not Advantage(mode)(np.zeros((3, 8))).any()


def test_the_moving_average_follows_the_batches_and_goes_round():
    advantage = Advantage("moving_average", decay=0.5)
    assert advantage(np.array([[1.0, 0.0]])).tolist() == [[0.5, -0.5]]
    assert advantage(np.array([[1.0, 1.0]])).tolist() == [[0.5, 0.5]]
    twin = Advantage("moving_average", decay=0.5)
    twin.load_state_dict(advantage.state_dict())
    assert twin(np.array([[0.0]])).tolist() == [[-0.75]]


@pytest.mark.parametrize("mode", ["leave_one_out", "group_normalised"])
def test_groups_of_one_have_nothing_to_compare(mode):
    with pytest.raises(InputError, match="rollouts must be at least 2"):
        Advantage(mode)(np.ones((4, 1)))


def test_an_unknown_mode_is_answered_with_a_suggestion():
    with pytest.raises(InputError, match="leave_one_out"):
        Advantage("leave_on_out")
    assert set(ADVANTAGES) == {
        "leave_one_out", "batch_mean", "moving_average", "group_normalised", "none",
    }  # fmt: skip


def runs(*groups):
    example = Example("a", "q", "t")
    return [Trajectory(example, g, 0, {}, "", None, float(i)) for i, g in enumerate(groups)]


def test_rewards_are_arranged_by_question():
    assert reward_table(runs(0, 0, 1, 1, 2, 2)).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert reward_table(runs(7)).tolist() == [[0]]


@pytest.mark.parametrize("groups", [(), (0, 1, 1), (0, 1, 0, 1), (0, 0, 1)])
def test_uneven_or_mixed_batches_are_refused(groups):
    with pytest.raises(InputError, match="same number of episodes"):
        reward_table(runs(*groups))
