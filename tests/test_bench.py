"""Benchmarks from end to end: what is asked, what is stored, what is never asked again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from bench_engines import key_of
from chat_server import ChatServer
from tiny_models import make_tiny
from tiny_runs import tiny_config

from neuromas_env.agents.runlog import Reporter
from neuromas_env.agents.train import train
from neuromas_env.bench.config import BenchConfig
from neuromas_env.bench.methods import learned_files
from neuromas_env.bench.runner import run_benchmark
from neuromas_env.bench.store import Store
from neuromas_env.cli import main
from neuromas_env.errors import InputError
from neuromas_env.tasks import make_task

TASK = "hierarchy/max"
HERE = Path(__file__).parent
ANSWERS = "SELECT method, seed, row, answer, extracted, transcript FROM results ORDER BY 1, 2, 3"


class Notes(Reporter):
    def __init__(self):
        self.notes, self.totals, self.done = [], [], []

    def begin(self, what, total, done=0):
        self.totals.append((total, done))

    def advance(self, done, figures=None):
        self.done.append((done, figures))

    def note(self, text):
        self.notes.append(text)


def configure(out, model="right=0.5", **options):
    values = {"methods": ("direct",), "tasks": (TASK,), "limit": 10, "chunk": 4}
    values |= {"engine": "bench_engines:make", "model": model}
    return BenchConfig(str(out), **(values | options))


def run(out, model="right=0.5", **options):
    notes = Notes()
    run_benchmark(configure(out, model, **options), report=notes)
    return notes


def rows(out, query=ANSWERS):
    with Store(out) as store:
        return store.rows(query)


def asked(log):
    return Path(log).read_text().split("\n")[:-1] if Path(log).exists() else []


def command(*args):
    with pytest.raises(SystemExit) as end:
        main([str(arg) for arg in args])
    return end.value.code or 0


# --- what is stored -------------------------------------------------------------------


def test_everything_about_an_answer_is_stored(tmp_path):
    run(tmp_path, "right=1", methods=("debate",), limit=3)
    for number, row in enumerate(rows(tmp_path, "SELECT * FROM results ORDER BY row")):
        example = make_task(TASK).examples("test")[number]
        assert (row["row_id"], row["question"]) == (example.id, example.question)
        assert (row["target"], row["answer"]) == (example.target, example.target)
        assert (row["strict"], row["extracted"], row["reason"]) == (1, 1, "ok")
        assert (row["method"], row["task"], row["seed"]) == ("debate", TASK, 0)
        assert (row["calls"], row["cached"], row["tie"], row["error"]) == (6, 0, 0, None)
        said = json.loads(row["transcript"])
        assert [entry["node"] for entry in said] == [f"node_{i}" for i in range(7)]
        assert row["prompt_tokens"] == sum(e.get("prompt_tokens", 0) for e in said)
        assert row["completion_tokens"] == sum(e.get("tokens", 0) for e in said) == 6 * 3
        assert row["seconds"] > 0
        assert "neuromas-env" in json.loads(row["versions"])


def test_methods_without_randomness_run_once_and_the_others_per_seed(tmp_path):
    run(tmp_path, methods=("direct", "sc:k=2"), seeds=(3, 4))
    counts = Counter((row["method"], row["seed"]) for row in rows(tmp_path))
    assert counts == {("direct", None): 10, ("sc:k=2", 3): 10, ("sc:k=2", 4): 10}
    sampled = [row for row in rows(tmp_path) if row["method"] == "sc:k=2"]
    assert [r["transcript"] for r in sampled[:10]] != [r["transcript"] for r in sampled[10:]]


def test_a_temperature_makes_every_method_sample(tmp_path):
    run(tmp_path, seeds=(0, 1), temperature=0.7)
    assert Counter(row["seed"] for row in rows(tmp_path)) == {0: 10, 1: 10}


def test_answers_do_not_depend_on_chunks_or_limit(tmp_path):
    run(tmp_path / "a", methods=("sc:k=3",), chunk=64)
    run(tmp_path / "b", methods=("sc:k=3",), chunk=3, limit=5)
    run(tmp_path / "b", methods=("sc:k=3",), chunk=3)
    assert rows(tmp_path / "a") == rows(tmp_path / "b")


def test_a_changed_setting_is_another_run(tmp_path):
    run(tmp_path)
    run(tmp_path, max_new_tokens=7)
    counted = rows(tmp_path, "SELECT count(*) AS n FROM answers GROUP BY cell")
    assert [row["n"] for row in counted] == [10, 10]


def test_what_a_baseline_has_learned_is_a_setting(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "a.json").write_text("{}")
    name = f"method:state={tmp_path / 'state'},k=3"
    before = learned_files(name)
    assert list(before) == [str(tmp_path / "state")] and learned_files(name) == before
    (tmp_path / "state" / "a.json").write_text("[]")
    assert learned_files(name) != before
    assert learned_files("direct") == learned_files("sc:k=3") == {}


def test_prices_rates_and_order_of_methods_are_no_settings(tmp_path):
    log = tmp_path / "log"
    run(tmp_path / "out", f"log={log}", methods=("direct", "sc:k=2"))
    before = asked(log)
    run(
        tmp_path / "out", f"log={log}", methods=("sc:k=2", "direct"),
        prices=(1.0, 2.0), concurrency=2, cache=str(tmp_path / "cache"),
    )  # fmt: skip
    assert asked(log) == before


# --- going on -------------------------------------------------------------------------


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
    examples = make_task(TASK).examples("test")[:60]
    finished = set()
    for _ in range(2):
        before = len(asked(log))
        with process(out, log) as running:
            # Somewhere inside a chunk, while it is being answered or stored.
            while len(asked(log)) < before + rng.randint(20, 50) and running.poll() is None:
                time.sleep(rng.uniform(0.001, 0.005))
            running.kill()
        assert running.returncode == -9, running.stderr.read()
        assert not finished & {line.split()[0] for line in asked(log)[before:]}
        stored = rows(out, "SELECT row FROM answers")
        finished = {key_of(examples[row["row"]].question) for row in stored}
    assert 0 < len(finished) < 60
    before = len(asked(log))
    with process(out, log) as running:
        assert running.wait() == 0
    assert not finished & {line.split()[0] for line in asked(log)[before:]}
    whole = tmp_path / "whole"
    run(whole, f"slow=0.001,log={log}", methods=("sc:k=3",), limit=60)
    assert rows(out) == rows(whole)
    assert rows(out, "SELECT max(attempts) AS most FROM answers") == [{"most": 1}]


def test_ctrl_c_says_that_it_can_go_on(tmp_path):
    log, out = tmp_path / "log", tmp_path / "out"
    # Slow enough that it cannot end before the signal, however busy the machine is.
    with process(out, log, slow=0.05) as running:
        while len(asked(log)) < 30 and running.poll() is None:
            time.sleep(0.005)
        running.send_signal(signal.SIGINT)
        assert running.wait() == 130
        assert "the same command goes on" in running.stderr.read()
    assert len(rows(out, "SELECT * FROM answers")) >= 4


def process(out, log, slow=0.001):
    arguments = (
        "bench", "--methods", "sc:k=3", "--tasks", TASK, "--limit", "60", "--chunk", "4",
        "--engine", "bench_engines:make", "--model", f"slow={slow},log={log}", "--out", str(out),
    )  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", "from neuromas_env.cli import main; main()", *arguments],
        cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


# --- engines --------------------------------------------------------------------------


def test_an_engine_that_fails_on_every_call_ends_it_at_once(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(InputError, match="every model call fails.*told to fail"):
        run(tmp_path / "out", f"dead,log={log}", limit=500, methods=("direct", "debate"))
    assert len(asked(log)) == 4 + 1
    assert rows(tmp_path / "out", "SELECT * FROM answers") == []


def test_questions_that_fail_do_not_end_it_while_the_engine_lives(tmp_path):
    run(tmp_path, "fail=largest", limit=6)
    failed = rows(tmp_path, "SELECT error FROM answers")
    assert [row["error"] for row in failed] == ["node_0: told to fail"] * 6


def test_replies_of_identical_calls_come_from_the_cache(tmp_path):
    log, cache = tmp_path / "log", str(tmp_path / "cache.sqlite")
    run(tmp_path / "a", f"log={log}", methods=("sc:k=3",), cache=cache)
    assert len(asked(log)) == 30 == len(set(asked(log)))  # three samples are three calls
    run(tmp_path / "b", f"log={log}", methods=("sc:k=5",), cache=cache)
    assert len(asked(log)) == 50
    counted = rows(tmp_path / "b", "SELECT cached, calls, completion_tokens FROM answers")
    assert all((row["cached"], row["calls"]) == (3, 5) for row in counted)
    run(tmp_path / "c", f"log={log}", methods=("sc:k=5",))
    assert rows(tmp_path / "b") == rows(tmp_path / "c")
    assert counted == [
        row | {"cached": 3}
        for row in rows(tmp_path / "c", "SELECT cached, calls, completion_tokens FROM answers")
    ]


@pytest.mark.parametrize(
    "changed",
    [{"seeds": (1,)}, {"temperature": 0.9}, {"max_new_tokens": 9}, {"model": "right=0.5,slow=0"}],
)
def test_the_cache_is_keyed_on_everything_that_matters(tmp_path, changed):
    cache = str(tmp_path / "cache.sqlite")
    run(tmp_path / "a", methods=("sc:k=2",), cache=cache)
    run(tmp_path / "b", cache=cache, **({"methods": ("sc:k=2",)} | changed))
    assert rows(tmp_path / "b", "SELECT sum(cached) AS hits FROM answers") == [{"hits": 0}]


def test_failed_calls_are_not_cached(tmp_path):
    cache = str(tmp_path / "cache.sqlite")
    run(tmp_path / "a", "fail=largest", cache=cache, limit=4)
    run(tmp_path / "a", "fail=largest", cache=cache, limit=4)
    assert rows(tmp_path / "a", "SELECT DISTINCT cached, calls FROM answers") == [
        {"cached": 0, "calls": 0}
    ]


def test_a_file_that_is_no_cache_is_said(tmp_path):
    (tmp_path / "cache").write_text("mine, and no database at all" * 20)
    with pytest.raises(InputError, match="cache"):
        run(tmp_path / "out", cache=str(tmp_path / "cache"))


def test_a_server_can_be_the_engine(tmp_path):
    with ChatServer(lambda body: "42") as server:
        config = configure(
            tmp_path, "m", engine="openai", base_url=server.url.replace("//", "//me:secret@"),
            limit=3, prices=(1.0, 1.0),
        )  # fmt: skip
        run_benchmark(config)
    [cell] = rows(tmp_path, "SELECT settings FROM cells")
    assert json.loads(cell["settings"])["server"] == f"{server.url}/"
    assert b"secret" not in (tmp_path / "bench.sqlite").read_bytes()
    counted = rows(tmp_path, "SELECT answer, prompt_tokens, completion_tokens FROM answers")
    assert [tuple(row.values()) for row in counted] == [("42", 7, 3)] * 3


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    model = make_tiny("llama", tmp_path_factory.mktemp("model"))
    folder = tmp_path_factory.mktemp("runs")
    for name, rank in (("a", 4), ("b", 2)):
        train(tiny_config(model, folder / name, steps=1, rank=rank, eval_questions=0))
    return model, folder


def test_trained_networks_run_beside_frozen_ones(tmp_path, trained):
    model, folder = trained
    options = {
        "methods": ("direct", f"neuromas@{folder / 'a'}", f"neuromas@{folder / 'b'}"),
        "tasks": ("signal:symbols=3",), "limit": None, "engine": "transformers",
        "dtype": "float32", "max_new_tokens": 2,
    }  # fmt: skip
    notes = run(tmp_path, str(model), **options)
    assert notes.totals == [(9, 0)]
    cells = {row["method"]: row for row in rows(tmp_path, "SELECT * FROM cells")}
    facts = {name: json.loads(row["facts"]) for name, row in cells.items()}
    a, b = facts[f"neuromas@{folder / 'a'}"], facts[f"neuromas@{folder / 'b'}"]
    assert a["trainable"] == 2 * b["trainable"] > 0 and facts["direct"]["trainable"] == 0
    assert a["topology"] == {"nodes": 2, "edges": [[0, 1]]} or a["calls"] == 2
    hashes = {name: json.loads(row["settings"])["weights_hash"] for name, row in cells.items()}
    assert len(set(hashes.values())) == 1 and None not in hashes.values()
    assert all("adapters" in json.loads(cells[name]["settings"]) for name in list(cells)[1:])
    assert {row["weights_hash"] for row in rows(tmp_path, "SELECT * FROM results")} == set(
        hashes.values()
    )
    again = run(tmp_path, str(model), **options)
    assert again.totals == []
    # With a cache the adapters are told apart, although both runs' nodes have the same names.
    run(tmp_path / "c", str(model), cache=str(tmp_path / "cache"), **options)
    assert rows(tmp_path / "c") == rows(tmp_path)


def test_a_run_of_another_base_is_refused(tmp_path, trained):
    _, folder = trained
    other = make_tiny("qwen3", tmp_path / "model")
    with pytest.raises(InputError, match="was trained on the base.*--model"):
        run(
            tmp_path / "out", str(other), engine="transformers", dtype="float32",
            methods=(f"neuromas@{folder / 'a'}",), tasks=("signal:symbols=3",),
        )  # fmt: skip


def test_a_run_needs_an_engine_with_adapters(tmp_path, trained):
    _, folder = trained
    with pytest.raises(InputError, match="holds no adapters.*transformers"):
        run(tmp_path / "out", methods=(f"neuromas@{folder / 'a'}",))


# --- budgets --------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["right=0.5", "right=0.5,long"])
def test_methods_of_several_calls_get_a_row_of_the_same_budget(tmp_path, model):
    methods = ("direct", "debate", "self_refine", "sc:k=2")
    notes = run(tmp_path, model, methods=methods, matched=True, limit=40, seeds=(0, 1))
    matches = rows(tmp_path, "SELECT method, matched FROM matches ORDER BY method")
    assert [row["method"] for row in matches] == ["debate", "self_refine"]
    query = """SELECT avg(completion_tokens) AS tokens FROM results WHERE method = ?"""
    with Store(tmp_path) as store:
        for match in matches:
            [ours], [theirs] = (store.rows(query, (match[k],)) for k in ("method", "matched"))
            assert theirs["tokens"] == pytest.approx(ours["tokens"], rel=0.05)
    assert sum("is matched to" in note for note in notes.notes) == 2
    assert not any("NOT" in note for note in notes.notes)


def test_a_budget_below_one_sample_gets_no_row(tmp_path):
    class Terse(Notes):
        pass

    # Self-refine may end after two short calls; a sample of `sc` cannot cost less than one.
    notes = Terse()
    run_benchmark(
        configure(tmp_path, methods=("network:topology=1-1",), matched=True), report=notes
    )
    assert len(notes.notes) == 1


# --- progress and bad input -----------------------------------------------------------


def test_progress_tells_the_time_left_over_all_cells(tmp_path):
    notes = run(tmp_path, "slow=0.001", methods=("direct", "debate"))
    assert notes.totals == [(20, 0)]
    done = [done for done, figures in notes.done if figures]
    assert done == sorted(done) and done[-1] == 20
    left = [figures["minutes left"] for _, figures in notes.done if figures]
    assert left[0] > 0 and left[-1] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ("debat",)}, "unknown baseline 'debat'. Did you mean 'debate'"),
        ({"methods": ("debate:rouns=3",)}, "'rouns'. Did you mean 'rounds'"),
        ({"methods": ("neuromas@nowhere",)}, "nowhere"),
        ({"methods": ("neuromass@runs/x",)}, "neuromas@RUN"),
        ({"methods": ("sc:k=3",), "temperature": 0.0}, "temperature 0"),
        ({"methods": ()}, "--methods: at least one"),
        ({"methods": ("direct", "direct")}, "direct is given twice"),
        ({"seeds": (0, -1)}, "--seeds: -1"),
        ({"limit": 0}, "--limit: 0"),
        ({"chunk": 0}, "--chunk: 0"),
        ({"split": "tests"}, "'tests'. Did you mean 'test'"),
        ({"tasks": ("hierarchy/maxx",)}, "hierarchy/max"),
        ({"engine": "transformer"}, "Did you mean 'transformers'"),
        ({"engine": "nowhere:make"}, "nowhere"),
        ({"engine": "bench_engines:nothing"}, "nothing"),
        ({"prices": (-1.0, 1.0)}, "--prices"),
        ({"requests_per_minute": 0.0}, "--requests-per-minute"),
        ({"temperature": 11.0}, "--temperature"),
        ({"matched": True, "temperature": 0.0}, "temperature 0"),
    ],
)
def test_bad_input_is_said_before_anything_is_asked(tmp_path, options, message):
    log = tmp_path / "log"
    with pytest.raises(InputError) as error:
        run(tmp_path / "out", f"log={log}", **options)
    assert message in str(error.value)
    assert asked(log) == []


def test_the_directory_must_be_one(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--out.*is a file"):
        run(tmp_path / "file")


def test_a_benchmark_is_run_and_reported_by_command(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv("COLUMNS", "60")
    arguments = (
        "bench", "--methods", "direct,sc:k=2,temperature=0.5,debate:rounds=1,agents=2",
        "--tasks", "hierarchy/max:leaves=4,parts=2,hierarchy/bool", "--limit", "3",
        "--engine", "mock", "--out", tmp_path / "out", "--prices", "1,2",
    )  # fmt: skip
    assert command(*arguments) == 0
    out = capsys.readouterr().out
    for text in ("sc:k=2,temperature=0.5", "hierarchy/bool", "best constant answer", "report.html"):
        assert text in out
    assert "…" not in out
    for arguments, text in (
        (("--workers", "2"), "--workers is for --ray"),
        (("--prices", "1"), "--prices: '1' are not two numbers"),
        (("--seeds", "a"), "--seeds: 'a' are no whole numbers"),
    ):
        common = ("bench", "--methods", "direct", "--tasks", TASK, "--out", tmp_path / "x")
        assert command(*common, *arguments) == 2
        assert text in capsys.readouterr().err


def test_two_processes_on_one_directory(tmp_path):
    with Store(tmp_path, write=True):
        with pytest.raises(InputError, match=f"another process .process {os.getpid()}"):
            run(tmp_path)
