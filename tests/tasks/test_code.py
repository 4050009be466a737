"""HumanEval and MBPP: how replies are read, and that the right ones pass.

On made-up rows and, where NEUROMAS_DATA says where they are, on the real ones.
"""

import gzip
import json
import os
import pickle
import random
import string
import sys
from dataclasses import replace

import pytest
from support.code_kinds import KINDS
from support.code_replies import ALONE, BAD, GOOD, REPLIES, TOTAL, fenced
from support.paths import FIXTURES, FOLDERS, ROWS, folders
from support.timing import seconds

from neuromas_env.errors import InputError
from neuromas_env.tasks import SPLITS, Example, Score, make_task, sandbox
from neuromas_env.tasks.code import CodeTask, as_found, found_code
from neuromas_env.tasks.sandbox import tiers
from neuromas_env.testing import check_task

TASKS = [
    pytest.param(folder, name, id=f"{id}-{name}", marks=marks)
    for id, (folder, marks) in FOLDERS.items()
    for name in ("humaneval", "mbpp")
]


@pytest.fixture(scope="module")
def made():
    return {name: make_task(name, data=ROWS) for name in ("humaneval", "mbpp")}


@pytest.fixture(scope="module")
def read(made):
    """All replies of a table at once, since that is how they are scored fastest."""
    scores = {}
    for name, place, table in (("humaneval", 0, REPLIES), ("mbpp", 2, ALONE)):
        example = made[name].examples("test")[place]
        example = replace(example, extra=example.extra | {"seconds": 1})
        replies = [row[0] for row in table]
        scores[name] = made[name].score_many([example] * len(table), replies)
    return scores


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "number"),
    [
        pytest.param(name, number, id=f"{name}-{row[4]}")
        for name, table in (("humaneval", REPLIES), ("mbpp", ALONE))
        for number, row in enumerate(table)
    ],
)
def test_replies_are_read_as_a_person_would(read, name, number):
    reply, strict, extracted, reason, _ = {"humaneval": REPLIES, "mbpp": ALONE}[name][number]
    score = read[name][number]
    assert (score.strict, score.extracted, score.reason) == (strict, extracted, reason), reply[:500]


class Total(CodeTask):
    name = "total"


def question(prompt, tests="assert total([1, 2, 3]) == 6\n", **extra):
    given = {"prompt": prompt, "names": ("total",), "tests": tests, "setup": "", "seconds": 3}
    return Example("?", prompt, "", extra={**given, "solution": "", **extra})


def test_kinds_of_replies_are_read_as_a_person_would():
    scores = Total().score_many([question(TOTAL)] * len(KINDS), [row[0] for row in KINDS])
    wrong = [
        (why, score)
        for (_, extracted, why), score in zip(KINDS, scores, strict=True)
        if score.extracted != extracted or score.strict > extracted
    ]
    assert wrong == []


CASES = [json.loads(line) for line in (FIXTURES / "code.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_replies_that_misled_the_reader_are_read_right(case):
    if sys.version_info >= (3, 14) and case["id"] in ("C01", "C02"):
        pytest.skip("annotations are evaluated when asked for")
    score = Total().score(question(case["prompt"], case["tests"]), case["reply"])
    assert (score.strict, score.extracted) == (case["strict"], case["extracted"]), case["why"]


def test_a_number_that_a_program_sends_fails_that_question_alone():
    sent = "d = json.dumps({'loaded': 1000000000}).encode()"
    evil = f"""import json, os
{sent}
for fd in range(3, 64):
    try: os.write(fd, len(d).to_bytes(4, 'big') + d)
    except OSError: pass
def total(numbers): return 6"""
    replies = [GOOD, evil, fenced(evil), fenced(GOOD)]
    scores = Total().score_many([question(TOTAL)] * 4, replies)
    assert [score.extracted for score in scores] == [1, 0, 0, 1]
    assert [score.reason for score in scores] == ["ok", "wrong", "wrong", "ok"]


def repeated(length=20_000):
    """Return texts of one character or two, mixed or one after the other, and of some words."""
    single, rng = string.printable, random.Random(0)
    words = [
        "def ", "class ", "@", "import ", "from x import ", "a: b = ", "```", "```python\n", "~~~",
        "<think>", "</think>", "    return 1\n", "def f(x):\n    return x\n",
    ]  # fmt: skip
    units = [*single, *words]
    units += ["".join(rng.sample(units, 3)) for _ in range(100)]
    pairs = [rng.sample(single, 2) for _ in range(300)]
    texts = [unit * length for unit in units] + [(a + b) * length for a, b in pairs]
    texts += [a * (length // 2) + b * (length // 2) for a, b in pairs]
    return [text[:length] for text in texts]


@pytest.mark.slow
def test_code_is_found_in_bounded_time():
    task, asked = Total(), question(TOTAL)
    for text in repeated():
        for read in (found_code, lambda t: as_found(asked, t), lambda t: task.extract("?", t)):
            assert seconds(read, text, bound=0.5) < 0.5, text[:20]


def test_one_reply_scores_as_many_do(made):
    task = made["humaneval"]
    row = task.examples("test")[0]
    assert task.score(row, GOOD) == Score(1.0, 1.0, "ok", GOOD)
    assert task.score(row, f"So:\n{fenced(GOOD)}") == Score(0.0, 1.0, "ok", f"{GOOD}\n")
    assert task.score(row, "    return 0") == Score(0.0, 0.0, "wrong", "    return 0")
    assert task.score_many([], []) == []


def test_code_is_found_without_running_it(made):
    for task in made.values():
        assert task.extract("?", f"So:\n{fenced(GOOD)}\nDone.") == GOOD
        assert task.extract("?", GOOD) == GOOD
        assert task.extract("?", " ") is None
    assert found_code(f"So:\n{GOOD}\nDone.")[1] == (GOOD,)


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "name"), TASKS)
@pytest.mark.parametrize("split", SPLITS)
def test_reference_solutions_pass_and_wrong_ones_do_not(folder, name, split):
    task = make_task(name, data=folder)
    examples = task.examples(split)
    assert len({example.id for example in examples}) == len(examples) > 0
    for example, gold in zip(
        examples, task.score_many(examples, [task.gold(e) for e in examples]), strict=True
    ):
        assert (gold.strict, gold.extracted, gold.reason) == (1.0, 1.0, "ok"), example
        assert example.extra["solution"] == example.target == task.gold(example)
        assert example.target not in example.question
    names = [example.extra["names"][0] for example in examples]
    wrong = [f"def {entry}(*given):\n    return None" for entry in names]
    for example, score in zip(examples, task.score_many(examples, wrong), strict=True):
        assert (score.strict, score.extracted, score.reason) == (0.0, 0.0, "wrong"), example
    assert task.majority(split) == 0.0


@pytest.mark.slow
@folders
def test_solutions_in_prose_are_found_in_every_reported_row(folder):
    task = make_task("humaneval", data=folder)
    examples = task.examples("test")
    replies = [f"Sure:\n{fenced(task.gold(e))}\nIt works." for e in examples]
    bodies = [e.target.removeprefix(e.question) for e in examples]
    for example, free, body in zip(
        examples, task.score_many(examples, replies), task.score_many(examples, bodies), strict=True
    ):
        assert (free.strict, free.extracted) == (0.0, 1.0), example
        assert (body.strict, body.extracted) == (1.0, 1.0), example


@pytest.mark.slow
@folders
def test_humaneval_is_reported_whole_and_trained_on_mbpp(folder):
    task, mbpp = make_task("humaneval", data=folder), make_task("mbpp", data=folder)
    train, held_back = task.examples("train"), task.examples("validation")
    pool = [example.id for example in mbpp.examples("train")]
    assert sorted(pool) == sorted(example.id for example in (*train, *held_back))
    assert not {e.id for e in train} & {e.id for e in held_back}
    assert 0.1 < len(held_back) / len(pool) < 0.4
    if folder != ROWS:
        assert [len(t.examples("test")) for t in (task, mbpp)] == [164, 500]


def test_humaneval_without_mbpp_can_be_reported_but_not_trained_on(tmp_path):
    (tmp_path / "humaneval").mkdir()
    rows = (ROWS / "humaneval" / "test.jsonl").read_bytes()
    (tmp_path / "humaneval" / "test.jsonl.gz").write_bytes(gzip.compress(rows))
    task = make_task("humaneval", data=tmp_path)
    assert len(task.examples("test")) == 3
    with pytest.raises(InputError, match=r"trains on MBPP's training rows: .*mbpp/train.jsonl"):
        task.examples("train")


def test_questions_show_what_is_needed_and_no_more(made):
    assert made["humaneval"].examples("test")[0].question == TOTAL
    twice, tree = made["mbpp"].examples("train")[0], made["mbpp"].examples("test")[1]
    assert twice.question == (
        "Write a function to double a number.\n"
        "Your code should pass this test:\nassert twice(1) == 2"
    )
    assert "root1 = Node(4)\nassert (depth(root)) == 3" in tree.question
    assert "depth(root1)" not in tree.question


def test_shots_are_the_papers_first():
    task = make_task("mbpp:shots=4", data=ROWS)
    assert task.name == "mbpp:shots=4"
    [question] = {e.question.rpartition("Question: ")[0] for e in task.examples("test")}
    shown = [question.find(f"def {name}(") for name in ("squared", "backwards", "largest", "half")]
    assert shown == sorted(shown) and shown[0] > 0
    assert "\r" not in question
    for shots, message in ((5, "only 4 rows can be shown"), (17, "from 0 to 16")):
        with pytest.raises(InputError, match=message):
            make_task("mbpp", data=ROWS, shots=shots).examples("test")


BROKEN = {
    "humaneval/test": [
        ({"entry_point": "sum_up"}, "column 'prompt' does not define 'sum_up', which column"),
        ({"test": "def test(): pass"}, "column 'test' does not define 'check'"),
        ({"prompt": 7}, "column 'prompt' must be a text, not 7"),
    ],
    "mbpp/train": [
        ({"test_list": []}, "column 'test_list' is empty"),
        ({"test_list": ["assert other(1) == 2"]}, "calls no function that column 'code' defines"),
        ({"code": "def twice(x) return x"}, "'test_list' is no Python: expected ':'"),
        ({"task_id": "601"}, "column 'task_id' must be an integer"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [(table, *case) for table, cases in BROKEN.items() for case in cases],
)
def test_broken_rows_are_named_and_can_be_skipped(tmp_path, table, change, message):
    name, split = table.split("/")
    lines = (ROWS / f"{table}.jsonl").read_text().splitlines()
    (tmp_path / name).mkdir()
    file = tmp_path / f"{table}.jsonl"
    file.write_text("\n".join([lines[0], json.dumps(json.loads(lines[1]) | change), *lines[2:]]))
    with pytest.raises(InputError) as caught:
        make_task(name, data=tmp_path).examples(split)
    assert f"{file}, line 2: " in str(caught.value) and message in str(caught.value)
    task = make_task(name, data=tmp_path, skip_bad_rows=True)
    assert len(task.examples(split)) == len(lines) - 1
    assert len(task.skipped) == 1 and message in task.skipped[0]


@pytest.mark.parametrize("name", ["humaneval", "mbpp"])
def test_tasks_keep_their_contract(made, name):
    check_task(made[name])
    assert made[name].tier == sandbox.tier()
    assert pickle.loads(pickle.dumps(made[name])).tier == sandbox.tier()
    with pytest.raises(InputError, match="unknown split 'tests'"):
        made[name].examples("tests")


@pytest.mark.slow
def test_a_reply_whose_tests_give_no_verdict_is_an_error_and_others_are_not(made):
    task = made["humaneval"]
    good = task.examples("test")[0]
    killer = replace(good, extra=good.extra | {"tests": "import os\nos._exit(0)"})
    first, middle, last = task.score_many([good, killer, good], [GOOD, GOOD, BAD])
    assert (first.reason, last.reason) == ("ok", "wrong")
    assert (middle.strict, middle.extracted, middle.reason) == (0.0, 0.0, "error")


@pytest.mark.parametrize("name", ["humaneval", "mbpp"])
def test_without_a_sandbox_code_tasks_are_refused(monkeypatch, name):
    def missing():
        raise tiers.UnavailableError("seccomp is missing")

    monkeypatch.setattr(tiers, "filter_program", missing)
    monkeypatch.setattr(sandbox, "_SHARED", {})
    with pytest.raises(InputError, match="seccomp is missing.*unless you say allow_unsandboxed"):
        make_task(name, data=ROWS)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.warns(UserWarning, match="As allow_unsandboxed asks for"):
        task = make_task(f"{name}:allow_unsandboxed=1", data=ROWS)
    example = task.examples("test")[0]
    assert task.score(example, task.gold(example)).strict == 1.0
    assert task.tier == "unsafe: resource limits only"
    sandbox.shared(True).close()
    with pytest.raises(
        InputError, match="unknown value of allow_unsandboxed: 'no'. Known: False, True."
    ):
        make_task(f"{name}:allow_unsandboxed=no", data=ROWS)
