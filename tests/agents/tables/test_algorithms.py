"""Learning on discrete networks: exact gradients, the learners of language models, solving."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from neuromas_env.agents.learners.advantage import Advantage
from neuromas_env.agents.learners.tabular import TabularEngine, TabularReinforce, key
from neuromas_env.agents.tables.algorithms import (
    PolicyGradient,
    QLearning,
    policy_gradient,
    sample,
    softmax,
)
from neuromas_env.agents.tables.critic import Critic
from neuromas_env.agents.tables.play import Batch, play
from neuromas_env.agents.tables.rollout import code_words, run_discrete
from neuromas_env.envs.discrete.layout import make_layout
from neuromas_env.envs.discrete.vector import VectorNetwork
from neuromas_env.errors import InputError
from neuromas_env.policy import Engine

CASES = [
    ("xor", "2-1", 2),
    ("routing:leaves=2,values=2", "2-1", 2),
    ("relay:values=3", "1-1", 3),
    ("relay:values=2", "1-1-1", 2),
    ("relay:values=2", "1-1:rounds=2:memory=none", 2),
]
RECURRENT = "2-1-1:rounds=3:feedback=output:memory=none"
cases = pytest.mark.parametrize(("task", "topology", "codebook"), CASES)


def all_outcomes(layout):
    """Every question with every row of messages, and the environment after them."""
    parts, query = layout.task.every()
    turns = layout.topology.rounds * len(layout.topology)
    rows = list(itertools.product(range(layout.messages), repeat=turns))
    sent = np.array(rows).T
    count = sent.shape[1]
    questions = np.repeat(parts, count, 1), np.repeat(query, count, 1)
    sent = np.tile(sent, parts.shape[1])
    network = VectorNetwork.of(layout, batch=sent.shape[1])
    network.reset(questions=questions)
    turns = iter(layout.ticks)
    return play(network, lambda seen: sent[list(next(turns))])


def expected_reward(outcomes, table, questions):
    p = softmax(table)[outcomes.seen, outcomes.sent].prod(0) / questions
    return (p * outcomes.rewards).sum(), p


def finite_differences(value, table):
    exact = np.zeros_like(table)
    for at in np.ndindex(table.shape):
        for sign in (1, -1):
            table[at] += sign * 1e-5
            exact[at] += sign * value() / 2e-5
            table[at] -= sign * 1e-5
    return exact


@cases
def test_the_gradient_is_the_exact_one(task, topology, codebook):
    layout = make_layout(task, topology, codebook)
    outcomes, count = all_outcomes(layout), layout.task.questions()
    table = np.random.default_rng(0).normal(size=(sum(layout.sizes), layout.messages))
    _, p = expected_reward(outcomes, table, count)
    assert np.isclose(p.sum(), 1)
    exact = finite_differences(lambda: expected_reward(outcomes, table, count)[0], table)
    weights = np.broadcast_to(p * outcomes.rewards, outcomes.seen.shape)
    found = policy_gradient(softmax(table), outcomes.seen, outcomes.sent, weights)
    assert np.abs(exact).max() > 0.001 and np.allclose(found, exact, atol=1e-8)


@cases
@pytest.mark.parametrize("mode", ["none", "leave_one_out"])
def test_the_learner_of_language_models_follows_the_exact_gradient(task, topology, codebook, mode):
    """The expectation over pairs of episodes of what `TabularReinforce` does, counted out."""
    layout = make_layout(task, topology, codebook)
    outcomes, count = all_outcomes(layout), layout.task.questions()
    table = np.random.default_rng(0).normal(size=(sum(layout.sizes), layout.messages))
    engine = TabularEngine(code_words(layout))
    learner = TabularReinforce(engine, layout.topology.nodes)
    entries = entries_of(outcomes, layout)
    for number, entry in entries.items():
        engine.table[entry] = table[number]
    episodes = trajectories_of(outcomes, layout, engine)
    _, p = expected_reward(outcomes, table, count)
    per_question = len(episodes) // count
    total = np.zeros_like(table)
    for question in range(count):
        own = range(question * per_question, (question + 1) * per_question)
        for pair in itertools.product(own, repeat=2):
            probability = p[list(pair)].prod() * count
            advantages = Advantage(mode)(outcomes.rewards[list(pair)][None])
            runs = [episodes[i] for i in pair]
            gradient = learner.gradient(runs, advantages.ravel())
            for number, entry in entries.items():
                total[number] += probability * gradient.get(entry, 0.0)
    exact = finite_differences(lambda: expected_reward(outcomes, table, count)[0], table)
    assert np.allclose(total, exact, atol=1e-8)


def entries_of(outcomes, layout):
    return {
        int(number): key(f"node_{node}", np.frombuffer(str(number).encode(), np.uint8))
        for node in range(len(layout.topology))
        for number in np.unique(outcomes.seen[node :: len(layout.topology)])
    }


class Script(Engine):
    """An engine that says what it is told, for trajectories of chosen messages."""

    def __init__(self, engine, sent):
        self.engine, self.sent, self.cost = engine, iter(sent), engine.cost

    def generate(self, requests):
        replies = zip(self.engine.generate(requests), np.ravel(next(self.sent)), strict=True)
        return [replace(reply, text=str(word), ids=np.array([word])) for reply, word in replies]


def trajectories_of(outcomes, layout, engine):
    sent = [outcomes.sent[list(turns)] for turns in layout.ticks]
    network = outcomes.network
    runs = run_discrete(layout, Script(engine, sent), (network.parts, network.query))
    assert [run.reward for run in runs] == outcomes.rewards.tolist()
    return runs


@pytest.mark.parametrize("topology", ["2-1", "2-1:rounds=3:feedback=output:memory=none"])
@pytest.mark.parametrize("mode", ["leave_one_out", "batch_mean", "group_normalised"])
def test_batches_and_trajectories_give_the_same_gradient(mode, topology):
    layout = make_layout("routing:leaves=2,values=2", topology, 3)
    engine = TabularEngine(code_words(layout))
    learner = TabularReinforce(engine, layout.topology.nodes)
    vector = PolicyGradient(layout, credit=mode)
    questions = layout.task.every()
    runs = run_discrete(layout, engine, questions, seed=5, rollouts=4)
    network = VectorNetwork(layout.task, layout.topology, 3, batch=len(runs))
    network.reset(questions=tuple(np.repeat(numbers, 4, 1) for numbers in questions))
    said = np.array([[int(step.text) for step in run.turns] for run in runs]).T
    turns = iter(layout.ticks)
    batch = play(network, lambda seen: said[list(next(turns))], rollouts=4)
    assert batch.rewards.tolist() == [run.reward for run in runs]
    credits = vector.credits(batch)
    ours = policy_gradient(softmax(vector.table), batch.seen, batch.sent, credits) / len(runs)
    theirs = learner.gradient(runs, Advantage(mode)(batch.rewards.reshape(-1, 4)).ravel())
    for number, entry in entries_of(batch, layout).items():
        assert np.allclose(ours[number], theirs.get(entry, 0.0))


@pytest.mark.slow
@pytest.mark.parametrize("credit", ["own", "central"])
def test_a_baseline_has_not_seen_the_rewards_that_it_is_subtracted_from(credit):
    layout, batch = small_batch()
    other = replace(batch, rewards=1 - batch.rewards)
    learners = [PolicyGradient(layout, credit=credit, critic_steps=3) for _ in range(2)]
    first, second = (
        learner.credits(b) for learner, b in zip(learners, (batch, other), strict=True)
    )
    assert np.allclose(first - second, batch.rewards - other.rewards, atol=1e-12)
    # The next batch meets what was learned from this one.
    assert np.abs(learners[0].credits(batch) - first).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_tabular_learner_solves_xor(seed):
    layout = make_layout("xor", "2-1")
    engine = TabularEngine(code_words(layout))
    learner = TabularReinforce(engine, layout.topology.nodes, learning_rate=10.0)
    questions = layout.task.every()
    for step in range(60):
        learner.update(run_discrete(layout, engine, questions, seed=seed * 999 + step, rollouts=8))
    runs = run_discrete(layout, engine, questions, temperature=0)
    assert [run.reward for run in runs] == [1.0] * 4
    assert {run.last("node_2").adapter for run in runs} == {"node_2"}


def test_draws_by_probability_at_what_was_seen():
    p = np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    seen = np.tile([0, 1, 2], (2, 5000))
    drawn = sample(p, seen, np.random.default_rng(0))
    assert drawn.shape == seen.shape
    for row in range(3):
        counts = np.bincount(drawn[seen == row], minlength=3) / 10_000
        assert np.allclose(counts, p[row], atol=0.02)


LEARNERS = {
    "joint": lambda layout: PolicyGradient(layout, rate=0.1),
    "moving average": lambda layout: PolicyGradient(layout, rate=0.1, credit="moving_average"),
    "independent": lambda layout: PolicyGradient(layout, rate=0.1, credit="own"),
    "ppo": lambda layout: PolicyGradient(layout, rate=0.1, credit="central", epochs=4),
    "coma": lambda layout: PolicyGradient(layout, rate=0.1, credit="counterfactual"),
    "iql": QLearning,
    "hysteretic": lambda layout: QLearning(layout, negative=0.2),
    "vdn": lambda layout: QLearning(layout, joint=True),
}


@pytest.mark.slow
@pytest.mark.parametrize("make", LEARNERS.values(), ids=LEARNERS)
def test_every_learner_solves_the_smallest_relay(make):
    layout = make_layout("relay:values=2", "1-1")
    learner, rng = make(layout), np.random.default_rng(0)
    network = VectorNetwork(layout.task, layout.topology, layout.codebook, batch=64, seed=0)
    for _ in range(150):
        parts, query = layout.task.draw(rng, 16)
        network.reset(questions=(np.repeat(parts, 4, 1), np.repeat(query, 4, 1)))
        learner.update(play(network, lambda seen: learner.act(seen, rng), rollouts=4))
    network.reset()
    assert play(network, lambda seen: learner.table.argmax(1)[seen]).rewards.mean() == 1.0


def small_batch(topology="2-1-1"):
    layout = make_layout("routing:leaves=2,values=2", topology)
    network = VectorNetwork.of(layout, batch=40, seed=0)
    network.reset()
    rng = np.random.default_rng(0)
    return layout, play(network, lambda seen: rng.integers(2, size=seen.shape))


@pytest.mark.parametrize("topology", ["2-1-1", RECURRENT])
def test_counterfactual_credit_averages_to_nothing_over_a_nodes_messages(topology):
    layout, batch = small_batch(topology)
    critic = Critic(layout, 0.01, seed=0)
    p = softmax(np.random.default_rng(1).normal(size=(sum(layout.sizes), 2)))
    for node in range(len(batch.sent)):
        total = np.zeros(40)
        for message in range(2):
            sent = batch.sent.copy()
            sent[node] = message
            # Later nodes are as they were: the critic must not look at them.
            credit = critic.counterfactual(
                Batch(batch.seen, sent, batch.rewards, 1, batch.network), p
            )
            total += p[batch.seen[node], message] * credit[node]
        assert np.allclose(total, 0, atol=1e-5) and np.abs(credit[node]).max() > 1e-4


def test_the_critic_sees_earlier_messages_only():
    layout, batch = small_batch()
    critic = Critic(layout, 0.01, seed=0)
    before = critic.values(batch)
    batch.sent[2] ^= 1
    after = critic.values(batch)
    assert np.array_equal(before[:3], after[:3]) and (before[3] != after[3]).all()


def test_in_rounds_the_critic_sees_what_feedback_carries_and_nothing_older():
    layout, batch = small_batch(RECURRENT)
    critic = Critic(layout, 0.01, seed=0)
    before = critic.values(batch)
    batch.sent[3] ^= 1  # what the output says in the first of three rounds
    changed = (critic.values(batch) != before).any(1)
    assert changed.tolist() == [False] * 4 + [True] * 4 + [False] * 4


def test_the_critic_is_shown_the_state_of_the_network():
    layout, batch = small_batch(RECURRENT)
    network = VectorNetwork.of(layout, batch=40)
    network.reset(questions=(batch.network.parts, batch.network.query))
    for turns, stage in zip(layout.ticks, Critic(layout, 0.01, 0)._stages(batch), strict=False):
        assert np.array_equal(network.state(), stage.numpy())
        network.step(batch.sent[list(turns)])


@pytest.mark.slow
def test_the_critic_learns_what_to_expect():
    layout, batch = small_batch()
    critic = Critic(layout, 0.01, seed=0)
    for _ in range(300):
        critic.learn(batch)
    assert np.corrcoef(critic.values(batch)[-1], batch.rewards)[0, 1] > 0.6


def test_bad_input():
    layout = make_layout()
    with pytest.raises(InputError, match="unknown value of credit: 'leave_one'. Did you mean"):
        PolicyGradient(layout, credit="leave_one")
    engine = TabularEngine(["0", "7"])
    with pytest.raises(InputError, match="a message must be 0 to 1, but the engine replied '7'"):
        run_discrete(layout, engine, layout.task.every(), rollouts=20)
