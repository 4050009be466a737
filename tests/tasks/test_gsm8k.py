"""GSM8K by name: rows in its own form, their gold numbers, and how they are divided."""

import json
import shutil

import pytest
from support.paths import ROWS

from neuromas_env.errors import InputError
from neuromas_env.tasks import SPLITS, list_tasks, make_task, task_tables
from neuromas_env.testing import check_task

GIVEN = {
    table: list(map(json.loads, (ROWS / "gsm8k" / f"{table}.jsonl").read_text().splitlines()))
    for table in ("train", "test")
}
SOLUTIONS = {row["question"]: row["answer"] for rows in GIVEN.values() for row in rows}


@pytest.fixture
def task():
    return make_task("gsm8k", ROWS)


def every(task):
    return [example for split in SPLITS for example in task.examples(split)]


def test_rows_are_read_as_they_are(task):
    assert task.name == "gsm8k" and "gsm8k" in list_tasks(needs_data=True)
    assert len(every(task)) == len(SOLUTIONS) == 50
    check_task(task)
    for example in every(task):
        final = SOLUTIONS[example.question].rpartition("#### ")[2]
        assert float(example.target) == float(final.replace(",", ""))


def test_a_bare_answer_is_right_in_both_readings(task):
    for example in every(task):
        bare = SOLUTIONS[example.question].rpartition("#### ")[2]
        assert task.score(example, example.target).strict == 1.0
        assert task.score(example, bare).extracted == 1.0, (example, bare)
        assert task.score(example, f"{bare}9").extracted == 0.0


def test_a_worked_solution_is_right_as_a_free_reply(task):
    unread = [e.question for e in every(task) if not task.score(e, SOLUTIONS[e.question]).extracted]
    assert unread == []


def test_the_solution_is_not_shown(task):
    assert not any("####" in example.question for example in every(task))


@pytest.mark.slow
def test_test_rows_are_reported_and_a_sixth_of_the_others_validates(task):
    questions = {split: [e.question for e in task.examples(split)] for split in SPLITS}
    assert questions["test"] == [row["question"] for row in GIVEN["test"]]
    pool = {row["question"] for row in GIVEN["train"]}
    assert {*questions["train"], *questions["validation"]} == pool
    assert len(questions["train"]) > len(questions["validation"]) > 0
    assert [table.path for table in task_tables("gsm8k")] == ["gsm8k/train", "gsm8k/test"]
    assert {table.hub[:2] for table in task_tables("gsm8k")} == {("openai/gsm8k", "main")}


def test_a_training_row_that_is_reported_too_is_in_no_split(tmp_path, task):
    shutil.copytree(ROWS / "gsm8k", tmp_path / "gsm8k")
    with (tmp_path / "gsm8k" / "train.jsonl").open("a") as file:
        for row in GIVEN["test"][:5]:
            file.write(json.dumps(row | {"question": row["question"].replace(" ", "  ")}) + "\n")
    other = make_task("gsm8k", tmp_path)
    assert other.split_sizes() == task.split_sizes()
    check_task(other)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("18", "'answer' must be a worked solution that ends in '#### ' and the number, not '18'"),
        (18, "must be a worked solution"),
        ("So it is 18.\n#### eighteen", "column 'answer' must be a number, not 'eighteen'"),
        ("So it is 18.\n#### ", "column 'answer' must be a number, not ''"),
    ],
)
def test_broken_rows_are_named(answer, message, tmp_path):
    shutil.copytree(ROWS / "gsm8k", tmp_path / "gsm8k")
    with (tmp_path / "gsm8k" / "test.jsonl").open("a") as file:
        file.write(json.dumps({"question": "How many?", "answer": answer}) + "\n")
    with pytest.raises(InputError, match=f"gsm8k/test.jsonl, line 21: .*{message}"):
        make_task("gsm8k", tmp_path)
    assert len(make_task("gsm8k", tmp_path, skip_bad_rows=True).examples("test")) == 20
