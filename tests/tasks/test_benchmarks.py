"""ARC, BBH and MMLU on made-up rows and, where NEUROMAS_DATA says where, on the real ones."""

import json

import pytest
from support.paths import FOLDERS, ROWS, folders

from neuromas_env.errors import InputError
from neuromas_env.tasks import SPLITS, bbh, make_task
from neuromas_env.tasks.answers import list_form
from neuromas_env.tasks.base import listed_options
from neuromas_env.tasks.bbh import FLAWS
from neuromas_env.tasks.near_duplicates import NEAR_DUPLICATES
from neuromas_env.tasks.pools import fingerprint
from neuromas_env.tasks.sources import load_rows

TASKS = [
    pytest.param(folder, name, id=f"{id}-{name}", marks=marks)
    for id, (folder, marks) in FOLDERS.items()
    for name in [
        "arc/challenge",
        "arc/easy",
        "mmlu",
        "mmlu/prehistory",
        *sorted(f"bbh/{file.name.split('.')[0]}" for file in (folder / "bbh").iterdir()),
    ]
]


def all_examples(task):
    return [example for split in SPLITS for example in task.examples(split)]


def wrong_answer(example, examples):
    if example.options:
        right = example.target.strip("()")
        return next((label for label, _ in example.options if label != right), "none")
    right = list_form(example.target)
    return next(e.target for e in examples if list_form(e.target) != right)


def is_malformed(example):
    return example.options and example.target.strip("()") not in dict(example.options)


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "name"), TASKS)
def test_gold_answers_score_one_and_wrong_ones_zero(folder, name):
    task = make_task(name, data=folder)
    examples = all_examples(task)
    malformed = {e.id for e in examples if is_malformed(e)}
    assert malformed <= task.flaws.keys()
    for example in examples:
        gold = task.score(example, task.gold(example))
        assert (gold.strict, gold.extracted) == (1.0, 1.0), example
        wrong = task.score(example, wrong_answer(example, examples))
        assert (wrong.strict, wrong.extracted) == (0.0, 0.0), example
        if example.id not in malformed:
            assert task.score(example, f"The answer is {example.target}.").extracted == 1.0
        assert task.score(example, "\n").reason == "no_answer"


@pytest.mark.slow
def test_rows_that_are_wrong_upstream_are_listed_and_no_others():
    listed = {f"bbh/{table}": set(flaws) for table, flaws in FLAWS.items()}
    for folder, name in (param.values for param in TASKS):
        task = make_task(name, data=folder)
        assert set(task.flaws) == listed.get(name, set())
        if folder == ROWS:
            continue
        examples = all_examples(task)
        targets = {}
        for e in examples:
            targets.setdefault(e.question, set()).add(e.target)
        assert set(task.flaws) == {
            e.id for e in examples if is_malformed(e) or len(targets[e.question]) > 1
        }


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "name"), TASKS)
def test_examples_are_whole_and_splits_apart(folder, name):
    task = make_task(name, data=folder)
    examples = all_examples(task)
    ids = [example.id for example in examples]
    assert len(set(ids)) == len(ids)
    for split in SPLITS:
        assert task.examples(split) is task.examples(split)
        assert 0 < task.majority(split) <= 1
    assert task.majority("test") < 1
    for example in examples:
        assert example.question and not example.parts
        assert all(text in example.question for _, text in example.options)
        if name.startswith(("arc", "mmlu")):
            assert listed_options(example.question) == example.options
    if name.startswith("bbh/"):
        questions = [{e.question for e in task.examples(split)} for split in SPLITS]
        assert sum(map(len, questions)) == len(set.union(*questions))
        near = [row for row in load_rows(bbh.tables(name[4:])[0], folder) if is_near(row)]
        assert len(examples) == len(load_rows(bbh.tables(name[4:])[0], folder)) - len(near)


def is_near(row):
    return fingerprint(row["input"])[-12:] in NEAR_DUPLICATES["bbh"]


@folders
def test_arc_splits_are_the_dataset_s_own_without_near_duplicates(folder):
    for name in ("arc/challenge", "arc/easy"):
        size = [len(make_task(name, data=folder).examples(s)) for s in SPLITS]
        real = {"arc/challenge": [1115, 298, 1172], "arc/easy": [2230, 568, 2376]}[name]
        assert size == ([12, 6, 10] if folder == ROWS else real)


def test_arc_shows_labels_and_options():
    example = make_task("arc/challenge", data=ROWS).examples("test")[0]
    assert example.question == (
        "Which colour is a leaf in spring?\n1. black\n2. yellow\n3. red\n4. green"
    )
    assert (example.target, example.options[3]) == ("4", ("4", "green"))
    task = make_task("arc/challenge", data=ROWS)
    assert task.score(example, "green").extracted == 1.0
    assert task.score(example, "4. green") == task.score(example, "(4) green")
    assert task.score(example, "4. red").reason == "unparsable"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answerKey": "E"}, "line 1: column 'answerKey' is 'E'; it must be one of"),
        ({"choices": {"text": ["x"], "label": ["A", "B"]}}, "'choices' has 2 labels, 1 texts"),
        ({"choices": {"text": ["x", "y"], "label": ["A", "A"]}, "answerKey": "A"}, "one of"),
    ],
)
def test_arc_row_that_makes_no_sense_is_named(tmp_path, change, message):
    row = {
        "id": "x",
        "question": "Which?",
        "choices": {"text": ["this", "that"], "label": ["A", "B"]},
        "answerKey": "B",
    }
    folder = tmp_path / "arc" / "ARC-Challenge"
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text(json.dumps(row | change) + "\n")
    task = make_task("arc/challenge", data=tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        task.examples("train")
    assert str(folder / "train.jsonl") in str(caught.value)
    with pytest.raises(InputError, match=r"arc/ARC-Challenge/test\.jsonl"):
        task.examples("test")


@pytest.mark.parametrize(
    ("name", "form", "answer_format"),
    [
        ("navigate", "word", "Answer Yes or No only."),
        ("object_counting", "number", "Answer with the number only."),
        ("geometric_shapes", "choice", "Answer with the letter of the right option only."),
        ("dyck_languages", "text", "Give the answer only, without explanation."),
        ("word_sorting", "text", "Give the answer only, without explanation."),
    ],
)
def test_bbh_reads_the_form_of_the_answer_from_the_rows(name, form, answer_format):
    task = make_task(f"bbh/{name}", data=ROWS)
    assert (task.form, task.answer_format) == (form, answer_format)
    assert [len(task.examples(split)) for split in SPLITS] == [5, 2, 17]


def test_bbh_split_of_a_row_depends_on_nothing_else(tmp_path):
    lines = (ROWS / "bbh" / "navigate.jsonl").read_text().splitlines()
    whole = make_task("bbh/navigate", data=ROWS)
    where = {e.id: (split, e.question) for split in SPLITS for e in whole.examples(split)}
    (tmp_path / "bbh").mkdir()
    (tmp_path / "bbh" / "navigate.jsonl").write_text("\n".join(lines[::-2]))
    subset = make_task("bbh/navigate", data=tmp_path)
    found = {e.id: (split, e.question) for split in SPLITS for e in subset.examples(split)}
    assert len(found) == len(lines) // 2
    assert found.items() <= where.items()


def test_bbh_rows_with_the_same_input_stay_together(tmp_path):
    rows = [{"input": f"question {i // 2}", "target": "Yes No".split()[i % 2]} for i in range(80)]
    (tmp_path / "bbh").mkdir()
    (tmp_path / "bbh" / "twice.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = make_task("bbh/twice", data=tmp_path)
    sizes = [len(task.examples(split)) for split in SPLITS]
    assert sum(sizes) == 80 and all(size % 2 == 0 for size in sizes)
    first, second = task.examples("test")[:2]
    assert (first.question, f"{first.id}-2") == (second.question, second.id)


def test_unknown_tasks_and_splits_say_what_would_be_right(tmp_path):
    with pytest.raises(InputError, match="Did you mean 'bbh/navigate'"):
        make_task("bbh/navigat", data=ROWS)
    (tmp_path / "bbh").mkdir()
    for held in ((), ("snarks",)):
        for name in held:
            (tmp_path / "bbh" / f"{name}.jsonl").touch()
        with pytest.raises(InputError, match=r"holds no .*navigate\.jsonl"):
            make_task("bbh/navigate", data=tmp_path)
    with pytest.raises(InputError, match="Did you mean 'arc/challenge'"):
        make_task("arc/challange", data=ROWS)
    with pytest.raises(InputError, match=r"the data folder .*none is not there"):
        make_task("bbh/navigate", data=ROWS / "none")
    for name in ("arc/easy", "bbh/navigate"):
        with pytest.raises(InputError, match="unknown split 'tests'. Did you mean 'test'"):
            make_task(name, data=ROWS).examples("tests")
