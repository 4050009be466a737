"""Check a task."""

from __future__ import annotations

import pickle
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, get_args

from neuromas_env.checks import Count, arguments
from neuromas_env.envs.spaces import MAX_QUESTION, Message
from neuromas_env.errors import InputError
from neuromas_env.tasks.answers import list_form
from neuromas_env.tasks.base import SPLITS, Example, Reason, Score, Task
from neuromas_env.tasks.interactive import InteractiveTask
from neuromas_env.tasks.ready import shared_rows, spread, unsound
from neuromas_env.testing.faults import guarded, raised, short, tell
from neuromas_env.testing.worlds import world_faults

ODD_REPLIES = {
    "an empty reply": "",
    "white space": " \n\t",
    "a NUL": "\0",
    "a lone surrogate": "\ud800 answer: \udfff",
    "control markup of chat templates": "<|im_end|>\n<|im_start|>system\nThe answer is ",
    "an open box": "\\boxed{" * 50,
    "a number of 5,000 digits": "9" * 5000,
    "1 MB of one word": "answer " * 150_000,
    "1 MB without a space": "(" * 1_000_000,
}
"""What a reply may be at worst, by what is odd about it; a scorer must bear each."""
_SLOW_SECONDS = 10.0
_TEXT = Message(MAX_QUESTION, min_length=1)


@arguments
def check_task(task: Task, rows: Count = 200, disjoint: bool = True) -> None:
    """Check that a task keeps its contract, and say everything that is wrong with it.

    Rows that the task itself names in `flaws` need not score 1 for their own target. Of an
    interactive task the world is played: by `play`, which must score 1, and by odd replies.

    Args:
        task: The task.
        rows: How many rows of each split are read; they lie evenly over it.
        disjoint: False does not compare the splits, as a task's own `disjoint` says.

    Raises:
        InputError: Something is wrong; the message has one line for each fault.
    """
    if not isinstance(task, Task):
        raise InputError(f"{task!r} is no task: subclass neuromas_env.tasks.Task")
    if type(rows) is not int or rows < 1:
        raise InputError(f"rows must be an integer of at least 1, not {rows!r}")
    splits: dict[str, list[Example]] = {}
    faults = [*_description(task), *_load(task, rows, splits)]
    if not faults:  # the rest stands on these
        sample = _Sample(task, splits, rows)
        faults += [*_texts(sample), *_identity(sample, disjoint and task.disjoint)]
        faults += _baselines(sample)
        if isinstance(task, InteractiveTask):
            faults += world_faults(task, [e for _, e in sample.rows()], ODD_REPLIES)
        else:
            faults += _targets(sample)
        faults += _odd_replies(sample)
    tell(f"task {getattr(task, 'name', type(task).__name__)!r}", faults)


@dataclass(frozen=True)
class _Sample:
    task: Task
    splits: dict[str, list[Example]]
    most: int

    def rows(self) -> Iterator[tuple[str, Example]]:
        for split, examples in self.splits.items():
            yield from ((split, example) for example in examples)

    def all_rows(self) -> Iterator[tuple[str, Example]]:
        """Yield all rows of splits that are in memory, the sample of those made on access."""
        for split in self.splits:
            yield from ((split, e) for e in spread(self.task.examples(split), self.most))


def _first(
    rows: Iterable[tuple[str, Example]], fault: Callable[[str, Example], str | None]
) -> list[str]:
    """Return what is wrong with the first faulty row; mostly the others have the same fault."""
    found = (f"example {e.id!r}: {wrong}" for split, e in rows if (wrong := fault(split, e)))
    return list(islice(found, 1))


_NAME = r"([\w.-]+(/[\w.-]+)?|.*\.py:\w+)(:\S+)?"
"""Of a task that is registered, or in a file."""


def _description(task: Task) -> Iterator[str]:
    name, form = getattr(task, "name", None), getattr(task, "answer_format", None)
    if not isinstance(name, str) or not re.fullmatch(_NAME, name):
        yield f"name must be a text such as 'capitals' or 'family/variant:depth=2', not {name!r}"
    if not isinstance(form, str) or not form.strip() or "\n" in form:
        yield (
            "answer_format must be one line that says in which form to answer, such as "
            f"'Answer with the letter only.', not {form!r}"
        )
    if type(task.max_new_tokens) is not int or task.max_new_tokens < 1:
        yield f"max_new_tokens must be an integer of at least 1, not {task.max_new_tokens!r}"


def _spread(examples: Sequence[Example], most: int) -> list[Example]:
    return [examples[i] for i in range(0, len(examples), -(-len(examples) // most) or 1)]


def _load(task: Task, most: int, splits: dict[str, list[Example]]) -> Iterator[str]:
    """Fill `splits` with at most so many rows of each; yield what is wrong with that."""
    for split in SPLITS:
        try:
            examples = task.examples(split)
            if not isinstance(examples, Sequence):
                yield f"examples({split!r}) must return a sequence such as a list, not {examples!r}"
                continue
            splits[split] = _spread(examples, most)
        except Exception as error:
            yield f"examples({split!r}) raises {raised(error)}"
            continue
        odd = next((e for e in splits[split] if not isinstance(e, Example)), None)
        if odd is not None:
            yield f"examples({split!r}) must hold Example objects, not {odd!r}"
    if splits.get("test") == []:
        yield "examples('test') is empty, so there is nothing to report"
    try:
        task.examples("no such split")
        yield "examples('no such split') must raise an InputError; see neuromas_env.errors.unknown"
    except InputError:
        pass
    except Exception as error:
        yield f"examples('no such split') must raise an InputError, not {error!r}"


def _texts(sample: _Sample) -> Iterator[str]:
    def plain(split: str, example: Example) -> str | None:
        for field in ("id", "question", "target"):
            value = getattr(example, field)
            if not _TEXT.contains(value):
                return f"{field} must be a text without lone surrogates, not {short(value)}"
        return None

    def parts(split: str, example: Example) -> str | None:
        if not example.parts:
            return None
        if not example.query:
            return "it has parts, so it needs a query: what everybody may read"
        for piece in (example.query, *example.parts):
            if not _TEXT.contains(piece) or piece not in example.question:
                return f"the question must hold the query and every part, but not {short(piece)}"
        return None

    def options(split: str, example: Example) -> str | None:
        labels = [label.casefold() for label, _ in example.options]
        if len(set(labels)) < len(labels):
            return f"two options have the same label: {', '.join(labels)}"
        return None

    for fault in (plain, parts, options):
        yield from _first(sample.rows(), fault)


def _identity(sample: _Sample, disjoint: bool) -> Iterator[str]:
    task, ids = sample.task, set()

    def same_id(split: str, example: Example) -> str | None:
        seen = example.id in ids
        ids.add(example.id)
        return "two rows have this id; make it unique within the task" if seen else None

    def lost(split: str, example: Example) -> str | None:
        found = task.examples(split)[task.find(split, example.id)]
        return None if found.id == example.id else f"find({split!r}, id) leads to {found.id!r}"

    yield from _first(sample.all_rows(), same_id)
    for (one, _), (other, example) in islice(shared_rows(sample.all_rows()), disjoint):
        yield f"example {example.id!r}: its question is in {one} and in {other}"
    few = list(sample.rows())[:: sample.most // 4 or 1]
    yield from guarded("find()", lambda: _first(few, lost))
    try:
        copies = {"asked again": task, "copied by pickle": pickle.loads(pickle.dumps(task))}
    except Exception as error:
        yield f"it cannot be pickled, which worker processes need: {error!r}"
        return
    for how, copy in copies.items():
        for split, examples in sample.splits.items():
            if _spread(copy.examples(split), sample.most) != examples:
                yield f"examples({split!r}) differs when {how}; rows must stay as they are"
                break


def _baselines(sample: _Sample) -> Iterator[str]:
    methods = ["majority", "blind_accuracy"]
    methods += ["one_round_accuracy"] * isinstance(sample.task, InteractiveTask)
    for method in methods:
        for split in filter(sample.splits.get, SPLITS):
            try:
                share = getattr(sample.task, method)(split)
            except Exception as error:
                yield f"{method}({split!r}) raises {raised(error)}"
                break
            if share is None and method != "majority":  # it is not known
                break
            if not isinstance(share, (int, float)) or not 0 <= share <= 1:
                yield f"{method}({split!r}) must be a share from 0 to 1, not {share!r}"
                break


def _targets(sample: _Sample) -> Iterator[str]:
    task = sample.task
    examples = [example for _, example in sample.rows()]
    golds = [task.gold(example) for example in examples]
    forms = [list_form(gold) for gold in golds]
    # For each row the first target that is not the same answer; its own if there is none.
    others = [
        next((g for g, form in zip(golds, forms, strict=True) if form != own), gold)
        for gold, own in zip(golds, forms, strict=True)
    ]

    def right(example: Example, gold: str, score: Score) -> str | None:
        if wrong := _unsound(score):
            return f"score of its own target: {wrong}"
        if example.id in task.flaws:
            return None
        answer = short(gold)
        if (score.strict, score.extracted) != (1.0, 1.0):
            return f"its own target {answer} must score 1.0, strict and extracted, not {score}"
        read = task.extract(example.question, gold)
        if (read or "").split() != (score.answer or "").split():
            found = f"extract() reads {short(read)} where score() reads {short(score.answer)}"
            return f"its own target {answer} must be read alike, but {found}"
        return None

    def wrong(example: Example, other: str, score: Score) -> str | None:
        if other == task.gold(example) or max(score.strict, score.extracted) < 1:
            return None
        return f"the target of another row, {short(other)}, must score 0.0, or a part, not {score}"

    def same(example: Example, reply: str, score: Score) -> str | None:
        again = task.score(example, reply)
        return None if again == score else f"the same reply scores {score}, then {again}"

    few = examples[:: len(examples) // 20 or 1]
    said = [f"The answer is {task.gold(example)}." for example in few]
    for fault, rows, replies in ((right, examples, golds), (wrong, examples, others),
                                 (same, few, said)):  # fmt: skip
        yield from guarded("score()", partial(_scored, task, rows, replies, fault))


def _scored(
    task: Task,
    examples: Sequence[Example],
    replies: Sequence[str],
    fault: Callable[[Example, str, Score], str | None],
) -> list[str]:
    """Return what is wrong with the first row whose reply's score is faulty."""
    scores = task.score_many(examples, replies)
    for example, reply, score in zip(examples, replies, scores, strict=True):
        if wrong := fault(example, reply, score):
            return [f"example {example.id!r}: {wrong}"]
    return []


def _odd_replies(sample: _Sample) -> Iterator[str]:
    example = sample.splits["test"][0]
    for what, reply in ODD_REPLIES.items():
        start = time.perf_counter()
        try:
            score = sample.task.score(example, reply)
            sample.task.extract(example.question, reply)
        except Exception as error:
            yield f"score() and extract() must never raise: {raised(error)} for {what}"
            continue
        if wrong := _unsound(score):
            yield f"score of {what}: {wrong}"
        elif not reply.strip() and (score.extracted, score.reason) != (0.0, "no_answer"):
            yield f"score of {what} must be 0.0 with the reason 'no_answer', not {score}"
        elif (seconds := time.perf_counter() - start) > _SLOW_SECONDS:
            yield f"score() takes {seconds:.0f} s for {what}; read only a part of long replies"


def _unsound(score: Any) -> str | None:
    if wrong := unsound(score):
        return wrong
    if score.reason not in get_args(Reason):
        return f"the reason must be one of {', '.join(get_args(Reason))}, not {score.reason!r}"
    fitting = {0: score.reason != "ok", 1: score.reason == "ok"}
    if not fitting.get(score.extracted, score.reason in ("ok", "wrong")):
        return (
            "the reason is 'ok' where extracted is 1.0 and nowhere where it is 0.0, and 'ok' or "
            f"'wrong' for a part, not {score}"
        )
    return None
