"""Two processes that share every step, beside one that does it all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.data_parallel import Work, launch
from support.tiny_models import make_tiny
from support.tiny_runs import lines, tiny_config

import neuromas_env
from neuromas_env.agents.engines import distributed
from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.agents.training import checkpoint
from neuromas_env.agents.training.api import train
from neuromas_env.baselines import make_baseline
from neuromas_env.errors import InputError
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny("llama", tmp_path_factory.mktemp("models") / "tiny")


def config(model, out, **options):
    return tiny_config(model, out, questions=3, checkpoint_every=1, topology="2-1", **options)


@pytest.fixture(scope="module")
def alone(model, tmp_path_factory):
    """What one process makes of the run."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    return train(config(model, folder)), folder


def adapters(folder):
    end = checkpoint.latest(folder)
    return {
        node.name: load_file(node / "adapter_model.safetensors")
        for node in sorted((end / "adapters").iterdir())
    }


def assert_same_weights(first, second):
    for node, weights in adapters(first).items():
        for key, value in adapters(second)[node].items():
            assert value.abs().sum() > 0
            assert torch.allclose(weights[key], value, rtol=1e-3, atol=2e-5), (node, key)


@pytest.mark.slow
def test_two_processes_train_as_one(model, alone, tmp_path):
    run, edited = tmp_path / "run", tmp_path / "neuromas_env"
    shutil.copytree(Path(neuromas_env.__file__).parent, edited)
    with (edited / "agents/engines/forward/oom.py").open("a") as file:
        file.write("# another line\n")
    found = launch(Work("straight", config=config(model, run), edited=str(edited)))
    for number in (0, 1):
        refused, other_code, failed, result = found[number]
        assert "process 1 has another option learning_rate (0.2) than process 0 (0.1)" in refused
        assert (
            "process 1 has another code of neuromas_env/agents/engines/forward/oom.py ('"
            in other_code
        )
        assert "no memory here" in failed and (number or failed.startswith("process 1: "))
        assert result["steps"] == 3
    assert found[0][3] == found[1][3]
    single, folder = alone
    assert_same_weights(folder, run)
    # The evaluations were shared too, and every call is booked once.
    for when in ("before", "after"):
        assert found[0][3][when]["n"] == getattr(single, when).n
    for phase in ("train", "eval"):
        ours, theirs = found[0][3]["cost"][phase], single.cost[phase]
        assert ours["calls"] == theirs["calls"]
    for ours, theirs in zip(
        lines(run / "metrics.jsonl"), lines(folder / "metrics.jsonl"), strict=True
    ):
        if "event" not in ours:
            assert ours["train_rows"] == theirs["train_rows"]
            assert ours["train_tokens"] == theirs["train_tokens"]
            assert ours["gradient_norm"] == pytest.approx(theirs["gradient_norm"], rel=1e-3)
            assert ours["entropy/node_2"] == pytest.approx(theirs["entropy/node_2"], rel=1e-3)


@pytest.mark.slow
def test_a_lost_process_is_named_and_the_run_resumes(model, alone, tmp_path):
    run = tmp_path / "run"
    found = launch(Work("dying", config=config(model, run)))
    (message,) = found[0]
    assert "process 1 (pid " in message and "was lost in mid-step" in message
    assert "--resume" in message and 1 not in found
    assert checkpoint.latest(run).name == "step_000001"
    found = launch(Work("resumed", folder=str(run)))
    assert found[0] == found[1] and found[0][0]["steps"] == 3
    assert_same_weights(alone[1], run)
    assert json.loads((run / "result.json").read_text())["steps"] == 3


def test_whole_groups_are_dealt_and_the_idle_ones_last(monkeypatch):
    monkeypatch.setattr(distributed, "size", lambda: 2)
    groups = [0, 0, 1, 1, 2, 2, 3, 3]
    work = [0, 0, 0.5, 0, 0, 0, 1, 1]
    parts = []
    for number in (0, 1):
        monkeypatch.setattr(distributed, "number", lambda number=number: number)
        parts.append(distributed.share(groups, work))
    assert parts == [[0, 1, 2, 3], [4, 5, 6, 7]]
    busy = [{groups[i] for i in part if np.array(work)[i]} for part in parts]
    assert busy == [{1}, {3}]


def test_questions_keep_their_numbers_whichever_process_plays_them(monkeypatch):
    task = make_task("signal")
    method = make_baseline("sc:k=2", task, MockEngine())
    questions, numbers = task.examples("test")[:3], [5, 7, 9]
    whole = run_episodes(method, task, questions, seed=1, numbers=numbers)
    monkeypatch.setattr(distributed, "size", lambda: 2)
    idle = ([], [{} for _ in method.costs])
    found = []
    for process in (0, 1):
        monkeypatch.setattr(distributed, "number", lambda process=process: process)
        monkeypatch.setattr(
            distributed, "together", lambda play, at=process: [idle] * at + [play()]
        )
        found += distributed.run_episodes(method, task, questions, seed=1, numbers=numbers)
    assert [run.seed for run in found] == [run.seed for run in whole]


def test_a_launcher_that_starts_one_process_of_several_is_refused(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    # What `accelerate launch --cpu --num_processes 2` hands to the only process that it starts.
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(InputError, match="torchrun --nproc-per-node"):
        distributed.start("cpu")
    monkeypatch.delenv("MASTER_ADDR")
    distributed.start("cpu")
    assert distributed.size() == 1
