"""The real vLLM with a network of two nodes, in one round and in two: what it says, and that it
hears of a step.

    tests/integration/vllm.sh

makes the environment that this needs and runs it. In float32 both engines agree closely.
"""

import dataclasses
import os
import time

import numpy as np
import torch

from neuromas_env import Topology
from neuromas_env.agents.engines import handover
from neuromas_env.agents.engines.base import Row
from neuromas_env.agents.engines.transformers import TransformersEngine
from neuromas_env.agents.learners.make import make_learner
from neuromas_env.agents.llm import llm_network
from neuromas_env.agents.training.api import make_engine
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.errors import InputError
from neuromas_env.policy import Request, Sampling
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task

TOPOLOGY, TASK = Topology.parse("1-1"), make_task("hierarchy/max")
TWO_ROUNDS = Topology.parse("1-1:rounds=2")
CONFIG = TrainConfig(
    topology="1-1",
    engine="vllm",
    dtype="float32",
    vllm_cache=0.5,
    rank=8,
    targets="all-linear",
    learning_rate=1e-3,
    decay=False,
)
TOLERANCE = 2e-3
FAILED = []


def say(what, since):
    print(f"{what}: {time.perf_counter() - since:.1f} s", flush=True)


def episodes(engine, temperature, topology=TOPOLOGY):
    network = llm_network(topology, TASK, engine, Sampling(temperature, 12))
    runs = run_episodes(network, TASK, TASK.examples("train")[:2], rollouts=4)
    assert not any(run.error for run in runs), [run.error for run in runs]
    return [dataclasses.replace(run, reward=float(i % 2)) for i, run in enumerate(runs)]


def gap(engine, runs, temperature):
    """Largest difference between vLLM's log-probabilities and those of the trainer."""
    steps = [step for run in runs for step in run.turns]
    rows = [Row(s.adapter, s.completion.prompt_ids, s.completion.ids) for s in steps]
    with torch.no_grad(), engine.training(rows, temperature=temperature) as scored:
        drawn = np.concatenate([step.completion.logprobs for step in steps])
        return float(np.abs(scored.logprobs.numpy() - drawn).max())


def goes_on(run):
    """Whether the second prompt of every node begins with the first and its reply's tokens."""
    pairs = [[turn.completion for turn in run.by_node(node)] for node in TOPOLOGY.nodes]
    begins = [np.concatenate([first.prompt_ids, first.ids]) for first, _ in pairs]
    return all(
        np.array_equal(second.prompt_ids[: len(begin)], begin)
        for begin, (_, second) in zip(begins, pairs, strict=True)
    )


def texts(replies):
    assert not any(reply.error for reply in replies), [reply.error for reply in replies]
    return [reply.text for reply in replies]


def stale(engine, node):
    """Change an adapter without handing it over; return what is said about that."""
    held = engine.hand_over(TOPOLOGY.nodes)
    engine.hand_over = lambda names: held
    engine.adapters.add_noise(node, 1.5, 9)
    try:
        handover.compare(engine)
    except InputError as error:
        return str(error)
    finally:
        del engine.hand_over
    return "nothing"


def check(what, holds, *seen):
    """Go on after a failure: vLLM's start is what takes the time."""
    print(f"{'ok' if holds else 'FAILED'}: {what}", *seen, flush=True)
    FAILED.extend([] if holds else [what])


def main():
    started = time.perf_counter()
    engine = make_engine(CONFIG)
    for number, node in enumerate(TOPOLOGY.nodes):
        engine.adapters.add(node, number)
        engine.adapters.add_noise(node, 1.5, number)
    asked = [
        Request((("user", "Tell me a number between 1 and 99."),), engine, node, sampling, seed)
        for node in (*TOPOLOGY.nodes, None)
        for seed, sampling in enumerate((Sampling(0.0, 16), Sampling(1.0, 16), Sampling(1.0, 16)))
    ]
    handover.prove(engine)
    found = handover.compare(engine)
    check("vLLM samples with every adapter that is trained", found < TOLERANCE, found)
    before = texts(engine.generate(asked))
    say("vLLM starts and answers", started)
    check("adapters and seeds differ", len(set(before)) > 7, before)
    check("equal seeds give equal replies", texts(engine.generate(asked)) == before)
    greedy = [request for request in asked if not request.sampling.temperature]
    ours = texts(TransformersEngine.generate(engine, greedy))
    check("greedy replies are those of the trainer", ours == before[::3], ours)
    for temperature in (1.0, 0.7):
        found = gap(engine, episodes(engine, temperature), temperature)
        check(f"log-probabilities at temperature {temperature}", found < TOLERANCE, found)

    since = time.perf_counter()
    rounds = episodes(engine, 1.0, TWO_ROUNDS)
    check("prompts of the second round go on", all(map(goes_on, rounds)))
    found = gap(engine, rounds, 1.0)
    check("log-probabilities over two rounds, one pass a conversation", found < TOLERANCE, found)
    learner = make_learner("joint", engine, ["node_1"], CONFIG)
    metrics = learner.gradient(rounds)
    check("two rounds have a gradient", metrics["gradient_norm"] > 0, metrics)
    learner.discard()
    say("two rounds", since)

    since = time.perf_counter()
    learner = make_learner("joint", engine, ["node_1"], CONFIG)
    runs = episodes(engine, CONFIG.temperature)
    metrics = learner.update(runs)
    check("the trainer sees the sampler", metrics["sampler_gap"] < TOLERANCE, metrics)
    check("ratios are near 1", abs(metrics["importance_ratio"] - 1) < TOLERANCE)
    moved = gap(engine, runs, CONFIG.temperature)
    check("the step moves the log-probabilities", moved > 10 * TOLERANCE, moved)
    after = texts(engine.generate(asked))
    check("vLLM speaks with the new weights", after[3:6] != before[3:6], after[3:6])
    others = after[:3] + after[6:]
    check("no other adapter has changed", others == before[:3] + before[6:], others)
    found = gap(engine, episodes(engine, CONFIG.temperature), CONFIG.temperature)
    check("log-probabilities after the step", found < TOLERANCE, found)
    since = time.perf_counter()
    found = handover.compare(engine)
    say("a comparison", since)
    check("the comparison after the step", found < TOLERANCE, found)
    check("a stale adapter is told", "adapter 'node_1'" in stale(engine, "node_1"))
    check("no file is left", not [n for n in os.listdir("/dev/shm") if n.startswith("neuromas-")])
    say("a training step and what follows", since)
    engine.close()
    say("all", started)
    return len(FAILED)


if __name__ == "__main__":
    raise SystemExit(main())
