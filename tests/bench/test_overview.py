"""The head of a report: what it is of, and the matrix of methods and tasks."""

import io

import pytest
from bench.test_report import FEW, MOST, RIGHT
from rich.console import Console
from support.bench_runs import configure, run
from support.stored import answers, cell, fill

from neuromas_env.bench.overview import TASKS, UNREAD, about, make_matrix
from neuromas_env.bench.report import write_report
from neuromas_env.bench.store import Store
from neuromas_env.bench.summary import summarise
from neuromas_env.bench.tables import to_latex, to_markdown

pytestmark = pytest.mark.slow

MANY, NONE = [1] * 30, [0] * 30


def matrix(folder, *parts, score="extracted"):
    with fill(folder, *parts) as store:
        return make_matrix(summarise(store), score)


def test_every_method_has_a_row_and_every_task_a_column(tmp_path):
    [grid] = matrix(
        tmp_path,
        (cell("direct"), answers(FEW)),
        (cell("direct", task="u"), answers(RIGHT)),
        (cell("a"), answers(MOST)),
    )
    assert grid.head == ("method", "t", "u", "average", "calls", "tokens")
    direct, a, _ = grid.rows
    assert direct[1].startswith("16.7 ± ") and direct[3:] == ("50.0", "2", "2")
    assert a[1].startswith("66.7 ± ") and a[2:] == ("-", "-", "-", "-")
    # The best of a task where there are several, and never of what only one has.
    assert grid.bold == {(1, 1)}


def test_the_best_constant_answer_is_the_last_row(tmp_path):
    parts = [
        (cell("direct", task=task, facts={"majority": share}), answers(RIGHT))
        for task, share in (("t", 0.25), ("u", 0.5), ("v", None))
    ]
    [grid] = matrix(tmp_path / "some", *parts)
    assert grid.rows[-1] == ("best constant answer", "25.0", "50.0", "-", "-", "-", "-")
    [grid] = matrix(tmp_path / "all", *parts[:2], (cell("sc"), answers(FEW)))
    assert grid.rows[-1] == ("best constant answer", "25.0", "50.0", "37.5", "-", "-")
    assert grid.bold == {(0, 1)}
    [grid] = matrix(tmp_path / "none", parts[2])
    assert len(grid.rows) == 1


def test_replies_without_an_answer_have_a_table_of_their_own(tmp_path):
    [grid] = matrix(tmp_path, (cell("direct", facts={"majority": 0.5}), answers(FEW)), score=UNREAD)
    assert grid.title == "All methods: replies without an answer, %" and not grid.bold
    assert grid.rows == (("direct", "0.0", "2", "2"),)


def test_many_tasks_are_cut_into_tables_of_eight_columns(tmp_path):
    parts = [(cell("direct", task=f"t{i}"), answers(RIGHT)) for i in range(2 * TASKS + 1)]
    grids = matrix(tmp_path, *parts)
    assert [len(grid.head) for grid in grids] == [1 + TASKS, 1 + TASKS, 5]
    assert max(len(grid.head) for grid in grids) <= 8
    assert len({to_latex(grid).split("label{")[1].split("}")[0] for grid in grids}) == 3


def test_marks_say_what_survives_holms_correction(tmp_path):
    one = cell("direct", facts={"asked": 30})
    [grid] = matrix(
        tmp_path,
        (one, answers(NONE[:15] + MANY[:15])),
        (cell("above"), answers(MANY)),
        (cell("below"), answers(NONE)),
        (cell("alike"), answers(NONE[:14] + MANY[:16])),
    )
    cells = [row[1] for row in grid.rows[:4]]
    assert [text[-1] for text in cells] == [cells[0][-1], "*", "†", cells[3][-1]]
    assert cells[0][-1].isdigit() and cells[3][-1].isdigit()
    assert "above and † below direct" in grid.note
    text = to_latex(grid)
    assert r"\textbf{100.0 $\pm$" in text and r"\label{tab:methods}" in text
    assert "**100.0 ±" in to_markdown(grid)


def test_models_of_one_folder_are_compared(tmp_path):
    with fill(
        tmp_path,
        (cell("direct", model="small"), answers(FEW)),
        (cell("direct", model="large"), answers(RIGHT)),
        (cell("a", task="u", model="small"), answers(RIGHT)),
    ) as store:
        small, large, other = summarise(store)
    assert list(large.against) == ["direct [model=small]"] and not small.against
    assert other.method == "a"


def test_labels_are_the_same_on_all_tasks(tmp_path):
    [grid] = matrix(
        tmp_path,
        (cell("direct", length=64), answers(FEW)),
        (cell("direct", length=128), answers(RIGHT)),
        (cell("direct", task="u", length=64), answers(RIGHT)),
    )
    assert [row[0] for row in grid.rows[:2]] == ["direct [length=64]", "direct [length=128]"]


def test_a_report_says_what_it_is_a_report_of(tmp_path):
    run(tmp_path, limit=4, methods=("direct", "sc:k=2"), seeds=(0, 3))
    run(tmp_path, limit=6, methods=("direct", "sc:k=2"), seeds=(0, 3))
    with Store(tmp_path) as store:
        head = about(store, summarise(store))
    assert head["models"] == "right=0.5" and head["seeds"] == "0, 3" and head["split"] == "test"
    assert head["questions"] == "hierarchy/max 6" and "neuromas-env" in head["versions"]
    first, second = head["command"].split(", neuromas")
    assert "--limit 4" in first and "--limit 6" in second and "--seeds 0,3" in first
    text = io.StringIO()
    write_report(Console(file=text, width=200), tmp_path)
    for written in (text.getvalue(), *(p.read_text() for p in tmp_path.glob("report.[mth]*"))):
        assert "--limit 6" in written and "right=0.5" in written


def test_a_command_hides_what_an_address_holds(tmp_path):
    asked = configure(tmp_path, base_url="https://me:secret@host/v1?api_key=hidden", matched=True)
    assert "--base-url https://host/v1" in asked.command and "--matched" in asked.command
    assert "secret" not in asked.command and "hidden" not in asked.command
