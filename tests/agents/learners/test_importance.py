"""The correction for an engine that samples another distribution than the one that is trained."""

import dataclasses

import numpy as np
import pytest
import torch
from support.engines import collect_gradients, tiny_engine

from neuromas_env.agents.engines.base import Row
from neuromas_env.agents.learners.reinforce import Reinforce
from neuromas_env.agents.llm import llm_network
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.policy import Completion, Sampling, Trajectory, Turn
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task
from neuromas_env.topology import Topology

PAIR = ("node_0", "node_1")
NO_CAP = 1e9


class Watched(Reinforce):
    """Keeps the gradient instead of taking the step."""

    def step(self):
        self.found = collect_gradients(self._engine)


@pytest.fixture(scope="module")
def engine():
    return tiny_engine("llama")


def one_token(engine, token, reward, logprob):
    prompt = np.array(engine.chat.encode((("user", "q"),)))
    reply = Completion("", prompt, np.array([token]), np.array([logprob], dtype=np.float32))
    return Trajectory(None, 0, 0, (Turn("node_0", "", "node_0", reply),), "", None, reward)


def test_another_sampler_gives_the_exact_gradient_in_expectation(engine):
    """Count out the replies that earn something; a hotter distribution draws them."""
    rewards = {40: 1.0, 41: 0.3, 50: 0.7, 51: -0.5}
    prompt = np.array(engine.chat.encode((("user", "q"),)))
    rows = [Row("node_0", prompt, np.array([token])) for token in rewards]
    with torch.no_grad(), engine.training(rows, temperature=1.7) as hot:
        drawn = hot.logprobs.numpy()
    with engine.training(rows) as scored:
        (scored.logprobs.exp() * torch.tensor(list(rewards.values()))).sum().backward()
    exact = collect_gradients(engine)["node_0"]
    found = {}
    for cap in (NO_CAP, 0.0):
        learner = Watched(engine, ["node_0"], advantage="none", importance_cap=cap, clip=NO_CAP)
        found[cap] = 0.0
        for (token, reward), logprob in zip(rewards.items(), drawn, strict=True):
            learner.update([one_token(engine, token, reward, logprob)])
            found[cap] = found[cap] - np.exp(logprob) * learner.found["node_0"]
    assert (found[NO_CAP] - exact).norm() < 1e-4 * exact.norm()
    assert (found[0.0] - exact).norm() > 0.1 * exact.norm()


def episodes(engine, noise):
    """Some episodes whose sampler claims other log-probabilities than the trainer finds."""
    topology, task = Topology.parse("1-1"), make_task("signal:symbols=2")
    network = llm_network(topology, task, engine, Sampling(1.0, 3))
    runs = run_episodes(network, task, task.examples("train"), rollouts=4)
    rng = np.random.default_rng(0)
    claimed = []
    for number, run in enumerate(runs):
        turns = []
        for step in run.turns:
            logprobs = step.completion.logprobs
            logprobs = logprobs + noise * rng.normal(size=len(logprobs)).astype(np.float32)
            completion = dataclasses.replace(step.completion, logprobs=logprobs)
            turns.append(dataclasses.replace(step, completion=completion))
        claimed.append(dataclasses.replace(run, turns=tuple(turns), reward=float(number % 3 == 0)))
    return claimed


@pytest.mark.slow
@pytest.mark.parametrize("budget", [100_000, 100])
def test_every_token_weighs_its_ratio_up_to_the_cap(budget):
    engine = tiny_engine("llama", token_budget=budget)
    runs = episodes(engine, noise=0.5)
    learner = Watched(engine, PAIR, advantage="none", importance_cap=1.2, clip=NO_CAP)
    metrics = learner.update(runs)
    loss, ratios, gaps = 0.0, [], []
    for run in runs:
        for step in run.turns:
            reply = step.completion
            with engine.training([Row(step.adapter, reply.prompt_ids, reply.ids)]) as scored:
                for logp, drawn in zip(scored.logprobs, reply.logprobs, strict=True):
                    ratio = float(logp.detach().exp()) / float(np.exp(drawn))
                    loss = loss - run.reward * min(ratio, 1.2) * logp / len(runs)
                    if run.reward:
                        ratios.append(ratio)
                        gaps.append(abs(float(logp.detach()) - float(drawn)))
    loss.backward()
    exact = collect_gradients(engine)
    for node in PAIR:
        assert exact[node].norm() > 0
        assert (learner.found[node] - exact[node]).norm() < 1e-3 * exact[node].norm()
    assert np.isclose(metrics["importance_ratio"], np.mean(ratios), rtol=1e-3)
    assert np.isclose(metrics["importance_capped"], np.mean(np.array(ratios) > 1.2))
    assert 0 < metrics["importance_capped"] < 1
    assert np.isclose(metrics["sampler_gap"], max(gaps), atol=1e-3)


def test_where_the_trainer_samples_the_correction_changes_nothing(engine):
    runs = episodes(engine, noise=0.0)
    with_, without = Watched(engine, PAIR, importance_cap=2.0), Watched(engine, PAIR)
    metrics = with_.update(runs)
    without.update(runs)
    assert abs(metrics["importance_ratio"] - 1) < 1e-4 and metrics["importance_capped"] == 0
    for node in PAIR:
        gap = (with_.found[node] - without.found[node]).norm()
        assert gap < 1e-3 * without.found[node].norm()


def test_the_cap_goes_by_the_engine_unless_it_is_given():
    assert TrainConfig().ratio_cap() == 0
    assert TrainConfig(engine="vllm").ratio_cap() == 2
    assert TrainConfig(engine="vllm", importance_cap=0.0).ratio_cap() == 0
    assert TrainConfig(importance_cap=1.5).ratio_cap() == 1.5
