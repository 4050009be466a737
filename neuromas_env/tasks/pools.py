"""Which rows are trained on: splits by the hash of a text, rows left out, solved examples.

A row's place follows from its own text alone, so that it is the same on every machine
and for every subset of the rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256

from neuromas_env.errors import InputError
from neuromas_env.tasks.base import Example
from neuromas_env.tasks.names import check_int

MOST_SHOTS = 16


def fingerprint(*texts: str) -> str:
    """Return the hash of some texts, 64 hexadecimal digits."""
    return sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()


def share(fingerprint: str) -> float:
    """Return where in [0, 1) a hash falls; a split is an interval of it."""
    return int(fingerprint[:8], 16) / 2**32


def numbered(names: Iterable[str]) -> list[str]:
    """Make names unique: the second `x` becomes `x-2`."""
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return unique


def check_shots(task: str, shots: int) -> None:
    """Raise an InputError unless so many solved examples can be shown."""
    check_int(task, "shots", shots, 0, MOST_SHOTS)


def take_shots(task: str, pool: Sequence[Example], shots: int) -> list[Example]:
    """Return the first rows of a pool, to be shown with their answers.

    Raises:
        InputError: The pool has fewer rows.
    """
    if len(pool) < shots:
        raise InputError(f"task {task}: shots is {shots}, but only {len(pool)} rows can be shown")
    return list(pool[:shots])


def with_shots(example: Example, shown: Sequence[Example]) -> Example:
    """Return an example whose question follows solved ones; unchanged if there are none."""
    if not shown:
        return example
    solved = "".join(f"Question: {s.question}\nAnswer: {s.target}\n\n" for s in shown)
    return replace(example, question=f"{solved}Question: {example.question}")
