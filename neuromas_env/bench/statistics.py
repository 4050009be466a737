"""Intervals and tests for methods that answered the same questions, perhaps in several runs.

Scores are arrays `[..., questions, runs]`; a run is a training with its seed, or a sampling. What
a table speaks about, its *estimand*, says what of it is random, and interval and p come from one
estimate with one standard error. `docs/benchmark.md` has the formulas, `benchmarks/coverage.py`
measures what they promise. Needs the extra `bench`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from neuromas_env.checks import arguments, shown
from neuromas_env.errors import InputError

ALPHA, POWER = 0.05, 0.8
_RESIDUE = 1e-9  # differences and standard errors below it are rounding


class Estimand(StrEnum):
    """What a table speaks about, and so what of it is random."""

    ANSWERS = "these answers"
    """Nothing is random: a count, without interval or p."""
    METHOD = "this method on new questions"
    """Questions are random; several runs of a method are samples of the same distribution."""
    TRAINING = "this way of training on new questions"
    """Questions and runs are random."""
    FINITE = "all questions of a finite set"
    """Runs are random, no other questions exist."""


@dataclass(frozen=True)
class Estimate:
    """Means with their standard errors, arrays of one shape (no axes for a single table).

    Attributes:
        mean: The estimates.
        error: Standard errors; 0 where there was no spread to estimate them from.
        parts: Weight of each part of the error, and its degrees of freedom.
        units: How many questions or runs, the fewer of what is random, have shown no spread.
        limits: Least and largest value that a mean can have.
    """

    mean: np.ndarray
    error: np.ndarray
    parts: tuple[tuple[np.ndarray, np.ndarray], ...]
    units: int
    limits: tuple[float, float]

    def bounds(self, alpha: float = ALPHA / 2) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and the upper bound that each miss the truth with probability alpha.

        Where `units` equal values showed no spread, a share q of all others, with
        (1 - q) ** units = alpha, may be anything within the limits (Clopper and Pearson, 1934).
        """
        low, high = self.limits
        half = self._quantile(alpha) * self.error
        seen = alpha ** (1 / self.units)
        flat = self.error == 0
        lower = np.where(flat, seen * self.mean + (1 - seen) * low, self.mean - half)
        upper = np.where(flat, seen * self.mean + (1 - seen) * high, self.mean + half)
        return np.maximum(lower, low), np.minimum(upper, high)

    def p_above(self, threshold: float = 0.0) -> np.ndarray:
        """Return the one-sided p of "the mean is above a threshold", that of `bounds`."""
        return self._p(threshold, 1)

    def p_below(self, threshold: float = 0.0, cautious: bool = False) -> np.ndarray:
        """Return the one-sided p of "the mean is below a threshold".

        Args:
            threshold: The threshold.
            cautious: With the fewest degrees of freedom of any part. Far out in the tails, where
                tests that are corrected for their number look, an average promises too much.
        """
        return self._p(threshold, -1, cautious)

    def p(self) -> np.ndarray:
        """Return the two-sided p of "the mean is not 0"."""
        return np.minimum(1.0, 2 * np.minimum(self.p_above(), self.p_below()))

    def detectable(self, alpha: float = ALPHA / 2, power: float = POWER) -> np.ndarray:
        """Return how far from a threshold a mean must be for p < alpha with so much power.

        Noncentral t with the estimated error; NaN where there was no spread.
        """
        from scipy.special import nctdtrinc

        df = 1 / np.sum([weight / df for weight, df in self.parts], 0)
        away = nctdtrinc(df, 1 - power, self._quantile(alpha))
        return np.where(self.error == 0, np.nan, away * self.error)

    def _p(self, threshold: float, sign: int, cautious: bool = False) -> np.ndarray:
        ahead = sign * (self.mean - threshold)
        worst = sign * (threshold - self.limits[sign < 0])
        flat = self.error == 0
        with np.errstate(invalid="ignore", divide="ignore"):
            unseen = np.where(ahead > 0, worst / (ahead + worst), 1.0) ** self.units
        known = self._tail(ahead / np.where(flat, 1.0, self.error), cautious)
        return np.where(flat, np.nan_to_num(unseen, nan=1.0), known)

    def _tail(self, t: np.ndarray, cautious: bool = False) -> np.ndarray:
        """Probability of more than t errors: the tails of the parts, averaged."""
        from scipy.special import stdtr

        if cautious:
            return stdtr(np.minimum.reduce([df for _, df in self.parts]), -t)
        return np.sum([weight * stdtr(df, -t) for weight, df in self.parts], 0)

    def _quantile(self, alpha: float) -> np.ndarray:
        """Where the tail is alpha, between the quantiles of the parts."""
        from scipy.special import stdtrit

        each = [stdtrit(df, 1 - alpha) + 0 * self.mean for _, df in self.parts]
        low, high = np.minimum.reduce(each), np.maximum.reduce(each)
        for _ in range(60 if len(each) > 1 else 0):
            middle = (low + high) / 2
            far = self._tail(middle) > alpha
            low, high = np.where(far, middle, low), np.where(far, high, middle)
        return high


@dataclass(frozen=True)
class Comparison:
    """A difference of mean scores on the same questions.

    Attributes:
        n: Questions.
        runs: Runs of the arm that has the fewest.
        estimand: What it speaks about.
        estimate: The difference with its error.
        p_holm: p after Holm's correction over a table, None before it.
        family: Comparisons of that table that test something.
    """

    n: int
    runs: int
    estimand: Estimand
    estimate: Estimate = field(repr=False)
    p_holm: float | None = None
    family: int = 1

    @property
    def difference(self) -> float:
        """Mean score of the method minus that of the reference."""
        return float(self.estimate.mean)

    @property
    def interval(self) -> tuple[float, float]:
        """95 %; it excludes 0 where p is below 0.05."""
        low, high = self.estimate.bounds()
        return float(low), float(high)

    @property
    def p(self) -> float:
        """Two-sided."""
        return float(self.estimate.p())

    @property
    def detectable(self) -> float | None:
        """Difference that has p (Holm) below 0.05 with 80 % probability, None without spread."""
        found = float(self.estimate.detectable(ALPHA / 2 / self.family))
        return None if np.isnan(found) else found


@arguments
def compare(
    method: ArrayLike,
    reference: ArrayLike,
    estimand: Estimand | None = None,
    paired: bool | None = None,
) -> Comparison:
    """Compare two methods on the same questions.

    Args:
        method: `[questions, runs]`, from 0 to 1.
        reference: `[questions, its runs]`, the same questions in the same order.
        estimand: By default `TRAINING` where either has several runs, else `METHOD`.
        paired: Whether run s of the one belongs to run s of the other: the same training, or the
            same seed. By default where both have as many; a single run is compared with all.

    Raises:
        InputError: The tables do not fit each other.
    """
    ours, theirs = map(_table, (method, reference))
    for table in (ours, theirs):
        if table.ndim != 2 or not table.size:
            raise InputError(f"scores must be a table [questions, runs], got shape {table.shape}")
        if not np.isfinite(table).all():
            raise InputError("scores must be numbers, got some that are not finite")
    if len(ours) != len(theirs):
        raise InputError(
            f"both methods must have the same questions, got {len(ours)} and {len(theirs)}"
        )
    counts = {ours.shape[1], theirs.shape[1]}
    if paired is None:
        paired = len(counts) == 1 or 1 in counts
    elif paired and len(counts - {1}) > 1:
        raise InputError(f"paired runs must be as many in both, got {ours.shape[1]} and "
                         f"{theirs.shape[1]}")  # fmt: skip
    if estimand is None:
        estimand = Estimand.METHOD if counts == {1} else Estimand.TRAINING
    return contrast([ours - theirs] if paired else [ours, -theirs], estimand)


def _table(scores: ArrayLike) -> np.ndarray:
    try:
        return np.asarray(scores, float)
    except (TypeError, ValueError):
        raise InputError(f"scores must be numbers, got {shown(scores)}") from None


def contrast(
    tables: Sequence[np.ndarray], estimand: Estimand, limits: tuple[float, float] = (-1.0, 1.0)
) -> Comparison:
    """Compare by the sum of the means of tables, each of runs of its own.

    Args:
        tables: `[questions, runs]` each, the same questions in all; a table that is subtracted
            has its sign.
        estimand: What the difference speaks about.
        limits: Least and largest difference that is possible.
    """
    runs = min(table.shape[-1] for table in tables)
    return Comparison(len(tables[0]), runs, estimand, estimate(tables, estimand, limits))


@arguments
def mean_interval(scores: ArrayLike, estimand: Estimand) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean of a table, None where nothing is random.

    Args:
        scores: `[questions, runs]`, from 0 to 1.
        estimand: What it speaks about.
    """
    if estimand == Estimand.ANSWERS:
        return None
    low, high = estimate([np.asarray(scores, float)], estimand, (0.0, 1.0)).bounds()
    return float(low), float(high)


def corrected(family: Sequence[Comparison]) -> list[Comparison]:
    """Correct the p of an exploratory table for the number of its comparisons (Holm, 1979).

    Comparisons of these answers alone test nothing: they have no p and do not count.
    """
    tested = [one for one in family if one.estimand != Estimand.ANSWERS]
    adjusted = iter(holm([one.p for one in tested]))
    return [
        replace(one, p_holm=next(adjusted), family=len(tested))
        if one.estimand != Estimand.ANSWERS
        else one
        for one in family
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return `p_values` corrected for their number by Holm's step-down method (1979)."""
    from statsmodels.stats.multitest import multipletests

    return multipletests(p_values, method="holm")[1].tolist() if len(p_values) else []


def estimate(
    tables: Sequence[np.ndarray], estimand: Estimand, limits: tuple[float, float] = (-1.0, 1.0)
) -> Estimate:
    """Estimate the sum of the means of tables whose questions are the same and whose runs are not.

    With questions and runs random the variance is that of the questions' means plus that of the
    runs' means minus what is left after both, each over what it averages (the last stands in both
    others), and never below its largest part.

    Args:
        tables: Each `[..., questions, its runs]`.
        estimand: What is random.
        limits: Of the sum.
    """
    n = tables[0].shape[-2]
    whole = np.sum([table.mean((-2, -1)) for table in tables], 0)
    mean = np.where(np.abs(whole) < _RESIDUE, 0.0, whole)
    units = min(
        [n] * (estimand != Estimand.FINITE)
        + [table.shape[-1] for table in tables] * (estimand != Estimand.METHOD)
    )
    if estimand == Estimand.ANSWERS or units < 2:
        one = np.ones_like(mean)
        return Estimate(mean, 0 * one, ((one, one),), 1, limits)
    parts, rest = [], np.zeros_like(mean)
    if estimand != Estimand.FINITE:
        rows = np.sum([table.mean(-1) for table in tables], 0)
        parts.append((rows.var(-1, ddof=1) / n, np.full_like(mean, n - 1)))
    if estimand != Estimand.METHOD:
        parts.append(_runs(tables))
    if estimand == Estimand.TRAINING:
        rest = np.sum([_rest(table) for table in tables], 0)
    variances = [part for part, _ in parts]
    error = np.sqrt(np.maximum.reduce([np.sum(variances, 0) - rest, rest, *variances]))
    # Squares, as Satterthwaite has them. Few runs often show less spread than there is, and then
    # count too little; half as much again is what coverage.py asks for.
    squares = [variances[0] ** 2, *((1.5 * part) ** 2 for part in variances[1:])]
    with np.errstate(invalid="ignore"):
        weights = np.nan_to_num(squares / np.sum(squares, 0), nan=1 / len(parts))
    return Estimate(
        mean, np.where(error < _RESIDUE, 0.0, error),
        tuple((weight, df) for weight, (_, df) in zip(weights, parts, strict=True)), units, limits,
    )  # fmt: skip


def _runs(tables: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return what runs add to the variance, and Welch's degrees of freedom over the tables."""
    counts = [table.shape[-1] for table in tables]
    each = [table.mean(-2).var(-1, ddof=1) / m for table, m in zip(tables, counts, strict=True)]
    spent = np.sum([part**2 / (m - 1) for part, m in zip(each, counts, strict=True)], 0)
    with np.errstate(invalid="ignore"):
        df = np.nan_to_num(np.sum(each, 0) ** 2 / spent, nan=1.0)
    return np.sum(each, 0), df


def _rest(table: np.ndarray) -> np.ndarray:
    """Return what questions and runs leave unexplained, as variance of the table's mean."""
    n, runs = table.shape[-2:]
    left = table.var((-2, -1)) - table.mean(-1).var(-1) - table.mean(-2).var(-1)
    return np.maximum(left, 0.0) / ((n - 1) * (runs - 1))
