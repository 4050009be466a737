"""Benchmarks that go on: what is stored is never asked again."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from support.bench_engines import key_of
from support.bench_runs import TASK, asked, rows, run
from support.paths import TESTS

from neuromas_env.tasks import make_task

pytestmark = pytest.mark.slow


def test_the_same_command_asks_nothing_again(tmp_path):
    log = tmp_path / "log"
    run(tmp_path / "out", f"log={log}", methods=("direct", "debate"), seeds=(0, 1))
    before, stored = asked(log), rows(tmp_path / "out")
    notes = run(tmp_path / "out", f"log={log}", methods=("direct", "debate"), seeds=(0, 1))
    assert asked(log) == before and rows(tmp_path / "out") == stored
    assert notes.totals == []


def test_more_questions_methods_and_seeds_are_added(tmp_path):
    log = tmp_path / "log"
    run(tmp_path / "out", f"log={log}", limit=6)
    notes = run(tmp_path / "out", f"log={log}", methods=("direct", "sc:k=2"), seeds=(0, 1))
    assert notes.totals == [(30, 6)]
    assert len(asked(log)) == 10 + 2 * 2 * 10


def test_failed_questions_are_stored_and_tried_again(tmp_path):
    log, out = tmp_path / "log", tmp_path / "out"
    examples = make_task(TASK).examples("test")[:10]
    number = examples[5].target
    bad = [row for row, example in enumerate(examples) if number in example.question]
    notes = run(out, f"log={log},fail={number}")
    failed = rows(out, "SELECT row, error, extracted, reason FROM answers WHERE error NOTNULL")
    assert [row["row"] for row in failed] == bad and 5 in bad and len(bad) < 10
    assert all(row["error"] == "node_0: told to fail" for row in failed)
    assert all((row["extracted"], row["reason"]) == (0, None) for row in failed)
    assert any("questions failed: node_0: told to fail" in note for note in notes.notes)
    before = len(asked(log))
    run(out, f"log={log},fail={number}")
    again = [line for line in asked(log)[before:] if not line.startswith(" ")]  # no probes
    assert {line.split()[0] for line in again} == {key_of(examples[row].question) for row in bad}
    attempts = rows(out, "SELECT error IS NULL AS good, attempts FROM answers")
    assert Counter((row["good"], row["attempts"]) for row in attempts) == {
        (1, 1): 10 - len(bad), (0, 2): len(bad),
    }  # fmt: skip


def test_killed_at_any_moment_it_goes_on_and_repeats_nothing_finished(tmp_path):
    log, out, rng = tmp_path / "log", tmp_path / "out", random.Random()
    script = "import sys; sys.path.append('bench'); import test_resume as t; t.go(*sys.argv[1:])"
    examples = make_task(TASK).examples("test")[:60]
    finished = set()
    for _ in range(2):
        before = len(asked(log))
        # Somewhere inside a chunk, while it is being answered or stored.
        stop(log, signal.SIGKILL, rng.randint(20, 50), rng.uniform(0, 0.02))
        assert process(script, out, log).returncode == -9
        assert not finished & {line.split()[0] for line in asked(log)[before:]}
        stored = rows(out, "SELECT row FROM answers")
        finished = {key_of(examples[row["row"]].question) for row in stored}
    assert 0 < len(finished) < 60
    before = len(asked(log))
    stop(log)
    go(out, log)
    assert not finished & {line.split()[0] for line in asked(log)[before:]}
    go(tmp_path / "whole", log)
    assert rows(out) == rows(tmp_path / "whole")
    assert rows(out, "SELECT max(attempts) AS most FROM answers") == [{"most": 1}]


def test_ctrl_c_says_that_it_can_go_on(tmp_path):
    log, out = tmp_path / "log", tmp_path / "out"
    stop(log, signal.SIGINT, 30, 0)
    done = process(
        "from neuromas_env.cli.app import main; main()", "bench", "--methods", "sc:k=3",
        "--tasks", TASK, "--limit", "60", "--chunk", "4", "--engine", "support.bench_engines:make",
        "--model", model(log), "--out", out,
    )  # fmt: skip
    assert done.returncode == 130 and "the same command goes on" in done.stderr
    assert 60 > len(rows(out, "SELECT * FROM answers")) >= 4


def model(log):
    return f"slow=0.001,log={log},stop={log}.stop"


def stop(log, *when):
    """Say for the next process which signal it gets, after how many calls and seconds."""
    Path(f"{log}.stop").write_text(" ".join(f"{number:g}" for number in when))


def go(out, log):
    run(out, model(log), methods=("sc:k=3",), limit=60)


def process(script, *arguments):
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=TESTS, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        # Started in the background, the tests themselves may be told to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
