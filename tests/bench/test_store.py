"""The store of a benchmark: what it keeps, refuses and survives."""

import resource
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import TESTS
from support.stored import ANSWER, CELL

from neuromas_env.bench.store import FILE, VERSION, Store
from neuromas_env.errors import InputError
from neuromas_env.tasks.base import Example

WRITER = """
import sys, time
from neuromas_env.bench.store import Store
with Store(sys.argv[1], write=True):
    print("open", flush=True)
    time.sleep(60)
"""


def fill(store, *answers):
    number = store.cell(CELL)
    store.add(number, answers)
    return number


def test_answers_are_read_back(tmp_path):
    with Store(tmp_path, write=True) as store:
        store.add_questions("t", "test", [Example("a", "why?", "x", parts=("p",))])
        number = fill(store, ANSWER)
    with Store(tmp_path) as store:
        [row] = store.rows("SELECT * FROM results")
        assert store.done(number) == {0}
    expected = {name: getattr(ANSWER, name) for name in ANSWER.__dataclass_fields__}
    assert row.items() >= expected.items()
    assert row["question"] == "why?" and row["method"] == "direct" and row["attempts"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.lock", FILE]


def test_errors_are_replaced_and_answers_are_not(tmp_path):
    failed = replace(ANSWER, row=1, error="node_0: no", reason=None)
    with Store(tmp_path, write=True) as store:
        number = fill(store, ANSWER, failed)
        assert store.done(number) == {0}
        store.add(number, [replace(ANSWER, answer="y"), replace(failed, error=None, answer="z")])
        rows = store.rows("SELECT answer, attempts FROM answers ORDER BY row")
    assert [tuple(row.values()) for row in rows] == [("x", 1), ("z", 2)]


def test_a_chunk_is_committed_whole_or_not_at_all(tmp_path):
    with Store(tmp_path, write=True) as store:
        number = store.cell(CELL)
        with pytest.raises(InputError, match="NOT NULL"):
            store.add(number, [ANSWER, replace(ANSWER, row=1, transcript=None)])
        assert store.done(number) == set()


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "model": st.sampled_from(["m", "n"]),
            "chunk": st.integers(1, 3),
            "versions": st.dictionaries(st.sampled_from("ab"), st.sampled_from("12")),
        },
    ),
    st.sampled_from([None, 0, 1]),
)
def test_a_cell_is_another_if_anything_that_matters_is(settings, seed):
    cell = replace(CELL, settings=settings, seed=seed, facts={"any": 1}, questions=9)
    same = settings == CELL.settings and seed == CELL.seed
    assert (cell.hash == CELL.hash) == same
    shuffled = dict(reversed(settings.items()))
    assert replace(cell, settings=shuffled).hash == cell.hash


def test_a_second_writer_is_told_and_readers_are_let_in(tmp_path):
    with Store(tmp_path, write=True) as store:
        fill(store, ANSWER)
        with pytest.raises(InputError, match="being written by another process"):
            Store(tmp_path, write=True)
        with Store(tmp_path) as reader:
            assert len(reader.rows("SELECT * FROM answers")) == 1
    Store(tmp_path, write=True).close()


@pytest.mark.slow
def test_a_killed_writer_lets_the_next_one_in(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout.readline() == "open\n"
        with pytest.raises(InputError, match="being written by another process"):
            Store(tmp_path, write=True)
        writer.send_signal(signal.SIGKILL)
    with Store(tmp_path, write=True) as store:
        fill(store, ANSWER)


def test_a_newer_store_is_refused_and_unharmed(tmp_path):
    Store(tmp_path, write=True).close()
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    before = (tmp_path / FILE).read_bytes()
    for write in (True, False):
        with pytest.raises(InputError, match="newer neuromas-env.*Update"):
            Store(tmp_path, write=write)
    assert (tmp_path / FILE).read_bytes() == before


@pytest.mark.parametrize("content", [b"no database at all, but long enough" * 9, "foreign"])
def test_files_of_others_are_refused(tmp_path, content):
    if content == "foreign":
        with sqlite3.connect(tmp_path / FILE) as db:
            db.execute("CREATE TABLE mine (x)")
        db.close()
    else:
        (tmp_path / FILE).write_bytes(content)
    with pytest.raises(InputError, match=FILE):
        Store(tmp_path, write=True)


def test_a_missing_store_is_said(tmp_path):
    with pytest.raises(InputError, match="neuromas bench --out"):
        Store(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_a_question_that_reads_differently_now_is_refused(tmp_path):
    with Store(tmp_path, write=True) as store:
        store.add_questions("t", "test", [Example("a", "why?", "x"), Example("b", "how?", "y")])
        store.add_questions("t", "test", [Example("a", "why?", "x"), Example("c", "who?", "z")])
        with pytest.raises(InputError, match="'b' of task t reads differently"):
            store.add_questions("t", "test", [Example("d", "?", "x"), Example("b", "how?", "n")])
        names = [row["row_id"] for row in store.rows("SELECT row_id FROM questions")]
    assert names == ["a", "b", "c"]


def test_a_store_that_is_cut_off_is_called_damaged(tmp_path):
    with Store(tmp_path, write=True) as store:
        number = store.cell(CELL)
        store.add(number, [replace(ANSWER, row=row, transcript="[]") for row in range(2000)])
    with open(tmp_path / "bench.sqlite", "r+b") as file:
        file.truncate(file.seek(0, 2) // 2)
    with pytest.raises(InputError, match=r"bench.sqlite is damaged: .*\.recover"):
        with Store(tmp_path) as store:
            store.rows("SELECT sum(length(transcript)) FROM answers")


@pytest.mark.slow
def test_a_full_disk_harms_nothing_that_was_stored(tmp_path):
    script = """
import sys
from dataclasses import replace
from support.stored import ANSWER, CELL
from neuromas_env.bench.store import Store
with Store(sys.argv[1], write=True) as store:
    number = store.cell(CELL)
    for start in range(0, 2000, 10):
        said = '["' + "x" * 500 + '"]'
        rows = [replace(ANSWER, row=start + i, transcript=said) for i in range(10)]
        store.add(number, rows)
        print(start, flush=True)
"""
    limit = 300_000
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "out")],
        cwd=TESTS,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 1
    assert "Answers that were stored before are unharmed" in done.stderr
    chunks = len(done.stdout.split())
    assert 5 < chunks < 190
    with Store(tmp_path / "out", write=True) as store:
        assert store.done(store.cell(CELL)) == set(range(10 * chunks))
        assert store.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
