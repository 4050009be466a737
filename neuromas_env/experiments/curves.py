"""Pictures: differences, learning curves with bands, sample complexity, similarity of nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from neuromas_env.bench.plots import to_svg
from neuromas_env.tasks import Task
from neuromas_env.tasks.interactive import InteractiveTask

if TYPE_CHECKING:
    from neuromas_env.experiments.sample_complexity import Rise

Curve = Sequence[tuple[float, float]]


def band(curves: Sequence[Curve], points: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where, the mean over the runs there, and half the width of its 95 % interval.

    Each point averages a stretch of every curve; the interval is Student's over the runs, and
    has no width for a single one.

    Args:
        curves: `(x, y)` points of each run.
        points: At most so many.
    """
    from scipy.stats import t

    shortest = min(map(len, curves))
    parts = np.array_split(np.arange(shortest), min(points, shortest))
    each = np.array([[np.mean([curve[i][1] for i in part]) for part in parts] for curve in curves])
    where = np.array([curves[0][part[-1]][0] for part in parts])
    count = len(curves)
    spread = each.std(0, ddof=1) / np.sqrt(count) if count > 1 else np.zeros(len(parts))
    factor = float(t.ppf(0.975, count - 1)) if count > 1 else 0.0
    return where, each.mean(0), factor * spread


def learning_curves(
    curves: Mapping[str, Mapping[str, Sequence[Curve]]],
    what: str,
    scale: str = "linear",
    bounds: Mapping[str, Mapping[str, float]] | None = None,
) -> str:
    """Draw the runs of every arm as SVG, a panel per task.

    Args:
        curves: Task to arm to the curves of its runs.
        what: Is drawn upwards.
        scale: Of the questions, `linear` or `log`.
        bounds: Task to the names of scores that are drawn as dashed lines.
    """
    from matplotlib.figure import Figure

    width = min(3, len(curves))
    height = -(-len(curves) // width)
    figure = Figure(figsize=(5 * width + 2, 3.8 * height), layout="constrained")
    handles: dict[str, Any] = {}
    for number, (task, arms) in enumerate(curves.items(), 1):
        axes = figure.add_subplot(height, width, number)
        for colour, (arm, runs) in enumerate(arms.items()):
            runs = [run for run in runs if run]
            if not runs:
                continue
            x, mean, half = band(runs)
            [handles[_plain(arm)]] = axes.plot(
                x, mean, color=f"C{colour % 10}", linewidth=1.2, linestyle="-:"[colour // 10 % 2]
            )
            low, high = mean - half, mean + half
            # No mean of shares is outside of these.
            if all(0 <= y <= 1 for run in runs for _, y in run):
                low, high = np.maximum(low, 0), np.minimum(high, 1)
            axes.fill_between(x, low, high, color=f"C{colour % 10}", alpha=0.2)
        for shade, (name, score) in enumerate((bounds or {}).get(task, {}).items()):
            handles[name] = axes.axhline(score, color="0.3", dashes=(5 - 2 * shade, 2), linewidth=1)
        axes.set(title=_plain(task), ylabel=what, xlabel="training questions",
                 xscale=scale)  # fmt: skip
    figure.legend(handles.values(), handles.keys(), loc="outside right upper", fontsize=8)
    return to_svg(figure)


def bounds(tasks: Mapping[str, Task]) -> dict[str, dict[str, float]]:
    """Return what a network wins at most with one round, and without messages, by task."""
    found: dict[str, dict[str, float]] = {}
    for name, task in tasks.items():
        if isinstance(task, InteractiveTask):
            most = {"best with one round": task.one_round_accuracy("test")}
            most |= {"best without messages": task.blind_accuracy("test")}
            found[name] = {what: score for what, score in most.items() if score is not None}
    return found


def sample_complexity_picture(rise: Rise) -> str:
    """Draw the sample complexity of all runs over the sizes as SVG, with both fits of every curve.

    Triangles are bounds: upwards where the return was never reached, downwards where at once.
    """
    from matplotlib.figure import Figure

    from neuromas_env.experiments.sample_complexity import FORMS

    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes, sizes = figure.add_subplot(), np.array(rise.claim.sizes, float)
    smooth = np.geomspace(sizes[0], sizes[-1], 100)
    for number, (name, one) in enumerate(rise.curves.items()):
        colour = f"C{number % 10}"
        # Side by side, so that runs of two curves do not hide one another.
        where = (sizes + 0.012 * (number - 0.5) * np.ptp(sizes))[:, None] + 0 * one.questions
        known = ~one.never & ~one.at_once
        for marker, kept in (("o", known), ("^", one.never), ("v", one.at_once)):
            axes.plot(
                where[kept], one.questions[kept], marker, color=colour, alpha=0.35, markersize=4
            )
        axes.plot(sizes, np.exp(np.log(one.questions).mean(1)), "_", color=colour, markersize=16,
                  markeredgewidth=2, label=_plain(name))  # fmt: skip
        for (form, scale), line in zip(FORMS.items(), ("-", ":"), strict=True):
            fit = rise.fits[name][form]
            axes.plot(smooth, np.exp(fit.start + fit.slope * scale(smooth)), line, color=colour,
                      linewidth=1.2, label=f"{_plain(name)}, {form}")  # fmt: skip
    axes.set(yscale="log", xlabel=_plain(rise.claim.over), ylabel="training questions")
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    figure.legend(loc="outside right upper", fontsize=8)
    return to_svg(figure)


def differences_picture(
    panels: Mapping[str, tuple[str, Mapping[str, tuple[float, float, float, float]]]],
) -> str:
    """Draw differences with their intervals as SVG, a panel per study.

    Args:
        panels: Title to the unit and, by comparison, the difference, both bounds and the margin,
            which is a dashed mark.
    """
    from matplotlib.figure import Figure

    sizes = [len(rows) + 1 for _, rows in panels.values()] or [1]
    figure = Figure(figsize=(8.5, 0.36 * sum(sizes) + 0.9 * len(sizes)), layout="constrained")
    alike = len({unit for unit, _ in panels.values()}) == 1
    grid = figure.subplots(len(sizes), sharex=alike, squeeze=False, height_ratios=sizes)
    for one, (title, (unit, rows)) in zip(grid[:, 0], panels.items(), strict=False):
        for height, (value, low, high, margin) in enumerate(rows.values()):
            one.plot([low, high], [height, height], color="C0", linewidth=1.6)
            one.plot(value, height, "o", color="C0", markersize=5)
            one.plot([margin, margin], [height - 0.4, height + 0.4], "--", color="C3")
        one.axvline(0, color="0.7", linewidth=0.8, zorder=0)
        one.set_yticks(range(len(rows)), [fill(_plain(name), 52) for name in rows], fontsize=8)
        one.set_ylim(len(rows) - 0.4, -0.6)
        one.set_title(_plain(title), fontsize=10)
        one.set_xlabel(unit, fontsize=8)
    return to_svg(figure)


def similarity_picture(grids: Mapping[str, Sequence[Sequence[float | None]]]) -> str:
    """Draw how alike the nodes are as SVG, a square of squares for each measure.

    Args:
        grids: Title to rows of numbers from -1 to 1, None where there is none.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(grids), 4), layout="constrained")
    for number, (title, rows) in enumerate(grids.items(), 1):
        axes = figure.add_subplot(1, len(grids), number)
        values = np.array([[np.nan if v is None else v for v in row] for row in rows], dtype=float)
        drawn = axes.imshow(values, vmin=-1, vmax=1, cmap="RdBu")
        axes.set(title=_plain(title), xticks=range(len(values)), yticks=range(len(values)),
                 xlabel="node", ylabel="node")  # fmt: skip
        for i, j in zip(*np.nonzero(np.isfinite(values)), strict=True):
            axes.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", fontsize=7)
        figure.colorbar(drawn, ax=axes, shrink=0.8)
    return to_svg(figure)


def _plain(text: str) -> str:
    return text.replace("$", r"\$")
