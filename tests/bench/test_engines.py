"""Benchmarks on every kind of engine, with and without a cache, and rows of equal budget."""

from __future__ import annotations

import json

import pytest
from support.bench_runs import asked, configure, rows, run
from support.chat_server import ChatServer
from support.paths import ROWS
from support.tiny_models import make_tiny
from support.tiny_runs import tiny_config

from neuromas_env.agents.training.api import train
from neuromas_env.bench.config import BenchConfig
from neuromas_env.bench.rescore import rescored
from neuromas_env.bench.runner import run_benchmark
from neuromas_env.bench.store import Store
from neuromas_env.bench.summary import summarise
from neuromas_env.errors import InputError
from neuromas_env.tasks import make_task
from neuromas_env.tasks.sandbox import Sandbox, tier

pytestmark = pytest.mark.slow

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


SILENT = """
from neuromas_env import MockEngine


def engine(model):
    return MockEngine(lambda request: "7")
"""


@pytest.mark.parametrize("given, said", [({}, "not stated"), ({"model": "mine"}, "mine")])
def test_the_model_of_an_engine_that_names_none_is_not_guessed(tmp_path, monkeypatch, given, said):
    (tmp_path / "silent.py").write_text(SILENT)
    monkeypatch.syspath_prepend(tmp_path)
    asked = BenchConfig(
        str(tmp_path / "out"), ("direct",), ("hierarchy/max",), limit=2,
        engine="silent:engine", **given,
    )  # fmt: skip
    run_benchmark(asked)
    [cell] = rows(tmp_path / "out", "SELECT settings FROM cells")
    assert json.loads(cell["settings"])["model"] == said


CUT = """
import re
from dataclasses import replace

from neuromas_env import MockEngine


class Cut(MockEngine):
    def generate(self, requests):
        return [replace(reply, finished=False) for reply in super().generate(requests)]


def engine():
    numbers = lambda request: map(int, re.findall("[0-9]+", request.turns[-1][1]))
    return Cut(lambda request: f"The largest number is {max(numbers(request))}. 9")
"""


def test_a_vote_over_replies_that_are_cut_off_is_read_again_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "cutting.py").write_text(CUT)
    monkeypatch.syspath_prepend(tmp_path)
    asked = BenchConfig(
        str(tmp_path), ("sc:k=3",), ("hierarchy/max",), seeds=(0,), limit=4, engine="cutting:engine"
    )
    run_benchmark(asked)
    scores = "SELECT extracted FROM results ORDER BY row"
    with Store(tmp_path) as store, rescored(store, "neuromas")[0] as again:
        assert store.rows(scores) == again.rows(scores) == [{"extracted": 1.0}] * 4


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


def test_programs_of_a_chunk_are_judged_together_and_the_sandbox_is_noted(tmp_path, monkeypatch):
    judged, judge = [], Sandbox.judge
    monkeypatch.setattr(Sandbox, "judge", lambda self, p: judged.append(len(p)) or judge(self, p))
    code = "def total(numbers): return sum(numbers)"
    options = {"tasks": ("humaneval",), "data": str(ROWS), "chunk": 64}
    run(tmp_path, f"say={code}", methods=("direct", "sc:k=2"), **options)
    found = rows(tmp_path, "SELECT method, row_id, strict, sandbox FROM results ORDER BY 1, row")
    examples = make_task("humaneval", options["data"]).examples("test")
    assert len(found) == 2 * len(examples) and {row["sandbox"] for row in found} == {tier(False)}
    right = [float("total" in example.extra["names"]) for example in examples]
    assert [row["strict"] for row in found] == 2 * right and 0 < sum(right) < len(right)
    # A direct answer and the one voted for, as they are; then those that failed, read freely.
    assert judged[-4:] == 2 * [len(right), len(right) - sum(right)]


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


def test_a_run_of_no_steps_is_the_network_that_training_starts_from(tmp_path, trained):
    model, _ = trained
    zero = tmp_path / "zero"
    train(tiny_config(model, zero, steps=0, rank=4, eval_questions=0, topology="1"))
    run(
        tmp_path / "out", str(model), methods=(f"neuromas@{zero}", "direct"),
        tasks=("signal:symbols=3",), limit=None, engine="transformers", dtype="float32",
        max_new_tokens=2,
    )  # fmt: skip
    found = rows(tmp_path / "out", "SELECT row, transcript FROM results ORDER BY row")
    assert len(found) == 6 and found[::2] == found[1::2]


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


def test_fractions_of_a_sample_converge_whatever_share_of_questions_is_drawn(tmp_path):
    methods = ("self_check_two_stage:n=2", "self_refine:iterations=2")
    notes = run(tmp_path, "right=0.5,reasons=20", methods=methods, matched=True, limit=14)
    assert len(notes.notes) == 2 and not any("NOT" in note for note in notes.notes)
    found = rows(tmp_path, "SELECT matched FROM matches")
    assert all("." in row["matched"] for row in found)


def test_a_method_cheaper_than_a_reasoned_sample_is_matched_in_short_ones(tmp_path):
    methods = ("network:topology=2-1", "debate")
    notes = run(tmp_path, "right=0.5,reasons=20", methods=methods, matched=True)
    stored = rows(tmp_path, "SELECT method, matched FROM matches")
    found = {row["method"]: row["matched"] for row in stored}
    assert found == {"network:topology=2-1": "sc:k=3,prompt=direct", "debate": "sc:k=6"}
    assert not any("NOT" in note for note in notes.notes)
    # Samples that were only tried are in the store and stay out of the report.
    stored = {row["method"] for row in rows(tmp_path, "SELECT method FROM cells")}
    assert {"sc:k=1", "sc:k=1,prompt=direct"} < stored
    assert shown(tmp_path) == ["debate", "network:topology=2-1", "sc:k=3,prompt=direct", "sc:k=6"]
    # What was asked for once is shown, whether before or after it was tried.
    run(tmp_path, "right=0.5,reasons=20", methods=("sc:k=1",))
    assert "sc:k=1" in shown(tmp_path)
    run(tmp_path, "right=0.5,reasons=20", methods=methods, matched=True)
    assert "sc:k=1" in shown(tmp_path) and "sc:k=1,prompt=direct" not in shown(tmp_path)


def shown(folder):
    with Store(folder) as store:
        return sorted(line.method for line in summarise(store))


def test_a_budget_below_one_sample_gets_no_row(tmp_path):
    notes = run(tmp_path, "right=0.5,terse", methods=("network:topology=1-1",), matched=True)
    assert ["gets no budget-matched row" in note for note in notes.notes] == [True]
    assert rows(tmp_path, "SELECT * FROM matches") == []


def test_a_budget_beyond_all_samples_takes_as_many_as_there_are(tmp_path):
    notes = run(
        tmp_path, "right=0.5,wordy=2000", methods=("network:topology=1-1",), matched=True, limit=1
    )
    assert ["sc:k=500" in note and "NOT within 5 %" in note for note in notes.notes] == [True]


def test_a_sample_that_answers_nothing_gives_no_row(tmp_path):
    notes = run(
        tmp_path, "right=0.5,fail=Reason step by step", methods=("network:topology=1-1",),
        matched=True,
    )  # fmt: skip
    assert "no budget-matched row: sc:k=1 answered no question" in notes.notes[-1]
    assert rows(tmp_path, "SELECT * FROM matches") == []
