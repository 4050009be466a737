import itertools
import pickle

import numpy as np
import pytest

from neuromas_env.agents.learners.actor_critic import group_relative, learned_baseline
from neuromas_env.agents.learners.advantage import Advantage
from neuromas_env.agents.learners.base import reward_table
from neuromas_env.agents.learners.tabular import TabularEngine, TabularReinforce, key, log_softmax
from neuromas_env.agents.llm import llm_network
from neuromas_env.errors import InputError
from neuromas_env.policy import Completion, Request, Sampling, Trajectory, Turn
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task
from neuromas_env.topology import Topology

CHAIN = Topology.parse("1-1")


def request(engine, seed=0, temperature=1.0, adapter="node_0"):
    return Request((("user", "q"),), engine, adapter, Sampling(temperature, 1), seed)


def test_draws_by_the_table_and_says_how_likely_each_draw_was():
    engine = TabularEngine(["a", "b", "c"])
    (first,) = engine.generate([request(engine)])
    logits = np.log([0.2, 0.5, 0.3])
    engine.table[key("node_0", first.prompt_ids)][:] = logits
    replies = engine.generate([request(engine, seed) for seed in range(3000)])
    counts = np.bincount([r.ids[0] for r in replies], minlength=3) / 3000
    assert np.allclose(counts, [0.2, 0.5, 0.3], atol=0.03)
    assert all(np.isclose(r.logprobs[0], logits[r.ids[0]]) for r in replies)
    assert all(r.text == "abc"[r.ids[0]] for r in replies)
    greedy = engine.generate([request(engine, seed, 0.0) for seed in range(9)])
    assert {r.text for r in greedy} == {"b"}
    other = engine.generate([request(engine, adapter="node_1")])[0]
    assert np.isclose(other.logprobs[0], np.log(1 / 3))
    assert engine.cost.total("eval").calls == 3011


def test_the_draw_of_a_request_does_not_depend_on_its_neighbours():
    engine = TabularEngine(list("abcdefgh"))
    together = [r.text for r in engine.generate([request(engine, s) for s in range(20)])]
    alone = [engine.generate([request(engine, s)])[0].text for s in reversed(range(20))]
    assert together == alone[::-1] and len(set(together)) > 3


@pytest.mark.parametrize("words", [[], ["a", "a"]])
def test_refuses_a_code_book_without_meaning(words):
    with pytest.raises(InputError, match="different words"):
        TabularEngine(words)


class Reader:
    """A critic that has learned anything at all: its value depends on what it reads."""

    def learn(self, prompts, returns, weight):
        return np.array([np.sin(prompt.sum()) for prompt in prompts])

    def step(self):
        pass


class Case:
    """One question, a node that speaks and a node that answers, two words each."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.task = make_task("signal:symbols=2")
        self.example = self.task.examples("train")[1]
        self.engine = TabularEngine(["A", "B"])
        self.learner = TabularReinforce(self.engine, CHAIN.nodes)
        network = llm_network(CHAIN, self.task, self.engine, Sampling(1.0, 1))
        self.outcomes = {}
        for seed in range(100):
            (run,) = run_episodes(network, self.task, [self.example], seed=seed)
            self.outcomes[tuple(step.text for step in run.turns)] = run
        assert len(self.outcomes) == 4
        for entry in list(self.engine.table):
            self.engine.table[entry] = rng.normal(size=2)

    def probability(self, run):
        steps = run.turns
        return np.exp(sum(self.logp(s)[s.completion.ids[0]] for s in steps))

    def logp(self, step):
        return log_softmax(self.engine.table[key(step.adapter, step.completion.prompt_ids)])

    def expected(self, value):
        return sum(self.probability(run) * value(run) for run in self.outcomes.values())

    def finite_differences(self, value):
        exact = {}
        for entry, logits in self.engine.table.items():
            exact[entry] = np.zeros(2)
            for i, sign in itertools.product(range(2), (1, -1)):
                logits[i] += sign * 1e-5
                exact[entry][i] += sign * value() / 2e-5
                logits[i] -= sign * 1e-5
        return exact


@pytest.mark.parametrize(("mode", "rollouts"), [("none", 1), ("none", 2), ("leave_one_out", 2)])
def test_the_expected_update_is_the_exact_policy_gradient(mode, rollouts):
    case = Case()
    exact = case.finite_differences(lambda: case.expected(lambda run: run.reward))
    total = {entry: np.zeros(2) for entry in exact}
    for runs in itertools.product(case.outcomes.values(), repeat=rollouts):
        probability = np.prod([case.probability(run) for run in runs])
        advantages = Advantage(mode)(np.array([[run.reward for run in runs]]))
        for entry, direction in case.learner.gradient(runs, advantages.ravel()).items():
            total[entry] += probability * direction
    assert max(np.abs(direction).max() for direction in exact.values()) > 0.01
    for entry in exact:
        assert np.allclose(total[entry], exact[entry], atol=1e-8)


LEARNERS = {
    "joint": (Advantage("leave_one_out"), 1.0),
    "independent": (Advantage("moving_average"), 1.0),
    "magrpo": (group_relative(dict.fromkeys(CHAIN.nodes, 1.0)), 2 / 3),
    "collm": (learned_baseline([(Reader(), [(n,) for n in CHAIN.nodes])],
                               dict.fromkeys(CHAIN.nodes, 1.0), 0.6, standardise=False), 1.0),
}  # fmt: skip
"""The rule for advantages and how often its mean gradient holds that of the expected reward."""


@pytest.mark.parametrize("name", LEARNERS)
def test_ways_to_train_share_their_mean_gradient_under_a_shared_reward(name):
    """Over all batches of three episodes: baselines change the spread alone, and MAGRPO's scale."""
    case, (rule, factor) = Case(), LEARNERS[name]
    exact = case.finite_differences(lambda: case.expected(lambda run: run.reward))
    if name == "independent":
        rule(np.array([[0.3]]))  # its average is of earlier batches; the first has none
    mean = {entry: np.zeros(2) for entry in exact}
    for batch in itertools.product(case.outcomes.values(), repeat=3):
        probability = np.prod([case.probability(run) for run in batch])
        if isinstance(rule, Advantage):
            before = rule.state_dict()
            found = dict.fromkeys(CHAIN.nodes, rule(reward_table(batch)).ravel())
            rule.load_state_dict(before)
        else:
            found, _ = rule(batch)
        for node in CHAIN.nodes:
            own = TabularReinforce(case.engine, [node]).gradient(batch, found[node])
            for entry, direction in own.items():
                mean[entry] += probability * direction
    assert max(np.abs(direction).max() for direction in exact.values()) > 0.01
    for entry in exact:
        assert np.allclose(mean[entry], factor * exact[entry], atol=1e-8)


def test_the_entropy_bonus_is_the_gradient_of_the_entropy():
    case = Case()
    case.learner = TabularReinforce(case.engine, CHAIN.nodes, entropy_coef=0.5)
    run = case.outcomes["A", "B"]

    def bonus():
        return -0.5 * sum(np.exp(p) @ p for p in map(case.logp, run.turns))

    exact = case.finite_differences(bonus)
    found = case.learner.gradient([run], np.zeros(1))
    for entry in found:
        assert np.allclose(found[entry], exact[entry], atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(s, marks=pytest.mark.whole) for s in (1, 2, 3))]
)
def test_solves_the_signalling_game_exactly(seed):
    task = make_task("signal:symbols=4")
    engine = TabularEngine("ABCD")
    learner = TabularReinforce(engine, CHAIN.nodes, learning_rate=5.0)
    examples = task.examples("train")
    for step in range(120):
        network = llm_network(CHAIN, task, engine, Sampling(1.0, 1))
        learner.update(run_episodes(network, task, examples, seed=1000 * seed + step, rollouts=8))
    greedy = llm_network(CHAIN, task, engine, Sampling(0.0, 1))
    runs = run_episodes(greedy, task, task.examples("test"))
    assert [run.reward for run in runs] == [1.0] * 4
    assert len({run.last("node_0").text for run in runs}) == 4


def test_trains_the_given_nodes_only_and_passes_over_scripted_ones():
    case = Case()
    before = {entry: logits.copy() for entry, logits in case.engine.table.items()}
    run = case.outcomes["A", "B"]
    scripted = Trajectory(run.example, 0, 0, (Turn("node_0", "A"),), "A", run.score, 1.0)
    learner = TabularReinforce(case.engine, ["node_0"], advantage="none")
    assert learner.update([run, scripted])["reward"] == 1.0
    for (adapter, prompt), logits in case.engine.table.items():
        changed = not np.array_equal(before[adapter, prompt], logits)
        assert changed == (adapter == "node_0")


def test_state_goes_round_and_the_average_stays():
    case = Case()
    learner = TabularReinforce(case.engine, CHAIN.nodes, advantage="moving_average")
    learner.update([case.outcomes["A", "B"]])
    twin = TabularReinforce(case.engine, CHAIN.nodes, advantage="moving_average")
    twin.load_state_dict(learner.state_dict())
    assert twin.state_dict() == learner.state_dict() == {"advantage": {"average": 1.0}}


def test_completions_are_exact():
    engine = TabularEngine(["a"])
    (reply,) = engine.generate([request(engine)])
    assert isinstance(reply, Completion) and reply.logprobs.tolist() == [0.0]
    assert bytes(reply.prompt_ids.tolist()) == b"q" and reply.finished


def test_an_engine_survives_pickling():
    engine = TabularEngine(["a", "b"])
    engine.table["node_0", b"q"] = np.array([0.0, 1.0])
    twin = pickle.loads(pickle.dumps(engine))
    assert np.array_equal(twin.table["node_0", b"q"], [0.0, 1.0])
    assert np.array_equal(twin.table["node_1", b"new"], [0.0, 0.0])
