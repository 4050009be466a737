"""What the numbers say about a claim: computed from intervals, never written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from neuromas_env.agents.shaping import UNREAD
from neuromas_env.bench.statistics import Comparison, compare, holm
from neuromas_env.bench.store import Store
from neuromas_env.experiments.spec import Claim, Study

HOLDS, FAILS, OPEN = "holds", "does not hold", "undecided"
ALL = "all tasks"


@dataclass(frozen=True)
class Scores:
    """Scores of one arm on one task, arrays `[questions, seeds]` from 0 to 1."""

    extracted: np.ndarray
    strict: np.ndarray
    parsed: np.ndarray


@dataclass(frozen=True)
class Finding:
    """What a comparison came to.

    Attributes:
        claim: What is claimed.
        task: On which task, or `ALL`.
        found: The paired comparison, None where no question is left to compare.
    """

    claim: Claim
    task: str
    found: Comparison | None

    @property
    def verdict(self) -> str:
        """Whether the claim holds, by the 95 % interval of the paired difference.

        It holds if the interval is above 0, it does not if the interval is below the margin,
        the smallest difference that counts; else the sample does not decide.
        """
        if self.found is None:
            return OPEN
        low, high = self.found.interval
        if low > 0:
            return HOLDS
        return FAILS if high < self.claim.margin else OPEN


def read_scores(store: Store) -> dict[tuple[str, str], Scores]:
    """Return the scores of every arm and task, questions that all its seeds answered."""
    cells: dict[tuple[str, str], dict[int, dict[int, tuple[float, float, float]]]] = {}
    for row in store.rows("SELECT method, task, seed, row, extracted, strict, reason FROM results"):
        score = row["extracted"], row["strict"], float(row["reason"] not in (*UNREAD, None))
        seeds = cells.setdefault((row["method"], row["task"]), {})
        seeds.setdefault(row["seed"] or 0, {})[row["row"]] = score
    found = {}
    for key, seeds in cells.items():
        rows = sorted(set.intersection(*map(set, seeds.values())))
        table = np.array([[seeds[seed][row] for seed in sorted(seeds)] for row in rows])
        found[key] = Scores(*np.moveaxis(table, -1, 0))
    return found


def judge(study: Study, scores: Mapping[tuple[str, str], Scores]) -> list[Finding]:
    """Compare the arms of every claim on each task, and on all questions of several tasks.

    Holm's correction is over all comparisons of the study.
    """
    findings = []
    for claim in study.claims:
        pairs = {
            task: _pair(claim, scores[claim.better, task], scores[claim.than, task])
            for task in study.tasks
        }
        for task, pair in pairs.items():
            findings.append(Finding(claim, task, _compare(*pair)))
        if len(pairs) > 1:
            together = (np.concatenate(part) for part in zip(*pairs.values(), strict=True))
            findings.append(Finding(claim, ALL, _compare(*together)))
    values = [one.found.p for one in findings if one.found is not None]
    corrected = iter(holm(values))
    return [
        one if one.found is None else replace(one, found=replace(one.found, p_holm=next(corrected)))
        for one in findings
    ]


def overall(findings: Sequence[Finding]) -> str:
    """Return the verdict of all deciding comparisons together.

    With several tasks it is the comparison on all questions that decides. The claim holds if
    every deciding comparison holds, and does not if one of them does not.
    """
    several = any(one.task == ALL for one in findings)
    verdicts = {
        one.verdict for one in findings if one.claim.decides and (one.task == ALL or not several)
    }
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts == {HOLDS} else OPEN


def parts_of_gain(better: Scores, than: Scores) -> tuple[float, float]:
    """Split a difference of extracted scores into reading more answers and answering better.

    The score is the share p of readable replies times the share a of right ones among them,
    and p a - p' a' = (p - p') (a + a') / 2 + (a - a') (p + p') / 2.
    """
    p, q = float(better.parsed.mean()), float(than.parsed.mean())
    a = float(better.extracted.mean()) / p if p else 0.0
    b = float(than.extracted.mean()) / q if q else 0.0
    return (p - q) * (a + b) / 2, (a - b) * (p + q) / 2


def _pair(claim: Claim, better: Scores, than: Scores) -> tuple[np.ndarray, np.ndarray]:
    kind = "extracted" if claim.score == "readable" else claim.score
    count = min(len(better.extracted), len(than.extracted))
    ours, theirs = getattr(better, kind)[:count], getattr(than, kind)[:count]
    if claim.score == "readable":
        kept = better.parsed[:count].all(1) & than.parsed[:count].all(1)
        ours, theirs = ours[kept], theirs[kept]
    return ours, theirs


def _compare(ours: np.ndarray, theirs: np.ndarray) -> Comparison | None:
    return compare(ours, theirs) if len(ours) else None
