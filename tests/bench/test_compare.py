"""Two benchmark directories side by side."""

import sqlite3
from contextlib import closing

import pytest
from support.bench_runs import run
from support.stored import answers, cell, fill

from neuromas_env.bench.compare import compare_folders
from neuromas_env.bench.statistics import Estimand
from neuromas_env.bench.store import FILE
from neuromas_env.cli.app import main
from neuromas_env.errors import InputError

pytestmark = pytest.mark.slow


@pytest.fixture
def folders(tmp_path):
    run(tmp_path / "old", "right=0.2", limit=12, methods=("direct", "sc:k=3"), seeds=(0, 1))
    run(tmp_path / "new", "right=1", limit=10, methods=("sc:k=3", "debate"), seeds=(0, 1))
    return tmp_path / "old", tmp_path / "new"


def test_common_methods_are_compared_on_common_questions(folders):
    grid = compare_folders(*folders)
    [row] = grid.rows
    assert row[:3] == ("hierarchy/max", "sc:k=3", "10") and len(grid.head) == 8
    old, new, points = map(float, row[3:6])
    assert new == 100 and old < 60 and points == pytest.approx(new - old, abs=0.1)
    low, high = (float(bound) for bound in row[6].split(" to "))
    assert low <= points <= high and row[7].startswith(("0.0", "<"))
    back = compare_folders(*folders[::-1])
    assert float(back.rows[0][5]) == -points


def test_one_folder_against_itself_is_no_difference(folders):
    rows = compare_folders(folders[0], folders[0]).rows
    assert [row[1] for row in rows] == ["direct", "sc:k=3"]
    assert all(row[3] == row[4] and float(row[5]) == 0 for row in rows)


def test_an_answer_to_one_question_has_neither_interval_nor_p(folders, tmp_path):
    run(tmp_path / "one", "right=1", limit=1, methods=("direct",))
    grid = compare_folders(folders[0], tmp_path / "one")
    [row] = grid.rows
    assert row[2] == "1" and row[6:] == ("-", "-")
    assert grid.note.endswith("Estimand: these answers.")


TRAINED = {"trainable": 9, "training": {"steps": 3}}
OTHER_RUNS = {(0, 1): Estimand.TRAINING, (0,): Estimand.METHOD}


@pytest.mark.parametrize(("seeds", "estimand"), OTHER_RUNS.items())
@pytest.mark.parametrize("model", ["m", "coded"])
def test_several_runs_say_nothing_of_others_next_to_a_single_one(tmp_path, seeds, estimand, model):
    run = {"study": "chars", "adapters": {"arm": "x"}, "model": model}
    for name, some in (("old", seeds), ("new", (0, 1))):
        parts = [(cell("arm", s, facts=TRAINED, **run), answers([0, 1, s])) for s in some]
        fill(tmp_path / name, *parts).close()
    grid = compare_folders(tmp_path / "old", tmp_path / "new")
    if model == "coded":
        estimand = Estimand.FINITE if len(seeds) > 1 else Estimand.ANSWERS
    assert f"Estimand: {estimand}." in grid.note
    assert ("A single training run: arm;" in grid.note) == (len(seeds) == 1)


def test_what_cannot_be_compared_is_said(folders, tmp_path):
    run(tmp_path / "other", limit=2, methods=("cot",))
    with pytest.raises(InputError, match="have no method on a common task and question"):
        compare_folders(folders[0], tmp_path / "other")
    with pytest.raises(InputError, match="there is no .*nowhere"):
        compare_folders(folders[0], tmp_path / "nowhere")
    with pytest.raises(InputError, match="unknown score 'loose'"):
        compare_folders(*folders, "loose")
    with closing(sqlite3.connect(folders[1] / FILE)) as db, db:
        db.execute("UPDATE questions SET question = 'other' WHERE row_id LIKE '%3'")
    with pytest.raises(InputError, match="reads differently in"):
        compare_folders(*folders)


def test_by_command(folders, capsys):
    with pytest.raises(SystemExit) as end:
        main(["compare", *map(str, folders)])
    said = capsys.readouterr().out
    assert not end.value.code and "compared with" in said and "sc:k=3" in said
    with pytest.raises(SystemExit) as end:
        main(["compare", str(folders[0]), str(folders[0] / "none")])
    assert end.value.code == 2 and "error: there is no" in capsys.readouterr().err
