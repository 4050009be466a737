"""Whether the splits of a task are apart: a question that is trained on is not reported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from neuromas_env.errors import InputError
from neuromas_env.tasks.base import SPLITS, Example, Task

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


def check_splits(task: Task) -> None:
    """Check what a task is trained on against what is reported of it.

    Splits in memory are compared whole, in time that grows with their rows; of one whose rows are
    made on access, `MADE`. A split whose rows cannot be had is left out. Tasks that say by
    `disjoint = False` that there is nothing to generalise are not compared.

    Raises:
        InputError: Two splits share a question, or a question cannot be written as Unicode.
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
    if not task.disjoint:
        return
    pairs = list(shared_rows(rows))
    if pairs:
        (one, first), (other, second) = pairs[0]
        count = sum(a[0] == one and b[0] == other for a, b in pairs)
        raise InputError(
            f"task {task.name!r}: {count} questions of its {other} split are in its {one} split "
            f"too, the first as {first.id!r} and {second.id!r}; splits must share none "
            "(`disjoint = False` on a task in which there is nothing to generalise)"
        )


def _examples(task: Task, split: str) -> Sequence[Example]:
    try:
        return task.examples(split)
    except Exception:  # said where the split is used; elsewhere it need not be there
        return ()
