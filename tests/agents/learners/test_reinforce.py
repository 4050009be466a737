import dataclasses

import numpy as np
import pytest
import torch
from support.engines import NODES, Reference, collect_gradients, cramp, fitting, tiny_engine

from neuromas_env.agents.learners.independent import Independent
from neuromas_env.agents.learners.names import ADVANTAGES
from neuromas_env.agents.learners.reinforce import Reinforce
from neuromas_env.agents.llm import llm_network
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.errors import InputError
from neuromas_env.policy import Completion, Sampling, Trajectory, Turn
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task
from neuromas_env.topology import Topology

CHAIN = Topology.parse("1-1")
PAIR = ("node_0", "node_1")
OPTIONS = TrainConfig(learning_rate=1e-2)


@pytest.fixture(scope="module")
def engine():
    return tiny_engine("llama")


def episodes(engine, rollouts=4, seed=0, nodes="1-1", temperature=1.0):
    topology, task = Topology.parse(nodes), make_task("signal:symbols=2")
    network = llm_network(topology, task, engine, Sampling(temperature, 3))
    runs = run_episodes(network, task, task.examples("train"), seed=seed, rollouts=rollouts)
    # A random model never scores: rewards that differ within a question.
    return [dataclasses.replace(run, reward=float(i % 3 == 0)) for i, run in enumerate(runs)]


class Caught(Exception):
    """Stops an update before its step."""


def caught_gradient(learner, runs):
    """Return the gradient of one update by node, before it is clipped."""
    found = {}

    def look():
        found.update(collect_gradients(learner._engine))
        raise Caught

    step, learner.step = learner.step, look
    try:
        with pytest.raises(Caught):
            learner.update(runs)
    finally:
        learner.step = step
    return found


def weights(engine, nodes=NODES):
    return {
        node: [p.detach().clone() for p in engine.adapters.parameters(node).values()]
        for node in nodes
    }


def changed(engine, before):
    return {
        node
        for node, old in before.items()
        if any(
            not torch.equal(a, b)
            for a, b in zip(old, engine.adapters.parameters(node).values(), strict=True)
        )
    }


# --- the gradient ---------------------------------------------------------------------


def test_the_expected_gradient_is_that_of_the_expected_reward(engine):
    """Count out all outcomes of a chain: a message of one token, an answer of one token.

    All outcomes but these six earn nothing, so they add nothing to either side.
    """
    prompt = np.array(engine.chat.encode((("user", "q"),)))
    says, answers = [40, 41, 42], [50, 51]
    table = np.array([[1.0, 0.2], [0.0, 0.7], [0.5, 0.9]])

    def chain(message, answer):
        turns = []
        for node, ids, token in (
            ("node_0", prompt, message),
            ("node_1", np.append(prompt, message), answer),
        ):
            reply = Completion("", ids, np.array([token]), np.zeros(1, dtype=np.float32))
            turns.append(Turn(node, "", node, reply))
        return tuple(turns)

    outcomes = {
        (i, j): Trajectory(None, 0, 0, chain(m, a), "", None, table[i, j])
        for i, m in enumerate(says)
        for j, a in enumerate(answers)
    }
    learner = Reinforce(engine, PAIR, advantage="none", clip=1e9)

    # The expectation: the negated gradient of each outcome's loss times its probability.
    expected = {node: 0.0 for node in PAIR}
    exact = {node: 0.0 for node in PAIR}
    for run in outcomes.values():
        if not run.reward:
            continue
        rows, _, _ = learner._rows([run], [np.ones(2)])
        with engine.training(rows) as scored:
            probability = scored.logprobs.sum().exp()
            (run.reward * probability).backward()
            p = float(probability.detach())
        slope = collect_gradients(engine)
        estimate = caught_gradient(learner, [run])
        for node in PAIR:
            expected[node] = expected[node] - p * estimate[node]
            exact[node] = exact[node] + slope[node]
    for node in PAIR:
        assert exact[node].norm() > 0
        assert (expected[node] - exact[node]).norm() < 1e-4 * exact[node].norm()

    # The whole batch is the mean of its episodes, those without reward counted.
    batch = caught_gradient(learner, list(outcomes.values()))
    mean = {node: 0.0 for node in PAIR}
    for run in outcomes.values():
        if run.reward:
            alone = caught_gradient(learner, [run])
            mean = {node: mean[node] + alone[node] / len(outcomes) for node in PAIR}
    for node in PAIR:
        assert torch.allclose(batch[node], mean[node], rtol=1e-3, atol=1e-6)


def log_probabilities(reference, step, temperature):
    reply = step.completion
    ids = [*reply.prompt_ids.tolist(), *reply.ids.tolist()]
    cut = slice(len(reply.prompt_ids) - 1, -1)
    logits = reference.model(
        input_ids=torch.tensor([ids]), adapter_names=[step.adapter], use_cache=False
    ).logits[0, cut]
    with torch.no_grad():
        base = reference.model(
            input_ids=torch.tensor([ids]), adapter_names=["__base__"], use_cache=False
        ).logits[0, cut]
    return *((x / temperature).log_softmax(-1) for x in (logits, base)), reply.ids


@pytest.mark.parametrize(
    ("kl_coef", "entropy_coef", "temperature"),
    [(0, 0, 1), (0, 0, 0.5), (0.3, 0, 1), (0, 0.2, 1), (0.3, 0.2, 0.5)],
)
def test_the_loss_has_exactly_the_gradient_that_its_formula_says(
    engine, kl_coef, entropy_coef, temperature
):
    """Compare with the formula in `Reinforce`, computed with PEFT alone, row by row."""
    runs = episodes(engine, temperature=temperature)
    reference = Reference(engine, "llama")
    learner = Reinforce(
        engine,
        PAIR,
        temperature=temperature,
        kl_coef=kl_coef,
        entropy_coef=entropy_coef,
        clip=1e9,
    )
    found = caught_gradient(learner, runs)
    rewards = np.array([run.reward for run in runs]).reshape(2, 4)
    advantages = ((rewards - rewards.mean(1, keepdims=True)) * 4 / 3).ravel()
    reference.model.requires_grad_(False)
    named = {n: p for n, p in reference.model.named_parameters() if ".lora_" in n}
    for parameter in named.values():
        parameter.requires_grad_(True)
    loss = 0.0
    for run, advantage in zip(runs, advantages, strict=True):
        for step in run.turns:
            logp, base, ids = log_probabilities(reference, step, temperature)
            p = logp.exp()
            loss = loss - advantage * logp[torch.arange(len(ids)), ids].sum()
            loss = loss + entropy_coef * (p * logp).sum() + kl_coef * (p * (logp - base)).sum()
    (loss / len(runs)).backward()
    for node in PAIR:
        exact = torch.cat([p.grad.ravel() for n, p in named.items() if f".{node}." in n])
        assert exact.norm() > 0
        assert (found[node] - exact).norm() < 1e-3 * exact.norm()


def test_rows_without_advantage_are_dropped_but_counted(engine):
    runs = episodes(engine)
    flat = [dataclasses.replace(run, reward=1.0) if run.group else run for run in runs]
    learner = Reinforce(engine, PAIR, clip=1e9)
    half = caught_gradient(learner, flat)
    alone = caught_gradient(learner, flat[:4])
    for node in PAIR:
        assert torch.allclose(half[node], alone[node] / 2, rtol=1e-3, atol=1e-7)
    before = weights(engine)
    metrics = Reinforce(engine, PAIR).update([dataclasses.replace(run, reward=1.0) for run in runs])
    assert metrics["train_rows"] == 0 == metrics["gradient_norm"] and not changed(engine, before)


# --- the step -------------------------------------------------------------------------


def test_only_the_given_nodes_learn_and_those_by_the_base_are_passed_over():
    engine = tiny_engine("llama")
    before = weights(engine)
    Reinforce(engine, ["node_1"]).update(episodes(engine))
    assert changed(engine, before) == {"node_1"}
    bare = [
        dataclasses.replace(
            run, turns=tuple(dataclasses.replace(turn, adapter=None) for turn in run.turns)
        )
        for run in episodes(engine)
    ]
    assert Reinforce(engine, PAIR).update(bare)["train_rows"] == 0


def test_metrics_tell_what_happened():
    engine = tiny_engine("llama")
    runs = episodes(engine, temperature=0.7)
    metrics = Reinforce(engine, PAIR, temperature=0.7).update(runs)
    assert metrics["reward"] == np.mean([run.reward for run in runs])
    assert metrics["sampler_gap"] < 1e-4 and metrics["gradient_norm"] > 0
    assert metrics["train_tokens"] == sum(
        len(step.completion.ids) for run in runs for step in run.turns
    )
    assert 0 < metrics["entropy/node_0"] < 6 and 0 < metrics["entropy/node_1"] < 6


def test_the_divergence_is_measured_now_and_then_and_costs_no_gradient():
    engine, plain = tiny_engine("llama"), tiny_engine("llama")
    every = Reinforce(engine, PAIR, kl_every=2)
    always = Reinforce(plain, PAIR, kl_every=1)
    measured = [every.update(episodes(engine)).get("kl") for _ in range(3)]
    assert measured[0] > 0 and measured[1] is None and measured[2] > 0
    for _ in range(3):
        always.update(episodes(plain))
    first, second = weights(engine, PAIR), weights(plain, PAIR)
    assert all(torch.equal(*pair) for n in PAIR for pair in zip(first[n], second[n], strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("make", [Reinforce.make, Independent.make])
def test_the_divergence_is_that_of_every_node(make):
    found = []
    for moved in (PAIR, PAIR[:1], PAIR[1:], ()):
        engine = tiny_engine("llama", noise=0.0, token_budget=60)
        for node in moved:
            engine.adapters.add_noise(node, 0.3, seed=0)
        found.append(make(engine, PAIR, OPTIONS).update(episodes(engine, rollouts=8))["kl"])
    both, first, second, none = found
    assert abs(none) < 1e-6 < 1e-3 < min(first, second) and max(first, second) < both


def test_the_divergence_is_measured_on_few_rows():
    engine = tiny_engine("llama")
    runs, training, sizes = episodes(engine, rollouts=32), engine.training, []

    def count(rows, *, with_kl, **options):
        sizes.append(len(rows) if with_kl else 0)
        return training(rows, with_kl=with_kl, **options)

    engine.training = count
    metrics = Reinforce(engine, PAIR).update(runs)
    assert 0 < sum(sizes) <= 8 < metrics["train_rows"]


@pytest.mark.slow
def test_warm_up_grows_linearly():
    engine = tiny_engine("llama")
    learner = Reinforce(engine, PAIR, learning_rate=0.1, warmup_steps=4)
    rates = []
    for _ in range(5):
        learner.update(episodes(engine))
        rates.append(learner._optimisers["node_0"].param_groups[0]["lr"])
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])


@pytest.mark.slow
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_changes_nothing(value):
    engine = tiny_engine("llama")
    runs = episodes(engine)
    bad = [dataclasses.replace(runs[0], reward=value), *runs[1:]]
    learner = Reinforce(engine, PAIR, advantage="moving_average")
    learner.update(runs)
    before, state = weights(engine), learner.state_dict()
    with pytest.raises(FloatingPointError, match="step 2.*train/A"):
        learner.update(bad)
    assert not changed(engine, before) and learner.state_dict()["advantage"] == state["advantage"]
    assert learner.state_dict()["steps"] == 1
    assert all(gradient is None for gradient in collect_gradients(engine).values())


@pytest.mark.slow
def test_out_of_memory_says_which_budget_fits():
    engine, room = tiny_engine("llama"), 150
    runs, before = episodes(engine), weights(engine)
    learner = Reinforce(engine, PAIR)
    cramp(engine, room)
    with pytest.raises(InputError, match="cpu ran out of memory in training") as caught:
        learner.update(runs)
    largest = engine.largest(learner._rows(runs, [np.ones(len(run.turns)) for run in runs])[0])
    assert str(largest) in str(caught.value) and room / 2 <= fitting(caught) <= largest / 2
    assert not changed(engine, before)
    assert all(gradient is None for gradient in collect_gradients(engine).values())
    # With that budget it goes through.
    retry = tiny_engine("llama", token_budget=fitting(caught))
    cramp(retry, room)
    assert Reinforce(retry, PAIR).update(runs)["train_rows"] > 0
    cramp(engine, 0)
    with pytest.raises(InputError, match="not even one row fits"):
        learner.update(runs)


@pytest.mark.slow
def test_advantage_modes_differ():
    runs = episodes(tiny_engine("llama"))
    runs = [
        dataclasses.replace(run, reward=reward)
        for run, reward in zip(runs, [1.0, 0.0, 0.5, 0.0, 1.0, 1.0, 0.0, 0.2], strict=True)
    ]
    found = []
    for mode in ADVANTAGES:
        learner = Reinforce(tiny_engine("llama"), PAIR, advantage=mode, clip=1e9)
        learner._advantage(np.ones((2, 4)))  # something for the moving average to remember
        found.append(caught_gradient(learner, runs)["node_0"])
    for i, first in enumerate(found):
        for second in found[:i]:
            assert (first - second).norm() > 0.01 * second.norm()


def test_every_adapter_learns_from_messages_of_one_token():
    engine = tiny_engine("llama")
    runs = episodes(engine, nodes="2-1")
    cut = []
    for run in runs:
        turns = []
        for turn in run.turns:
            reply = turn.completion
            short = dataclasses.replace(reply, ids=reply.ids[:1], logprobs=reply.logprobs[:1])
            turns.append(dataclasses.replace(turn, completion=short))
        cut.append(dataclasses.replace(run, turns=tuple(turns)))
    before = weights(engine)
    metrics = Reinforce(engine, NODES).update(cut)
    assert metrics["train_tokens"] == metrics["train_rows"] == 3 * len(runs)
    assert changed(engine, before) == set(NODES)


@pytest.mark.slow
@pytest.mark.parametrize("make", [Reinforce.make, Independent.make])
def test_a_resumed_learner_goes_on_bit_for_bit(make, tmp_path):
    engine, other = tiny_engine("llama"), tiny_engine("llama")
    learner = make(engine, PAIR, OPTIONS)
    learner.update(episodes(engine, seed=0))
    torch.save(learner.state_dict(), tmp_path / "state.pt")
    for node in PAIR:
        engine.adapters.save(node, tmp_path / node)
        other.adapters.load(node, tmp_path / node)
    resumed = make(other, PAIR, OPTIONS)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=False))
    for learner_, engine_ in ((learner, engine), (resumed, other)):
        learner_.update(episodes(engine_, seed=1))
    first, second = weights(engine, PAIR), weights(other, PAIR)
    assert all(torch.equal(*pair) for n in PAIR for pair in zip(first[n], second[n], strict=True))


def test_no_independent_node_moves_where_one_gradient_is_not_finite():
    engine = tiny_engine("llama")
    learner = Independent.make(engine, NODES, OPTIONS)
    runs = episodes(engine, seed=0, nodes="2-1")
    before, state = weights(engine), str(learner.state_dict())
    with torch.no_grad():
        next(iter(engine.adapters.parameters(NODES[-1]).values())).fill_(float("nan"))
    with pytest.raises(FloatingPointError):
        learner.update(runs)
    assert changed(engine, before) == {NODES[-1]}  # by our own hand
    assert str(learner.state_dict()) == state


@pytest.mark.slow
def test_independent_nodes_each_take_a_step_of_their_own():
    engine, alone = tiny_engine("llama"), tiny_engine("llama")
    learner = Independent.make(engine, NODES, OPTIONS)
    before = weights(engine)
    for seed in range(2):
        metrics = learner.update(episodes(engine, seed=seed, nodes="2-1"))
    assert changed(engine, before) == set(NODES)
    assert metrics["train_rows"] == 3 * 8 and {f"entropy/{node}" for node in NODES} <= set(metrics)
    assert set(learner.state_dict()) == set(NODES)
    # One node's step is what it would be if it were the only one to learn.
    for run_engine, nodes in ((alone, ["node_1"]),):
        Independent.make(run_engine, nodes, OPTIONS).update(
            episodes(run_engine, seed=0, nodes="2-1")
        )
    again = tiny_engine("llama")
    Independent.make(again, NODES, OPTIONS).update(episodes(again, seed=0, nodes="2-1"))
    pairs = zip(weights(again)["node_1"], weights(alone)["node_1"], strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
