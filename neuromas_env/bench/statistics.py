"""Intervals and tests for methods that answered the same questions, perhaps with several seeds.

Scores are arrays `[questions, seeds]`. Questions are what the sample consists of; the seeds
of one question are no independent observations, so no test here counts them as such.
`docs/benchmark.md` has the formulas and their sources. Needs the extra `bench`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from neuromas_env.agents.evaluate import wilson

DRAWS = 10_000
LEVEL, POWER = 0.95, 0.8
Seeds = Sequence[int | None]
_BLOCK = 4_000_000  # numbers held at once while resampling


@dataclass(frozen=True)
class Comparison:
    """One method against the reference on the same questions.

    Attributes:
        n: Questions that both answered with all their seeds.
        difference: Mean score of the method minus that of the reference.
        interval: 95 % of the two-level bootstrap.
        p: Permutation test on per-question means, two-sided.
        p_holm: The same after Holm's correction over the whole table, None before it.
        p_mcnemar: Exact McNemar test; None unless both are single runs of 0/1 scores.
        p_seeds: Paired t test over the means of the common seeds; None with fewer than two or
            without any spread.
        h: Cohen's h of the two mean scores.
        d: Cohen's d of the paired differences (d_z), None if all are equal.
        detectable: Smallest true difference that this sample would have shown with 80 %
            probability at the 5 % level; None if all differences are equal.
    """

    n: int
    difference: float
    interval: tuple[float, float]
    p: float
    p_mcnemar: float | None
    p_seeds: float | None
    h: float
    d: float | None
    detectable: float | None
    p_holm: float | None = None


def mean_interval(scores: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean from a two-level bootstrap.

    Questions and seeds are resampled as wholes (the pigeonhole bootstrap of Owen, 2007).
    Where all scores are equal, a bootstrap sees no spread: then it is Wilson's interval.

    Args:
        scores: `[questions, seeds]`, from 0 to 1.
        seed: Of the resampling.
    """
    if np.all(scores == scores.flat[0]):
        return wilson(float(scores[:, 0].sum()), len(scores))
    return _percentiles(_resampled_means([scores], seed)[0])


def compare(
    method: np.ndarray,
    reference: np.ndarray,
    seed: int = 0,
    names: tuple[Seeds, Seeds] | None = None,
) -> Comparison:
    """Compare two methods on the same questions.

    Args:
        method: `[questions, seeds]`, from 0 to 1; NaN is left out of all means. Each question
            and each seed needs a number.
        reference: `[questions, its seeds]`, the same questions in the same order.
        seed: Of the resampling.
        names: The seeds of both, `(None,)` without randomness; the t test pairs equal ones. By
            default columns are paired as they stand, and one column stands beside all.
    """
    means = np.nanmean(method, axis=1), np.nanmean(reference, axis=1)
    differences = means[0] - means[1]
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    if spread < 1e-12:
        spread = 0.0
    ours, theirs = _resampled_means([method, reference], seed)
    return Comparison(
        n=len(differences),
        difference=float(np.nanmean(method) - np.nanmean(reference)),
        interval=_percentiles(ours - theirs),
        p=permutation_test(differences, seed),
        p_mcnemar=_mcnemar(method, reference),
        p_seeds=_paired_t(np.nanmean(method, axis=0), np.nanmean(reference, axis=0), names),
        h=cohens_h(float(np.nanmean(method)), float(np.nanmean(reference))),
        d=float(differences.mean()) / spread if spread else None,
        detectable=detectable_difference(spread, len(differences)) if spread else None,
    )


def permutation_test(
    differences: np.ndarray,
    seed: int = 0,
    alternative: Literal["two-sided", "greater"] = "two-sided",
) -> float:
    """Return the p of a sign-flip test of differences per question or per seed.

    Exact where all sign patterns can be gone through, else from random patterns.

    Args:
        differences: One number for each.
        seed: Of the patterns.
        alternative: `greater` asks only whether the mean is above 0.
    """
    from scipy.stats import permutation_test as scipy_test

    # The sign of a zero changes nothing, so leaving zeros out leaves the test as it is.
    moved = differences[differences != 0]
    if len(moved) < 2:  # both signs of one difference are as extreme
        return 0.5 if alternative == "greater" and moved.sum() > 0 else 1.0
    result = scipy_test(
        (moved, np.zeros_like(moved)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        alternative=alternative,
        n_resamples=DRAWS - 1,
        batch=max(1, _BLOCK // len(moved)),
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def cohens_h(share: float, other: float) -> float:
    """Return Cohen's h, the difference of two shares on the arcsine scale (Cohen, 1988)."""
    return 2 * math.asin(math.sqrt(share)) - 2 * math.asin(math.sqrt(other))


def detectable_difference(spread: float, n: int) -> float:
    """Return the smallest mean difference that a two-sided test shows with 80 % probability.

    That is `(z_0.975 + z_0.8) * spread / sqrt(n)`, the normal approximation.

    Args:
        spread: Standard deviation of the per-question differences.
        n: Number of questions.
    """
    from scipy.stats import norm

    return float(norm.ppf((1 + LEVEL) / 2) + norm.ppf(POWER)) * spread / math.sqrt(n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values after Holm's step-down correction (Holm, 1979)."""
    from statsmodels.stats.multitest import multipletests

    return multipletests(p_values, method="holm")[1].tolist() if len(p_values) else []


def _resampled_means(samples: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
    """Mean score of each method in every draw; the questions drawn are the same for all."""
    rng = np.random.default_rng(seed)
    n = len(samples[0])
    block = max(1, _BLOCK // n)
    means: list[list[np.ndarray]] = [[] for _ in samples]
    for start in range(0, DRAWS, block):
        size = min(block, DRAWS - start)
        questions = _counts(rng, n, size) / n
        for kept, scores in zip(means, samples, strict=True):
            seeds = _counts(rng, scores.shape[1], size) / scores.shape[1]
            there = np.isfinite(scores)
            drawn = ((questions @ np.where(there, scores, 0)) * seeds).sum(axis=1)
            if not there.all():
                with np.errstate(invalid="ignore"):  # a draw may hold no number at all
                    drawn = drawn / ((questions @ there) * seeds).sum(axis=1)
            kept.append(drawn)
    return [np.concatenate(kept) for kept in means]


def _counts(rng: np.random.Generator, n: int, draws: int) -> np.ndarray:
    """How often each of n things is drawn, `[draws, n]`."""
    # Several times faster than rng.multinomial for thousands of questions.
    drawn = rng.integers(n, size=(draws, n)) + n * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * n).reshape(draws, n).astype(float)


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _mcnemar(method: np.ndarray, reference: np.ndarray) -> float | None:
    from statsmodels.stats.contingency_tables import mcnemar

    binary = np.isin(method, (0, 1)).all() and np.isin(reference, (0, 1)).all()
    if method.shape[1] != 1 or reference.shape[1] != 1 or not binary:
        return None
    a, b = method[:, 0].astype(bool), reference[:, 0].astype(bool)
    table = [[np.sum(a & b), np.sum(a & ~b)], [np.sum(~a & b), np.sum(~a & ~b)]]
    if not (table[0][1] or table[1][0]):
        return 1.0
    return float(mcnemar(table, exact=True).pvalue)


def _paired_t(
    method: np.ndarray, reference: np.ndarray, names: tuple[Seeds, Seeds] | None
) -> float | None:
    """Test of the seeds' means; a run without a seed stands beside every seed."""
    from scipy.stats import ttest_rel

    if names is not None and None not in (*names[0], *names[1]):
        common = [seed for seed in names[0] if seed in names[1]]
        method = method[[names[0].index(seed) for seed in common]]
        reference = reference[[names[1].index(seed) for seed in common]]
    count = max(len(method), len(reference))
    if count < 2 or {len(method), len(reference)} - {1, count}:
        return None
    differences = np.broadcast_to(method, count) - np.broadcast_to(reference, count)
    if np.ptp(differences) < 1e-12:
        return None
    return float(ttest_rel(differences, np.zeros(count)).pvalue)
