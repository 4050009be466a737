"""Sample complexity: how many training questions a return takes, by the size of the task.

That of a run is a number only if the return was reached, and not at the first look already.
Where it was never reached the questions of the whole training stand in its place, a lower bound;
where it was reached at once, those before the first look, an upper bound. Both are counted, and a
verdict that they could turn is not given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neuromas_env.bench.statistics import ALPHA, Estimand, Estimate, estimate
from neuromas_env.experiments.spec import SampleComplexity
from neuromas_env.experiments.verdict import FAILS, HOLDS, OPEN, verdict

FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exponential": np.asarray,
    "power law": np.log,
}
"""What of the size the logarithm of the sample complexity is fitted to, a straight line each."""
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Measured:
    """The sample complexities of a curve, arrays `[sizes, seeds]`.

    Attributes:
        questions: Of training; a bound where `never` or `at_once`.
        never: Whether the return was not reached.
        at_once: Whether it was at the first look.
    """

    questions: np.ndarray
    never: np.ndarray
    at_once: np.ndarray


@dataclass(frozen=True)
class Fit:
    """The least-squares line through the logarithms of a curve's sample complexities.

    Attributes:
        slope: Per unit of size, or of its logarithm.
        interval: 95 % of it, Student's over the runs.
        start: Logarithm of the sample complexity at size 0, or 1.
        explained: Share of the variance between the sizes' means (R²).
        better: Share of the runs of which no other form leaves less unexplained.
    """

    slope: float
    interval: tuple[float, float]
    start: float
    explained: float
    better: float


@dataclass(frozen=True)
class Rise:
    """What the sample complexities of the curves say of a claim.

    Attributes:
        claim: What is claimed.
        curves: By name.
        fits: Curve to form to its fit.
        estimate: Slope of the steeper curve minus that of the other, exponential form, over the
            runs: run s of all sizes of both curves has one slope each.
        may_rise: Whether the difference might be larger, were all known and not bounded.
        may_fall: Whether it might be smaller.
    """

    claim: SampleComplexity
    curves: Mapping[str, Measured]
    fits: Mapping[str, Mapping[str, Fit]]
    estimate: Estimate
    may_rise: bool
    may_fall: bool

    @property
    def difference(self) -> float:
        """Of the slopes."""
        return float(self.estimate.mean)

    @property
    def interval(self) -> tuple[float, float]:
        """90 %, each bound one-sided 95 %."""
        low, high = self.estimate.bounds(ALPHA)
        return float(low), float(high)

    @property
    def p(self) -> float:
        """One-sided, of a difference above the margin."""
        return float(self.estimate.p_above(self.claim.margin))

    @property
    def p_not(self) -> float:
        """One-sided, of a difference below the margin."""
        return float(self.estimate.p_below(self.claim.margin))

    @property
    def verdict(self) -> str:
        """Whether the claim holds, as a comparison's; undecided where bounds could turn it."""
        found = verdict([self.p], [self.p_not])
        turned = {HOLDS: self.may_fall, FAILS: self.may_rise}
        return OPEN if turned.get(found) else found


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


def judge_slopes(claim: SampleComplexity, measured: Mapping[str, Measured]) -> Rise:
    """Fit all curves and compare the two of the claim.

    Args:
        claim: What is claimed.
        measured: Curve to its sample complexities, sizes in rising order.
    """
    sizes = np.array(claim.sizes, float)
    logs = {name: np.log(one.questions).T for name, one in measured.items()}
    slopes = {name: _line(sizes, one)[0] for name, one in logs.items()}
    directions = {name: _turns(sizes, one) for name, one in measured.items()}
    (up, down), (other_up, other_down) = directions[claim.steeper], directions[claim.than]
    return Rise(
        claim, measured, {name: _fits(sizes, one) for name, one in logs.items()},
        over_runs(slopes[claim.steeper] - slopes[claim.than]),
        may_rise=up or other_down, may_fall=down or other_up,
    )  # fmt: skip


def over_runs(values: np.ndarray) -> Estimate:
    """Estimate the mean of one number for each run, which has no limits."""
    return estimate([values[None]], Estimand.FINITE, (-np.inf, np.inf))


def _fits(sizes: np.ndarray, logs: np.ndarray) -> dict[str, Fit]:
    """Fit every form to the runs' logarithms, `[runs, sizes]`, and to their mean."""
    mean = logs.mean(0)
    lines = {form: _line(scale(sizes), logs) for form, scale in FORMS.items()}
    least = np.min([left for *_, left in lines.values()], axis=0)
    found = {}
    for form, scale in FORMS.items():
        slope, start, left = (part.item() for part in _line(scale(sizes), mean[None]))
        total = ((mean - mean.mean()) ** 2).sum()
        slopes, _, unexplained = lines[form]
        low, high = over_runs(slopes).bounds()
        found[form] = Fit(
            slope, (float(low), float(high)), start, 1 - left / total if total else 1.0,
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

    More questions at a size above the mean make a curve steeper, at one below flatter.
    """
    above, below = sizes > sizes.mean(), sizes < sizes.mean()
    never, at_once = one.never.any(1), one.at_once.any(1)
    steeper = (never & above) | (at_once & below)
    flatter = (never & below) | (at_once & above)
    return bool(steeper.any()), bool(flatter.any())
