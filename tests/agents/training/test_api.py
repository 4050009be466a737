"""A run from its options to its result: what it writes, how it stops, how it goes on."""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import replace

import pytest
import torch
import yaml
from safetensors.torch import load_file
from support.tiny_models import make_tiny
from support.tiny_runs import At, Killed, assert_same_end, kill, lines, tiny_config
from support.toy_tasks import Whole

from neuromas_env.agents.engines.devices import place_of
from neuromas_env.agents.learners.base import Learner, register_learner
from neuromas_env.agents.training import checkpoint
from neuromas_env.agents.training.api import read_result, resume, train
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.agents.training.result import Interrupted
from neuromas_env.errors import InputError
from neuromas_env.rollout import step_questions
from neuromas_env.tasks import make_task

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny("llama", tmp_path_factory.mktemp("models") / "tiny")


def test_a_run_writes_what_it_did(model, tmp_path):
    config = tiny_config(model, tmp_path / "run", eval_every=2, transcripts=3)
    result = train(config)
    run = tmp_path / "run"
    assert result.steps == 3 and result.before.n == result.after.n == 2
    assert result.ablation.keys() == {"blanked", "shuffled"}
    assert result.cost["train"]["calls"] == 3 * 2 * 2 * 2
    assert read_result(run) == result == resume(run)
    saved = TrainConfig.from_mapping(yaml.safe_load((run / "config.yaml").read_text()))
    assert saved == replace(config, device=place_of("auto"))
    steps = [row for row in lines(run / "metrics.jsonl") if "event" not in row]
    assert [row["step"] for row in steps] == [1, 2, 3]
    assert {"reward", "gradient_norm", "entropy/node_0", "advantage_std"} <= steps[0].keys()
    assert {"rollout_seconds", "train_seconds", "other_seconds"} <= steps[0].keys()
    events = [(r["event"], r["step"]) for r in lines(run / "metrics.jsonl") if "event" in r]
    assert events == [("before", 0), ("evaluation", 2)]
    spoken = lines(run / "transcripts.jsonl")
    assert len(spoken) == 9
    assert [m["node"] for m in spoken[0]["messages"]] == ["node_0", "node_1"]
    assert list((run / "tensorboard").iterdir())
    assert [p.name for p in sorted((run / "checkpoints").iterdir())] == [
        "step_000002",
        "step_000003",
    ]


@pytest.mark.parametrize("schedule", [None, "1:3, 1-1:3"])
def test_a_killed_run_ends_like_an_uninterrupted_one(model, tmp_path, schedule):
    def config(name):
        return tiny_config(
            model, tmp_path / name, steps=6, checkpoint_every=3, eval_every=2, schedule=schedule
        )

    train(config("straight"))
    with pytest.raises(Killed):
        train(config("killed"), report=At(5, kill))
    assert checkpoint.latest(tmp_path / "killed").name == "step_000003"
    resume(tmp_path / "killed")
    assert_same_end(tmp_path / "straight", tmp_path / "killed")
    start = load_file(checkpoint.latest(tmp_path / "straight") / "adapters/node_1" / ADAPTER)
    assert any(value.abs().sum() > 0 for key, value in start.items() if "lora_B" in key)


def test_ctrl_c_finishes_the_step_saves_and_says_how_to_go_on(model, tmp_path):
    run = tmp_path / "run"
    stop = At(1, lambda: os.kill(os.getpid(), signal.SIGINT))
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match=f"after step 1; .*neuromas train --resume {run}"):
        train(tiny_config(model, run), report=stop)
    assert signal.getsignal(signal.SIGINT) is handler
    assert checkpoint.latest(run).name == "step_000001"
    resume(run)
    train(tiny_config(model, tmp_path / "straight"))
    assert_same_end(tmp_path / "straight", run)


def test_a_sign_is_told_once_in_a_run_however_often_it_is_stopped(model, tmp_path):
    printed = []

    class Stopping(At):
        def note(self, text):
            printed.append(text) if "of the replies are cut off" in text else None

    def stop(step):
        return Stopping(step, lambda: os.kill(os.getpid(), signal.SIGINT))

    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        train(tiny_config(model, run, steps=7), report=stop(3))
    assert not printed
    with pytest.raises(Interrupted):
        resume(run, report=stop(6))
    resume(run, report=stop(None))
    assert [text.partition(":")[0] for text in printed] == ["step 5"]


def test_named_nodes_are_trained_alone(model, tmp_path):
    train(tiny_config(model, tmp_path / "run", train_nodes="node_1"))
    end = checkpoint.latest(tmp_path / "run")
    moved = {
        node: any(
            bool(value.any())
            for key, value in load_file(end / "adapters" / node / ADAPTER).items()
            if "lora_B" in key
        )
        for node in ("node_0", "node_1")
    }
    assert moved == {"node_0": False, "node_1": True}


def test_questions_are_drawn_without_replacement_and_by_step_alone():
    examples = make_task("hierarchy/max").examples("validation")
    epoch = [e.id for step in range(1, 9) for e in step_questions(examples, 3, step, 64)]
    assert sorted(epoch) == sorted(e.id for e in examples)
    again = [e.id for e in step_questions(examples, 3, 5, 64)]
    assert again == epoch[4 * 64 : 5 * 64]
    following = [e.id for step in range(9, 17) for e in step_questions(examples, 3, step, 64)]
    assert sorted(following) == sorted(epoch) and following != epoch


def test_a_failed_episode_ends_the_run_with_its_message(model, tmp_path):
    config = tiny_config(
        model, tmp_path / "run", max_new_tokens=5000, eval_questions=0, validate_questions=0
    )
    with pytest.raises(InputError, match="step 1, question 'train/.': node_0: the prompt has"):
        train(config)


def test_a_loss_that_is_not_finite_names_step_and_questions(model, tmp_path):
    class Exploding(Learner):
        def __init__(self, engine, nodes, config):
            pass

        def update(self, trajectories):
            raise FloatingPointError(f"not finite; questions: {trajectories[0].example.id}")

        def state_dict(self):
            return {}

    register_learner("exploding", Exploding)
    config = tiny_config(model, tmp_path / "run", learner="exploding", eval_questions=0)
    with pytest.raises(InputError, match="step 1: not finite; questions: train/"):
        train(config)


def test_a_full_disk_leaves_earlier_checkpoints_unharmed(model, tmp_path, monkeypatch):
    run = tmp_path / "run"

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InputError, match="step_000002: No space left on device.*unharmed"):
        train(
            tiny_config(model, run, checkpoint_every=1),
            report=At(2, lambda: monkeypatch.setattr(torch, "save", full)),
        )
    monkeypatch.undo()
    names = sorted(p.name for p in (run / "checkpoints").iterdir())
    assert names == ["step_000000", "step_000001"]
    assert resume(run).steps == 3


def test_a_used_folder_is_refused_and_a_free_one_found(model, tmp_path, monkeypatch):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="holds files already"):
        train(tiny_config(model, tmp_path / "used"))
    monkeypatch.chdir(tmp_path)
    names = []
    for _ in range(2):
        config = replace(tiny_config(model, tmp_path, steps=0, eval_questions=0), out=None)
        names.append(str(train(config).folder))
    assert names == ["runs/signal-symbols-3-1-1-s0", "runs/signal-symbols-3-1-1-s0-2"]


def test_a_task_without_training_rows_is_refused(model, tmp_path, monkeypatch):
    class Untaught(Whole):
        def examples(self, split):
            return () if split == "train" else self.rows

    monkeypatch.setattr("neuromas_env.agents.training.api.make_task", lambda *a, **k: Untaught())
    with pytest.raises(InputError, match="task 'whole' has no training questions; take another"):
        train(tiny_config(model, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="is no run folder"):
        resume(tmp_path)


ADAPTER = "adapter_model.safetensors"
