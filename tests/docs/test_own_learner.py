"""The learner of the tutorial is short, has REINFORCE's gradient at ratio 1, grows and learns."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import numpy as np
import pytest
import torch
from markdown_it import MarkdownIt
from support.engines import collect_gradients, tiny_engine, tiny_folder
from support.paths import ROOT
from support.plugins import install
from support.tiny_models import symbol_model

from neuromas_env import Sampling, TrainConfig, llm_network, make_task, run_episodes
from neuromas_env.agents.engines.models import load_base
from neuromas_env.agents.engines.transformers import TransformersEngine
from neuromas_env.agents.learners.reinforce import Reinforce
from neuromas_env.bench.methods import read_run
from neuromas_env.cli.app import main
from neuromas_env.errors import InputError
from neuromas_env.seeds import derive_seed
from neuromas_env.testing import check_learner

LENGTH = 45
PAGE = MarkdownIt().parse((ROOT / "docs/tutorial/your-own-learner.md").read_text())
[SOURCE] = [block.content for block in PAGE if block.info == "python" and "PPO" in block.content]


@pytest.fixture(scope="module")
def ppo():
    names = {"__name__": "docs"}
    exec(SOURCE, names)
    return names["PPO"]


def test_it_is_short():
    code = [line for line in SOURCE.splitlines() if line.strip() and '"""' not in line]
    assert len(code) <= LENGTH


@pytest.mark.slow
def test_it_keeps_the_contract(ppo):
    options = TrainConfig(topology="2-1", learning_rate=1e-2)
    check_learner(ppo, lambda: tiny_engine("llama"), options)


@pytest.mark.slow
def test_its_gradient_at_ratio_1_is_that_of_reinforce(ppo):
    task, engine = make_task("signal"), tiny_engine("llama")
    network = llm_network("2-1", task, engine, Sampling(0.8, 6))
    played = run_episodes(network, task, task.examples("train")[:2], seed=3, rollouts=3)
    rewards = (1.0, 0.0, 0.3, 0.0, 0.0, 1.0)
    played = [replace(one, reward=r) for one, r in zip(played, rewards, strict=True)]
    nodes = network.topology.nodes
    Reinforce(engine, nodes, temperature=0.8, clip=1e9).gradient(played)
    expected = collect_gradients(engine)
    learner, found = ppo(engine, nodes, TrainConfig(temperature=0.8)), []
    for optimiser in learner.optimisers.values():
        optimiser.step = lambda: found or found.append(collect_gradients(engine))
    learner.update(played)
    for node in nodes:
        assert expected[node].norm() > 0
        assert torch.allclose(found[0][node], expected[node], atol=1e-5 * expected[node].norm())


@pytest.mark.slow
def test_a_random_network_learns_to_signal(ppo, tmp_path, one_thread):
    task = make_task("signal:symbols=2")
    base = load_base(symbol_model(tmp_path, task.symbols, 0), "float32", "cpu", quiet=True)
    engine = TransformersEngine(base, rank=8)
    network = llm_network("1-1", task, engine, Sampling(1.0, 1))
    for number, node in enumerate(network.topology.nodes):
        engine.adapters.add(node, derive_seed(0, number))
    learner = ppo(engine, network.topology.nodes, TrainConfig(temperature=1.0, learning_rate=3e-3))
    rewards = [
        learner.update(
            run_episodes(
                network, task, task.examples("train"), seed=step, rollouts=16, reward="extracted"
            )
        )["reward"]
        for step in range(40)
    ]
    # A network that says nothing about what it saw scores one half.
    assert np.mean(rewards[:3]) < 0.5 and np.mean(rewards[-3:]) > 0.95


def neuromas(*args: object) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(arg) for arg in args])
    assert not end.value.code


@pytest.mark.slow
def test_it_trains_grows_and_stands_beside_other_rows(tmp_path, monkeypatch, capsys):
    points = {"neuromas_env.learners": {"ppo": "own_ppo:PPO"}}
    install(monkeypatch, tmp_path, "own-ppo", points, {"own_ppo": SOURCE})
    monkeypatch.chdir(tmp_path)
    model = ("--model", tiny_folder("llama"), "--dtype", "float32", "--max-new-tokens", 2)
    options = ("--task", "signal:symbols=3", *model, "--rank", 2, "--steps", 1, "--questions", 2)
    options = (*options, "--rollouts", 2, "--eval-questions", 0)
    neuromas("train", "--learner", "ppo", "--topology", "1-1", "--out", "small", *options)
    neuromas("train", "--learner", "ppo", "--topology", "2-1", "--grow-from", "small", *options,
             "--out", "ppo")  # fmt: skip
    capsys.readouterr()
    neuromas("bench", "--methods", "ppo@ppo,neuromas@ppo", "--tasks", "signal:symbols=3", *model,
             "--engine", "transformers", "--limit", 2, "--out", "bench")  # fmt: skip
    with sqlite3.connect(tmp_path / "bench" / "bench.sqlite") as db:
        rows = dict(db.execute("SELECT method, COUNT(*) FROM results GROUP BY method"))
    assert rows == {"ppo@ppo": 2, "neuromas@ppo": 2}
    with pytest.raises(InputError, match="learner 'ppo' trained a network of 3"):
        read_run("magrpo@ppo")
    assert read_run("ppo@ppo").training["steps"] == 2
    neuromas("list", "baselines")
    assert "ppo@RUN" in capsys.readouterr().out
