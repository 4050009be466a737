"""Two benchmarks side by side: their methods on the questions that both have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neuromas_env.bench.statistics import Comparison, Estimand, compare, corrected
from neuromas_env.bench.store import Store
from neuromas_env.bench.summary import SCORES, Group, both, read_groups
from neuromas_env.bench.tables import Grid, p_value, percent, points
from neuromas_env.checks import arguments
from neuromas_env.errors import InputError, unknown

_Pair = tuple[Group, Group, list[int]]
_QUESTIONS = "SELECT task, split, row_id, question, target, parts FROM questions"
NOTE = (
    "Each row compares one method on the questions that both folders hold; intervals are 95 %, "
    "p (Holm) is corrected for all rows."
)


@arguments
def compare_folders(old: str | Path, new: str | Path, score: str = "extracted") -> Grid:
    """Compare what two benchmark directories say of the same methods.

    Args:
        old: The reference.
        new: What is compared with it. Differences are its scores minus those of the reference.
        score: `extracted` or `strict`.

    Raises:
        InputError: A folder holds no benchmark, a question of the same name reads otherwise, or
            the two have no method on a task in common.
    """
    if score not in SCORES:
        raise unknown("score", score, SCORES)
    with Store(old) as first, Store(new) as second:
        _check_questions(first, second)
        pairs = _pairs(read_groups(first), read_groups(second))
    if not pairs:
        raise InputError(
            f"{old} and {new} have no method on a common task and question; run the same method "
            "and task in both"
        )
    found = corrected([_compared(*pair, score) for pair in pairs])
    rows = [_row(*pair, one, score) for pair, one in zip(pairs, found, strict=True)]
    head = ("task", "method", "n", str(old), str(new), "points", "95 % CI", "p (Holm)")
    title = f"{new} compared with {old}: {score} score, %"
    return Grid(title, head, tuple(rows), names=2, note=f"{NOTE} {_about(pairs, found)}")


def _about(pairs: Sequence[_Pair], found: Sequence[Comparison]) -> str:
    """Say what the rows speak about, and which of them about single training runs."""
    methods: dict[Estimand, dict[str, None]] = {}
    for (_, new, _), one in zip(pairs, found, strict=True):
        methods.setdefault(one.estimand, {})[new.method] = None
    names = {estimand: f" ({', '.join(each)})" for estimand, each in methods.items()}
    estimands = "; ".join(f"{one}{names[one] if len(names) > 1 else ''}" for one in names)
    single = dict.fromkeys(new.method for old, new, _ in pairs if old.alone or new.alone)
    alone = f" A single training run: {', '.join(single)}; nothing is said of other runs."
    return f"Estimand: {estimands}.{alone if single else ''}"


def _check_questions(first: Store, second: Store) -> None:
    known = {tuple(row.values())[:3]: row for row in first.rows(_QUESTIONS)}
    for row in second.rows(_QUESTIONS):
        if known.get(tuple(row.values())[:3], row) != row:
            raise InputError(
                f"question {row['row_id']!r} of task {row['task']} reads differently in "
                f"{first.path} and {second.path}: their scores cannot be compared"
            )


def _pairs(old: Sequence[Group], new: Sequence[Group]) -> list[_Pair]:
    """Return groups of the same task and method with their common rows, in the order of the new."""
    pairs = []
    for theirs in new:
        for ours in old:
            rows = sorted(set(ours.rows) & set(theirs.rows))
            if (ours.task, ours.method) == (theirs.task, theirs.method) and rows:
                pairs.append((ours, theirs, rows))
    return pairs


def _compared(old: Group, new: Group, rows: Sequence[int], score: str) -> Comparison:
    same = old.seeds == new.seeds or 1 in (len(old.cells), len(new.cells))
    about = both(new, old, len(rows))
    return compare(new.scores(score, rows), old.scores(score, rows), about, paired=same)


def _row(
    old: Group, new: Group, rows: Sequence[int], one: Comparison, score: str
) -> tuple[str, ...]:
    name = old.label if old.label == new.label else f"{new.label} against {old.label}"
    means = (percent(float(group.scores(score, rows).mean())) for group in (old, new))
    interval = "-" if one.estimand == Estimand.ANSWERS else points(one.interval)
    return (
        old.task, name, str(one.n), *means, f"{100 * one.difference:+.1f}", interval,
        p_value(one.p_holm),
    )  # fmt: skip
