"""Whether a task is ready to be used: what is trained on is not reported, and scores are scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from neuromas_env.errors import InputError, placed
from neuromas_env.scripts import blamed
from neuromas_env.tasks.base import SPLITS, Example, Score, Task

Row = tuple[str, Example]
"""A split and one of its examples."""

MADE = 500
"""How many rows of a split that is made on access are compared."""


def content(example: Example) -> str:
    """Return what makes two examples the same question: its words, in order and case."""
    return " ".join(example.question.split())


def shared_rows(rows: Iterable[Row]) -> Iterator[tuple[Row, Row]]:
    """Yield each row whose question was first seen in another split, after that first row."""
    first: dict[str, Row] = {}
    for row in rows:
        other = first.setdefault(content(row[1]), row)
        if other[0] != row[0]:
            yield other, row


def spread(examples: Sequence[Example], most: int) -> Sequence[Example]:
    """Return a split that is in memory whole, of others at most so many rows, evenly spread."""
    if isinstance(examples, list | tuple):
        return examples
    return [examples[i] for i in range(0, len(examples), -(-len(examples) // most) or 1)]


def unsound(score: object) -> str | None:
    """Return what is wrong with what a task returned as a score, None if nothing is."""
    return None if isinstance(score, Score) else f"it must be a Score, not {score!r:.80}"


def checked_score(task: Task, example: Example, score: Score) -> Score:
    """Return a score; its own constructor has checked its values.

    Raises:
        InputError: It is none.
    """
    if wrong := unsound(score):
        raise InputError(f"task {task.name!r}: score of example {example.id!r}: {wrong}")
    return score


def check_ready(task: Task) -> None:
    """Check what training and benchmarks stand on, before any model call is spent.

    Splits in memory are read whole, in time that grows with their rows; of one whose rows are
    made on access, `MADE`. A split whose rows cannot be had is left out. Tasks that say by
    `disjoint = False` that there is nothing to generalise may share questions between splits.

    Raises:
        InputError: Two splits share a question, a text is no Unicode, or the score of a row's own
            target or of an empty reply is none.
    """
    rows = [(split, e) for split in SPLITS for e in spread(_examples(task, split), MADE)]
    for split, example in rows:
        try:
            f"{example.id}{example.question}{example.target}".encode()
        except UnicodeEncodeError:
            raise InputError(
                f"task {task.name!r}: example {example.id!r} of its {split} split holds a lone "
                "surrogate, which is no Unicode text"
            ) from None
    if task.disjoint:
        _check_apart(task, rows)
    if rows:
        _try_scores(task, rows[0][1])


def _check_apart(task: Task, rows: Iterable[Row]) -> None:
    pairs = list(shared_rows(rows))
    if not pairs:
        return
    (one, first), (other, second) = pairs[0]
    count = sum(a[0] == one and b[0] == other for a, b in pairs)
    raise InputError(
        f"task {task.name!r}: {count} of the questions of its {other} split are in its {one} split "
        f"too, the first as {first.id!r} and {second.id!r}; splits must share none "
        "(`disjoint = False` on a task in which there is nothing to generalise)"
    )


def check_origins(
    task: str, origins: Mapping[str, str], stored: Mapping[str, str], place: object
) -> None:
    """Check that a task is what stored results were begun with.

    Args:
        task: Its name.
        origins: Its `origins` now.
        stored: Those of then.
        place: Where the results are, for messages.

    Raises:
        InputError: One is missing or another.
    """
    if changed := [name for name, then in stored.items() if origins.get(name) != then]:
        raise InputError(
            f"task {task!r}: {changed[0]} is not what it was when {place} was begun "
            f"({stored[changed[0]]}, now {origins.get(changed[0], 'not there')}); restore it, or "
            "begin in a new folder"
        )


def _try_scores(task: Task, example: Example) -> None:
    try:
        with placed(f"task {task.name!r}"), blamed():
            scores = task.score_many([example, example], [task.gold(example), ""])
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"task {task.name!r}: scoring must never raise, got {error!r} for example "
            f"{example.id!r}"
        ) from error
    for score in scores:
        checked_score(task, example, score)


def _examples(task: Task, split: str) -> Sequence[Example]:
    try:
        return task.examples(split)
    except Exception:  # said where the split is used; elsewhere it need not be there
        return ()
