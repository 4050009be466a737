"""A question-answer set of one's own, from a file and from the hub, registered by name."""

import gzip
import json
import pickle
import re
import sys
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import ROOT

from neuromas_env.errors import InputError
from neuromas_env.tasks import SPLITS, TASKS, list_tasks, make_task, register_task
from neuromas_env.tasks.qa import QuestionAnswer, _decimal
from neuromas_env.testing import check_task

SUMS = [{"question": f"{n} + {n} = ?", "answer": 2 * n} for n in range(40)]
PARITY = [{"question": f"Is {n} even?", "answer": "no" if n % 2 else "Yes"} for n in range(40)]
NAMES = [{"question": f"Who is {n}?", "answer": f"Ann, the {n}th"} for n in range(40)]
CHOICES = [
    {"question": f"{n}?", "choices": ["Ada", "Bob", "Cleo"], "answer": ("A", "Bob", 2, "c")[n % 4]}
    for n in range(40)
]
SETS = {"number": SUMS, "word": PARITY, "text": NAMES, "choice": CHOICES}


@pytest.fixture
def write(tmp_path):
    def write_rows(rows, name="set.jsonl"):
        text = "\n".join(map(json.dumps, rows)) + "\n"
        data = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write_rows


def every(task):
    return [example for split in SPLITS for example in task.examples(split)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", SETS)
def test_every_kind_of_answer_has_no_fault(kind, write):
    task = QuestionAnswer("mine", write(SETS[kind]), kind)
    check_task(task)
    assert sorted(e.question.partition("\n")[0] for e in every(task)) == sorted(
        row["question"] for row in SETS[kind]
    )
    assert pickle.loads(pickle.dumps(task)).examples("test") == task.examples("test")


@pytest.mark.parametrize(
    ("kind", "reply", "scores"),
    [
        ("number", "So 7 + 7 = 14.", (0, 1)),
        ("number", "14.0", (0, 1)),
        ("number", "13 or 14", (0, 0)),
        ("word", "NO", (1, 1)),
        ("word", "The answer is no.", (0, 1)),
        ("word", "yes and no", (0, 0)),
        ("text", "The answer is: ann the 7TH", (0, 1)),
        ("text", "It is not Ann, the 7th, but Bob", (0, 0)),
        ("choice", "c", (1, 1)),
        ("choice", "I pick (C) Cleo", (0, 1)),
        ("choice", "Cleo", (0, 1)),
        ("choice", "C or B", (0, 0)),
    ],
)
def test_replies_are_read_as_the_kind_says(kind, reply, scores, write):
    task = QuestionAnswer("mine", write(SETS[kind]), kind)
    example = next(e for e in every(task) if "7" in e.question and "17" not in e.question)
    score = task.score(example, reply)
    assert (score.strict, score.extracted) == scores


def test_choices_are_listed_and_the_right_one_is_known_by_number_letter_or_text(write):
    task = QuestionAnswer("mine", write(CHOICES), "choice")
    targets = {e.question.partition("?")[0]: e.target for e in every(task)}
    assert [targets[str(n)] for n in range(4)] == ["A", "B", "C", "C"]
    assert every(task)[0].question.endswith("?\nA. Ada\nB. Bob\nC. Cleo")
    assert task.answer_format == "Answer with the letter of the right option only."


def test_a_row_stays_where_it_is_whatever_rows_are_added(write):
    few = QuestionAnswer("mine", write(SUMS[::3]), "number")
    many = QuestionAnswer("mine", write(SUMS), "number")
    for split in SPLITS:
        rows = many.examples(split)
        assert rows and {e.id for e in few.examples(split)} <= {e.id for e in rows}
    doubled = QuestionAnswer("mine", write([*SUMS, SUMS[0]]), "number")
    assert len({e.id for e in every(doubled)}) == len(SUMS) + 1
    for split in SPLITS:  # the same question cannot be trained on and reported
        assert {e.question for e in doubled.examples(split)} == {
            e.question for e in many.examples(split)
        }


def test_one_table_is_divided_five_to_one_to_four(write):
    rows = [{"question": f"{n}?", "answer": n} for n in range(2000)]
    task = QuestionAnswer("mine", write(rows), "number")
    for split, share in zip(SPLITS, (1000, 200, 800), strict=True):
        assert len(task.examples(split)) == pytest.approx(share, rel=0.15)


def test_splits_that_have_tables_of_their_own(write):
    write(SUMS[:30], "sums-pool.jsonl")
    source = write(SUMS[30:], "sums-final.jsonl.gz").parent / "sums-{table}.jsonl"
    tables = {"train": "pool", "validation": "pool", "test": "final"}
    task = QuestionAnswer("mine", source, "number", tables=tables)
    assert len(task.examples("train")) + len(task.examples("validation")) == 30
    assert [e.target for e in task.examples("test")] == [str(2 * n) for n in range(30, 40)]
    alone = QuestionAnswer("mine", source, "number", tables={"test": "final"})
    assert len(alone.examples("test")) == 10 and not alone.examples("train")


def test_tables_that_are_one_file_are_refused(write, tmp_path):
    file = write(SUMS)
    (tmp_path / "other").mkdir()
    (tmp_path / "linked.jsonl").symlink_to(file)
    both = {"train": "train", "test": "test"}
    named = {"train": "set", "test": "linked"}
    for source, tables in [
        (file, both),
        (tmp_path / "{table}.jsonl", named),
        (tmp_path / "{table}.jsonl", {"train": "set", "test": "./set"}),
        (tmp_path / "{table}.jsonl", {"train": "set", "test": "other/../set"}),
    ]:
        with pytest.raises(InputError, match="task 'mine': the tables '.+' are both .*jsonl; give"):
            QuestionAnswer("mine", source, "number", tables=tables)
    one = QuestionAnswer("mine", file, "number", tables={"train": "x", "test": "x"})
    assert len(every(one)) == 40 and not one.examples("validation")


def test_a_byte_order_mark_is_no_text(write):
    file = write(SUMS)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert every(QuestionAnswer("mine", file, "number")) == every(
        QuestionAnswer("mine", write(SUMS, "plain.jsonl"), "number")
    )


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("1e-05", "0.00001"),
        ("1e22", "1" + "0" * 22),
        ("-2.5E+3", "-2500"),
        ("6.02e23", "602" + "0" * 21),
        ("0.1", "0.1"),
        ("1e0", "1"),
        ("12345678901234567890", "12345678901234567890"),
        ("-0.0", "0"),
        ('"1e-05"', "0.00001"),
        ('" 3E2 "', "300"),
        ('"1,234.50"', "1234.5"),
        ('"\u20115"', "-5"),
        ('"\u22127.50"', "-7.5"),
        ('"\u20133"', "-3"),
        ('"1\u202f234"', "1234"),
        ('"9{,}500"', "9500"),
        ('"\\\\$460"', "460"),
        ('"\uff11\uff12"', "12"),
    ],
)
def test_numbers_of_json_are_numbers(written, target, tmp_path):
    (tmp_path / "set.jsonl").write_text(f'{{"question": "?", "answer": {written}}}')
    [example] = every(QuestionAnswer("mine", tmp_path / "set.jsonl", "number"))
    assert example.target == target
    assert QuestionAnswer("mine", tmp_path / "set.jsonl", "number").score(example, target).strict


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_every_finite_number_is_a_gold_answer(value):
    target = _decimal(str(value))
    assert Decimal(target) == Decimal(str(value)) and not re.search("[^0-9.-]", target)


@pytest.mark.parametrize("written", ["1e400", "NaN", "-Infinity", "true", "null", '"e5"', '"1e"'])
def test_what_is_no_number_is_refused(written, tmp_path):
    (tmp_path / "set.jsonl").write_text(f'{{"question": "?", "answer": {written}}}')
    with pytest.raises(InputError, match="set.jsonl, line 1: column 'answer' must be a number"):
        QuestionAnswer("mine", tmp_path / "set.jsonl", "number")


def test_a_text_that_looks_like_a_number_stays_a_text(write):
    file = write([{"question": "Which row?", "answer": "1e5"}])
    assert every(QuestionAnswer("mine", file, "text"))[0].target == "1e5"


# --- rows of another form ---------------------------------------------------------------


def last_line(row):
    solution, _, final = row["solution"].rpartition("\n#### ")
    return {"question": row["question"], "answer": final, "steps": solution}


RAW = [
    {"question": f"{n} + {n}?", "solution": f"{n} + {n} = {2 * n}\n#### {2 * n:,}"}
    for n in range(990, 1030)
]


def test_a_function_makes_the_row(write):
    task = QuestionAnswer("mine", write(RAW), "number", read=last_line)
    assert {e.target for e in every(task)} == {str(2 * n) for n in range(990, 1030)}
    check_task(task)
    nested = [{"data": {"question": f"{n}?", "o": ["x", "y"], "answer": n % 2}} for n in range(20)]
    picked = QuestionAnswer(
        "mine",
        write(nested),
        "choice",
        read=lambda row: row["data"] | {"choices": row["data"]["o"]},
    )
    assert {e.target for e in every(picked)} == {"A", "B"} and pickle.dumps(picked)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (
            lambda row: {"answer": row["final"]},
            r"read raises KeyError\('final'\); the row has the columns question, s",
        ),
        (lambda row: 1 / 0, r"read raises ZeroDivisionError\('division by zero'\)"),
        (lambda row: None, "read must return a dict of columns, not None"),
        (lambda row: {"question": "?"}, "column 'answer' must be a number, not None"),
        (lambda row: {"answer": "1"}, "the column 'question' is missing; there are answer"),
        (lambda row: {"question": "\ud800", "answer": 1}, "column 'question' holds a lone surrog"),
    ],
)
def test_faults_of_the_function_are_said_with_file_and_line(read, message, write):
    with pytest.raises(InputError, match=f"set.jsonl, line 1: {message}"):
        QuestionAnswer("mine", write(RAW), "number", read=read)


def test_another_format_of_the_answer(write):
    task = QuestionAnswer(
        "mine", write(SUMS), "number", answer_format="Nur die Zahl.", max_new_tokens=5
    )
    assert (task.answer_format, task.max_new_tokens) == ("Nur die Zahl.", 5)


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("number", {"question": "?", "answer": "5 apples"}, "41: column 'answer' must be a number"),
        ("number", {"question": "?", "answer": True}, "must be a number, not True"),
        ("number", {"question": "?", "answer": "1 or 2"}, "must be a number, not '1 or 2'"),
        ("text", {"question": "?", "answer": " "}, "must be a text, not ' '"),
        ("text", {"question": "?"}, "must be a text, not None"),
        ("text", {"answer": "!"}, "column 'question' is missing"),
        ("word", {"question": 5, "answer": "yes"}, "column 'question' must be a text, not 5"),
        ("choice", {"question": "?", "answer": "A"}, "column 'choices' .or A, B, .* is missing"),
        ("text", {"question": " ", "answer": "x"}, "column 'question' is empty"),
        ("text", {"question": "?", "answer": "x", "parts": "ab"}, "'parts' must be a list, not"),
        ("choice", {"question": "?", "choices": ["x"], "answer": 1}, "one of the 1 choices, not 1"),
        ("choice", {"question": "?", "choices": ["x", "x"], "answer": "x"}, "2 choices, not 'x'"),
        ("choice", {"question": "?", "choices": ["x"] * 27, "answer": 0}, "only 26 letters"),
    ],
)  # fmt: skip
def test_broken_rows_are_named_or_left_out(kind, row, message, write):
    file = write([*SETS[kind], row])
    with pytest.raises(InputError, match=message):
        QuestionAnswer("mine", file, kind)
    task = QuestionAnswer("mine", file, kind, skip_bad_rows=True)
    assert len(every(task)) == 40 and f"{file}, line 41: " in task.skipped[0]


def test_wrong_arguments_say_what_would_be_right(write, tmp_path):
    file = write(SUMS)
    for arguments, message in [
        ((file, "numbr"), "Did you mean 'number'"),
        ((tmp_path / "set.xls", "number"), "set.xls: the name must end in .jsonl, .json, .csv, .t"),
        ((tmp_path / "none.jsonl", "number"), "there is no .*none.jsonl$"),
        (("none.csv", "number"), f"there is no none.csv in {re.escape(str(Path.cwd()))}"),
        (({"dev": file}, "number"), "unknown split 'dev'"),
        (({"train": file, "test": str(file)}, "number"), "'train' and 'test' are both .*jsonl"),
        ((7, "number"), "rows must be a path or a list of rows, not 7"),
        (([], "number"), "task 'mine' holds no rows"),
    ]:
        with pytest.raises(InputError, match=message):
            QuestionAnswer("mine", *arguments)
    with pytest.raises(InputError, match="unknown split 'dev'"):
        QuestionAnswer("mine", file, "number", tables={"dev": "dev"})
    with pytest.raises(InputError, match="unknown split 'dev'"):
        QuestionAnswer("mine", file, "number").examples("dev")


def test_rows_of_the_hub_or_a_folder_instead(monkeypatch, tmp_path):
    monkeypatch.delenv("NEUROMAS_DATA", raising=False)
    monkeypatch.setenv("NEUROMAS_CACHE", str(tmp_path / "cache"))
    asked = []

    def load_dataset(repository, configuration, split):
        asked.append((repository, configuration, split))
        return SimpleNamespace(to_list=lambda: SUMS)

    hub = SimpleNamespace(load_dataset=load_dataset, config=SimpleNamespace(HF_HUB_OFFLINE=False))
    monkeypatch.setitem(sys.modules, "datasets", hub)
    monkeypatch.setattr("neuromas_env.tasks.sources._unreachable", lambda repository: None)
    first = QuestionAnswer("mine", "me/sums", "number")
    assert QuestionAnswer("mine", "me/sums", "number").examples("test") == first.examples("test")
    other = QuestionAnswer("mine", "me/sums:big", "number", tables="test")
    assert asked == [("me/sums", "default", "train"), ("me/sums", "big", "test")]
    assert every(other) == every(first)
    (tmp_path / "me" / "sums").mkdir(parents=True)
    (tmp_path / "me" / "sums" / "train.jsonl").write_text(json.dumps(SUMS[0]))
    assert len(every(QuestionAnswer("mine", "me/sums", "number", data=tmp_path))) == 1


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(TASKS, "registered", {})


@pytest.mark.slow
def test_registered_in_code_by_call_or_as_a_decorator(write, registry):
    file = write(SUMS)

    @register_task("sums")
    def sums(variant="all", most: int = 99):
        """Add small numbers.

        More about that.
        """
        return QuestionAnswer(f"sums/{variant}:most={most}", file, "number")

    register_task("names", lambda: QuestionAnswer("names", write(NAMES, "names.jsonl")))
    assert make_task("sums/small:most=3").name == "sums/small:most=3" == sums("small", 3).name
    assert make_task("names").examples("test")
    listed = list_tasks()
    assert listed["sums"] == "Add small numbers." and listed["names"] == "registered in code"
    assert "sums" not in list_tasks(needs_data=False)
    with pytest.raises(InputError, match="'names:most=3' takes no parameters, so no 'most'"):
        make_task("names:most=3")
    with pytest.raises(InputError, match="Did you mean 'sums'"):
        make_task("sumz")
    with pytest.raises(InputError, match="Did you mean 'most'"):
        make_task("sums:mst=3")


@pytest.mark.parametrize(
    ("name", "message"),
    [("arc", "'arc' is built in"), ("a/b", "letters, digits"), ("", "letters, digits")],
)
def test_names_that_cannot_be_registered(name, message, registry):
    with pytest.raises(InputError, match=message):
        register_task(name, QuestionAnswer)


EXAMPLE = ROOT / "examples" / "neuromas-env-capitals"


def test_the_example_package_is_short_and_has_no_fault(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE))
    import neuromas_env_capitals

    task = neuromas_env_capitals.capitals()
    check_task(task)
    assert len(every(task)) >= 40 and all(task.examples(split) for split in SPLITS)
    assert task.score(task.examples("test")[0], "I do not know").extracted == 0.0
    assert len(Path(neuromas_env_capitals.__file__).read_text().splitlines()) <= 20
