"""Discrete networks: conformance, views, determinism, and what bad input says."""

import functools
import pickle
import warnings

import gymnasium
import numpy as np
import pettingzoo
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import (
    api_test,
    parallel_api_test,
    parallel_seed_test,
    render_test,
    seed_test,
    state_test,
)

from neuromas_env import Topology, discrete_v0
from neuromas_env.envs.discrete.layout import OBSERVATIONS, make_layout
from neuromas_env.envs.discrete.levels import LEVELS, level
from neuromas_env.envs.discrete.vector import VectorNetwork
from neuromas_env.envs.discrete.views import OneLearnerView, TurnView
from neuromas_env.errors import InputError

ACTIONS = (
    "Action space for each agent probably should be gymnasium.spaces.box or "
    "gymnasium.spaces.discrete"
)
# PettingZoo mentions spaces and observations of these kinds, and goes on.
WARNINGS = {
    "box": set(),
    "multidiscrete": {ACTIONS.replace("Action", "Observation")},
    "discrete": {"Observation is not a NumPy array"},
}
CUSTOM = Topology.from_edges([(0, 2), (1, 2), (0, 3), (2, 4), (3, 4)])
KINDS = {
    "one node": {"topology": "1"},
    "more inputs than parts": {"topology": "3-2-1:skip"},
    "custom": {"topology": CUSTOM, "codebook": 3},
    "rounds": {"topology": "2-1:rounds=3:feedback=output:memory=none", "clock": True},
    **LEVELS,
}
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
encodings = pytest.mark.parametrize("observation", OBSERVATIONS)


def warnings_of(check, *args):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        check(*args)
    return {str(warning.message) for warning in seen}


def play(env, rng):
    """Play an episode at random; what was seen at every turn, and the rewards."""
    seen, rewards = [], {}
    for node in env.agent_iter():
        observation, reward, done, _, _ = env.last()
        assert env.observation_space(node).contains(observation)
        assert env.state_space.contains(env.state())
        seen.append(observation)
        if done:
            rewards[node] = reward
        nvec = getattr(env.action_space(node), "nvec", env.unwrapped.channel.layout.codebook)
        env.step(None if done else rng.integers(nvec))
    return seen, rewards


@kinds
@encodings
def test_pettingzoo_conformance(kind, observation):
    aec = functools.partial(discrete_v0.env, **kind, observation=observation)
    parallel = functools.partial(discrete_v0.parallel_env, **kind, observation=observation)
    expected = WARNINGS[observation] | ({ACTIONS} if kind.get("bandwidth", 1) > 1 else set())
    assert warnings_of(api_test, aec(), 6) == expected
    assert warnings_of(seed_test, aec, 6) == set()
    assert warnings_of(parallel_api_test, parallel(), 6) == set()
    assert warnings_of(parallel_seed_test, parallel, 6) == set()
    assert warnings_of(state_test, aec(), parallel()) == set()


@pytest.mark.parametrize("name", ["xor-easy-v0", "lewis-easy-v0", "parity-hard-v0"])
def test_rendering(name, capsys):
    render_test(functools.partial(discrete_v0.env, **level(name)))
    env = discrete_v0.env(**level("lewis-easy-v0"), render_mode="ansi")
    env.reset(options={"question": (3, 1, 3)})
    env.step([0, 1])
    assert "query (1, 3)" in env.render() and "node_0:\n  0 1" in env.render()


@pytest.mark.slow
@kinds
@encodings
def test_views_conform_to_gymnasium(kind, observation):
    check_env(TurnView(**kind, observation=observation), skip_render_check=True)
    check_env(OneLearnerView(**kind, observation=observation), skip_render_check=True)


def test_the_registries_make_networks_levels_and_views():
    for kind in ("aec", "parallel"):
        env = pettingzoo.make(kind, "neuromas/discrete-v0", task="parity:bits=3", topology="3-1")
        assert len(env.possible_agents) == 4 and str(env.unwrapped) == "discrete_v0"
        for name, arguments in LEVELS.items():
            made = pettingzoo.make(kind, f"neuromas/{name}").unwrapped.channel.layout
            assert made.topology == make_layout(**arguments).topology
            assert made.task.name == make_layout(**arguments).task.name
    turns = gymnasium.make("neuromas/DiscreteTurns-v0", **level("xor-easy-v0"))
    one = gymnasium.make("neuromas/DiscreteOneLearner-v0", learner="node_2")
    assert turns.spec.version == one.spec.version == 0
    assert gymnasium.spec("neuromas/DiscreteTurns-v0").to_json()


def test_each_input_sees_its_part_and_later_nodes_the_query_and_their_messages():
    env = discrete_v0.raw_env("routing:leaves=2,values=3", "2-1-1", observation="multidiscrete")
    env.reset(options={"question": (2, 1, 1)})
    # Slots: node, two parts, the pointer, one symbol of each of three senders.
    assert env.observe("node_0").tolist() == [0, 3, 0, 0, 0, 0, 0]
    assert env.observe("node_1").tolist() == [1, 0, 2, 0, 0, 0, 0]
    assert env.observe("node_3").tolist() == [3, 0, 0, 2, 0, 0, 0]
    env.step(2)
    env.step(0)
    assert env.observe("node_2").tolist() == [2, 0, 0, 2, 3, 1, 0]
    env.step(1)
    assert env.observe("node_3").tolist() == [3, 0, 0, 2, 0, 0, 2]
    env.step(1)
    assert env.rewards == dict.fromkeys(env.possible_agents, 1.0)


def test_the_candidates_of_the_signalling_game_are_the_receivers_alone():
    layout = make_layout("lewis:objects=4,candidates=2", "2-2-1", 2)
    assert layout.reads_query == (False, False, False, False, True)
    assert layout.parts == ((0,), (0,), (), (), ())


@encodings
def test_observations_of_a_node_tell_all_it_sees_apart(observation):
    """Over all questions and messages the three encodings make the same distinctions."""
    found = {}
    for question in [(a, b, q) for a in range(2) for b in range(2) for q in range(2)]:
        env = discrete_v0.raw_env("routing:leaves=2,values=2", "2-1", observation=observation)
        for messages in [(a, b, c) for a in range(2) for b in range(2) for c in range(2)]:
            env.reset(options={"question": question})
            for turn, message in enumerate(messages):
                own = question[turn] if turn < 2 else (question[2], messages[:2])
                seen = np.asarray(env.observe(f"node_{turn}")).tobytes()
                assert found.setdefault((turn, own), seen) == seen
                env.step(message)
    assert len(set(found.values())) == len(found) == 2 + 2 + 8


def test_aec_and_parallel_agree():
    for kind in KINDS.values():
        aec, parallel = discrete_v0.raw_env(**kind), discrete_v0.parallel_env(**kind)
        rng = np.random.default_rng(0)
        for seed in range(5):
            aec.reset(seed=seed)
            observations, infos = parallel.reset(seed=seed)
            assert aec.episode.example == parallel.episode.example
            while parallel.agents:
                turn = [node for node in parallel.agents if infos[node]["active"]]
                actions = {}
                for node in turn:
                    assert aec.agent_selection == node
                    assert np.array_equal(aec.observe(node), observations[node])
                    nvec = getattr(aec.action_space(node), "nvec", aec.channel.layout.codebook)
                    actions[node] = rng.integers(nvec)
                    aec.step(actions[node])
                observations, rewards, done, _, infos = parallel.step(actions)
                assert np.array_equal(aec.state(), parallel.state())
            assert rewards == aec.rewards and set(done.values()) == {True}


def test_equal_seeds_give_equal_episodes_and_copies_behave_alike():
    for kind in KINDS.values():
        env = discrete_v0.raw_env(**kind)
        twin = pickle.loads(pickle.dumps(env))
        env.reset(seed=3)
        twin.reset(seed=3)
        one = play(env, np.random.default_rng(1))
        two = play(twin, np.random.default_rng(1))
        assert one[1] == two[1] and len(one[1]) == len(env.possible_agents)
        for left, right in zip(one[0], two[0], strict=True):
            assert np.array_equal(left, right)


def test_the_turn_view_plays_the_network_node_by_node():
    view = TurnView("xor", "2-1", observation="multidiscrete")
    observation, info = view.reset(options={"question": (1, 0)})
    assert (observation[0], info) == (0, {"agent": "node_0"})
    assert view.step(1)[1:] == (0.0, False, False, {"agent": "node_1"})
    observation, reward, done, truncated, _ = view.step(0)
    assert observation.tolist() == [2, 0, 0, 2, 1] and not done
    assert view.step(1)[1:4] == (1.0, True, False)


def test_the_one_learner_view_plays_the_others_by_their_policies():
    def same(observation):
        return observation[1:3].max() - 1  # the bit that this input node sees

    view = OneLearnerView(
        "xor", "2-1", observation="multidiscrete", learner="node_2",
        others={"node_0": same, "node_1": same},
    )  # fmt: skip
    for a, b in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        observation, _ = view.reset(options={"question": (a, b)})
        assert observation.tolist() == [2, 0, 0, a + 1, b + 1]
        assert view.step(a ^ b)[1:4] == (1.0, True, False)
    view = OneLearnerView("xor", "2-1", learner="node_0")
    view.reset(seed=0)
    rewards = [view.reset() and view.step(0)[1] for _ in range(200)]
    assert 60 < sum(rewards) < 140


BAD_ARGUMENTS = [
    ({"codebook": 0}, "codebook must be at least 1, got 0"),
    ({"bandwidth": 0}, "bandwidth must be at least 1, got 0"),
    ({"codebook": 2.0}, "codebook must be a whole number or nothing, got 2.0"),
    ({"codebook": True}, "codebook must be a whole number or nothing, got True"),
    ({"codebook": 1}, "makes 1 different messages, but the output node must be able to give 2"),
    ({"bandwidth": 13}, "makes more than 4096 different messages"),
    ({"bandwidth": 10**9}, "makes more than 4096 different messages"),
    ({"task": "parity:bits=3"}, "has 2 input nodes, but task parity:bits=3 has 3 parts: .*'3-1'"),
    ({"task": "xorr"}, "unknown discrete task 'xorr'. Did you mean 'xor'"),
    ({"task": "parity:bit=3"}, "unknown parameter of task parity 'bit'. Did you mean 'bits'"),
    ({"task": "relay:values=1"}, "values must be an integer from 2 to 64, not 1"),
    ({"task": "lewis:objects=2,candidates=3"}, "candidates must be at most the 2 objects"),
    ({"topology": "2-2"}, "did you mean '2-2-1'"),
    ({"topology": "tree-1"}, "at least 2 leaves, not 1"),
    ({"topology": "tree-999"}, "1 to 1000 nodes"),
    ({"observation": "boxx"}, "unknown observation encoding 'boxx'. Did you mean 'box'"),
    ({"task": "index:bits=1"}, "bits must be an integer from 2 to 6, not 1"),
    ({"topology": "2-1:rounds=2"}, "has no memory, but '2-1:rounds=2' has: write memory=none"),
    ({"topology": "2-1:rounds=2:feedback=0>7:memory=none"}, "node_7 is named by a feedback edge"),
    ({"topology": "2-1:rounds=2:feedback=0>:memory=none"}, "unknown feedback '0>'"),
    ({"topology": "2-1:rounds=0"}, "rounds must be at least 1 and at most 1000, got 0"),
    (
        {"task": "relay", "topology": "16-1", "codebook": 16, "observation": "discrete"},
        "too many to number; take observation='box'",
    ),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "says"), BAD_ARGUMENTS)
@pytest.mark.parametrize(
    "make", [discrete_v0.env, discrete_v0.parallel_env, VectorNetwork, TurnView]
)
def test_arguments_that_do_not_fit(make, arguments, says):
    with pytest.raises(InputError, match=says):
        make(**arguments)


def test_other_arguments_that_do_not_fit():
    with pytest.raises(InputError, match="Did you mean 'xor-easy-v0'"):
        level("xor-easy-v1")
    with pytest.raises(InputError, match="unknown render mode"):
        discrete_v0.env(render_mode="rgb_array")
    with pytest.raises(InputError, match="unknown node 'node_9'"):
        OneLearnerView(learner="node_9")
    with pytest.raises(InputError, match="a policy for each of node_1, node_2, not for node_1"):
        OneLearnerView(others={"node_1": lambda seen: 0})
    with pytest.raises(InputError, match="clock needs at least 2 rounds, got 1; write rounds=2"):
        discrete_v0.env(clock=True)


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (2, "out of the code book: 2 is not in 0..1"),
        (-1, "out of the code book: -1"),
        (1.0, "must be an integer from 0 to 1, not 1.0"),
        (np.float32(1), "must be an integer from 0 to 1"),
        (True, "must be an integer"),
        ("1", "must be an integer"),
        (None, "must be an integer"),
        ([1], "must be an integer"),
        ([[1], [0, 1]], "must be an integer"),
        (np.array([1, 0]), "must be an integer"),
    ],
)
def test_actions_that_are_no_message(action, says):
    env = discrete_v0.env()
    env.reset(seed=0)
    for _ in range(2):
        with pytest.raises(InputError, match=says):
            env.step(action)
    assert env.unwrapped.episode.messages == {} and env.agent_selection == "node_0"
    parallel = discrete_v0.parallel_env()
    parallel.reset(seed=0)
    with pytest.raises(InputError, match=says):
        parallel.step({"node_0": 1, "node_1": action})
    assert parallel.episode.messages == {}
    view = TurnView()
    view.reset(seed=0)
    with pytest.raises(InputError, match="must be an integer|out of the code book"):
        view.step(action)


def test_a_message_of_several_symbols_needs_all_of_them():
    env = discrete_v0.env(**level("lewis-easy-v0"))
    env.reset(seed=0)
    for action in (1, [1], [0, 2], [0.0, 1.0]):
        with pytest.raises(InputError, match="a row of 2 integers from 0 to 1|out of the code"):
            env.step(action)
    env.step((0, 1))
    assert env.unwrapped.episode.messages == {"node_0": 1}


def test_stepping_a_finished_episode():
    for make in (discrete_v0.env, discrete_v0.raw_env):
        env = make()
        env.reset(seed=0)
        for _ in range(3):
            env.step(0)
        with pytest.raises(InputError, match="the episode has ended: take the dead step None"):
            env.step(0)
        for _ in range(3):
            env.step(None)
        with pytest.raises(InputError, match=r"the episode has ended: call reset\(\)"):
            env.step(None)
    parallel = discrete_v0.parallel_env()
    parallel.reset(seed=0)
    actions = dict.fromkeys(parallel.possible_agents, 0)
    parallel.step(actions)
    with pytest.raises(InputError, match="no action for node_2, whose turn it is"):
        parallel.step({"node_0": 0})
    parallel.step(actions)
    with pytest.raises(InputError, match="the episode has ended"):
        parallel.step(actions)
    for view in (TurnView(topology="1"), OneLearnerView()):
        view.reset(seed=0)
        view.step(0)
        with pytest.raises(InputError, match="the episode has ended"):
            view.step(0)


def test_no_reset_unknown_options_and_questions():
    env = discrete_v0.raw_env()
    for call in (lambda: env.step(0), env.state, lambda: env.observe("node_0")):
        with pytest.raises(InputError, match=r"call reset\(\) first"):
            call()
    with pytest.raises(InputError, match="unknown reset option 'questio'. Did you mean"):
        env.reset(options={"questio": (0, 1)})
    for question in [(0,), (0, 2), (0, -1), (0.0, 1.0), "01", (0, 1, 1), [[0], [0, 1]], None]:
        with pytest.raises(InputError, match=r"a question of task xor is integers in 0\.\.1, 0"):
            env.reset(options={"question": question})
    env.reset()
    with pytest.raises(InputError, match="unknown node 'node_7'"):
        env.observe("node_7")
