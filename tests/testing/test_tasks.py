"""`check_task`: silent on sound tasks, one clear message for each way to break one."""

import itertools
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from support.paths import DATA

from neuromas_env.errors import InputError, unknown
from neuromas_env.tasks import SPLITS, Example, Score, Task, list_tasks, make_task
from neuromas_env.tasks.answers import extract_word, grade
from neuromas_env.testing import ODD_REPLIES, check_task

COLOURS = ("red", "green", "blue")


def question(split, number, **fields):
    name = f"{split}/{number}"
    return Example(name, f"colour {name}?", COLOURS[number % 3], **fields)


ROWS = {split: [question(split, number) for number in range(4)] for split in SPLITS}
count = itertools.count()


def sound(example, reply):
    return grade(reply, example.target, extract_word(reply, COLOURS))


class Toy(Task):
    """A sound task, apart from what is changed."""

    answer_format = "Answer with one word."

    def __init__(self, **changes):
        self.name, self.rows, self.scorer, self.share = "toy", ROWS, sound, 0.5
        self.unknown_split = unknown
        vars(self).update(changes)

    def examples(self, split):
        if split not in self.rows:
            raise self.unknown_split("split", split, SPLITS)
        return self.rows[split]

    def score(self, example, reply):
        return self.scorer(example, reply)

    def majority(self, split):
        return self.share


def with_test(*rows):
    return ROWS | {"test": list(rows)}


def changed(**fields):
    """A row whose fields were changed behind its constructor, which checks them."""
    row = question("test", 7)
    for name, value in fields.items():
        object.__setattr__(row, name, value)
    return with_test(*ROWS["test"], row)


def gives_none(example, reply):
    return None


def gives_two(example, reply):
    return Score(2.0, 2.0, "ok")


def says_right(example, reply):
    return replace(sound(example, reply), reason="right")


def always_ok(example, reply):
    return replace(sound(example, reply), reason="ok")


def everything(example, reply):
    return Score(1.0, 1.0, "ok", reply)


def nothing(example, reply):
    return Score(0.0, 0.0, "wrong")


def half_right(example, reply):
    score = sound(example, reply)
    return score if reply != example.target else replace(score, strict=0.0)


def substring(example, reply):
    found = example.target in reply or reply in COLOURS
    return Score(float(found), float(found), "ok" if found else "wrong", reply)


def fickle(example, reply):
    score = sound(example, reply)
    return score if reply in COLOURS else replace(score, answer=str(next(count)))


def needs_text(example, reply):
    return replace(sound(example, reply), answer=reply.encode().decode())


def blank_is_wrong(example, reply):
    score = sound(example, reply)
    return score if reply.strip() else replace(score, reason="unparsable")


def needs_a_word(example, reply):
    return replace(sound(example, reply), answer=reply.split()[0])


class Clock:
    """Every look takes a minute."""

    now = 0

    def perf_counter(self):
        self.now += 60
        return self.now


class Unpicklable(Toy):
    def __init__(self):
        super().__init__(helper=lambda: 1)


class Growing(Toy):
    """Every call of `examples` words the questions anew."""

    def examples(self, split):
        rows = super().examples(split)
        return [replace(row, question=f"{row.question} {next(count)}") for row in rows]


class Forgetful(Toy):
    """A copy has lost the rows."""

    def __setstate__(self, state):
        vars(self).update(state | {"rows": dict.fromkeys(SPLITS, [])})


class Misled(Toy):
    def find(self, split, id):
        return 3


class Blind(Toy):
    def blind_accuracy(self, split):
        raise KeyError(split)


class Reader(Toy):
    def extract(self, question, reply):
        return reply.upper()


class Silent(Toy):
    def majority(self, split):
        raise NotImplementedError


FAULTS = {
    "no name": (Toy(name=None), "name must be a text such as 'capitals'"),
    "spaced name": (Toy(name="my task"), "not 'my task'"),
    "no format": (Toy(answer_format=" "), "answer_format must be one line"),
    "long format": (Toy(answer_format="One.\nTwo."), "answer_format must be one line"),
    "no tokens": (Toy(max_new_tokens=0), "max_new_tokens must be an integer of at least 1, not 0"),
    "generator": (Toy(rows=ROWS | {"train": iter(())}), "examples('train') must return a sequence"),
    "missing split": (Toy(rows={"test": ROWS["test"]}), "examples('train') raises InputError"),
    "plain rows": (Toy(rows=with_test({"id": "1"})), "must hold Example objects, not {'id': '1'}"),
    "no rows": (Toy(rows=with_test()), "examples('test') is empty, so there is nothing to report"),
    "any split": (Toy(rows=dict.fromkeys([*SPLITS, "no such split"], ROWS["test"])),
                  "examples('no such split') must raise an InputError; see"),
    "wrong error": (Toy(unknown_split=lambda *_: KeyError("split")),
                    "must raise an InputError, not KeyError('split')"),
    "no question": (Toy(rows=changed(question="")), "'test/7': question must be a text"),
    "surrogate": (Toy(rows=changed(question="\ud800")), "question must be a text without lone"),
    "no target": (Toy(rows=changed(target="")), "target must be a text without lone"),
    "no query": (Toy(rows=changed(parts=("colour",))), "it has parts, so it needs a query"),
    "other part": (Toy(rows=changed(parts=("shape",), query="colour")), "but not 'shape'"),
    "other query": (Toy(rows=changed(parts=("test",), query="shape")), "but not 'shape'"),
    "equal labels": (Toy(rows=changed(options=(("A", "red"), ("a", "blue")))), "label: a, a"),
    "same id": (Toy(rows=changed(id="train/1")), "'train/1': two rows have this id"),
    "leak": (Toy(rows=changed(question="colour train/1?")), "its question is in train and in test"),
    "misled find": (Misled(), "find('train', id) leads to 'train/3'"),
    "unpicklable": (Unpicklable(), "it cannot be pickled, which worker processes need"),
    "growing": (Growing(), "examples('train') differs when asked again"),
    "forgetful": (Forgetful(), "examples('train') differs when copied by pickle"),
    "majority of 2": (Toy(share=2), "majority('train') must be a share from 0 to 1, not 2"),
    "no majority": (Silent(), "majority('train') raises NotImplementedError()"),
    "blind": (Blind(), "blind_accuracy('train') raises KeyError('train')"),
    "no score": (Toy(scorer=gives_none), "score of its own target: it must be a Score, not None"),
    "score of 2": (Toy(scorer=gives_two), "strict must be at least 0 and at most 1, got 2.0"),
    "own reason": (Toy(scorer=says_right), "unknown reason 'right'. Known: error, no_answer"),
    "always ok": (Toy(scorer=always_ok), "the reason is 'ok' where extracted is 1.0 and nowhere"),
    "never right": (Toy(scorer=nothing), "'train/0': its own target 'red' must score 1.0"),
    "never strict": (Toy(scorer=half_right), "must score 1.0, strict and extracted, not Score("),
    "always right": (Toy(scorer=everything), "target of another row, 'green', must score 0.0"),
    "too lenient": (Toy(scorer=substring), "target of another row, 'green', must score 0.0"),
    "other reader": (Reader(), "extract() reads 'RED' where score() reads 'red'"),
    "fickle": (Toy(scorer=fickle), "the same reply scores Score("),
    "encodes": (Toy(scorer=needs_text), "must never raise: UnicodeEncodeError"),
    "blank": (Toy(scorer=blank_is_wrong), "score of an empty reply must be 0.0 with the reason"),
    "no words": (Toy(scorer=needs_a_word), "IndexError('list index out of range') for an emp"),
}  # fmt: skip
# What is wrong in one place shows in others too.
SEVERAL = {
    "missing split", "no target", "growing", "no score", "score of 2", "own reason",
    "always ok", "never right", "always right", "too lenient", "blank", "no words",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("task", "message"), FAULTS.values(), ids=FAULTS)
def test_author_is_told_what_is_wrong(task, message, request):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        check_task(task)
    faults = str(caught.value).count("\n- ")
    assert (faults > 1) == (request.node.callspec.id in SEVERAL)


def test_what_takes_long_is_told(monkeypatch):
    monkeypatch.setattr("neuromas_env.testing.tasks.time", Clock())
    with pytest.raises(InputError, match="takes 60 s for 1 MB of one word; read only a part"):
        check_task(Toy())


def test_all_faults_are_told_at_once():
    task = Toy(share=-1, rows=changed(target=""))
    with pytest.raises(InputError, match="^task 'toy':\n- .*target must.*\n- majority"):
        check_task(task)
    with pytest.raises(InputError, match="task must be a Task, got 'toy'"):
        check_task("toy")
    with pytest.raises(InputError, match="rows must be at least 1, got 0"):
        check_task(Toy(), rows=0)


WORDS = ("red", "green", "gold")


def by_initial(share, reason, example, reply):
    """Pay a part for a word with the right initial."""
    score = grade(reply, example.target, extract_word(reply, WORDS))
    if score.reason == "wrong" and score.answer[:1] == example.target[:1]:
        return replace(score, extracted=share, reason=reason)
    return score


@pytest.mark.slow
@pytest.mark.parametrize("reason", ["ok", "wrong"])
@pytest.mark.parametrize("share", [0.8, 0.5, 1e-9])
def test_partial_credit_is_sound(reason, share):
    rows = {split: [replace(e, target=WORDS[i % 3]) for i, e in enumerate(found)]
            for split, found in ROWS.items()}  # fmt: skip
    task = Toy(scorer=partial(by_initial, share, reason), rows=rows)
    assert task.score(rows["test"][1], "gold").extracted == share
    check_task(task)


@pytest.mark.slow
@pytest.mark.parametrize("worth", [float("nan"), 2.0, -1, 1.0000001, "1", None, 1j])
@pytest.mark.parametrize("field", ["strict", "extracted"])
def test_what_is_no_share_is_refused(worth, field):
    with pytest.raises(InputError, match=r"(strict|extracted) must be "):
        check_task(Toy(scorer=lambda e, reply: replace(sound(e, reply), **{field: worth})))


def test_known_exceptions_are_allowed():
    check_task(Toy())
    task = Toy(rows=changed(target="purple"))
    with pytest.raises(InputError, match="own target 'purple'"):
        check_task(task)
    task.flaws = {"test/7": "purple is no colour of the set"}
    check_task(task)
    check_task(Toy(rows=changed(question="colour train/1?")), disjoint=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", list_tasks(needs_data=False))
def test_tasks_without_data_have_no_fault(name):
    check_task(make_task(name), rows=20, disjoint=name != "signal")


BENCHMARKS = [
    name
    for name in (list_tasks(needs_data=True, data=DATA) if DATA else ())
    if not name.startswith("mmlu/")  # all subjects are in `mmlu`
    and (Path(DATA) / name.partition("/")[0]).is_dir()
]


@pytest.mark.slow
@pytest.mark.whole
@pytest.mark.skipif(not DATA, reason="checks the benchmarks' own rows")
@pytest.mark.parametrize("name", BENCHMARKS or ["none"])
def test_benchmarks_have_no_fault(name):
    check_task(make_task(name, DATA), rows=20 if name in ("humaneval", "mbpp") else 100)


def test_odd_replies_hold_what_models_and_attackers_write():
    assert max(map(len, ODD_REPLIES.values())) >= 1_000_000
    assert {"\0", ""} <= set(ODD_REPLIES.values())
    assert any("\ud800" in reply for reply in ODD_REPLIES.values())
