"""What the numbers say about a claim: computed from the estimates, never written by hand.

A claim holds if every deciding comparison exceeds its threshold, each tested at 5 %: all must hold,
so that none of them needs a correction (intersection-union test; Berger, 1982). It does not hold if
one of them is below its threshold; any could be so by chance, so that this test is corrected for
their number (Bonferroni). Else it is undecided.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from neuromas_env.agents.learners.shaping import UNREAD
from neuromas_env.bench.statistics import ALPHA, POWER, Comparison, Estimand, Estimate, contrast
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

    @property
    def not_wrong(self) -> np.ndarray:
        """The extracted score if every reply without an answer counted as right."""
        return self.extracted + 1 - self.parsed


@dataclass(frozen=True)
class Finding:
    """What a comparison says of its claim.

    Attributes:
        claim: What is claimed.
        task: On which task, or `ALL`.
        found: The comparison, None where no question is left to compare.
        decides: Whether the verdict depends on it.
        family: How many comparisons do.
    """

    claim: Claim
    task: str
    found: Comparison | None
    decides: bool = False
    family: int = 1

    @property
    def interval(self) -> tuple[float, float]:
        """90 %, each bound one-sided 95 %: above the threshold where the comparison holds."""
        assert self.found is not None
        low, high = self.found.estimate.bounds(ALPHA)
        return float(low), float(high)

    @property
    def p(self) -> float:
        """One-sided, of a difference above the threshold."""
        if self.found is None:
            return 1.0
        return float(self.found.estimate.p_above(self.claim.threshold))

    @property
    def p_not(self) -> float:
        """One-sided, of a difference below the threshold, corrected for the family."""
        if self.found is None:
            return 1.0
        return float(p_not(self.found.estimate, self.claim.threshold, self.family))

    @property
    def detectable(self) -> float | None:
        """True difference at which the claim holds with 80 %, were all of the family so large."""
        if self.found is None:
            return None
        power = 1 - (1 - POWER) / self.family
        away = float(self.found.estimate.detectable(ALPHA, power))
        return None if np.isnan(away) else self.claim.threshold + away

    @property
    def verdict(self) -> str:
        """Whether the comparison alone holds."""
        return verdict([self.p], [self.p_not])


def p_not(estimate: Estimate, threshold: float, family: int) -> np.ndarray:
    """Return the p of "below the threshold" for one of several, of which any would refute."""
    return np.minimum(1.0, family * estimate.p_below(threshold, cautious=family > 1))


def decide(p: np.ndarray, p_against: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whether claims hold, and whether they do not, from `[comparisons, ...]` p values."""
    return np.all(p < ALPHA, 0), np.any(p_against < ALPHA, 0)


def verdict(p: Sequence[float], p_against: Sequence[float]) -> str:
    """Return the verdict of all comparisons together."""
    holds, fails = decide(np.array(p), np.array(p_against))
    return FAILS if fails else HOLDS if holds and len(p) else OPEN


def read_scores(store: Store, cells: Collection[str]) -> dict[tuple[str, str], Scores]:
    """Return the scores of every arm and task, on the questions that all arms and seeds answered.

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
    common: dict[str, set[int]] = {}
    for (_, task), seeds in arms.items():
        rows = set.intersection(*map(set, seeds.values()))
        common[task] = common.get(task, rows) & rows
    found = {}
    for (arm, task), seeds in arms.items():
        table = np.array(
            [[seeds[seed][row] for seed in sorted(seeds)] for row in sorted(common[task])]
        )
        found[arm, task] = Scores(*np.moveaxis(table.reshape(-1, len(seeds), 3), -1, 0))
    return found


def estimand(study: Study) -> Estimand:
    """Return what a study speaks about: discrete networks have no other questions than theirs."""
    return Estimand.FINITE if study.kind == "discrete" else Estimand.TRAINING


def judge(study: Study, scores: Mapping[tuple[str, str], Scores]) -> list[Finding]:
    """Compare the arms of every claim on each task, and on all questions of several tasks.

    With several tasks it is the comparison on all questions that decides.
    """
    findings = []
    for claim in study.claims:
        tables = {
            task: _tables(study, claim, scores, task)
            for task in study.tasks
            if (claim.better, task) in scores
        }
        if len(tables) > 1:
            together = zip(*tables.values(), strict=True)
            tables[ALL] = [np.concatenate(each) for each in together]
        limits = (-2.0, 2.0) if claim.minus else (-1.0, 1.0)
        for task, parts in tables.items():
            found = contrast(parts, estimand(study), limits) if parts[0].size else None
            decides = claim.decides and task == list(tables)[-1]
            findings.append(Finding(claim, task, found, decides))
    family = sum(one.decides for one in findings)
    return [replace(one, family=family) if one.decides else one for one in findings]


def overall(findings: Sequence[Finding]) -> str:
    """Return the verdict of all deciding comparisons together."""
    deciding = [one for one in findings if one.decides]
    return verdict([one.p for one in deciding], [one.p_not for one in deciding])


def parts_of_gain(better: Scores, than: Scores) -> tuple[float, float]:
    """Split a difference of extracted scores into reading more answers and answering better.

    The score is the share p of readable replies times the share a of right ones among them,
    and p a - p' a' = (p - p') (a + a') / 2 + (a - a') (p + p') / 2.
    """
    p, q = float(better.parsed.mean()), float(than.parsed.mean())
    a = float(better.extracted.mean()) / p if p else 0.0
    b = float(than.extracted.mean()) / q if q else 0.0
    return (p - q) * (a + b) / 2, (a - b) * (p + q) / 2


def _tables(
    study: Study, claim: Claim, scores: Mapping[tuple[str, str], Scores], task: str
) -> list[np.ndarray]:
    """Return a claim's signed scores: one table for all arms whose runs belong together."""
    used = {arm: scores[arm, task] for arm, sign in claim.signs.items() if sign}
    tables: dict[str, np.ndarray] = {}
    for arm, one in used.items():
        source = study.arms[arm].source or arm if arm in study.arms else arm
        group = "all" if claim.seeds == "paired" else source
        signed = claim.signs[arm] * getattr(one, claim.score)
        tables[group] = tables[group] + signed if group in tables else signed
    return list(tables.values())
