"""MMLU: subjects, groups, pools, solved examples; on made-up rows."""

import json
import shutil

import pytest
from support.paths import ROWS

from neuromas_env.errors import InputError
from neuromas_env.tasks import SPLITS, list_tasks, make_task
from neuromas_env.tasks.mmlu import GROUPS

SUBJECTS = {"abstract_algebra", "college_physics", "prehistory", "cheese_lore"}


def subjects(task, split):
    return {example.extra["subject"] for example in task.examples(split)}


def test_a_subject_is_reported_alone_and_trained_on_its_group():
    task = make_task("mmlu/abstract_algebra", data=ROWS)
    assert subjects(task, "test") == {"abstract_algebra"} and len(task.examples("test")) == 10
    pool = subjects(task, "train") | subjects(task, "validation")
    assert pool == {"abstract_algebra", "college_physics"}
    sizes = task.split_sizes()
    assert sizes["train"] + sizes["validation"] == 2 * (5 + 12)
    assert 0 < sizes["validation"] < sizes["train"]


def test_groups_and_all():
    stem = make_task("mmlu/stem", data=ROWS)
    assert subjects(stem, "test") == subjects(stem, "train") | {"college_physics"}
    assert stem.examples("train") == make_task("mmlu/college_physics", data=ROWS).examples("train")
    everything = make_task("mmlu", data=ROWS)
    assert everything.name == make_task("mmlu/all", data=ROWS).name == "mmlu"
    assert subjects(everything, "test") == SUBJECTS and len(everything.examples("test")) == 40


def test_a_subject_that_the_map_does_not_name_is_of_other():
    task = make_task("mmlu/cheese_lore", data=ROWS)
    assert subjects(task, "train") == subjects(make_task("mmlu/other", data=ROWS), "test")


def test_the_map_names_57_subjects_once():
    names = [subject for group in GROUPS.values() for subject in group]
    assert len(names) == len(set(names)) == 57
    assert [len(group) for group in GROUPS.values()] == [18, 13, 12, 14]


def test_what_an_example_looks_like():
    example = make_task("mmlu/abstract_algebra", data=ROWS).examples("test")[0]
    row = json.loads((ROWS / "mmlu" / "test.jsonl").read_text().splitlines()[0])
    assert example.question.splitlines() == [
        row["question"],
        *(f"{label}. {text}" for label, text in zip("ABCD", row["choices"], strict=True)),
    ]
    assert example.target == "ABCD"[row["answer"]]
    assert example.id.startswith("abstract_algebra/")


def test_unknown_subjects_get_suggestions():
    with pytest.raises(InputError, match="Did you mean 'mmlu/abstract_algebra'"):
        make_task("mmlu/abstract_algbra", data=ROWS)
    with pytest.raises(InputError, match="unknown task 'mmlu/virology'"):
        make_task("mmlu/virology", data=ROWS)  # upstream has it, these rows have not
    with pytest.raises(InputError, match="unknown split 'tests'. Did you mean 'test'"):
        make_task("mmlu", data=ROWS).examples("tests")


def test_lists_what_the_data_holds_or_else_what_upstream_has(monkeypatch):
    monkeypatch.delenv("NEUROMAS_DATA", raising=False)
    here, there = list_tasks(data=ROWS), list_tasks()
    assert {f"mmlu/{subject}" for subject in SUBJECTS} <= here.keys()
    assert "mmlu/virology" in there and "mmlu/virology" not in here
    assert {"mmlu", "mmlu/stem"} <= here.keys() & there.keys()
    assert "bbh/web_of_lies" in there and "bbh/web_of_lies" not in here
    assert {"bbh/navigate", "bbh/word_sorting"} <= here.keys()
    for name in here:
        if name.startswith(("mmlu", "bbh", "arc")):
            assert make_task(name, data=ROWS).name == name


def test_lists_no_task_whose_tables_the_data_lacks(tmp_path):
    shutil.copytree(ROWS / "bbh", tmp_path / "bbh")
    families = {name.partition("/")[0] for name in list_tasks(needs_data=True, data=tmp_path)}
    assert families == {"bbh"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": 4}, "line 2: column 'answer' is 4; it must be 0 to 3"),
        ({"answer": -1}, "line 2: column 'answer' is -1"),
        ({"answer": "B"}, "line 2: column 'answer' must be an integer"),
        ({"choices": ["one"]}, "line 2: column 'choices' must have 2 to 10 texts, got 1"),
    ],
)
def test_rows_that_make_no_sense_are_named_or_left_out(tmp_path, change, message):
    lines = (ROWS / "mmlu" / "test.jsonl").read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | change)
    (tmp_path / "mmlu").mkdir()
    (tmp_path / "mmlu" / "test.jsonl").write_text("\n".join(lines))
    with pytest.raises(InputError, match=message):
        make_task("mmlu", data=tmp_path)
    task = make_task("mmlu", data=tmp_path, skip_bad_rows=True)
    assert len(task.examples("test")) == 39
    assert len(task.skipped) == 1 and message in task.skipped[0]
    assert task.split_sizes() == {"test": 39}  # there are no rows to train on


@pytest.mark.parametrize("name", ["mmlu/college_physics", "arc/challenge", "bbh/navigate"])
def test_solved_examples_precede_every_question_and_are_used_for_nothing_else(name):
    plain, shown = make_task(name, data=ROWS), make_task(f"{name}:shots=2", data=ROWS)
    assert shown.name == f"{name}:shots=2"
    known = {e.question: e for split in SPLITS for e in plain.examples(split)}
    solved = set()
    for split in SPLITS:
        for example in shown.examples(split):
            *before, question = example.question.split("\n\nQuestion: ")
            before[0] = before[0].removeprefix("Question: ")
            assert known[question].id == example.id and len(before) == 2
            for text in before:
                asked, _, answer = text.rpartition("\nAnswer: ")
                assert known[asked].target == answer
                solved.add(known[asked].id)
            target = plain.score(known[question], example.target)
            assert shown.score(example, example.target) == target
    ids = {split: [e.id for e in plain.examples(split)] for split in SPLITS}
    assert not solved & {*ids["test"]} and solved <= {*ids["train"], *ids["validation"]}
    for split in SPLITS:
        assert [e.id for e in shown.examples(split)] == [i for i in ids[split] if i not in solved]
    again = make_task(f"{name}:shots=2", data=ROWS)
    assert again.examples("test") == shown.examples("test")


def test_solved_examples_of_mmlu_are_dev_rows_of_the_subject():
    task = make_task("mmlu:shots=3", data=ROWS)
    dev = [json.loads(line) for line in (ROWS / "mmlu" / "dev.jsonl").read_text().splitlines()]
    for example in task.examples("test"):
        asked = [row["question"] for row in dev if row["subject"] == example.extra["subject"]]
        shown = example.question.split("Question: ")[1:4]
        assert [part.splitlines()[0] for part in shown] == asked[:3]


def test_a_subject_with_too_few_rows_of_its_own_shows_others_of_its_group(tmp_path):
    (tmp_path / "mmlu").mkdir()
    for split, count in (("dev", 3), ("validation", 4), ("test", 2)):
        rows = [
            {"question": f"{subject} {split} {i}?", "subject": subject, "choices": ["a", "b"]}
            | {"answer": i % 2}
            for subject in ("astronomy", "college_physics", "virology")
            for i in range(1 if subject == "astronomy" and split != "test" else count)
        ]
        file = tmp_path / "mmlu" / f"{split}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = make_task("mmlu:shots=4", data=tmp_path)
    first = task.examples("test")[0].question
    shown = [part.splitlines()[0] for part in first.split("Question: ")[1:5]]
    physics = [f"college_physics validation {i}?" for i in (1, 2)]
    assert shown == ["astronomy dev 0?", "astronomy validation 0?", *physics]
    alone = make_task("mmlu/astronomy:shots=4", data=tmp_path)
    assert [e.question for e in alone.examples("test")][0] == first
    left = [e.question for split in ("train", "validation") for e in alone.examples(split)]
    assert [text.rpartition("Question: ")[2].split("?")[0] for text in left] == [
        "college_physics validation 3"
    ]
    with pytest.raises(InputError, match="shots is 8, but only 7 rows can be shown"):
        make_task("mmlu/virology:shots=8", data=tmp_path).examples("test")


def test_too_many_solved_examples_are_refused():
    with pytest.raises(InputError, match="shots must be an integer from 0 to 16, not 17"):
        make_task("bbh/navigate:shots=17", data=ROWS)
    with pytest.raises(InputError, match="shots is 9, but only 5 rows can be shown"):
        make_task("bbh/navigate:shots=9", data=ROWS)
