"""Readers of other harnesses, what results say about readers, and `report --reader`."""

from __future__ import annotations

import json
import runpy
import shutil
import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bench_runs import rows, run
from support.paths import ROOT
from support.timing import seconds

from neuromas_env.agents.training.evaluate import Evaluation, evaluate
from neuromas_env.bench.rescore import rescored
from neuromas_env.bench.store import FILE, Answer, Cell, Store
from neuromas_env.cli.app import main
from neuromas_env.method import Method
from neuromas_env.policy import Policy
from neuromas_env.tasks import TASKS, Example, Task, make_task, register_task
from neuromas_env.tasks.readers import READERS, Form, get_reader, grade_reply
from neuromas_env.topology import Topology

PLANETS = (("A", "Mars"), ("B", "Venus"), ("C", "Jupiter"), ("D", "Saturn"))
CHOICE, DIGITS = Form("choice", options=PLANETS), Form("choice", options=(("1", "x"), ("2", "y")))
NUMBER, TEXT, YES = Form("number"), Form("text"), Form("word", ("Yes", "No"))
PLAUSIBLE = Form("word", ("yes", "no"))
NOW = str(READERS["neuromas"])

# What the packages themselves say of these is compared in tests/integration/harness_readers.py.
GRADED = [
    # form, gold, reply, lm_eval, inspect
    (CHOICE, "C", "It is (C).", 1, 0),
    (CHOICE, "C", "(C), not (D)", 0, 0),
    (CHOICE, "C", "I believe it is JUPITER!", 1, 0),
    (CHOICE, "C", "My pick: C", 1, 0),
    (CHOICE, "C", "C", 0, 0),
    (CHOICE, "C", "ANSWER: c.", 0, 1),
    (CHOICE, "C", "ANSWER: D\nANSWER: **C**", 0, 1),
    (CHOICE, "C", "ANSWER: C\n\nNot (A).", 0, 1),
    (CHOICE, "C", "ANSWER: C, D", 1, 0),
    (CHOICE, "C", "It is (C).</s> (D)", 1, 0),
    (DIGITS, "2", "ANSWER: B", 1, 1),
    (DIGITS, "2", "(B)", 1, 0),
    (NUMBER, "18", "9 * 2 = $18.", 1, 1),
    (NUMBER, "1800", "It is $1,800 in all", 1, 1),
    (NUMBER, "18", "18.00", 0, 1),
    (NUMBER, "18", "18 of 20", 0, 0),
    (NUMBER, "18", "(18)", 1, 1),
    (NUMBER, "18", "18%", 1, 0),
    (NUMBER, "-18", "−18", 0, 1),
    (NUMBER, "18", "18 Question: how many are 3?", 1, 0),
    (YES, "Yes", "No... yes", 1, 0),
    (YES, "Yes", "YES", 0, 0),
    (YES, "Yes", "ANSWER: yes.", 1, 1),
    (YES, "Yes", "ANSWER: yes, indeed", 1, 0),
    (PLAUSIBLE, "no", "That is not plausible", 1, 0),
    (PLAUSIBLE, "yes", "Plausible.", 1, 0),
    (TEXT, "apple banana", "apple, banana, cherry", 1, 0),
    (TEXT, "apple banana", "banana apple banana", 1, 1),
    (TEXT, "] )", "The rest is ] )", 1, 0),
    (TEXT, "] )", "ANSWER: ] }", 0, 1),  # there, brackets are stripped as punctuation
    (TEXT, "Paris", "Paris, in France", 1, 0),
    (TEXT, "Paris", "It is Paris.", 0, 1),
]


@pytest.mark.parametrize("form, gold, reply, lm_eval, inspect", GRADED)
def test_other_harnesses_rules_are_kept_where_they_are_odd(form, gold, reply, lm_eval, inspect):
    for name, score in (("lm_eval", lm_eval), ("inspect", inspect)):
        assert grade_reply(get_reader(name), form, reply, gold).extracted == score, name


PIECES = st.sampled_from(
    ["ANSWER", ":", " ", "\n", "(", ")", "$", "**", "C", "Jupiter", "18", ",", ".", "é", "Q:", "no"]
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lm_eval", "inspect"])
@given(st.text() | st.lists(PIECES).map("".join))
def test_any_text_is_read_and_labels_are_those_of_the_question(name, reply):
    reader = get_reader(name)
    for form, gold in ((NUMBER, "18"), (YES, "Yes"), (TEXT, "a b"), (TEXT, "]"), (TEXT, "a")):
        score = grade_reply(reader, form, reply, gold)
        assert (score.answer is None) <= (score.extracted == 0)
    chosen = [grade_reply(reader, CHOICE, reply, label).extracted for label, _ in PLANETS]
    assert sum(chosen) <= 1
    assert name == "lm_eval" or reader.choice(reply, PLANETS) in (None, *"ABCD")


SLOW = [
    "ANSWER:" + " " * 20_000 + "!", "ANSWER:a" + " " * 20_000 + "!", "ANSWER:x" * 2_500,
    "$a" + " " * 20_000, "** " * 6_667, "9" * 20_000, "#### " * 4_000, ": " * 10_000, "(" * 20_000,
]  # fmt: skip


@pytest.mark.parametrize("name", ["lm_eval", "inspect"])
@pytest.mark.parametrize("number", range(len(SLOW)))
def test_long_replies_cost_little_time(name, number):
    for form, gold in ((CHOICE, "A"), (NUMBER, "1"), (YES, "Yes"), (TEXT, "a b"), (TEXT, "a")):
        reader = get_reader(name)
        assert seconds(grade_reply, reader, form, SLOW[number], gold, bound=0.5) < 0.5


def test_the_page_shows_the_agreement_that_is_measured():
    table = runpy.run_path(str(ROOT / "benchmarks" / "readers.py"))["table"]()
    assert table in (ROOT / "docs" / "readers.md").read_text(encoding="utf-8")


def command(*args):
    with pytest.raises(SystemExit) as end:
        main([str(arg) for arg in args])
    return end.value.code or 0


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A benchmark whose replies are right numbers with a fraction, such as `97.0`."""
    folder = tmp_path_factory.mktemp("answered")
    run(folder, "right=1,add=.0")
    return folder


@pytest.fixture
def bench(answered, tmp_path):
    shutil.copy(answered / FILE, tmp_path / FILE)
    return tmp_path


def as_version_1(folder):
    with sqlite3.connect(folder / FILE) as db:
        db.execute("ALTER TABLE answers DROP COLUMN reader")
        db.execute("PRAGMA user_version = 1")
    db.close()


def accuracy(report):
    _, results, *_ = [line for line in report.splitlines() if line.startswith("| direct |")]
    return results.split("|")[4].split()[0]


@pytest.mark.slow
@pytest.mark.parametrize("name, right", [("neuromas", "100.0"), ("lm_eval", "0.0")])
def test_a_report_reads_stored_answers_again(bench, capsys, name, right):
    before = (bench / FILE).read_bytes()
    assert command("report", bench, "--reader", name, "--format", "markdown") == 0
    printed = capsys.readouterr().out
    assert accuracy(printed) == right
    assert f"read again by {READERS[name]}" in printed
    assert (bench / f"report-{name}.md").read_text() == printed
    assert (
        f"% Stored answers are read again by {READERS[name]}"
        in (bench / f"report-{name}.tex").read_text()
    )
    assert (bench / FILE).read_bytes() == before and not (bench / "report.md").exists()


@pytest.mark.slow
def test_a_report_says_by_whom_stored_scores_were_made(bench, capsys):
    assert command("report", bench, "--format", "markdown") == 0
    assert f"Answers were read by {NOW}." in capsys.readouterr().out
    as_version_1(bench)
    assert command("report", bench, "--format", "markdown") == 0
    printed = capsys.readouterr().out
    assert "Answers were read by neuromas 1." in printed
    assert accuracy(printed) == "100.0"
    assert command("report", bench, "--reader", "inspect", "--format", "markdown") == 0
    assert accuracy(capsys.readouterr().out) == "100.0"


@pytest.mark.slow
def test_an_older_store_goes_on_and_keeps_who_read_what(bench):
    as_version_1(bench)
    notes = run(bench, "right=1,add=.0", limit=12)
    found = rows(bench, "SELECT row, reader FROM answers ORDER BY row")
    assert [row["reader"] for row in found] == [None] * 10 + [NOW] * 2
    with Store(bench) as store:
        assert store.readers() == ["neuromas 1", NOW]
    assert notes.totals == [(12, 10)]


@pytest.mark.parametrize("voted", [False, True])
def test_a_reply_that_was_cut_off_is_read_as_such(bench, voted):
    """Also where a vote passes it on, which stores did not always note."""
    open_thought = "The answer is 12, or"
    with sqlite3.connect(bench / FILE) as db:
        said = [{"node": "node_0", "text": open_thought, "tokens": 6, "cut": True}]
        said += [{"node": "vote", "text": open_thought}] if voted else []
        db.execute(
            "UPDATE answers SET answer = ?, transcript = ?", (open_thought, json.dumps(said))
        )
    db.close()
    seen = []

    def number(reply):
        seen.append((str(reply), reply.cut_off))
        return None

    with Store(bench) as store, pytest.MonkeyPatch.context() as patch:
        patch.setitem(READERS, "neuromas", replace(READERS["neuromas"], number=number))
        rescored(store, "neuromas")[0].close()
    assert set(seen) == {(open_thought, True)}


class Kept(Task):
    """A task that scores by itself."""

    answer_format = "Answer."

    def examples(self, split):
        return [Example("0", "Why?", "x")]

    def majority(self, split):
        return 1.0


FACTS = {
    "topology": Topology.parse("1").to_json(), "labels": {}, "calls": 1, "trainable": 0,
    "questions": 1, "asked": 1, "majority": 1.0, "blind": None, "prices": None, "versions": {},
    "skipped_rows": [],
}  # fmt: skip
SCORED = Answer(
    0, "0", "x", 1.0, 1.0, "ok", None, None, 1, 0, 1, 1, 0.1, None, '[{"node": "n", "text": "x"}]'
)


@pytest.mark.slow
def test_scores_that_no_reader_gives_stay(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(TASKS, "registered", {})
    register_task("kept", Kept)
    with Store(tmp_path, write=True) as store:
        for task, model in (("kept", "m"), ("relay-easy", "coded")):
            store.add_questions(task, "test", [Example("0", "Why?", "x")])
            cell = Cell("direct", task, "test", None, {"model": model}, FACTS, 1)
            store.add(store.cell(cell), [SCORED])
    assert command("report", tmp_path, "--reader", "inspect", "--format", "markdown") == 0
    printed = capsys.readouterr().out
    assert "Scores that no reader gives are as stored: kept, relay-easy." in printed
    assert printed.count("| direct | 1 | - | 100.0 |") == 2


@pytest.mark.slow
def test_what_cannot_be_read_again_is_one_clear_line(bench, tmp_path, capsys, monkeypatch):
    assert command("report", bench, "--reader", "lmeval") == 2
    assert "unknown reader 'lmeval'. Did you mean 'lm_eval'" in capsys.readouterr().err
    with sqlite3.connect(bench / FILE) as db:
        db.execute("UPDATE questions SET question = 'Another?' WHERE row_id = 'test/3'")
    db.close()
    assert command("report", bench, "--reader", "lm_eval") == 2
    assert "row 3 of task hierarchy/max reads differently now" in capsys.readouterr().err
    with sqlite3.connect(bench / FILE) as db:
        for table in ("cells", "questions"):
            db.execute(f"UPDATE {table} SET task = 'arc/easy'")
    db.close()
    monkeypatch.delenv("NEUROMAS_DATA", raising=False)
    assert command("report", bench, "--reader", "lm_eval", "--data", tmp_path / "none") == 2
    assert "none" in capsys.readouterr().err


class Says(Policy):
    """A node that always says the same."""

    def request(self, observation, seed):
        return "The answer is A."


def test_an_evaluation_names_its_reader_also_when_none_was_noted():
    task = make_task("signal")
    found = evaluate(Method(Topology.parse("1"), {"node_0": Says()}), task, task.examples("test"))
    assert found.reader == NOW
    written = json.loads(json.dumps(found.to_dict()))
    assert Evaluation.from_dict(written) == found
    del written["reader"]
    assert Evaluation.from_dict(written).reader == "neuromas 1"
