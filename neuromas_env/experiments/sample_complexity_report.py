"""Writes how sample complexities rise: their tables and their picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from neuromas_env.bench.tables import Grid, p_value, percent, to_markdown
from neuromas_env.experiments.curves import sample_complexity_picture
from neuromas_env.experiments.sample_complexity import (
    Measured,
    Rise,
    judge_slopes,
    over_runs,
    reach,
)
from neuromas_env.experiments.spec import SampleComplexity
from neuromas_env.experiments.study import Run, Running
from neuromas_env.experiments.verdict import Scores
from neuromas_env.files import write

NOTES = (
    "Sample complexity is the number of training questions until the return on the learning curve "
    "first reaches the goal. A run that never reaches it counts with all its questions, a lower "
    "bound. A run that is there at the first evaluation counts with the questions before it, an "
    "upper bound. Lines are least-squares fits to the logarithm in each run; intervals are "
    "Student's over runs. A form describes a run better if it leaves less squared error. The claim "
    "holds if the difference of exponential slopes is above the margin, p below 0.05. It does not "
    "hold if the difference is below, p (below) under 0.05. It is undecided where bounds could "
    "turn the verdict."
)


def sample_complexity_section(
    running: Running, scores: Mapping[tuple[str, str], Scores], pictures: Path
) -> tuple[list[str], Rise]:
    """Return the tables and the picture of a study's sample complexity as Markdown, and its rise.

    Args:
        running: A study with a sample complexity, all its runs done.
        scores: Of the test questions after training.
        pictures: Start of the picture's path.
    """
    claim = running.study.sample_complexity
    assert claim is not None
    rise = judge_slopes(claim, {curve: _measure(running, claim, curve) for curve in claim.curves})
    path = pictures.with_name(f"{pictures.name}-sample-complexity.svg")
    write(path, sample_complexity_picture(rise))
    what = f"Sample complexity over {claim.over}, {running.study.heading}: runs, means, both fits"
    tables = [_reached(running, rise, scores), _fits(rise), _slopes(rise)]
    return [f"![{what}]({path.name})", *map(to_markdown, tables), *_doubts(rise)], rise


def _measure(running: Running, claim: SampleComplexity, curve: str) -> Measured:
    found = []
    for size in claim.sizes:
        arm = running.study.arms[claim.curves[curve][size]]
        goal = _goal(running, claim, curve, size)[1]
        runs = [
            running.result(Run(arm, arm.tasks[0], seed, None, False))["curve"]
            for seed in range(running.study.seeds)
        ]
        found.append([reach(run, goal, claim.smooth) for run in runs])
    table = np.array(found, float)
    return Measured(table[..., 0], table[..., 1] > 0, table[..., 2] > 0)


def _goal(running: Running, claim: SampleComplexity, curve: str, size: int) -> tuple[float, float]:
    """What a guess earns, and the return that is to be reached."""
    arm = running.study.arms[claim.curves[curve][size]]
    random, optimal = running.backend.bounds(arm, arm.tasks[0])
    return random, random + claim.reach * (optimal - random)


def _reached(running: Running, rise: Rise, scores: Mapping[tuple[str, str], Scores]) -> Grid:
    claim, rows = rise.claim, []
    for curve, one in rise.curves.items():
        for i, size in enumerate(claim.sizes):
            arm = running.study.arms[claim.curves[curve][size]]
            logs, count = np.log(one.questions[i]), one.questions.shape[1]
            span = _span(np.exp(over_runs(logs).bounds()), ",.0f")
            bound = "≥ " * bool(one.never[i].any()) + "≤ " * bool(one.at_once[i].any())
            rows.append(
                (
                    curve, str(size), *map(percent, _goal(running, claim, curve, size)),
                    f"{bound}{np.exp(logs.mean()):,.0f} [{span}]",
                    f"{one.never[i].sum()} of {count}", f"{one.at_once[i].sum()} of {count}",
                    percent(1 - float(scores[arm.name, arm.tasks[0]].extracted.mean())),
                )
            )  # fmt: skip
    head = ("curve", claim.over, "random %", "goal %", "questions [95 % CI]", "never", "at once",
            "final error %")  # fmt: skip
    share = f"{100 * claim.reach:g} % of the way from random to optimal"
    title = f"Sample complexity: training questions until the return is {share}, geometric mean"
    note = "Never and at once: runs that never reached the goal, or at the first evaluation."
    return Grid(title, head, tuple(rows), note=note)


def _fits(rise: Rise) -> Grid:
    rows = []
    for curve, forms in rise.fits.items():
        for form, fit in forms.items():
            grows = (
                f"{np.exp(fit.slope):.2f}-fold with one more"
                if form == "exponential"
                else f"{2**fit.slope:.2f}-fold with twice as many"
            )
            rows.append((curve, form, f"{fit.slope:.3f}", _span(fit.interval, ".3f"), grows,
                         f"{fit.explained:.3f}", f"{100 * fit.better:.0f}"))  # fmt: skip
    over = rise.claim.over
    head = ("curve", "form", "slope", "95 % CI", "growth", "R²", "better in % of runs")
    title = f"Fits of its logarithm, linear in {over} (exponential) or log {over} (power law)"
    return Grid(title, head, tuple(rows), names=2)


def rise_claim(rise: Rise) -> str:
    """Return the comparison of a rise in words."""
    return f"{rise.claim.steeper} rises faster than {rise.claim.than}"


def rise_row(rise: Rise) -> tuple[str, str, str, str]:
    """Return comparison, difference of slopes with its interval, margin and verdict."""
    difference = f"{rise.difference:+.3f} [{_span(rise.interval, '+.3f')}]"
    return rise_claim(rise), difference, f"{rise.claim.margin:+g}", rise.verdict


def _slopes(rise: Rise) -> Grid:
    row = (rise_claim(rise), f"{rise.difference:+.3f}", _span(rise.interval, "+.3f"),
           f"{rise.claim.margin:g}", p_value(rise.p), p_value(rise.p_not),
           rise.verdict)  # fmt: skip
    head = ("claim", "difference", "90 % CI", "margin", "p", "p (below)", "verdict")
    return Grid("Difference of exponential slopes", head, (row,))


def _span(bounds: Iterable[float], form: str) -> str:
    """Write an interval, `-` where a single run gives none."""
    low, high = map(float, bounds)
    return f"{low:{form}} to {high:{form}}" if np.isfinite(high) else "-"


def _doubts(rise: Rise) -> list[str]:
    """What bounds leave open."""
    ways = [way for way, open_ in (("smaller", rise.may_fall), ("larger", rise.may_rise)) if open_]
    if not ways:
        return []
    return [
        "Some sample complexities are bounds: the true difference of slopes may be "
        f"{' or '.join(ways)}."
    ]
