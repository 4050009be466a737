"""Benchmarks from end to end: what is stored, what is shown, what is refused."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from support.bench_runs import TASK, asked, rows, run
from support.paths import TESTS

from neuromas_env.baselines import BASELINES, Net, Script, register_baseline
from neuromas_env.bench.methods import learned_files
from neuromas_env.bench.store import Store
from neuromas_env.cli.app import main
from neuromas_env.errors import InputError
from neuromas_env.tasks import make_task

pytestmark = pytest.mark.slow


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


def test_broken_rows_are_left_out_on_request_and_counted(tmp_path):
    file = tmp_path / "data" / "arc" / "ARC-Easy" / "test.jsonl"
    file.parent.mkdir(parents=True)
    choices = {"text": ["this", "that"], "label": ["A", "B"]}
    row = {"id": "a", "question": "Which?", "choices": choices, "answerKey": "B"}
    lines = [row, row | {"id": "b", "answerKey": "C"}, row | {"id": "c"}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = {"tasks": ("arc/easy",), "data": str(tmp_path / "data")}
    with pytest.raises(InputError, match="line 2.*answerKey"):
        run(tmp_path / "out", **options)
    notes = run(tmp_path / "out", skip_bad_rows=True, **options)
    assert ["broken rows left out: 1" in note and "line 2" in note for note in notes.notes] == [
        True
    ]
    answered = rows(tmp_path / "out", "SELECT row, row_id FROM answers")
    assert [tuple(row.values()) for row in answered] == [(0, "a"), (1, "c")]
    # The row is mended: it has the number now that another one had, and none is taken for it.
    file.write_text("".join(json.dumps(row | {"id": id}) + "\n" for id in "abc"))
    run(tmp_path / "out", skip_bad_rows=True, **options)
    counted = rows(tmp_path / "out", "SELECT count(*) AS n FROM answers GROUP BY cell")
    assert [row["n"] for row in counted] == [2, 3]


def test_reordered_rows_are_refused(tmp_path):
    file = tmp_path / "data" / "arc" / "ARC-Easy" / "test.jsonl"
    file.parent.mkdir(parents=True)
    choices = {"text": ["this", "that"], "label": ["A", "B"]}

    def write(names):
        lines = [
            {"id": name, "question": f"{name}?", "choices": choices, "answerKey": "B"}
            for name in names
        ]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))

    options = {"tasks": ("arc/easy",), "data": str(tmp_path / "data")}
    write("abcd")
    run(tmp_path / "out", **options, limit=3)
    write("abdc")
    # Another method would be paired with the first one's answers, so it is refused as well.
    for methods in (("direct",), ("cot",)):
        with pytest.raises(InputError, match="row 2 of task arc/easy is question 'd' now.*'c'"):
            run(tmp_path / "out", **options | {"methods": methods})
    write("abcd")
    run(tmp_path / "out", **options)
    assert len(rows(tmp_path / "out")) == 4


# --- progress and bad input -----------------------------------------------------------


def test_progress_tells_the_time_left_over_all_cells(tmp_path):
    notes = run(tmp_path, "slow=0.001", methods=("direct", "debate"))
    assert notes.totals == [(20, 0)]
    done = [done for done, _ in notes.done]
    assert done == sorted(done) and done[0] == 0 and done[-1] == 20
    left = [left for _, left in notes.done[1:]]
    assert left[0] > 0 and left[-1] == 0


def test_matched_rows_join_the_one_bar(tmp_path):
    notes = run(tmp_path, methods=("direct", "debate"), matched=True)
    totals = [total for total, _ in notes.totals]
    assert totals[0] == 20 and totals == sorted(totals) and len(totals) > 1
    # Every later stretch begins with all that is done before it.
    assert [done for _, done in notes.totals] == [0, *totals[:-1]]
    assert notes.done[-1] == (totals[-1], 0)


def test_a_method_of_scripts_alone_is_run(tmp_path, monkeypatch):
    def build(setup):
        net = Net()
        net.add("script", Script(lambda observation: "7"))
        return net.method()

    monkeypatch.setattr(BASELINES, "registered", {})
    register_baseline("fixed", build)
    notes = run(tmp_path, methods=("fixed",), matched=True)
    assert notes.done[-1] == (10, 0)
    answered = rows(tmp_path, "SELECT DISTINCT answer, calls FROM answers")
    assert answered == [{"answer": "7", "calls": 0}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ("debat",)}, "unknown baseline 'debat'. Did you mean 'debate'"),
        ({"methods": ("debate:rouns=3",)}, "'rouns'. Did you mean 'rounds'"),
        ({"methods": ("neuromas@nowhere",)}, "nowhere"),
        ({"methods": ("neuromass@runs/x",)}, "neuromas@RUN"),
        ({"methods": ("sc:k=3",), "temperature": 0.0}, "temperature 0"),
        ({"methods": ()}, "methods must have at least one"),
        ({"methods": ("direct", "direct")}, "methods must differ, got direct twice"),
        ({"seeds": (0, -1)}, "each of seeds must be at least 0, got -1"),
        ({"limit": 0}, "limit must be at least 1, got 0"),
        ({"chunk": 0}, "chunk must be at least 1, got 0"),
        ({"split": "tests"}, "'tests'. Did you mean 'test'"),
        ({"tasks": ("hierarchy/maxx",)}, "hierarchy/max"),
        ({"engine": "transformer"}, "Did you mean 'transformers'"),
        ({"engine": "nowhere:make"}, "nowhere"),
        ({"engine": "support.bench_engines:nothing"}, "nothing"),
        ({"prices": (-1.0, 1.0)}, "each of prices must be at least 0, got -1.0"),
        ({"requests_per_minute": 0.0}, "requests_per_minute must be above 0, got 0.0"),
        ({"temperature": 11.0}, "temperature must be at least 0 and at most 10, got 11.0"),
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
    with pytest.raises(InputError, match="out must be a directory, got the file"):
        run(tmp_path / "file")


def test_a_benchmark_is_run_and_reported_by_command(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(TESTS))
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
        (("--prices", "1"), "prices must have 2 entries, got 1"),
        (("--seeds", "a"), "each of seeds must be a whole number, got 'a'"),
    ):
        common = ("bench", "--methods", "direct", "--tasks", TASK, "--out", tmp_path / "x")
        assert command(*common, *arguments) == 2
        assert text in capsys.readouterr().err


def test_two_processes_on_one_directory(tmp_path):
    with Store(tmp_path, write=True):
        with pytest.raises(InputError, match="being written by another process"):
            run(tmp_path)
