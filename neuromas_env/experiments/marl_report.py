"""Tables and curves of `neuromas bench-marl`. Needs SciPy and Matplotlib."""

from __future__ import annotations

import csv
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neuromas_env.agents.tables.algorithms import PolicyGradient, QLearning
from neuromas_env.bench.machine import machine
from neuromas_env.bench.statistics import Estimand, Estimate, estimate, holm
from neuromas_env.envs.discrete.levels import LEVELS
from neuromas_env.errors import InputError
from neuromas_env.experiments.marl import ALGORITHMS, CHAINS, QUESTIONS, ROLLOUTS, STARTS

try:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from scipy import stats
except ImportError as error:
    raise InputError("the report needs an extra: pip install 'neuromas-env[bench]'") from error

RESAMPLES = 2000
TRAINERS = "trainers.jsonl"
"""In the folder: what the scripts in `examples/marl` have printed, if it is to be reported."""
CURVES, GROWTH, CELLS = "marl-curves.svg", "marl-growth.svg", "marl-levels.csv"
"""Beside the report, under the names that they have in `docs/results`."""
_PRINTED = ("trainer", "level", "seed", "steps", "normalised")
Records = Sequence[Mapping[str, Any]]


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


def over_runs(values: np.ndarray) -> Estimate:
    """Estimate the mean of one score, or one difference of scores, for each run.

    A run's score is over all questions, so that runs alone are random. Scores lie between random
    messages (0) and the optimum (1), or not far below.
    """
    limits = min(-1.0, float(values.min())), max(1.0, float(values.max()))
    return estimate([values[None]], Estimand.FINITE, limits)


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean over runs and its 95 % interval, NaN for a single run."""
    if len(values) < 2:
        return float(values.mean()), np.nan, np.nan
    low, high = over_runs(values).bounds()
    return float(values.mean()), float(low), float(high)


def level_table() -> str:
    """Markdown table of the levels and their known returns."""
    from neuromas_env.envs.discrete.layout import make_layout

    lines = [
        "| level | task | network | messages | questions | optimal | random | silent |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, arguments in LEVELS.items():
        layout = make_layout(**arguments)
        known = layout.returns
        messages = str(layout.codebook) + (f"^{layout.bandwidth}" if layout.bandwidth > 1 else "")
        lines.append(
            f"| `{name}` | `{arguments['task']}` | `{arguments['topology']}` | {messages} | "
            f"{layout.task.questions()} | {known.optimal:.3f} | {known.random:.3f} | "
            f"{known.silent:.3f} |"
        )
    return "\n".join(lines)


def write(folder: Path, records: Records, command: str) -> Path:
    """Write `report.md` and what it links to into a folder; return the report's path."""
    levels = [record for record in records if record["kind"] == "level"]
    growth = [record for record in records if record["kind"] == "growth"]
    _draw(folder / CURVES, levels, list(LEVELS), list(ALGORITHMS))
    _draw(folder / GROWTH, growth, list(CHAINS), list(STARTS))
    with (folder / CELLS).open("w", newline="") as file:
        csv.writer(file).writerows(cells(levels))
    path = folder / "report.md"
    path.write_text(
        "\n".join(
            [
                _setting(records, command),
                "\n## Algorithms\n",
                algorithm_table(levels),
                "\nSeconds are those of a run. IQM is the interquartile mean over seeds and "
                "levels; the other cells are means over seeds, their intervals are in "
                f"[{CELLS}]({CELLS}).",
                f"\n![Learning curves of each level]({CURVES})\n",
                "\n## Settings\n",
                f"All {len(ALGORITHMS)} are this project's own versions on tables (the critics of "
                "MAPPO and COMA are small networks): IPPO and MAPPO here are not those of a "
                "library such as BenchMARL.\n",
                settings_table(),
                "\n## Growth\n",
                growth_table(growth),
                f"\n![Learning curves of growth]({GROWTH})\n",
                *_trainers(folder / TRAINERS),
            ]
        )
    )
    return path


def algorithm_table(records: Records) -> str:
    """Markdown tables: interquartile mean with its interval, then means on six levels each."""
    runs = {
        (algorithm, level): scores
        for algorithm in ALGORITHMS
        for level in LEVELS
        if len(scores := _scores(records, algorithm, level))
    }
    middle = {
        algorithm: iqm_interval(found)
        for algorithm in ALGORITHMS
        if (found := [scores for (one, _), scores in runs.items() if one == algorithm])
    }
    order = sorted(middle, key=lambda algorithm: -middle[algorithm][0])
    seconds = {
        algorithm: np.mean([r["seconds"] for r in records if r["method"] == algorithm])
        for algorithm in order
    }
    rows = [[one, _span(*middle[one]), f"{seconds[one]:.1f}"] for one in order]
    tables = [_table(["algorithm", "IQM [95 %]", "seconds"], rows)]
    levels = [level for level in LEVELS if any(found == level for _, found in runs)]
    for start in range(0, len(levels), 6):
        here = levels[start : start + 6]
        head = ["algorithm", *(f"`{name.removesuffix('-v0')}`" for name in here)]
        rows = [
            [
                one,
                *(
                    f"{runs[one, level].mean():.2f}" if (one, level) in runs else ""
                    for level in here
                ),
            ]
            for one in order
        ]
        tables.append(_table(head, rows))
    return "\n\n".join(tables)


def cells(records: Records) -> list[list[Any]]:
    """Rows of a file: each algorithm's mean on each level, its 95 % interval, how many seeds."""
    rows: list[list[Any]] = [["algorithm", "level", "mean", "low", "high", "seeds"]]
    for algorithm in ALGORITHMS:
        for level in LEVELS:
            scores = _scores(records, algorithm, level)
            if len(scores):
                span = [f"{bound:.4f}" for bound in mean_interval(scores)]
                rows.append([algorithm, level, *span, len(scores)])
    return rows


def settings_table() -> str:
    """Markdown table of the algorithms' settings, those that are defaults of the code too."""
    names = {"rate": "step size", "entropy": "entropy bonus", "explore": "exploration",
             "epochs": "epochs", "clip": "clip", "critic_rate": "critic's step size",
             "critic_steps": "critic's steps"}  # fmt: skip
    rows = []
    for algorithm, options in ALGORITHMS.items():
        learner = QLearning if "explore" in options else PolicyGradient
        known = inspect.signature(learner).parameters
        used = {name: known[name].default for name in names if name in known} | options
        if used.get("epochs") == 1:
            del used["clip"]  # the ratio is 1 at the only step
        if options.get("credit") not in ("central", "counterfactual"):
            used.pop("critic_steps", None)
            if options.get("credit") != "own":
                used.pop("critic_rate", None)
        rest = ", ".join(f"{k} {v}" for k, v in used.items() if k not in names)
        rows.append([algorithm, *(str(used.get(name, "")) for name in names), rest])
    return _table(["algorithm", *names.values(), "besides"], rows)


def growth_table(records: Records) -> str:
    """Markdown table: each start's mean, and its paired difference from scratch.

    With a difference stand its interval and its p over the seeds, both of one estimate, p corrected
    over the table (Holm). Where every difference is zero p can only be 1, so that such a comparison
    does not count in the correction (Tarone 1990).
    """
    scores = {(s, t): _scores(records, s, t) for s in STARTS for t in CHAINS}
    gains = {
        (start, task): grown - scores["scratch", task]
        for (start, task), grown in scores.items()
        if start != "scratch" and len(grown) == len(scores["scratch", task]) > 0
    }
    tested = {key: float(over_runs(gain).p()) for key, gain in gains.items() if gain.any()}
    p_of = dict(zip(tested, holm(list(tested.values())), strict=True))
    rows = []
    for task, chain in CHAINS.items():
        row = [f"`{task}`", " → ".join(chain)]
        for start in STARTS:
            cell = f"{scores[start, task].mean():.2f}" if len(scores[start, task]) else ""
            if (start, task) in gains and (start, task) not in tested:
                cell += " (no difference)"
            elif (start, task) in gains:
                gain = mean_interval(gains[start, task])
                cell += f" ({_span(*gain, '+.2f')}, p {p_of[start, task]:.2g})"
            row.append(cell)
        rows.append(row)
    return _table(["task", "networks", "from scratch", *(f"grown, {s}" for s in STARTS[1:])], rows)


def trainer_table(lines: Records) -> str:
    """Markdown table: for each trainer and level the mean and the scores of all seeds."""
    levels = [name for name in LEVELS if any(line["level"] == name for line in lines)]
    rows = []
    for trainer in dict.fromkeys(line["trainer"] for line in lines):
        own = [line for line in lines if line["trainer"] == trainer]
        cells = []
        for level in levels:
            runs = sorted((r for r in own if r["level"] == level), key=lambda r: r["seed"])
            scores = [run["normalised"] for run in runs]
            each = ", ".join(f"{score:.2f}" for score in scores)
            cells.append(f"{np.mean(scores):.2f} ({each})" if scores else "")
        steps = sorted({f"{line['steps']:,}" for line in own})
        rows.append([trainer, *cells, " or ".join(steps)])
    return _table(["trainer", *(f"`{level}`" for level in levels), "steps"], rows)


def _trainers(path: Path) -> list[str]:
    """Return the section of other libraries' trainers, none where the folder has no lines."""
    if not path.is_file():
        return []
    lines = []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        try:
            line = json.loads(text)
            lines.append({key: line[key] for key in _PRINTED})
        except (ValueError, TypeError, KeyError):
            raise InputError(
                f"{path}, line {number}: not what a script in examples/marl prints, one JSON "
                "object a line"
            ) from None
    if not lines:
        return []
    return [
        "\n## Other libraries\n",
        "Normalised greedy returns: mean, and each seed's. Steps are those of the library's own "
        "view of the network, so rows cannot be compared by them.\n",
        trainer_table(lines),
        "",
    ]


def _scores(records: Records, method: str, problem: str) -> np.ndarray:
    """Normalised returns in the order of the seeds."""
    own = [r for r in records if r["method"] == method and r["problem"] == problem]
    return np.array([r["normalised"] for r in sorted(own, key=lambda r: r["seed"])])


def _span(value: float, low: float, high: float, form: str = ".2f") -> str:
    return f"{value:{form}}" + (f" [{low:{form}}, {high:{form}}]" if np.isfinite(low) else "")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _setting(records: Records, command: str) -> str:
    found = {kind: [r for r in records if r["kind"] == kind] for kind in ("level", "growth")}
    last = {kind: max((r["seed"] for r in own), default=0) for kind, own in found.items()}
    updates = {kind: max((r["updates"] for r in own), default=0) for kind, own in found.items()}
    episodes = {kind: f"{n * QUESTIONS * ROLLOUTS:,}" for kind, n in updates.items()}
    return (
        f"Made by `{command}` on {machine()}, seeds of the levels 0 to {last['level']}, "
        f"of growth 0 to {last['growth']}, one thread. "
        f"A run on a level is {updates['level']} updates of {QUESTIONS} questions × {ROLLOUTS} "
        f"episodes ({episodes['level']} in all), a run of growth {updates['growth']} "
        f"({episodes['growth']}). Scores are greedy returns over all questions at the end, "
        "with random messages at 0 and the optimum at 1. A table speaks about "
        f"{Estimand.FINITE}: runs alone are random. Intervals of 95 % and the two-sided p of a "
        "difference are Student's over the seeds, p corrected over the table (Holm) without "
        "comparisons in which every seed's difference is zero; the interval of the IQM is a "
        f"percentile bootstrap of the seeds within each level ({RESAMPLES} resamples). Bands "
        "around the curves are 95 % intervals of the mean."
    )


def _draw(path: Path, records: Records, problems: list[str], methods: list[str]) -> None:
    plt.rcParams.update({"svg.hashsalt": "neuromas", "svg.fonttype": "none", "font.size": 8})
    figure, axes = plt.subplots(
        -(-len(problems) // 3), 3, figsize=(10, 2.2 * -(-len(problems) // 3)), sharey=True,
        layout="constrained",
    )  # fmt: skip
    colours = plt.get_cmap("tab20")
    for axis, problem in zip(axes.flat, problems, strict=False):
        axis.set_title(problem)
        axis.set_ylim(-0.1, 1.05)
        for number, method in enumerate(methods):
            curves = [r["curve"] for r in records
                      if r["method"] == method and r["problem"] == problem]  # fmt: skip
            if curves:
                episodes = np.array(curves[0])[:, 0]
                runs, colour = np.array(curves)[:, :, 1], colours(number)
                axis.plot(episodes / 1000, runs.mean(0), label=method, color=colour, linewidth=1)
                if len(runs) > 1:
                    bands = [mean_interval(point)[1:] for point in runs.T]
                    low, high = np.transpose(bands)
                    axis.fill_between(episodes / 1000, low, high, color=colour, alpha=0.12, lw=0)
    for axis in axes.flat[len(problems) :]:
        axis.axis("off")
    axes.flat[0].set_ylabel("normalised return")
    axes.flat[len(problems) - 1].set_xlabel("thousand episodes")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=7)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
