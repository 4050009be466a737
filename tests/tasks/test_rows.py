"""Rows of one's own: every kind of file, lists in memory, and what is said of broken ones."""

import csv
import gzip
import io
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromas_env import QuestionAnswer, env
from neuromas_env.errors import InputError
from neuromas_env.tasks import SPLITS
from neuromas_env.testing import check_task

ROWS = [{"question": f'Who is\n"{n}", please?', "answer": f"Ann {n}"} for n in range(30)]


def table(rows, delimiter=","):
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


WRITTEN = {
    "rows.jsonl": "\n".join(map(json.dumps, ROWS)),
    "rows.json": json.dumps(ROWS, indent=1),
    "lines.json": "\n".join(map(json.dumps, ROWS)),
    "rows.csv": table(ROWS),
    "rows.tsv": table(ROWS, "\t"),
}


def every(task):
    return [example for split in SPLITS for example in task.examples(split)]


def task_of(tmp_path, name, text, kind="text", **options):
    data = text if isinstance(text, bytes) else text.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return QuestionAnswer("mine", tmp_path / name, kind, **options)


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("name", WRITTEN)
def test_all_files_give_the_rows_that_a_list_gives(name, packed, tmp_path):
    expected = every(QuestionAnswer("mine", ROWS))
    text = WRITTEN[name].encode()
    assert every(task_of(tmp_path, name + packed, text)) == expected
    assert every(task_of(tmp_path, name + packed, b"\xef\xbb\xbf" + text)) == expected


def test_a_path_as_text_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    expected = every(task_of(tmp_path, "data/rows.csv", WRITTEN["rows.csv"]))
    (tmp_path / "odd name").mkdir()
    for text in ("data/rows.csv", str(tmp_path / "data/rows.csv"), "./data/rows.csv"):
        assert every(QuestionAnswer("mine", text)) == expected
    monkeypatch.setenv("HOME", str(tmp_path))
    assert every(QuestionAnswer("mine", "~/data/rows.csv")) == expected
    (tmp_path / "data" / "rows").touch()
    with pytest.raises(InputError, match="data/rows: the name must end in"):
        QuestionAnswer("mine", "data/rows")


def test_rows_of_memory_may_be_any_iterable_and_any_mapping():
    from types import MappingProxyType

    expected = every(QuestionAnswer("mine", ROWS))
    assert every(QuestionAnswer("mine", (row for row in ROWS))) == expected
    assert every(QuestionAnswer("mine", tuple(map(MappingProxyType, ROWS)))) == expected
    split = QuestionAnswer("mine", {"train": ROWS[:20], "test": ROWS[20:]})
    assert split.split_sizes() == {"train": 20, "validation": 0, "test": 10}
    with pytest.raises(InputError, match="'train' and 'test' are both the same rows"):
        QuestionAnswer("mine", {"train": ROWS, "test": ROWS})


@settings(max_examples=25)
@given(
    st.lists(
        st.fixed_dictionaries(
            dict.fromkeys(("question", "answer"), st.text(st.characters(codec="utf-8"), min_size=1))
        ).filter(lambda row: row["question"].strip() and row["answer"].strip()),
        min_size=1,
        max_size=5,
    )
)
def test_any_text_comes_back_from_json_lines(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("rows")
    expected = every(QuestionAnswer("mine", rows))
    for ascii_only in (True, False):
        text = "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows)
        assert every(task_of(folder, "rows.jsonl", text)) == expected
        text = json.dumps(rows, ensure_ascii=ascii_only, indent=2)
        assert every(task_of(folder, "rows.json", text)) == expected


def test_options_in_columns_of_their_own(tmp_path):
    text = "question,A,B,C,answer\n" + "".join(
        f'"Which, of {n}?", red, green, {"blue" if n % 2 else ""},{"b" if n % 2 else "red"}\n'
        for n in range(30)
    )
    task = task_of(tmp_path, "rows.csv", text, "choice")
    check_task(task)
    by_question = {e.question.partition("\n")[0]: e for e in every(task)}
    assert by_question["Which, of 1?"].options == (("A", "red"), ("B", "green"), ("C", "blue"))
    assert by_question["Which, of 2?"].options == (("A", "red"), ("B", "green"))
    assert [by_question[f"Which, of {n}?"].target for n in (1, 2)] == ["B", "A"]


def test_parts_are_dealt_and_the_question_is_for_all():
    rows = [
        {"question": "Which?", "choices": ["x", "y"], "parts": [f"not {n}", "not y"], "answer": 0}
        for n in range(30)
    ]
    task = QuestionAnswer("mine", rows, "choice")
    example = task.examples("train")[0]
    assert example.query == "Which?\nA. x\nB. y" and example.parts[1] == "not y"
    assert example.question == "\n".join([example.query, *example.parts])
    check_task(task)
    network = env(task=task, topology="2-1")
    network.reset(options={"index": 0})
    seen = [network.observe(node)["question"] for node in network.agents]
    assert [example.parts[0] in text for text in seen] == [True, False, False]
    for message in ("hm", "so", "A"):
        network.step(message)
    assert set(network.rewards.values()) == {1.0}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("r.csv", "question,answer\na,b\nc\n", "line 3: has 1 cells where line 1 names 2 c"),
        ("r.csv", 'question,answer\n"a\nb",c\n\nd,"e\n', "line 5: broken CSV: unexpected e"),
        ("r.csv", 'question,answer\n"a,b\nc,d\n', "lines 2 to 3: broken CSV: .* is left open"),
        ("r.csv", 'question,answer\n"a\n\nb",\n', "line 2: column 'answer' must be a text"),
        ("r.csv", 'question,answer\n"a"b,c\n', "line 2: broken CSV: ',' expected after"),
        ("r.csv", "question,question,answer\na,b,c\n", "line 1: the column 'question' stands t"),
        ("r.csv", "question;answer\na;b\n", "'question' is missing; there are question;answer"),
        ("r.csv", "question,answer\n", "holds no rows$"),
        ("r.csv", "", "holds no rows$"),
        ("r.csv", b"question,answer\na,b\n\xff,c\n", "line 3: the byte 0xFF is not UTF-8"),
        ("r.csv", b"question,\xffnswer\na,b\n", "line 1: the byte 0xFF is not UTF-8"),
        ("r.json", b'[{"question": "a",\n"answer": "\xff"}]', "line 1: the byte 0xFF is not U"),
        ("r.jsonl", b'{"question": "\xe9", "answer": "b"}', "line 1: the byte 0xE9 is not UTF-8"),
        ("r.json", '[\n {"question": "a",\n "answer": "b"},\n\n {"answer": 1}]', "line 5: the co"),
        ("r.json", '[{"question": "a", "answer": "b"}\n{', "line 2: broken JSON: ',' or ']' is m"),
        ("r.json", '[{"question": "a", "answer": "b"},\n]', "line 2: broken JSON: Expecting value"),
        ("r.json", '[\n{"question": "\\ud800", "answer": "b"}]', "line 2: column 'question' holds"),
        ("r.json", "[]", "holds no rows$"),
        ("r.json", "[1]", "line 1: must be an object with named columns, not 1"),
        ("r.json", "[" * 100_000, "line 1: broken JSON: maximum recursion"),
        ("r.json", '"text"', "line 1: must be an object with named columns, not 'text'"),
        ("r.jsonl", '{"question": "a", "question": "b"}', "'question' stands in it twice"),
        ("r.jsonl", '{"answer": ' + "9" * 5000 + "}", "line 1: broken JSON: Exceeds the limit"),
    ],
    ids=range(23),
)  # fmt: skip
def test_a_broken_file_is_named_with_its_line(name, text, message, tmp_path):
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / name}") + f".*{message}"):
        task_of(tmp_path, name, text)


def test_broken_rows_are_left_out_on_request(tmp_path):
    text = WRITTEN["rows.csv"] + "alone\n"
    task = task_of(tmp_path, "rows.csv", text, skip_bad_rows=True)
    assert len(every(task)) == 30 and "line 62: has 1 cells" in task.skipped[0]
    rows = [*ROWS, {"question": "a\udfff", "answer": "b"}, None]
    with pytest.raises(InputError, match="task 'mine', row 31: column 'question' holds a lone sur"):
        QuestionAnswer("mine", rows)
    task = QuestionAnswer("mine", rows, skip_bad_rows=True)
    assert len(every(task)) == 30 and "task 'mine', row 32: must be an object" in task.skipped[1]


class Near(QuestionAnswer):
    """A number; one that is near earns a part."""

    def credit(self, example, answer):
        return max(0.0, 1 - abs(float(answer) - float(example.target)) / 10)


def test_a_wrong_answer_may_earn_a_part():
    task = Near("near", [{"question": f"{n}?", "answer": n} for n in range(0, 600, 20)], "number")
    check_task(task)
    example = task.examples("test")[0]
    near, far = str(int(example.target) + 2), str(int(example.target) + 12)
    scores = [task.score(example, reply) for reply in (example.target, near, f"It is {near}.", far)]
    assert [(s.strict, s.extracted, s.reason) for s in scores] == [
        (1.0, 1.0, "ok"), (0.8, 0.8, "wrong"), (0.0, 0.8, "wrong"), (0.0, 0.0, "wrong"),
    ]  # fmt: skip
    assert task.extract(example.question, f"It is {near}.") == near
    assert task.score(example, "").reason == "no_answer"
