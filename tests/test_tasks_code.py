"""HumanEval and MBPP: how replies are read, and that the right ones pass.

On made-up rows and, where NEUROMAS_DATA says where they are, on the real ones.
"""

import gzip
import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from neuromas_env.errors import InputError
from neuromas_env.tasks import SPLITS, Score, make_task, sandbox
from neuromas_env.tasks.code import found_code
from neuromas_env.tasks.sandbox import tiers
from neuromas_env.testing import check_task

ROWS = Path(__file__).parent / "fixtures" / "rows"
FOLDERS = [ROWS, *map(Path, filter(None, [os.environ.get("NEUROMAS_DATA")]))]
TASKS = [
    pytest.param(folder, name, id=f"{'real' if number else 'made'}-{name}")
    for number, folder in enumerate(FOLDERS)
    for name in ("humaneval", "mbpp")
]

TOTAL = '''from typing import List


def total(numbers: List[int]) -> int:
    """ Add up some numbers.
    >>> total([1, 2])
    3
    """
'''
BODY = "    result = 0\n    for number in numbers:\n        result += number\n    return result\n"
FLAT = "result = 0\nfor number in numbers:\n    result += number\nreturn result"
GOOD = "def total(numbers):\n    return sum(numbers)"
BAD = "def total(numbers):\n    return 0"


def fenced(code, info="python"):
    return f"```{info}\n{code}\n```"


def indented(code, by="    "):
    return "".join(f"{by}{line}\n" for line in code.split("\n"))


# Reply, strict score, extracted score, reason of the score, and why that is right.
REPLIES = [
    # As it is: upstream's program is the prompt, then the reply.
    (BODY, 1, 1, "ok", "the body, as upstream wants it"),
    (TOTAL + BODY, 1, 1, "ok", "the prompt repeated"),
    (GOOD, 1, 1, "ok", "the function without its docstring"),
    ("def total(numbers: List[int]) -> int:\n    return sum(numbers)", 1, 1, "ok",
     "what the prompt imports is there"),
    ("from math import fsum\n\ndef total(numbers):\n    return int(fsum(numbers))", 1, 1, "ok",
     "imports of its own"),
    ("def add(a, b):\n    return a + b\n\ndef total(numbers):\n    result = 0\n"
     "    for n in numbers:\n        result = add(result, n)\n    return result", 1, 1, "ok",
     "a helper before"),
    ("def total(numbers):\n    return helper(numbers)\n\nhelper = sum", 1, 1, "ok",
     "a helper after, and no def"),
    ("    return add(numbers)\n\ndef add(numbers):\n    return sum(numbers)", 1, 1, "ok",
     "the body, then a helper"),
    ("total = sum", 1, 1, "ok", "a function need no def"),
    ("total = lambda numbers: sum(numbers)", 1, 1, "ok", "a lambda"),
    ("class Adder:\n    def __call__(self, numbers):\n        return sum(numbers)\ntotal = Adder()",
     1, 1, "ok", "an object that can be called"),
    (f"# adds\n{GOOD}\n# done", 1, 1, "ok", "comments are code"),
    (f"{GOOD}\n\nprint(total([1, 2]))", 1, 1, "ok", "a use of it does no harm"),
    (f"\n\n{GOOD}\n\n", 1, 1, "ok", "empty lines around"),
    (GOOD.replace("\n", "\r\n"), 1, 1, "ok", "Windows line ends"),
    (GOOD.replace("    ", "\t"), 1, 1, "ok", "tabs"),
    (f"{BAD}\n\n{GOOD}", 1, 1, "ok", "the last definition holds in Python"),
    ("def total(numbers):\n    yield 0\n    return 1\n" + GOOD, 1, 1, "ok", "replaced too"),
    ("def total(numbers):\n    if not numbers:\n        return 0\n"
     "    return numbers[0] + total(numbers[1:])", 1, 1, "ok", "recursion"),
    ("import collections, itertools, functools, re, heapq, bisect, json, datetime, decimal\n"
     + GOOD, 1, 1, "ok", "the standard library is there"),
    ("import xml.dom.minidom, difflib, graphlib\n" + GOOD, 1, 1, "ok", "and not what is preloaded"),
    # Wrong, however it is dressed.
    (BAD, 0, 0, "wrong", "wrong"),
    (fenced(BAD), 0, 0, "wrong", "wrong in a fence"),
    ("    return 0", 0, 0, "wrong", "a wrong body"),
    (f"{GOOD}\n\n{BAD}", 0, 0, "wrong", "the last definition is wrong"),
    ("def total(numbers):\n    return numbers.sum()", 0, 0, "wrong", "it fails"),
    ("def total():\n    return 6", 0, 0, "wrong", "it takes no numbers"),
    ("def total(numbers):\n    while True: pass\n    return 6", 0, 0, "wrong", "it never ends"),
    ("def total(numbers):\n    print(sum(numbers))\n    return None", 0, 0, "wrong", "it prints"),
    ("def total(numbers):\n    return input()", 0, 0, "wrong", "there is nothing to read"),
    ("class Equal:\n    def __eq__(self, other):\n        return True\n"
     "def total(numbers):\n    return Equal()", 0, 0, "wrong", "equality is not its to define"),
    ("import os\nos._exit(0)\n" + GOOD, 0, 0, "wrong", "an early exit is no pass"),
    ("import sys\nsys.exit(0)\n" + GOOD, 0, 0, "wrong", "nor is this one"),
    # Code found in a free reply.
    (fenced(GOOD), 0, 1, "ok", "a fence is no Python"),
    (fenced(GOOD, ""), 0, 1, "ok", "without language"),
    (fenced(GOOD, "py"), 0, 1, "ok", "short language"),
    (fenced(GOOD, "Python3"), 0, 1, "ok", "language with version"),
    (fenced(GOOD, "python title=x.py"), 0, 1, "ok", "more after the language"),
    (fenced(GOOD, "text"), 0, 1, "ok", "another language, but the only fence"),
    (f"~~~python\n{GOOD}\n~~~", 0, 1, "ok", "fences of tildes"),
    (f"````python\n{GOOD}\n````", 0, 1, "ok", "a longer fence"),
    (f"```python\n{GOOD}", 0, 1, "ok", "cut off before the fence ends"),
    (f"```python\n{GOOD}```", 0, 1, "ok", "no line of its own for the end"),
    (f"Sure! Here it is:\n\n{fenced(GOOD)}\n\nIt adds them up.", 0, 1, "ok", "prose around"),
    (f"1. First:\n   {fenced(GOOD)}".replace("\n", "\n   "), 0, 1, "ok", "a fence in a list"),
    (fenced(TOTAL + BODY), 0, 1, "ok", "the prompt repeated in a fence"),
    (fenced(BODY.rstrip()), 0, 1, "ok", "the body in a fence"),
    (fenced(FLAT), 0, 1, "ok", "the body not indented"),
    (fenced("return sum(numbers)"), 0, 1, "ok", "a body of one line"),
    ("return sum(numbers)", 0, 1, "ok", "the same without a fence"),
    (FLAT, 0, 1, "ok", "a body that is not indented"),
    (BODY.strip(), 0, 1, "ok", "a body whose first indent was stripped"),
    (f"{BODY}\nThis adds them up.", 0, 1, "ok", "a body, then prose"),
    (f"{fenced('import math')}\nthen\n{fenced('def total(n):' + chr(10) + ' return sum(n)')}",
     0, 1, "ok", "fences that belong together"),
    (f"{fenced('def total(n): return add(n)')}\nwith\n{fenced('def add(n): return sum(n)')}",
     0, 1, "ok", "the helper in a second fence"),
    (f"{fenced(GOOD)}\nExample:\n{fenced('print(total([1, 2]))')}", 0, 1, "ok",
     "an example of use"),
    (f"{fenced(GOOD)}\nExample:\n{fenced('assert total([1]) == 7')}", 0, 1, "ok",
     "an example that is wrong"),
    (f"{fenced(GOOD)}\nOutput:\n{fenced('6 is the sum', '')}", 0, 1, "ok", "output in a fence"),
    (f"{fenced(GOOD)}\nRun it:\n{fenced('python total.py', 'bash')}", 0, 1, "ok", "shell commands"),
    (f"First try:\n{fenced(BAD)}\nBetter:\n{fenced(GOOD)}", 0, 1, "ok", "the last one holds"),
    (f"{fenced(GOOD)}\nSimpler:\n{fenced(BAD)}", 0, 0, "wrong", "also if it is the wrong one"),
    (f"{fenced(GOOD + chr(10) + 'x = int(input())')}", 0, 1, "ok", "a main program in it"),
    (f"{fenced(GOOD + chr(10) + 'if __name__ == chr(95): main()')}", 0, 1, "ok", "and guarded"),
    (f"{fenced('import numpy as np' + chr(10) + GOOD)}", 0, 1, "ok", "an import it can do without"),
    (f"{fenced('from __future__ import annotations' + chr(10) + GOOD)}", 0, 1, "ok", "a future"),
    (f"The function:\n\n{GOOD}\n\nIt adds them up.", 0, 1, "ok", "prose around bare code"),
    (f"Here is the code:\n{GOOD}", 0, 1, "ok", "prose before"),
    (f"{GOOD}\n\nThis function adds them up.", 0, 1, "ok", "prose after"),
    (f"Use this:\n\nimport math\n\n{GOOD}\n\nprint it.", 0, 1, "ok", "an import with it"),
    ("Hm.\n\nSTART = 0\n\ndef total(numbers):\n    return sum(numbers, START)\n\nDone.", 0, 1,
     "ok", "a constant with it"),
    ("See:\n\n@staticmethod\ndef total(numbers):\n    return sum(numbers)\n\nDone.", 0, 1, "ok",
     "a decorator with it"),
    ("See:\n\ndef total(\n    numbers,\n):\n    return sum(numbers)\n\nDone.", 0, 1, "ok",
     "a signature on several lines"),
    (f"Like so:\n\n{indented(GOOD)}", 0, 1, "ok", "Markdown's indented code"),
    (f"<think>\n{fenced(BAD)}\nno...\n</think>\n\n{fenced(GOOD)}", 0, 1, "ok", "thought first"),
    (f"<think>\nshort\n</think>\n{GOOD}", 0, 1, "ok", "thought, then bare code"),
    (f"<think>\n{fenced(GOOD)}\n</think>\n{fenced(BAD)}", 0, 0, "wrong", "thought does not count"),
    (f"<think>{fenced(GOOD)}</think>I do not know.", 0, 0, "unparsable", "not even alone"),
    (f"{fenced(GOOD)}\nI hope that `total` helps!", 0, 1, "ok", "inline code"),
    ("x" * 30_000 + f"\n{fenced(GOOD)}", 0, 1, "ok", "long prose, code at its end"),
    (f"{fenced(GOOD)}\n" + "x " * 20_000, 0, 0, "unparsable", "only the end of it is read"),
    # No code for the question.
    ("", 0, 0, "no_answer", "nothing"),
    (" \n\t", 0, 0, "no_answer", "white space"),
    ("I cannot do that.", 0, 0, "unparsable", "prose"),
    ("42", 0, 0, "unparsable", "a number"),
    ("None", 0, 0, "unparsable", "a value"),
    ("pass", 0, 0, "unparsable", "a body that returns nothing"),
    (TOTAL, 0, 0, "unparsable", "the prompt alone"),
    (fenced(TOTAL), 0, 0, "unparsable", "the prompt alone, in a fence"),
    ("def total(numbers):", 0, 0, "unparsable", "cut off"),
    ("def total(numbers)\n    return sum(numbers)", 0, 0, "unparsable", "no Python"),
    ("def add(numbers):\n    return sum(numbers)", 0, 0, "unparsable", "another name"),
    ("class Solution:\n    def total(self, numbers):\n        return sum(numbers)", 0, 0,
     "unparsable", "a method is not the function"),
    ("int total(int[] numbers) { return sum(numbers); }", 0, 0, "unparsable", "another language"),
    ("```\n```", 0, 0, "unparsable", "an empty fence"),
    ("```", 0, 0, "unparsable", "a fence that opens only"),
    (f"{GOOD}\0", 0, 0, "unparsable", "a NUL"),
    ("def total(numbers): return '\ud800'", 0, 0, "unparsable", "a lone surrogate"),
    ("(" * 15_000, 0, 0, "unparsable", "brackets"),
    ("```\n" * 6_000, 0, 0, "unparsable", "fences"),
    ("def total(x):\n" * 2_000, 0, 0, "unparsable", "definitions"),
    ("x" * 1_000_000, 0, 0, "unparsable", "1 MB"),
    ("\0" * 1_000_000, 0, 0, "unparsable", "1 MB of NUL"),
]  # fmt: skip
# For MBPP, where the reply stands alone.
ALONE = [
    ("def orders(n):\n    return 1 if n < 2 else n * orders(n - 1)", 1, 1, "ok", "the function"),
    ("from math import factorial as orders", 1, 1, "ok", "a function of a module"),
    ("import math\norders = math.factorial", 1, 1, "ok", "a name for another function"),
    ("import math\n\ndef orders(n):\n    return math.factorial(n)", 1, 1, "ok", "an import"),
    (fenced("import math\ndef orders(n):\n    return math.factorial(n)"), 0, 1, "ok", "a fence"),
    ("[BEGIN]\ndef orders(n):\n    return 1 if n < 2 else n * orders(n - 1)\n[DONE]", 0, 1, "ok",
     "the marks of the paper's prompt"),
    ("    return 1 if n < 2 else n * orders(n - 1)", 0, 0, "unparsable", "no signature is given"),
    ("def orders(n):\n    return n", 0, 0, "wrong", "wrong"),
    ("def permutations(n):\n    return 6", 0, 0, "unparsable", "another name"),
]  # fmt: skip


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


def test_solutions_in_prose_are_found_in_every_reported_row():
    task = make_task("humaneval", data=FOLDERS[-1])
    examples = task.examples("test")
    replies = [f"Sure:\n{fenced(task.gold(e))}\nIt works." for e in examples]
    bodies = [e.target.removeprefix(e.question) for e in examples]
    for example, free, body in zip(
        examples, task.score_many(examples, replies), task.score_many(examples, bodies), strict=True
    ):
        assert (free.strict, free.extracted) == (0.0, 1.0), example
        assert (body.strict, body.extracted) == (1.0, 1.0), example


@pytest.mark.parametrize("folder", FOLDERS)
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


def test_a_reply_whose_worker_dies_twice_is_an_error_and_others_are_not(made):
    task = made["humaneval"]
    good = task.examples("test")[0]
    killer = replace(good, extra=good.extra | {"tests": "import os\nos.kill(os.getpid(), 9)"})
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
