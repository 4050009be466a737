"""One process writes a run; whenever it is killed, another one goes on and ends alike."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from support.killed_runs import config
from support.paths import ROOT
from support.tiny_runs import At, assert_same_end, lines

from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.agents.training import checkpoint
from neuromas_env.agents.training.api import resume, train
from neuromas_env.baselines.adapted import adapt
from neuromas_env.cli.app import main
from neuromas_env.errors import InputError
from neuromas_env.files import lock
from neuromas_env.tasks import make_task

KILLS = (8, pytest.param(60, marks=pytest.mark.whole))


@pytest.fixture
def run(tmp_path):
    """A run that was stopped right after its second step, and its folder."""
    folder = tmp_path / "run"
    with pytest.raises(ZeroDivisionError):
        train(config(folder, schedule=None, steps=3), report=At(2, lambda: 1 / 0))
    names = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert names == ["step_000000", "step_000001"]
    return folder


@pytest.fixture
def straight(tmp_path):
    """The same run, never stopped."""
    train(config(tmp_path / "straight", schedule=None, steps=3))
    return tmp_path / "straight"


def refused(capsys, *args):
    """The one line with which a command ends, after that on the device."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main([str(arg) for arg in args])
    *before, message = capsys.readouterr().err.splitlines()
    assert end.value.code == 2 and len(before) <= 1 and message.startswith("error: ")
    return message


@pytest.mark.slow
@pytest.mark.parametrize("kills", KILLS)
def test_a_run_that_is_killed_anywhere_ends_like_one_that_never_was(tmp_path, kills):
    command = [sys.executable, ROOT / "tests/support/killed_runs.py", tmp_path, str(kills)]
    env = os.environ | {"PYTHONPATH": str(ROOT / "tests"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    needed = json.loads(done.stdout.splitlines()[-1])
    assert len(needed) == kills and all(row["killed"] for row in needed)
    assert all(row.get("resumed") or row.get("begun") for row in needed)
    # Before `config.yaml` is there it is no run, and the command itself is given again.
    for message in done.stderr.splitlines():
        assert "is no run folder" in message and "begins a run there" in message
    assert sum(row.get("begun", 0) for row in needed) <= kills / 8
    for number in range(kills):
        assert_same_end(tmp_path / "straight", tmp_path / f"killed_{number}")
        assert not list((tmp_path / f"killed_{number}").rglob("*.part"))


@pytest.mark.slow
@pytest.mark.parametrize("made", [["config.yaml"], ["config.yaml", "run.json"]])
def test_a_run_without_a_checkpoint_begins(run, straight, made):
    for path in list(run.iterdir()):
        if path.name not in made:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert resume(run).steps == 3
    assert_same_end(straight, run)


def test_who_comes_second_is_told_in_one_line_and_harms_nothing(run, straight, capsys):
    said = []

    def come_second():
        said.append(refused(capsys, "train", "--resume", run))
        said.append(refused(capsys, "train", "--resume", run, "--checkpoint", "0"))

    resume(run, report=At(2, come_second))
    assert len(said) == 2 and all(f"{run} is being written by another process" in s for s in said)
    assert_same_end(straight, run)


def test_a_new_run_waits_for_nobody(tmp_path):
    out = tmp_path / "run"
    with lock(out / "run.lock", out), pytest.raises(InputError, match="another process"):
        train(config(out))
    assert sorted(path.name for path in out.iterdir()) == ["run.lock"]
    assert train(config(out)).steps == 2


def test_adapting_locks_its_folder(tmp_path):
    with lock(tmp_path / "adapted.lock", tmp_path), pytest.raises(InputError, match="another proc"):
        adapt("gptswarm:agents=2", make_task("signal"), MockEngine(), 1, tmp_path)
    assert not (tmp_path / "adapted.json").exists()


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


BROKEN = {
    "learner.pt": (cut, "learner.pt is broken"),
    "state.json": (cut, "state.json cannot be read"),
    "adapters/node_1": (shutil.rmtree, "no adapter can be read from"),
    "adapters/node_0/adapter_model.safetensors": (cut, "no adapter can be read from"),
}


@pytest.mark.parametrize("file", BROKEN)
def test_a_broken_checkpoint_names_the_one_before_it(run, straight, capsys, file):
    damage, says = BROKEN[file]
    damage(run / "checkpoints/step_000001" / file)
    before = (run / "metrics.jsonl").read_bytes()
    message = refused(capsys, "train", "--resume", run)
    command = f"neuromas train --resume {run} --checkpoint step_000000"
    assert says in message and message.endswith(
        f"To go on from the checkpoint before it: {command}"
    )
    assert (run / "metrics.jsonl").read_bytes() == before
    with pytest.raises(SystemExit) as end:
        main(command.split()[1:])
    assert end.value.code == 0
    assert_same_end(straight, run)


def test_weights_that_were_changed_are_told(run, capsys):
    weights = run / "checkpoints/step_000001/adapters/node_0/adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert "is not the one that was saved" in refused(capsys, "train", "--resume", run)


@pytest.mark.parametrize("name", ["metrics.jsonl", "transcripts.jsonl"])
def test_a_log_that_was_cut_is_not_filled_up(run, straight, capsys, name):
    full = (run / name).read_bytes()
    (run / name).write_bytes(full[:100])
    message = refused(capsys, "train", "--resume", run)
    assert f"{run / name} holds 100 bytes, but the checkpoint remembers" in message
    assert "--checkpoint step_000000" in message
    assert (run / name).read_bytes() == full[:100]
    resume(run, checkpoint=0)
    assert b"\0" not in (run / name).read_bytes()
    assert_same_end(straight, run)


@pytest.mark.parametrize("wanted", [1, "1", "step_000001", "{run}/checkpoints/step_000001", "0"])
def test_a_checkpoint_is_named_by_step_name_or_path(run, straight, wanted):
    resume(run, checkpoint=str(wanted).format(run=run))
    assert_same_end(straight, run)


def test_a_start_over_needs_no_checkpoint_but_a_word(run, straight, capsys):
    shutil.rmtree(run / "checkpoints")
    message = refused(capsys, "train", "--resume", run)
    assert "holds no checkpoint, but logs of steps; begin again" in message
    assert lines(run / "metrics.jsonl")
    resume(run, checkpoint="0")
    assert_same_end(straight, run)


def test_what_cannot_be_gone_on_with_is_said(run, straight, capsys):
    message = refused(capsys, "train", "--resume", run, "--checkpoint", "7")
    assert "no checkpoint '7' in" not in message
    assert "holds no checkpoint '7'; there are step_000000, step_000001, 0 (the start)" in message
    assert "is a finished run" in refused(capsys, "train", "--resume", straight, "--checkpoint", 1)
    assert "--checkpoint goes with --resume" in refused(capsys, "train", "--checkpoint", "1")
    assert "is no run folder" in refused(capsys, "train", "--resume", run / "checkpoints")
    assert checkpoint.latest(run).name == "step_000001"
