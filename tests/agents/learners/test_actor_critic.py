"""Learners with critics, and MAGRPO: their rules by hand, their critics on a tiny model."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from support.engines import (
    NODES,
    Reference,
    collect_gradients,
    cramp,
    fitting,
    tiny_engine,
    tiny_folder,
)
from support.tiny_runs import At, Killed, assert_same_end, kill, lines, tiny_config
from support.toy_engine import ToyEngine

from neuromas_env.agents.engines.base import Row
from neuromas_env.agents.learners.actor_critic import (
    CollmCC,
    CollmDC,
    Critic,
    Magrpo,
    group_relative,
    learned_baseline,
)
from neuromas_env.agents.learners.base import learner_class
from neuromas_env.agents.llm import llm_network
from neuromas_env.agents.training.api import resume, train
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.bench.methods import training_of
from neuromas_env.errors import InputError
from neuromas_env.policy import Completion, Sampling, Trajectory, Turn
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task
from neuromas_env.topology import Topology

LAYERS = [("node_0", "node_1"), ("node_2",)]
UNDISCOUNTED = dict.fromkeys(NODES, 1.0)
OPTIONS = TrainConfig(topology="2-1", learning_rate=1e-2, temperature=1.0)


class Told:
    """A critic that predicts the number with which a prompt ends, in tenths."""

    def __init__(self):
        self.learned, self.steps = [], 0

    def learn(self, prompts, returns, weight):
        self.learned.append(([list(map(int, prompt)) for prompt in prompts], returns, weight))
        return np.array([prompt[-1] / 10 for prompt in prompts])

    def step(self):
        self.steps += 1


def episode(group, reward, **prompts):
    turns = [
        Turn(node, "", node, Completion("", np.array(ids), np.array([1])))
        for node, ids in prompts.items()
    ]
    return Trajectory(None, group, 0, tuple(turns), "", None, reward)


BATCH = [
    episode(0, 1.0, node_0=[1, 2], node_1=[3], node_2=[8]),
    episode(0, 0.0, node_0=[1, 2], node_1=[4], node_2=[2]),
    episode(1, 0.5, node_0=[1, 6], node_1=[5], node_2=[5]),
    episode(1, 0.5, node_0=[1, 6], node_1=[1], node_2=[6]),
]


def z(values):
    values = np.array(values)
    return (values - values.mean()) / values.std()


def test_the_centralised_critic_reads_a_layer_and_every_layer_has_the_return():
    critic = Told()
    rule = learned_baseline([(critic, LAYERS)], UNDISCOUNTED, weight=0.6)
    found, metrics = rule(BATCH)
    # V of the first layer: .3 .4 .5 .1, of the second .8 .2 .5 .6
    first = z([1 - 0.3, 0 - 0.4, 0.5 - 0.5, 0.5 - 0.1])
    assert np.allclose(found["node_0"], first) and np.allclose(found["node_1"], first)
    assert np.allclose(found["node_2"], z([0.2, -0.2, 0.0, -0.1]))
    (states, returns, half), (last, rewards, other) = critic.learned
    assert states == [[1, 2, 3], [1, 2, 4], [1, 6, 5], [1, 6, 1]] and last == [[8], [2], [5], [6]]
    assert np.allclose(returns, [1, 0, 0.5, 0.5]) and np.allclose(rewards, returns)
    assert half == other == 0.3 and critic.steps == 1  # one step down the mean of both layers
    gaps = np.array([0.7, -0.4, 0, 0.4, 0.2, -0.2, 0, -0.1])
    assert metrics["value_error"] == pytest.approx(np.mean(gaps**2))
    assert metrics["value"] == pytest.approx(np.mean([1.3, 2.1]) / 4)
    plain, _ = learned_baseline([(Told(), LAYERS)], UNDISCOUNTED, 0.6, standardise=False)(BATCH)
    assert np.allclose(plain["node_1"], gaps[:4]) and np.allclose(plain["node_2"], gaps[4:])


def test_decentralised_critics_read_one_prompt_each():
    critics = {node: Told() for node in NODES}
    readers = [(critic, [(node,)]) for node, critic in critics.items()]
    discounts = {"node_0": 0.5, "node_1": 0.5, "node_2": 1.0}
    found, _ = learned_baseline(readers, discounts, weight=0.6)(BATCH)
    assert np.allclose(found["node_0"], z([0.5 - 0.2, -0.2, 0.25 - 0.6, 0.25 - 0.6]))
    assert np.allclose(found["node_1"], z([0.5 - 0.3, -0.4, 0.25 - 0.5, 0.25 - 0.1]))
    assert np.allclose(found["node_2"], z([0.2, -0.2, 0.0, -0.1]))
    ((prompts, returns, weight),) = critics["node_0"].learned
    assert prompts == [[1, 2], [1, 2], [1, 6], [1, 6]] and weight == 0.6
    assert np.allclose(returns, [0.5, 0, 0.25, 0.25])
    assert all(critic.steps == 1 for critic in critics.values())


def test_magrpo_compares_the_episodes_of_a_question():
    found, _ = group_relative({"node_0": 0.9, "node_2": 1.0})(BATCH)
    # [episodes, rounds]
    assert np.allclose(found["node_2"], [[0.5], [-0.5], [0], [0]])
    assert np.allclose(found["node_0"], [[0.45], [-0.45], [0], [0]])


def test_a_discount_counts_the_layers_that_act_before_a_reward():
    def played(*rewards, rounds=1):
        turns = [Turn(n, "", round=at) for at in range(rounds) for n in ("node_0", "node_2")]
        return Trajectory(None, 0, 0, tuple(turns), "", None, sum(rewards),
                          rewards=rewards if rounds == len(rewards) else ())  # fmt: skip

    engine = ToyEngine()
    for node in ("node_0", "node_2"):
        engine.adapters.add(node, 0)
    options = {"topology": "2-1:rounds=3", "learner": "magrpo", "gamma": 0.5}
    learner = Magrpo.make(engine, ("node_0", "node_2"), TrainConfig(**options))
    batch = [played(0.0, 8.0, rounds=2), played(16.0, rounds=3), played(0.0), played(0.0)]
    found, _ = learner._advantages(batch)
    # Two layers a round: of the 8 of round 1 a quarter is left in round 0, of the 16 of round 2
    # that is paid at the end alone a sixteenth.
    returns = np.array([[2, 8, 0], [1, 4, 16], [0, 0, 0], [0, 0, 0]])
    assert np.allclose(found["node_2"], returns - returns.mean(0))
    assert np.allclose(found["node_0"], found["node_2"] / 2)
    alone = Magrpo.make(engine, ["node_0"], TrainConfig(**options))
    assert np.allclose(alone._advantages(batch)[0]["node_0"], found["node_0"])


# --- on a tiny model ----------------------------------------------------------------------


def episodes(engine, seed=0, rollouts=3):
    topology, task = Topology.parse("2-1"), make_task("signal:symbols=2")
    network = llm_network(topology, task, engine, Sampling(1.0, 3))
    examples = task.examples("train")
    runs = run_episodes(network, task, examples, seed=seed, rollouts=rollouts)
    return [dataclasses.replace(run, reward=float(i % 3 == 0)) for i, run in enumerate(runs)]


def weights(engine, names):
    return {n: [p.detach().clone() for p in engine.adapters.parameters(n).values()] for n in names}


def same(first, second):
    return all(torch.equal(a, b) for n in first for a, b in zip(first[n], second[n], strict=True))


@pytest.mark.slow
def test_a_critic_reads_the_last_token_through_its_adapter():
    engine = tiny_engine("llama")
    prompts = [np.array([7, 30, 31, 80]), np.array([7, 30, 9]), np.array([40, 41, 42, 43, 44])]
    expected = Reference(engine, "llama")
    for batch, hidden in engine.read("node_1", prompts):
        for index, state in zip(batch, hidden, strict=True):
            logits = expected.logits([prompts[index].tolist()], ["node_1"])[0, -1]
            assert torch.allclose(engine._head(state[None])[0], logits, atol=1e-4)


@pytest.mark.slow
def test_a_critic_learns_returns():
    engine = tiny_engine("llama", nodes=("node_0",))
    critic = Critic(engine, "critic", learning_rate=1e-2, clip=1.0, seed=0)
    prompts = [np.array([7, 30, 31]), np.array([7, 30, 90]), np.array([60, 61])]
    returns = np.array([0.0, 1.0, 0.3])
    before = weights(engine, ["node_0"])
    found = []
    for _ in range(60):
        found.append(critic.learn(prompts, returns, 1.0))
        critic.step()
    assert not found[0].any()  # predicted before the step; the head starts at zero
    assert np.abs(found[-1] - returns).max() < 0.2
    assert same(before, weights(engine, ["node_0"]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "critics"),
    [(CollmCC, ["critic"]), (CollmDC, [f"critic_{n}" for n in NODES]), (Magrpo, [])],
)
def test_every_node_and_critic_learns_and_goes_on_after_a_stop(make, critics, tmp_path):
    engine, other = tiny_engine("llama"), tiny_engine("llama")
    learner = make.make(engine, NODES, OPTIONS)
    names = [*NODES, *critics]
    before = weights(engine, names)
    for _ in range(2):  # the first one moves a critic's head alone, which starts at zero
        batch = episodes(engine)
        metrics = learner.update(batch)
    after = weights(engine, names)
    assert not any(same({n: before[n]}, {n: after[n]}) for n in names)
    assert ("value_error" in metrics) == bool(critics) and metrics["train_rows"] == 18
    if critics:
        prompts = [len(s.completion.prompt_ids) for e in batch for s in e.turns]
        heads = len(critics) * (engine.model.get_input_embeddings().weight.shape[1] + 1)
        adapters = [p.numel() for n in critics for p in engine.adapters.parameters(n).values()]
        assert metrics["critic_parameters"] == heads + sum(adapters)
        assert metrics["critic_tokens"] == sum(prompts)
    torch.save(learner.state_dict(), tmp_path / "state.pt")
    resumed = make.make(other, NODES, OPTIONS)
    for node in NODES:
        engine.adapters.save(node, tmp_path / node)
        other.adapters.load(node, tmp_path / node)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    learner.update(episodes(engine, seed=1))
    resumed.update(episodes(other, seed=1))
    assert same(weights(engine, names), weights(other, names))


def lead(engine, batch, node):
    """How much likelier a node's rewarded messages are than the others, in log-probability."""
    runs = sorted(batch, key=lambda run: -run.reward)
    replies = [run.last(node).completion for run in runs]
    rows = [Row(node, reply.prompt_ids, reply.ids) for reply in replies]
    with torch.no_grad(), engine.training(rows) as scored:
        totals = torch.zeros(len(rows)).index_add(0, scored.row, scored.logprobs).numpy()
    good = np.array([run.reward for run in runs]) > 0
    return totals[good].mean() - totals[~good].mean()


@pytest.mark.slow
@pytest.mark.parametrize("make", [CollmCC, CollmDC, Magrpo])
def test_a_first_layer_whose_message_alone_counts_learns_from_the_first_step(make):
    """The reward is 1 where node_0's first token is even; what the others say is for nothing."""
    engine = tiny_engine("llama")
    batch = [
        dataclasses.replace(run, reward=float(run.last("node_0").completion.ids[0] % 2 == 0))
        for run in episodes(engine, rollouts=8)
    ]
    assert 4 <= sum(run.reward for run in batch) <= 12
    learner, leads = make.make(engine, NODES, OPTIONS), [lead(engine, batch, "node_0")]
    for _ in range(3):
        learner.update(batch)
        leads.append(lead(engine, batch, "node_0"))
    assert all(after > before + 0.01 for before, after in itertools.pairwise(leads)), leads


def test_a_critic_has_a_rate_and_a_scale_of_its_own():
    engine = tiny_engine("llama", nodes=("node_0",))
    width = engine.model.get_input_embeddings().weight.shape[1]
    prompt, moved = [np.array([7, 30, 31])], {}
    for number, (rate, scale) in enumerate([(1e-3, 10.0), (1e-2, 10.0), (1e-3, 1.0)]):
        critic = Critic(
            engine, f"critic {number}", learning_rate=rate, clip=1.0, seed=0, scale=scale
        )
        critic.learn(prompt, np.ones(1), 1.0)
        critic.step()
        [moved[rate, scale]] = critic.learn(prompt, np.ones(1), 1.0)
    assert 0 < moved[1e-3, 10.0] <= 1e-3 * 10 * (width**0.5 + 1)
    assert moved[1e-2, 10.0] == pytest.approx(10 * moved[1e-3, 10.0], rel=1e-2)
    assert moved[1e-3, 1.0] == pytest.approx(moved[1e-3, 10.0] / 10, rel=1e-2)
    config = dataclasses.replace(OPTIONS, critic_learning_rate=3e-2)
    made = CollmCC.make(engine, ("node_0",), dataclasses.replace(config, topology="1"))
    rates = {group["lr"] for group in made._critics["critic"]._optimiser.param_groups}
    assert rates == {3e-2}


def test_layers_learned_one_after_the_other_have_the_gradient_of_all_at_once():
    engine = tiny_engine("llama", nodes=("node_0",))
    critic = Critic(engine, "critic", learning_rate=1e-2, clip=1.0, seed=0)
    engine.adapters.add_noise("critic", 0.1, 0)
    torch.nn.init.normal_(critic._head.weight)
    prompts = [np.array([7, 30, 31]), np.array([7, 30, 90]), np.array([60, 61]), np.array([5, 6])]
    returns, gradients = np.array([0.0, 1.0, 0.3, 0.6]), []
    for cuts in ([slice(0, 4)], [slice(2, 4), slice(0, 2)]):
        for cut in cuts:
            critic.learn(prompts[cut], returns[cut], 1 / len(cuts))
        gradients.append([p.grad.clone() for p in critic._parameters])
        critic._optimiser.zero_grad()
    for whole, parts in zip(*gradients, strict=True):
        assert (whole - parts).norm() < 1e-4 * whole.norm()


def test_a_state_that_is_too_long_is_refused():
    engine = tiny_engine("llama")
    critic = Critic(engine, "critic", learning_rate=1e-2, clip=1.0, seed=0)
    room = engine.chat.context_length
    with pytest.raises(InputError, match=f"would read {room + 1} tokens.*holds {room}"):
        critic.learn([np.ones(room + 1, dtype=np.int64)], np.ones(1), 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("make", [CollmCC, CollmDC])
def test_out_of_memory_in_a_critic_says_which_budget_fits(make):
    engine = tiny_engine("llama")
    batch, learner = episodes(engine), make.make(engine, NODES, OPTIONS)
    names = engine.adapters.names
    before = weights(engine, names)
    room = 250 if make is CollmCC else 150  # holds what a critic reads in one episode
    cramp(engine, room)
    with pytest.raises(InputError, match="cpu ran out of memory in training") as caught:
        learner.update(batch)
    assert same(before, weights(engine, names))
    retry = tiny_engine("llama", token_budget=fitting(caught))
    cramp(retry, room)
    assert make.make(retry, NODES, OPTIONS).update(batch)["train_rows"] > 0


def test_a_critic_that_cannot_learn_for_lack_of_memory_is_left_as_it_was():
    engine = tiny_engine("llama", nodes=())
    critic = Critic(engine, "critic", learning_rate=1e-2, clip=1.0, seed=0)
    prompts = [np.arange(3, 3 + length) for length in (4, 10, 40)]
    cramp(engine, 25)
    with pytest.raises(InputError, match="not even one row fits"):
        critic.learn(prompts, np.ones(3), 1.0)
    assert all(gradient is None for gradient in collect_gradients(engine).values())
    assert all(parameter.grad is None for parameter in critic._head.parameters())


@pytest.mark.parametrize("name", ["collm_cc", "collm_dc", "magrpo"])
def test_a_growing_network_is_refused(name):
    config = dataclasses.replace(OPTIONS, learner=name, schedule="1:2, 2-1:2")
    with pytest.raises(InputError, match=f"{name}.*one network"):
        learner_class(name).check(config)


# --- whole runs ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["collm_cc", "collm_dc", "magrpo"])
def test_a_killed_run_ends_like_an_uninterrupted_one(learner, tmp_path):
    def config(name):
        options = {"learner": learner, "steps": 4, "checkpoint_every": 2, "eval_questions": 0}
        return tiny_config(tiny_folder("llama"), tmp_path / name, **options)

    train(config("straight"))
    with pytest.raises(Killed):
        train(config("killed"), report=At(3, kill))
    resume(tmp_path / "killed")
    assert_same_end(tmp_path / "straight", tmp_path / "killed")
    steps = [row for row in lines(tmp_path / "straight/metrics.jsonl") if "event" not in row]
    found = training_of(f"{learner}@{tmp_path / 'straight'}")
    assert found["critic_tokens"] == sum(row.get("critic_tokens", 0) for row in steps)
    assert found["critic_tokens"] == (0 if learner == "magrpo" else found["prompt_tokens"])


def test_a_critic_needs_no_other_episode_of_a_question_but_a_group_does(tmp_path):
    options = {"rollouts": 1, "steps": 1, "eval_questions": 0}
    model = tiny_folder("llama")
    train(tiny_config(model, tmp_path / "cc", learner="collm_cc", **options))
    with pytest.raises(InputError, match="rollouts must be at least 2 with learner 'magrpo'"):
        train(tiny_config(model, tmp_path / "magrpo", learner="magrpo", **options))
