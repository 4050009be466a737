"""Credit by leaving one node out, counted out on tables; shaped rewards by hand."""

from itertools import product

import numpy as np
import pytest
from support.engines import tiny_engine

from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.agents.learners.advantage import Advantage
from neuromas_env.agents.learners.base import Learner
from neuromas_env.agents.learners.counterfactual import Counterfactual, hearers, without
from neuromas_env.agents.learners.make import make_learner
from neuromas_env.agents.learners.names import read_terms
from neuromas_env.agents.learners.shaping import Shaped, bonus, informative
from neuromas_env.agents.llm import llm_network
from neuromas_env.agents.tables.algorithms import softmax
from neuromas_env.agents.tables.play import play
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.envs.discrete.layout import make_layout
from neuromas_env.envs.discrete.vector import VectorNetwork
from neuromas_env.errors import InputError
from neuromas_env.experiments.backends import tables
from neuromas_env.experiments.probes import adapter_similarity
from neuromas_env.policy import Completion, Sampling, Trajectory, Turn
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task
from neuromas_env.tasks.base import Score
from neuromas_env.topology import Topology

SIGNAL = make_task("signal:symbols=2")


def repeat(request):
    """Say the last word that was read."""
    return request.turns[-1][1].split()[-1]


@pytest.mark.parametrize(
    ("topology", "node", "wanted"),
    [
        ("2-1", "node_0", {"node_2"}),
        ("2-2-1", "node_0", {"node_2", "node_3", "node_4"}),
        ("2-2-1", "node_3", {"node_4"}),
        ("1-1-1", "node_1", {"node_2"}),
    ],
)
def test_those_who_hear_of_a_message(topology, node, wanted):
    assert hearers(Topology.parse(topology), node) == wanted


def test_without_a_node_only_those_who_hear_of_it_speak_anew():
    topology, engine = Topology.parse("2-2-1"), MockEngine(repeat)
    network = llm_network(topology, SIGNAL, engine, Sampling(1.0, 4))
    batch = run_episodes(network, SIGNAL, SIGNAL.examples("train"), rollouts=2)
    assert [t.reward for t in batch] == [1, 1, 1, 1]
    assert sum(engine.batches) == 4 * 5
    first = without("node_1", batch, network, SIGNAL, seed=0)
    assert sum(engine.batches) == 4 * 5 + 4 * 3
    # node_2 and node_3 now end with node_1's empty message and have nothing to repeat but its name.
    assert first.tolist() == [0, 0, 0, 0]
    second = without("node_0", batch, network, SIGNAL, seed=0)
    # The last word that they read is node_1's, which stays.
    assert second.tolist() == [1, 1, 1, 1]


def test_a_call_that_fails_in_the_replay_is_an_error():
    topology, engine = Topology.parse("1-1"), MockEngine(repeat, fail=[4])
    network = llm_network(topology, SIGNAL, engine, Sampling(1.0, 4))
    batch = run_episodes(network, SIGNAL, SIGNAL.examples("train"))
    with pytest.raises(InputError, match="without node_0: node_1: request 4 was told to fail"):
        without("node_0", batch, network, SIGNAL, seed=0)


class Keeps(Learner):
    """A learner that keeps what it is given."""

    def update(self, trajectories, advantages=None):
        self.seen, self.advantages = list(trajectories), advantages
        return {"reward": float(np.mean([t.reward for t in trajectories]))}

    def state_dict(self):
        return {"kept": 1}

    def load_state_dict(self, state):
        assert state == {"kept": 1}


def episode(group, reward, reason="ok", **said):
    turns = [Turn(n, t, n, Completion(t, ids=np.zeros(len(t), int))) for n, t in said.items()]
    return Trajectory(None, group, 0, tuple(turns), "", Score(reward, reward, reason), reward)


BATCH = [
    episode(0, 1.0, node_0="a", node_1="x"),
    episode(0, 0.0, "unparsable", node_0="a", node_1="xyz"),
    episode(1, 1.0, node_0="b", node_1="x"),
    episode(1, 1.0, "ok", node_0="a", node_1="x"),
]


def test_each_node_gets_the_difference_with_a_baseline_of_its_own():
    kept, topology = Keeps(), Topology.parse("1-1")
    lost = np.array([1.0, 0.0, 0.0, 1.0])
    learner = Counterfactual(kept, topology.nodes, topology, lambda node, batch, seed: lost)
    metrics = learner.update(BATCH)
    # D of node_0: 0 0 | 1 0, of the output: 1 0 | 1 1, each minus the other of its question.
    assert [a.tolist() for a in kept.advantages] == [[0, 1], [0, -1], [1, 0], [-1, 0]]
    assert metrics == {"reward": 0.75, "brought/node_0": 0.25}


def test_a_resumed_learner_goes_on_with_the_same_seeds():
    seeds = []

    def replay(node, batch, seed):
        seeds.append(seed)
        return np.zeros(4)

    topology = Topology.parse("1-1")
    first = Counterfactual(Keeps(), topology.nodes, topology, replay)
    first.update(BATCH)
    second = Counterfactual(Keeps(), topology.nodes, topology, replay)
    second.load_state_dict(first.state_dict())
    second.update(BATCH)
    first.update(BATCH)
    assert seeds[0] != seeds[1] == seeds[2]


@pytest.mark.slow
def test_the_learner_trains_a_tiny_model_and_books_its_calls():
    engine = tiny_engine("llama")
    config = TrainConfig(
        task="signal:symbols=2", topology="2-1", learner="counterfactual", max_new_tokens=3
    )
    learner = make_learner("counterfactual", engine, ("node_0", "node_1", "node_2"), config)
    engine.cost.phase = "train"
    batch = run_episodes(
        llm_network("2-1", SIGNAL, engine, Sampling(0.7, 3)),
        SIGNAL, SIGNAL.examples("train"), rollouts=2,
    )  # fmt: skip
    assert engine.cost.total("train").calls == 12
    assert {"brought/node_0", "brought/node_1", "reward"} <= learner.update(batch).keys()
    assert engine.cost.total("train").calls == 12 + 4 * 2
    with pytest.raises(InputError, match="belongs to one network"):
        Counterfactual.check(TrainConfig(learner="counterfactual", schedule="1:1, 2-1:1"))
    with pytest.raises(InputError, match="shaping must be left out with learner 'counterfactual'"):
        Counterfactual.check(TrainConfig(learner="counterfactual", shaping="format=0.2"))


def expected_reward(layout, table, rows):
    """The mean reward over all questions and messages, counted out."""
    p, total = softmax(table), 0.0
    for sent in product(range(layout.messages), repeat=len(layout.topology)):
        chance, turns = np.ones(len(rows)), iter(sent)

        def act(seen, turns=turns, chance=chance):
            message = next(turns)
            chance *= p[seen, message]
            return np.full(len(seen), message)

        _, rewards = tables.messages(layout, act, rows)
        total += (chance * rewards).mean()
    return total


@pytest.mark.slow
@pytest.mark.parametrize("topology", ["2-1", "2-1-1"])
def test_the_gradient_of_leaving_one_out_is_that_of_the_expected_reward(topology):
    """Against derivatives of the reward counted out over all messages."""
    layout = make_layout("xor", topology)
    rng = np.random.default_rng(0)
    table = rng.standard_normal((sum(layout.sizes), layout.messages))
    learner = tables.LeaveOneNodeOut(
        layout, np.arange(len(table)), rate=0.1, seed=0, credit="leave_one_out"
    )
    learner.table = table
    questions = layout.task.every()
    count, rollouts = 4, 5000
    network = VectorNetwork.of(layout, batch=count * rollouts)
    network.reset(questions=tuple(q.repeat(rollouts, 1) for q in questions))
    batch = play(network, lambda seen: learner.act(seen, rng), rollouts)
    weights = learner.credits(batch)
    p = softmax(table)
    found = np.zeros_like(table)
    for seen, sent, weight in zip(batch.seen, batch.sent, weights, strict=True):
        np.add.at(found, (seen, sent), weight)
        np.add.at(found, seen, -weight[:, None] * p[seen])
    found /= count * rollouts
    rows, step = np.arange(4), 1e-4
    for place in np.ndindex(table.shape):
        up, down = table.copy(), table.copy()
        up[place] += step
        down[place] -= step
        wanted = (expected_reward(layout, up, rows) - expected_reward(layout, down, rows)) / (
            2 * step
        )
        assert found[place] == pytest.approx(wanted, abs=0.012), place
    longest = {"2-1": 2, "2-1-1": 5}[topology]
    assert learner.replayed == longest * count * rollouts


def test_replays_of_a_discrete_network_take_the_calls_of_those_who_hear():
    layout = make_layout("routing:leaves=4,values=4", "tree-4")
    heard = [len(tables.descendants(layout, node)) for node in range(6)]
    assert heard == [2, 2, 2, 2, 1, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lenght=1", "Did you mean 'length'"),
        ("length", "each term once with its weight"),
        ("length=x", "each term once"),
        ("length=1,length=2", "each term once"),
        ("format=inf", "each term once"),
    ],
)
def test_wrong_terms_are_named(text, said):
    with pytest.raises(InputError, match=said):
        read_terms(text)
    with pytest.raises(InputError, match=said):
        TrainConfig.from_mapping({"shaping": text})


def test_messages_that_go_with_their_question_are_informative():
    assert informative(["a", "a", "b", "b"], [0, 0, 1, 1]).tolist() == [1, 1, 1, 1]
    assert informative(["a", "a", "a", "a"], [0, 0, 1, 1]).tolist() == [0, 0, 0, 0]
    # Noise that never repeats says nothing.
    assert informative(["a", "b", "c", "d"], [0, 0, 1, 1]).tolist() == [0, 0, 0, 0]
    assert informative(["a", "b", "b", "a"], [0, 0, 1, 1]).tolist() == [-0.5] * 4


def test_terms_are_weighed_and_added_and_the_task_s_reward_stays_in_the_log():
    assert bonus(BATCH, {"format": 0.5}).tolist() == [0.5, 0, 0.5, 0.5]
    assert bonus(BATCH, {"length": 1.0}).tolist() == [-0.01, -0.02, -0.01, -0.01]
    # node_0: a a | b a
    assert bonus(BATCH, {"informative": 1.0}).tolist() == [0.5, 0.5, 0, -1]
    kept = Keeps()
    metrics = Shaped(kept, {"format": 0.5}).update(BATCH)
    assert [t.reward for t in kept.seen] == [1.5, 0, 1.5, 1.5]
    assert metrics == {"reward": 0.75, "shaped": 1.125}


def test_a_learner_is_shown_shaped_rewards_if_that_is_asked_for():
    engine = tiny_engine("llama")
    plain = make_learner("joint", engine, ("node_0",), TrainConfig(topology="1"))
    shaped = make_learner(
        "joint", engine, ("node_0",), TrainConfig(topology="1", shaping="format=1")
    )
    assert not isinstance(plain, Shaped) and isinstance(shaped, Shaped)
    assert shaped.state_dict().keys() == plain.state_dict().keys()


def test_the_baseline_of_a_difference_may_be_any_mode():
    kept, topology = Keeps(), Topology.parse("1")
    learner = Counterfactual(kept, topology.nodes, topology, print, advantage="batch_mean")
    rewards = [t.reward for t in BATCH]
    learner.update([episode(t.group, t.reward, node_0="a") for t in BATCH])
    wanted = Advantage("batch_mean")(np.array(rewards).reshape(2, 2)).ravel()
    assert np.concatenate(kept.advantages).tolist() == wanted.tolist()


def test_adapters_that_are_copies_point_the_same_way_and_fresh_ones_nowhere():
    engine = tiny_engine("llama", nodes=("node_0", "node_1", "node_2"))
    engine.adapters.copy("node_0", "node_1")
    engine.adapters.add("node_3", 7)
    found = adapter_similarity(engine, ("node_0", "node_1", "node_2", "node_3"))
    assert found[0][1] == pytest.approx(1) and found[0][0] == pytest.approx(1)
    assert abs(found[0][2]) < 0.9 and found[0][2] == pytest.approx(found[2][0])
    assert found[0][3] is None and found[3][3] is None
