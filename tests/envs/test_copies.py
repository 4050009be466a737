"""A copy of an environment in mid-episode goes on as the original does, whichever kind it is."""

import copy
import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given
from hypothesis import strategies as st
from support.toy_tasks import Dealt, topologies

from neuromas_env import discrete_v0, neuromas_v0
from neuromas_env.envs.discrete.vector import VectorNetwork
from neuromas_env.envs.discrete.views import OneLearnerView, TurnView

COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda env: pickle.loads(pickle.dumps(env))}
copied = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
DEALT = Dealt()


def equal(one, other):
    """Compare observations of any kind: texts, numbers, arrays, and what holds them."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, float) and np.isnan(one):
        return np.isnan(other)
    return np.array_equal(one, other)


def aec_ends(env, act, turns):
    """Play so many turns, or to the end; return what every one saw and got."""
    seen = []
    for agent in env.agent_iter(turns):
        *last, info = env.last()
        seen.append((agent, *last, info))
        done = last[2] or last[3]
        env.step(None if done else act(env, agent))
    return seen


def text(env, agent):
    return f"{agent} says x"


def symbol(env, agent):
    return env.action_space(agent).sample()


AEC = {
    "env": lambda topology: (neuromas_v0.env(DEALT, topology, reward="extracted"), text),
    "raw_env": lambda topology: (neuromas_v0.raw_env(DEALT, topology), text),
    "discrete env": lambda topology: (discrete_v0.env("modsum:parts=2,modulus=3", "2-2-1"), symbol),
    "discrete raw_env": lambda topology: (discrete_v0.raw_env("routing", "4-1"), symbol),
}


@pytest.mark.slow
@copied
@pytest.mark.parametrize("make", AEC.values(), ids=AEC)
@given(topology=topologies(), seed=st.integers(0, 2**31), data=st.data())
def test_a_copy_at_any_turn_goes_on_alike(make, copied, topology, seed, data):
    env, act = make(topology)
    for space in map(env.action_space, env.possible_agents):
        space.seed(seed)
    env.reset(seed=seed)
    turns = data.draw(st.integers(0, 2 * len(env.possible_agents)))
    aec_ends(env, act, turns)
    twin = copied(env)
    for _ in range(2):  # the rest of this episode, and the next: the seed is copied as well
        if env.agents:
            assert equal(env.state(), twin.state())
        assert equal(aec_ends(env, act, 99), aec_ends(twin, act, 99))
        env.reset()
        twin.reset()


PARALLEL = {
    "parallel_env": lambda: (neuromas_v0.parallel_env(DEALT, "2-2-1"), text),
    "discrete parallel_env": lambda: (
        discrete_v0.parallel_env("modsum:parts=2,modulus=3", "2-2-1"),
        symbol,
    ),
}


@copied
@pytest.mark.parametrize("make", PARALLEL.values(), ids=PARALLEL)
@pytest.mark.parametrize("steps", range(4))
def test_a_parallel_copy_goes_on_alike(make, copied, steps):
    env, act = make()
    env.reset(seed=steps)

    for _ in range(steps):
        env.step({agent: act(env, agent) for agent in env.agents})
    twin = copied(env)
    assert twin.agents == env.agents
    while env.agents:
        actions = {agent: act(env, agent) for agent in env.agents}
        assert equal(env.step(actions), twin.step(actions))
    assert equal(env.reset(), twin.reset())


def single():
    return gymnasium.make("neuromas/Task-v0", task="hierarchy/max")


_XOR = np.eye(2)[[0, 1, 0, 1, *[(i // 3 > 1) ^ (i % 3 > 1) for i in range(9)]]]
"""The table of a network that solves `xor`: what node_0 and node_1 see is the bit, node_2 both."""

SINGLE = {
    "one question": (single, "57"),
    "turns": (lambda: TurnView("xor", "2-1"), 1),
    "one learner": (lambda: OneLearnerView("xor", "2-1"), None),
    "one learner beside a table": (
        lambda: OneLearnerView("xor", "2-1", learner="node_1", others=_XOR),
        1,
    ),
    "vector": (
        lambda: SyncVectorEnv(
            [lambda: single().unwrapped] * 2, autoreset_mode=AutoresetMode.SAME_STEP
        ),
        ("57", "58"),
    ),
}


@copied
@pytest.mark.parametrize(("make", "action"), SINGLE.values(), ids=SINGLE)
def test_a_gymnasium_copy_goes_on_alike(make, action, copied):
    env = make()
    env.reset(seed=5)
    if copied is not copy.deepcopy and isinstance(env, SyncVectorEnv):
        pytest.skip("Gymnasium's own vectors hold functions, which pickle refuses")
    twin = copied(env)
    action = env.action_space.sample() if action is None else action
    for _ in range(6):
        one, other = env.step(action), twin.step(action)
        assert equal(one, other)
        if np.any(one[2]) and not isinstance(env, SyncVectorEnv):
            assert equal(env.reset(), twin.reset())


@copied
@pytest.mark.parametrize("steps", range(3))
def test_a_batch_of_discrete_episodes_goes_on_alike(copied, steps):
    env = VectorNetwork("xor", "2-2-1", batch=8, seed=3)
    rng = np.random.default_rng(0)
    env.reset()
    for _ in range(steps):
        env.step(rng.integers(env.layout.messages, size=(2, 8)))
    twin = copied(env)
    messages = rng.integers(env.layout.messages, size=(len(env.layout.layers[steps]), 8))
    assert equal(env.step(messages), twin.step(messages))
    assert equal(env.reset(), twin.reset())


@copied
def test_a_copy_is_apart_and_shares_the_task_where_it_can(copied):
    env = neuromas_v0.raw_env(DEALT, "2-1")
    env.reset(seed=1)
    twin = copied(env)
    env.step("mine")
    assert twin.episode.messages == {} and env.episode.messages == {"node_0": "mine"}
    assert (twin.channel.task is env.channel.task) == (copied is copy.deepcopy)
    place = twin.observe("node_0")["place"]
    with pytest.raises(ValueError, match="read-only"):
        place["sources"][0] = 1
