"""All forms of a network play the same episodes, whether its nodes send texts or symbols."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.toy_tasks import Dealt, Whole, topologies

from neuromas_env import discrete_v0, neuromas_v0
from neuromas_env.envs.discrete.channel import DiscreteChannel, Question
from neuromas_env.envs.discrete.layout import make_layout
from neuromas_env.envs.discrete.vector import VectorNetwork
from neuromas_env.envs.episode import Episode
from neuromas_env.envs.schedules import Said
from neuromas_env.envs.text import TextChannel
from neuromas_env.envs.wiring import wiring
from neuromas_env.errors import InputError
from neuromas_env.method import Method
from neuromas_env.policy import Policy
from neuromas_env.rollout import run_episodes
from neuromas_env.topology import Topology

TEXTS = Whole(), Dealt()
DISCRETE = [
    ("parity:bits=2", "2-2-1", 3, 1), ("modsum:parts=2,modulus=3", "3-1:skip", 3, 1),
    ("lewis:objects=4,candidates=2", "2-1-1", 2, 2), ("routing:leaves=2,values=3", "tree-3", 3, 1),
    ("relay:values=3", "1", 3, 1),
]  # fmt: skip


class Says(Policy):
    """A node that says what was drawn for it."""

    def __init__(self, text):
        self.text = text

    def request(self, observation, seed):
        return self.text


def walk(env, said):
    """Play an AEC episode; the observation and state of every turn, and what each node got."""
    turns, got = {}, dict.fromkeys(env.possible_agents, 0.0)
    for node in env.agent_iter():
        seen, reward, ended, truncated, info = env.last()
        got[node] += reward
        if not (ended or truncated):
            turns[node] = seen, env.state()
        env.step(None if ended or truncated else said[node])
    return turns, got


def layers(env, options, said):
    """Play a parallel episode; what the nodes of each layer saw, and the rewards of all nodes."""
    seen, infos = env.reset(options=options)
    turns, got = {}, dict.fromkeys(env.possible_agents, 0.0)
    while env.agents:
        turns |= {node: seen[node] for node in env.agents if infos[node]["active"]}
        seen, rewards, *_, infos = env.step(said)
        got = {node: got[node] + rewards[node] for node in got}
    return turns, got


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return np.array_equal(one, other)


@given(topologies(), st.sampled_from(TEXTS), st.data())
def test_texts_play_alike_in_all_forms(topology, task, data):
    index = data.draw(st.integers(0, len(task.rows) - 1))
    words = st.sampled_from([*task.rows[index].question.split(), task.rows[index].target])
    said = {node: data.draw(words) for node in topology.nodes}
    options = {"index": index}
    aec = neuromas_v0.env(task, topology)
    aec.reset(options=options)
    turns, got = walk(aec, said)
    parallel = neuromas_v0.parallel_env(task, topology)
    seen, shared = layers(parallel, options, said)
    team = {node: Says(text) for node, text in said.items()}
    [run] = run_episodes(Method(topology, team), task, [task.rows[index]])
    assert got == shared == dict.fromkeys(topology.nodes, run.reward)
    assert same({node: turn[0] for node, turn in turns.items()}, seen)
    episode = aec.unwrapped.episode
    assert episode.turns == parallel.episode.turns
    assert episode.turns == tuple(Said(node, 0, said[node]) for node in turns)
    assert (episode.answer, episode.score) == (run.answer, run.score)


@pytest.mark.slow
@settings(deadline=None)
@given(st.sampled_from(DISCRETE), st.sampled_from(["box", "multidiscrete"]), st.integers(0, 99))
def test_symbols_play_alike_in_all_forms(kind, observation, seed):
    vector = VectorNetwork(*kind, observation=observation, batch=1, seed=seed)
    layout, random = vector.layout, np.random.default_rng(seed)
    sent = {node: int(random.integers(layout.messages)) for node in layout.topology.nodes}
    symbols = {node: layout.symbols(number) for node, number in sent.items()}
    said = symbols if layout.bandwidth > 1 else sent
    vector.reset()
    options = {"question": [*vector.parts[:, 0], *vector.query[:, 0]]}
    aec = discrete_v0.env(*kind, observation=observation)
    aec.reset(options=options)
    turns, got = walk(aec, said)
    parallel = discrete_v0.parallel_env(*kind, observation=observation)
    seen, shared = layers(parallel, options, said)
    for layer in layout.layers:
        for row, number in zip(vector.observations(), layer, strict=True):
            node = f"node_{number}"
            assert same(row[0], turns[node][0]) and same(row[0], seen[node])
        _, rewards = vector.step(np.array([[sent[f"node_{number}"]] for number in layer]))
    assert got == shared == dict.fromkeys(layout.topology.nodes, float(rewards[0]))
    assert same(vector.state()[0], parallel.state())
    assert aec.unwrapped.episode.turns == parallel.episode.turns
    assert aec.unwrapped.episode.messages == sent


MADE = {
    "texts": (TextChannel(TEXTS[1]), TEXTS[1].rows[0], "x"),
    "symbols": (DiscreteChannel(make_layout("xor", "2-1")), Question((1, 0), ()), 1),
}
made = pytest.mark.parametrize(("channel", "example", "message"), MADE.values(), ids=MADE)
ways = pytest.mark.parametrize(
    "way",
    [Episode.fork, copy.deepcopy, lambda episode: pickle.loads(pickle.dumps(episode))],
    ids=["fork", "deepcopy", "pickle"],
)


@made
@ways
def test_a_copy_of_an_episode_keeps_its_state_and_goes_its_own_way(channel, example, message, way):
    episode = Episode(Topology.parse("2-1"), channel, example)
    episode.say("node_0", message)
    twin = way(episode)
    assert (twin.turns, twin.active, twin.layer) == (episode.turns, ("node_1",), 0)
    episode.say("node_1", message)
    assert len(twin.turns) == 1 and len(episode.turns) == 2
    twin.say("node_1", message)
    assert same(twin.observe("node_2"), episode.observe("node_2"))
    for one in (episode, twin):
        one.say("node_2", message)
    assert (episode.reward, episode.score, episode.turns) == (twin.reward, twin.score, twin.turns)


FORMS = {
    "texts": (neuromas_v0, (TEXTS[0], "2-1"), "yes"),
    "symbols": (discrete_v0, ("xor", "2-1"), 1),
}
forms = pytest.mark.parametrize(("module", "arguments", "message"), FORMS.values(), ids=FORMS)


@forms
@pytest.mark.parametrize("make", ["env", "raw_env"])
def test_truncated_nodes_take_their_dead_step_too(module, arguments, message, make):
    env = getattr(module, make)(*arguments)
    env.reset(seed=0)
    env.unwrapped.episode.truncated = True
    for _ in range(3):
        env.step(message)
    shared = env.unwrapped.episode.reward
    ends = []
    for node in env.agent_iter():
        _, reward, terminated, truncated, _ = env.last()
        ends.append((node, reward, terminated, truncated))
        env.step(None)
    assert ends == [(f"node_{i}", shared, False, True) for i in range(3)] and env.agents == []


@forms
def test_the_parallel_form_tells_how_the_episode_ended(module, arguments, message):
    env = module.parallel_env(*arguments)
    for truncated in (False, True):
        env.reset(seed=0)
        env.episode.truncated = truncated
        said = dict.fromkeys(env.possible_agents, message)
        *_, ends, cuts, _ = env.step(said)
        assert not any(ends.values()) and not any(cuts.values())
        *_, ends, cuts, _ = env.step(said)
        assert ends == dict.fromkeys(env.possible_agents, not truncated)
        assert cuts == dict.fromkeys(env.possible_agents, truncated)


@forms
def test_rewards_are_those_of_a_step_and_last_gives_what_was_earned_since_the_own_turn(
    module, arguments, message
):
    env = module.raw_env(*arguments)
    env.reset(seed=0)
    paid = dict.fromkeys(env.possible_agents, 0.0)
    read = dict.fromkeys(env.possible_agents, 0.0)
    for node in env.agent_iter():
        read[node] += env.last()[1]
        env.step(None if env.terminations[node] else message)
        for other, reward in env.rewards.items():
            paid[other] += reward
    assert paid == read == dict.fromkeys(env.possible_agents, env.episode.reward)


@forms
def test_a_refused_message_changes_nothing(module, arguments, message):
    env = module.raw_env(*arguments)
    env.reset(seed=0)
    before = dict(env.rewards), dict(env._cumulative_rewards), env.agent_selection
    with pytest.raises(InputError, match="the message of node_0 must be"):
        env.step(1.5)
    assert (env.rewards, env._cumulative_rewards, env.agent_selection) == before
    assert env.episode.turns == ()


def test_symbols_may_be_masked_and_replayed_but_not_rewired():
    env = discrete_v0.raw_env("xor", "2-1", observation="multidiscrete")
    env.reset(options={"question": (1, 0), "mask": {"node_0": False}, "prefix": {"node_1": 1}})
    assert env.agent_selection == "node_2" and env.observe("node_2").tolist() == [2, 0, 0, 0, 2]
    env.step(1)
    assert env.rewards == dict.fromkeys(env.possible_agents, 1.0)
    with pytest.raises(InputError, match="edges of its topology '2-1'; they cannot change"):
        env.reset(options={"graph": [(0, 1), (1, 2)]})
    twin = pickle.loads(pickle.dumps(env.channel))
    assert Episode(Topology.parse("2-1"), twin, Question((0, 1), ())).active


def test_a_channel_reads_only_what_the_wiring_gives():
    topology = Topology.parse("2-1")
    dealt = TextChannel(TEXTS[1]).deal(TEXTS[1].rows[0], topology, wiring(topology))
    assert dealt == {"node_0": "q?\nx", "node_1": "q?\ny\nz", "node_2": "q?"}
    with pytest.raises(InputError, match="unknown reward 'strikt'. Did you mean 'strict'"):
        TextChannel(TEXTS[0], reward="strikt")
