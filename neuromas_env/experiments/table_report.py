"""Writes the report of a table: what runs on discrete networks reached, without a claim.

Scores are normalised returns, random messages at 0 and the optimum at 1. Needs the extra `bench`.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from scipy import stats

from neuromas_env.agents.tables.registry import settings
from neuromas_env.bench.statistics import Comparison, Estimand, contrast, corrected
from neuromas_env.bench.tables import Grid, p_value, to_markdown
from neuromas_env.checks import Natural
from neuromas_env.experiments.curves import learning_curves
from neuromas_env.experiments.options import DiscreteOptions
from neuromas_env.experiments.report import LOG, write_log
from neuromas_env.experiments.spec import Experiment, slug
from neuromas_env.experiments.study import Running
from neuromas_env.files import read_lines, write

RESAMPLES = 2000
TRAINERS = "trainers.jsonl"
"""In the folder: what the scripts in `examples/marl` have printed, if it is to be reported."""
COLUMNS = 6
"""Tasks side by side in a table."""


class Printed(TypedDict):
    """A line that a script in `examples/marl` prints."""

    trainer: str
    level: str
    seed: Natural
    steps: Natural
    normalised: float


NOTES = (
    "Scores are greedy returns over all questions after training, normalised: random messages "
    f"score 0, the optimum 1. Estimand: {Estimand.FINITE}, so that runs alone are random. "
    "Means and paired differences have Student's 95 % intervals and two-sided p over the seeds. "
    "p (Holm) is corrected over a table; comparisons in which every difference is zero do not "
    "count. IQM is the interquartile mean over seeds and tasks. Its interval is a percentile "
    f"bootstrap of the seeds within each task ({RESAMPLES} resamples). Bands around learning "
    "curves are 95 % intervals of the mean."
)


@dataclass(frozen=True)
class Reached:
    """What the runs of a study have reached.

    Attributes:
        scores: Arm and task to the normalised returns at the end, in the order of the seeds.
        curves: Task to arm to the runs' curves, normalised.
        seconds: Arm to the mean of its runs.
        updates: Of a run, the most of any arm.
        episodes: In such a run.
    """

    scores: dict[tuple[str, str], np.ndarray]
    curves: dict[str, dict[str, list[list[tuple[float, float]]]]]
    seconds: dict[str, float]
    updates: int
    episodes: int


def write_report(
    experiment: Experiment,
    studies: Sequence[Running],
    folder: Path,
    made: Sequence[Mapping[str, str]],
) -> Path:
    """Write `report.md` and what it links to; return its path. See `report.write_report`."""
    parts: list[str] = []
    for running in studies:
        name = f"{slug(experiment.name)}-{slug(running.study.name)}"
        parts += _section(running, read(running), folder, name)
    parts += _trainers(folder / TRAINERS)
    return write_table(experiment, parts, NOTES, folder, made)


def write_table(
    experiment: Experiment,
    sections: Sequence[str],
    notes: str,
    folder: Path,
    made: Sequence[Mapping[str, str]],
) -> Path:
    """Write the report and the log of an experiment that claims nothing; return the report's path.

    Args:
        experiment: What was run.
        sections: What is shown, in Markdown.
        notes: The method.
        folder: Where both go.
        made: By which commands, for the log.
    """
    parts = [f"# {experiment.title}", f"**Shown:** {experiment.claim}"]
    if experiment.matched:
        parts.append(f"**Matched:** {experiment.matched}")
    parts += [*sections, "## Method", notes, f"Commands, commits and machines: [log]({LOG})."]
    write_log(experiment, folder, made)
    write(folder / "report.md", "\n\n".join(part.strip() for part in parts) + "\n")
    return folder / "report.md"


def read(running: Running) -> Reached:
    """Read the results of a study's runs."""
    scores: dict[tuple[str, str], list[float]] = {}
    curves: dict[str, dict[str, list[list[tuple[float, float]]]]] = {}
    seconds: dict[str, list[float]] = {}
    updates = episodes = 0
    for run in running.runs():
        random, optimal = running.backend.bounds(run.arm, run.task)
        held, arm = running.result(run), run.arm.name
        curve = [(x, (score - random) / (optimal - random)) for x, score in held["curve"]]
        curves.setdefault(run.task, {}).setdefault(arm, []).append(curve)
        reached = held["validation"]
        assert reached is not None  # only language models may have no validation questions
        score = (reached - random) / (optimal - random)
        scores.setdefault((arm, run.task), []).append(score)
        seconds.setdefault(arm, []).append(held["seconds"])
        updates = max(updates, held["counters"]["updates"])
        episodes = max(episodes, held["counters"]["episodes"])
    return Reached(
        {key: np.array(found) for key, found in scores.items()}, curves,
        {arm: float(np.mean(each)) for arm, each in seconds.items()}, updates, episodes,
    )  # fmt: skip


def iqm(*samples: np.ndarray, axis: int = -1) -> np.ndarray:
    """Interquartile mean over all runs of all tasks (Agarwal et al. 2021)."""
    return stats.trim_mean(np.concatenate(samples, axis=axis), 0.25, axis=axis)


def iqm_interval(samples: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """Return the interquartile mean and its 95 % interval, by a bootstrap of each task's runs."""
    value = float(iqm(*samples))
    if min(map(len, samples)) < 2:
        return value, np.nan, np.nan
    found = stats.bootstrap(
        samples, iqm, n_resamples=RESAMPLES, method="percentile", vectorized=True,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    return value, float(found.confidence_interval.low), float(found.confidence_interval.high)


def over_runs(values: np.ndarray) -> Comparison:
    """Compare the mean of one score, or of one difference of scores, for each run with 0.

    A run's score is over all questions, so that runs alone are random. Scores lie between random
    messages (0) and the optimum (1), or not far below.
    """
    limits = min(-1.0, float(values.min())), max(1.0, float(values.max()))
    return contrast([values[None]], Estimand.FINITE, limits)


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean over runs and its 95 % interval, NaN for a single run."""
    if len(values) < 2:
        return float(values.mean()), np.nan, np.nan
    return float(values.mean()), *over_runs(values).interval


def _section(running: Running, found: Reached, folder: Path, name: str) -> list[str]:
    study = running.study
    picture = folder / f"{name}.svg"
    write(picture, learning_curves(found.curves, "normalised return"))
    with (folder / f"{name}.csv").open("w", newline="") as file:
        csv.writer(file).writerows(cells(found))
    run = f"{study.seeds} seeds; a run has {found.updates:,} updates, {found.episodes:,} episodes"
    grids = [differences(running, found)] if study.claims else ranking(found)
    return [
        f"## {study.heading}",
        f"{run}.",
        f"![Learning curves, {study.heading}: mean over seeds with 95 % bands]({name}.svg)",
        *map(to_markdown, grids),
        f"Every arm's mean on each task, with its interval: [{name}.csv]({name}.csv).",
        to_markdown(algorithms(running)),
    ]


def ranking(found: Reached) -> list[Grid]:
    """Return the arms by their interquartile mean, then their means on each task."""
    tasks = list(found.curves)
    middle = {
        arm: iqm_interval([found.scores[arm, task] for task in tasks]) for arm in found.seconds
    }
    order = sorted(middle, key=lambda arm: -middle[arm][0])
    rows = [(arm, _span(*middle[arm]), f"{found.seconds[arm]:.1f}") for arm in order]
    grids = [Grid("All tasks", ("arm", "IQM [95 % CI]", "seconds of a run"), tuple(rows))]
    for start in range(0, len(tasks), COLUMNS):
        here = tasks[start : start + COLUMNS]
        means = [
            (arm, *(f"{found.scores[arm, task].mean():.2f}" for task in here)) for arm in order
        ]
        names = [task.removesuffix("-v0") for task in here]
        families = dict.fromkeys(name.rpartition("-")[0] or name for name in names)
        title = f"Means over seeds: {', '.join(families)}"
        grids.append(Grid(title, ("arm", *names), tuple(means)))
    return grids


def differences(running: Running, found: Reached) -> Grid:
    """Return what each compared arm reached, and its paired difference from the other.

    Where every difference is zero p can only be 1, so that such a comparison does not count in
    the correction (Tarone 1990).
    """
    study = running.study
    pairs = {(one.better, one.than): study.tasks_of(study.arms[one.better]) for one in study.claims}
    gains = {
        (better, than, task): found.scores[better, task] - found.scores[than, task]
        for (better, than), tasks in pairs.items()
        for task in tasks
    }
    tested = {key: over_runs(gain) for key, gain in gains.items() if gain.any()}
    tested = dict(zip(tested, corrected(list(tested.values())), strict=True))
    rows = []
    for key, gain in gains.items():
        better, than, task = key
        name = f"{better} ({task})" if len(pairs[better, than]) > 1 else better
        means = (f"{found.scores[arm, task].mean():.2f}" for arm in (better, than))
        one = tested.get(key)
        p = ("-", "-") if one is None else (p_value(one.p), p_value(one.p_holm))
        rows.append((name, than, *means, _span(*mean_interval(gain), "+.2f"), *p))
    head = ("arm", "reference", "mean", "of reference", "difference [95 % CI]", "p", "p (Holm)")
    return Grid("Paired differences", head, tuple(rows), names=2)


def cells(found: Reached) -> list[list[Any]]:
    """Rows of a file: each arm's mean on each task, its 95 % interval, how many seeds."""
    rows: list[list[Any]] = [["algorithm", "level", "mean", "low", "high", "seeds"]]
    for (arm, task), scores in found.scores.items():
        rows.append([arm, task, *(f"{one:.4f}" for one in mean_interval(scores)), len(scores)])
    return rows


def algorithms(running: Running) -> Grid:
    """Return the options of the study's algorithms, those that are defaults of the code too."""
    names = [arm.options.get("learner", DiscreteOptions.learner) for arm in running.study.trained()]
    rows = [
        (name, ", ".join(f"{key} {value}" for key, value in settings(name).items()))
        for name in dict.fromkeys(names)
    ]
    note = "All are tabular versions of this package: IPPO and MAPPO are not those of a library."
    return Grid("Options of the algorithms", ("algorithm", "options"), tuple(rows), 2, note=note)


def trainers(lines: Sequence[Mapping[str, Any]]) -> Grid:
    """Return the mean and the scores of all seeds for each trainer and level."""
    runs: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for line in lines:
        runs.setdefault((line["trainer"], line["level"]), []).append(line)
    rows = []
    for (trainer, level), own in runs.items():
        scores = [line["normalised"] for line in sorted(own, key=lambda line: line["seed"])]
        each = ", ".join(f"{score:.2f}" for score in scores)
        steps = " or ".join(sorted({f"{line['steps']:,}" for line in own}))
        rows.append((trainer, level, f"{np.mean(scores):.2f}", each, steps))
    head = ("trainer", "level", "mean", "each seed", "steps")
    return Grid("Other libraries, normalised greedy returns", head, tuple(rows), names=2)


def _trainers(path: Path) -> list[str]:
    """Return the section of other libraries' trainers, none where the folder has no lines."""
    lines = read_lines(path, Printed) if path.is_file() else []
    if not lines:
        return []
    view = "Steps count the library's own view of the network and do not compare across rows."
    return ["## Other libraries", to_markdown(trainers(lines)), view]


def _span(value: float, low: float, high: float, form: str = ".2f") -> str:
    return f"{value:{form}}" + (f" [{low:{form}}, {high:{form}}]" if np.isfinite(low) else "")
