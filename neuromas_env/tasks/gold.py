"""How the reference solutions score: a check of a task's scorer and of its rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from neuromas_env.tasks.base import Example, Task
from neuromas_env.tasks.interactive import InteractiveTask


@dataclass(frozen=True)
class GoldCheck:
    """What came of scoring the reference solution of every row.

    Attributes:
        n: Number of rows.
        strict: How many have a strict score of 1.
        extracted: How many have an extracted score of 1.
        wrong: Id of each row that has not both, and why, if the task knows.
        seconds: How long the scoring took.
    """

    n: int
    strict: int
    extracted: int
    wrong: dict[str, str]
    seconds: float


def check_gold(task: Task, examples: Sequence[Example]) -> GoldCheck:
    """Score the reference solution of every row, of an interactive task its play."""
    started = time.perf_counter()
    if isinstance(task, InteractiveTask):
        scores = task.outcome_many(examples, [task.play(example) for example in examples])
    else:
        scores = task.score_many(examples, [task.gold(example) for example in examples])
    wrong = {
        example.id: task.flaws.get(
            example.id, f"the reference solution is read as {score.answer!r}"
        )
        for example, score in zip(examples, scores, strict=True)
        if score.strict < 1 or score.extracted < 1
    }
    return GoldCheck(
        n=len(scores),
        strict=sum(score.strict == 1 for score in scores),
        extracted=sum(score.extracted == 1 for score in scores),
        wrong=wrong,
        seconds=time.perf_counter() - started,
    )
