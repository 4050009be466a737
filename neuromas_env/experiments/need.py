"""How many training questions a return takes, and how that need rises with a task's size.

The need of a run is a number only if the return was reached, and not at the first look already.
Where it was never reached the questions of the whole training stand in its place, a lower bound;
where it was reached at once, those before the first look, an upper bound. Both are counted, and a
verdict that they could turn is not given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neuromas_env.bench.statistics import DRAWS, LEVEL, permutation_test
from neuromas_env.experiments.spec import Need
from neuromas_env.experiments.verdict import ALPHA, FAILS, HOLDS, OPEN

FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exponential": np.asarray,
    "power law": np.log,
}
"""What of the size the logarithm of the need is fitted to, a straight line each."""
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Measured:
    """The needs of a curve, arrays `[sizes, seeds]`.

    Attributes:
        need: Training questions; a bound where `never` or `at_once`.
        never: Whether the return was not reached.
        at_once: Whether it was at the first look.
    """

    need: np.ndarray
    never: np.ndarray
    at_once: np.ndarray


@dataclass(frozen=True)
class Fit:
    """A straight line through the logarithms of a curve's needs, by least squares.

    Attributes:
        slope: Per unit of size, or of its logarithm.
        interval: 95 % of it, seeds drawn anew.
        start: Logarithm of the need at size 0, or 1.
        explained: Share of the variance between the sizes' means (R²).
        better: Share of the draws in which no other form leaves less unexplained.
    """

    slope: float
    interval: tuple[float, float]
    start: float
    explained: float
    better: float


@dataclass(frozen=True)
class Rise:
    """What a need came to.

    Attributes:
        claim: What is claimed.
        curves: By name.
        fits: Curve to form to its fit.
        difference: Slope of the steeper curve minus that of the other, exponential form.
        interval: 95 % of it; a seed is drawn for both curves and all sizes at once.
        p_runs: One-sided exact sign-flip test of the seeds' own differences.
        may_rise: Whether the difference might be larger, were all needs known and not bounded.
        may_fall: Whether it might be smaller.
    """

    claim: Need
    curves: Mapping[str, Measured]
    fits: Mapping[str, Mapping[str, Fit]]
    difference: float
    interval: tuple[float, float]
    p_runs: float
    may_rise: bool
    may_fall: bool

    @property
    def verdict(self) -> str:
        """Whether the claim holds, as a comparison's; undecided where bounds could turn it."""
        low, high = self.interval
        if low > 0:
            return HOLDS if self.p_runs < ALPHA and not self.may_fall else OPEN
        return FAILS if high < self.claim.margin and not self.may_rise else OPEN


def reach(curve: Points, goal: float, smooth: int = 1) -> tuple[float, bool, bool]:
    """Return the questions after which a run reached a return; whether never; whether at once.

    Args:
        curve: `(questions so far, return)`, rising questions.
        goal: The return.
        smooth: Points whose mean counts; before there are so many nothing is reached.
    """
    scores = np.array([score for _, score in curve])
    sums = np.concatenate([[0.0], scores.cumsum()])
    means = (sums[smooth:] - sums[:-smooth]) / smooth
    [there] = np.nonzero(means >= goal - 1e-9)
    if not len(there):
        return curve[-1][0], True, False
    first = int(there[0])
    return curve[first + smooth - 1][0], False, first == 0


def judge_need(claim: Need, measured: Mapping[str, Measured], seed: int = 0) -> Rise:
    """Fit all curves and compare the two of the claim.

    Args:
        claim: What is claimed.
        measured: Curve to its needs, sizes in rising order.
        seed: Of the bootstrap.
    """
    sizes = np.array(claim.sizes, float)
    seeds = measured[claim.than].need.shape[1]
    drawn = np.random.default_rng(seed).integers(seeds, size=(DRAWS, seeds))
    logs = {name: np.log(one.need) for name, one in measured.items()}
    slopes = {name: _line(sizes, one.T)[0] for name, one in logs.items()}
    each = slopes[claim.steeper] - slopes[claim.than]
    directions = {name: _turns(sizes, one) for name, one in measured.items()}
    (up, down), (other_up, other_down) = directions[claim.steeper], directions[claim.than]
    return Rise(
        claim, measured,
        {name: _fits(sizes, one.T, drawn) for name, one in logs.items()},
        float(each.mean()), _interval(each[drawn].mean(1)),
        permutation_test(each, alternative="greater"),
        may_rise=up or other_down, may_fall=down or other_up,
    )  # fmt: skip


def _fits(sizes: np.ndarray, logs: np.ndarray, drawn: np.ndarray) -> dict[str, Fit]:
    """Fit every form to the seeds' logarithms, `[seeds, sizes]`, and to draws of the seeds."""
    mean, resampled = logs.mean(0), logs[drawn].mean(1)
    lines = {form: _line(scale(sizes), resampled) for form, scale in FORMS.items()}
    least = np.min([left for *_, left in lines.values()], axis=0)
    found = {}
    for form, scale in FORMS.items():
        slope, start, left = (part.item() for part in _line(scale(sizes), mean[None]))
        total = ((mean - mean.mean()) ** 2).sum()
        slopes, _, unexplained = lines[form]
        found[form] = Fit(
            slope, _interval(slopes), start, 1 - left / total if total else 1.0,
            float((unexplained <= least).mean()),
        )  # fmt: skip
    return found


def _line(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slope, start and squared error of the least-squares line through each row of y."""
    centred = x - x.mean()
    slope = y @ centred / (centred @ centred)
    start = y.mean(1) - slope * x.mean()
    return slope, start, ((y - start[:, None] - slope[:, None] * x) ** 2).sum(1)


def _turns(sizes: np.ndarray, one: Measured) -> tuple[bool, bool]:
    """Whether a curve's slope might be larger, and whether smaller, were its bounds numbers.

    More need at a size above the mean makes a curve steeper, at one below flatter.
    """
    above, below = sizes > sizes.mean(), sizes < sizes.mean()
    never, at_once = one.never.any(1), one.at_once.any(1)
    steeper = (never & above) | (at_once & below)
    flatter = (never & below) | (at_once & above)
    return bool(steeper.any()), bool(flatter.any())


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
