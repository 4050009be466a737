"""What the numbers say about a claim: computed from intervals, never written by hand."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from neuromas_env.agents.shaping import UNREAD
from neuromas_env.bench.statistics import Comparison, compare, holm, permutation_test
from neuromas_env.bench.store import Store
from neuromas_env.experiments.spec import Claim, Study

HOLDS, FAILS, OPEN = "holds", "does not hold", "undecided"
ALL = "all tasks"
ALPHA = 0.05


@dataclass(frozen=True)
class Scores:
    """Scores of one arm on one task, arrays `[questions, seeds]` from 0 to 1."""

    extracted: np.ndarray
    strict: np.ndarray
    parsed: np.ndarray

    @property
    def not_wrong(self) -> np.ndarray:
        """The extracted score if every reply without an answer counted as right."""
        return self.extracted + 1 - self.parsed


@dataclass(frozen=True)
class Finding:
    """What a comparison came to.

    Attributes:
        claim: What is claimed.
        task: On which task, or `ALL`.
        found: The paired comparison, None where no question is left to compare.
        p_runs: One-sided exact sign-flip test of the seeds' mean differences; of comparisons that
            decide, with Holm's correction over them.
    """

    claim: Claim
    task: str
    found: Comparison | None
    p_runs: float = 1.0

    @property
    def verdict(self) -> str:
        """Whether the claim holds, by the interval of the paired difference and its test.

        It holds if the 95 % interval is above 0 and `p_runs` is below 5 %: a bootstrap of ten
        seeds is too narrow to be trusted alone. It does not if the interval is below the margin,
        the smallest difference that counts; else the sample does not decide.
        """
        if self.found is None:
            return OPEN
        low, high = self.found.interval
        if low > 0:
            return HOLDS if self.p_runs < ALPHA else OPEN
        return FAILS if high < self.claim.margin else OPEN


def read_scores(store: Store, cells: Collection[str]) -> dict[tuple[str, str], Scores]:
    """Return the scores of every arm and task, questions that all its seeds answered.

    Args:
        store: The study's.
        cells: Hashes of those that count; others are of other settings or seeds.
    """
    arms: dict[tuple[str, str], dict[int, dict[int, tuple[float, float, float]]]] = {}
    marks = ", ".join("?" * len(cells))
    query = (
        "SELECT method, task, seed, row, extracted, strict, reason FROM results "
        f"WHERE cell IN (SELECT id FROM cells WHERE hash IN ({marks}))"
    )
    for row in store.rows(query, tuple(cells)):
        score = row["extracted"], row["strict"], float(row["reason"] not in (*UNREAD, None))
        seeds = arms.setdefault((row["method"], row["task"]), {})
        seeds.setdefault(row["seed"] or 0, {})[row["row"]] = score
    found = {}
    for key, seeds in arms.items():
        rows = sorted(set.intersection(*map(set, seeds.values())))
        table = np.array([[seeds[seed][row] for seed in sorted(seeds)] for row in rows])
        found[key] = Scores(*np.moveaxis(table, -1, 0))
    return found


def judge(study: Study, scores: Mapping[tuple[str, str], Scores]) -> list[Finding]:
    """Compare the arms of every claim on each task, and on all questions of several tasks.

    Holm's correction of a comparison's p is over all comparisons of the study, that of `p_runs`
    over those that decide.
    """
    findings: list[Finding] = []
    for claim in study.claims:
        pairs = {
            task: _pair(claim, scores[claim.better, task], scores[claim.than, task])
            for task in study.tasks
            if (claim.better, task) in scores
        }
        for task, pair in pairs.items():
            findings.append(_found(claim, task, *pair))
        if len(pairs) > 1:
            ours, theirs = (np.concatenate(part) for part in zip(*pairs.values(), strict=True))
            findings.append(_found(claim, ALL, ours, theirs))
    deciding = _deciding(findings)
    runs = iter(holm([one.p_runs for one in deciding]))
    findings = [replace(one, p_runs=next(runs)) if one in deciding else one for one in findings]
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
    verdicts = {one.verdict for one in _deciding(findings)}
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts == {HOLDS} else OPEN


def least_p(seeds: int, findings: Sequence[Finding]) -> float:
    """Return the smallest p that all deciding comparisons together can have with so many seeds."""
    return min(1.0, len(_deciding(findings)) / 2**seeds)


def parts_of_gain(better: Scores, than: Scores) -> tuple[float, float]:
    """Split a difference of extracted scores into reading more answers and answering better.

    The score is the share p of readable replies times the share a of right ones among them,
    and p a - p' a' = (p - p') (a + a') / 2 + (a - a') (p + p') / 2.
    """
    p, q = float(better.parsed.mean()), float(than.parsed.mean())
    a = float(better.extracted.mean()) / p if p else 0.0
    b = float(than.extracted.mean()) / q if q else 0.0
    return (p - q) * (a + b) / 2, (a - b) * (p + q) / 2


def _deciding(findings: Sequence[Finding]) -> list[Finding]:
    several = any(one.task == ALL for one in findings)
    return [one for one in findings if one.claim.decides and (one.task == ALL or not several)]


def _pair(claim: Claim, better: Scores, than: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores to compare; NaN where a question does not count for a seed."""
    kind = "extracted" if claim.score == "readable" else claim.score
    count = min(len(better.extracted), len(than.extracted))
    ours, theirs = getattr(better, kind)[:count], getattr(than, kind)[:count]
    if claim.score == "readable":
        kept = (better.parsed[:count] > 0) & (than.parsed[:count] > 0)
        ours, theirs = (np.where(kept, scores, np.nan) for scores in (ours, theirs))
    return ours, theirs


def _found(claim: Claim, task: str, ours: np.ndarray, theirs: np.ndarray) -> Finding:
    there = np.isfinite(ours)
    if not there.any():
        return Finding(claim, task, None)
    cut = np.ix_(there.any(1), there.any(0))
    ours, theirs = ours[cut], theirs[cut]
    each = np.nanmean(ours, axis=0) - np.nanmean(theirs, axis=0)
    p_runs = permutation_test(each, alternative="greater")
    return Finding(claim, task, compare(ours, theirs), p_runs)
