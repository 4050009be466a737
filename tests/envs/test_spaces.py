import pickle

import numpy as np
import pytest
from gymnasium.error import CustomSpaceError
from gymnasium.vector.utils import create_shared_memory
from hypothesis import given
from hypothesis import strategies as st

from neuromas_env.envs.spaces import Message, observation_space


@given(st.text(max_size=20), st.integers(0, 10), st.integers(0, 10))
def test_a_message_is_any_text_within_the_bounds(text, low, more):
    assert (text in Message(low + more, min_length=low)) == (low <= len(text) <= low + more)


@pytest.mark.parametrize("value", [None, 5, b"bytes", ["a"], "lone \ud800 surrogate"])
def test_nothing_else_is_a_message(value):
    assert value not in Message(100)


def test_a_numpy_string_is_a_message():
    assert np.str_("text") in Message(100)


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 2**32))
def test_samples_are_short_seeded_and_inside(low, more, seed):
    space, twin = (Message(low + more, min_length=low, seed=seed) for _ in range(2))
    samples = [space.sample() for _ in range(5)]
    assert samples == [twin.sample() for _ in range(5)]
    assert all(sample in space and len(sample) <= max(low, 64) for sample in samples)


def test_equality_is_equality_of_bounds():
    space = Message(5, min_length=2)
    assert space == Message(5, min_length=2) == pickle.loads(pickle.dumps(space))
    assert space != Message(6, min_length=2)
    assert space != Message(5)
    assert observation_space(3) == observation_space(3)
    assert observation_space(3) != observation_space(4)
    assert observation_space(3, 10) != observation_space(3, 11)


def test_shared_memory_refuses_messages_instead_of_losing_them():
    with pytest.raises(CustomSpaceError, match="Message"):
        create_shared_memory(Message(5))
