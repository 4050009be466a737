"""Plots of accuracy against what it cost. Needs Matplotlib (the extra `bench`)."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from math import ceil
from typing import TYPE_CHECKING

from neuromas_env.bench.summary import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3


def accuracy_against_tokens(lines: Sequence[Line], score: str) -> Figure:
    """Draw accuracy over completion tokens per question, with the Pareto front of each task."""
    return _panels(
        lines, score, lambda line: line.completion_tokens, "completion tokens per question", True
    )


def accuracy_against_parameters(lines: Sequence[Line], score: str) -> Figure:
    """Draw accuracy over trained parameters; frozen methods stand at zero."""
    return _panels(lines, score, lambda line: line.trainable, "trained parameters", False)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the `(cost, score)` points that no other beats in one without losing in the other.

    They come by rising cost; of equal points one is kept.
    """
    front: list[tuple[float, float]] = []
    for cost, score in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not front or score > front[-1][1]:
            front.append((cost, score))
    return front


def to_svg(figure: Figure) -> str:
    """Return a figure as SVG, the same for the same figure."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "neuromas", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _panels(
    lines: Sequence[Line], score: str, cost: Callable[[Line], float], name: str, front: bool
) -> Figure:
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(line.task for line in lines))
    width = min(len(tasks), _COLUMNS)
    height = ceil(len(tasks) / width)
    figure = Figure(figsize=(6 * width, 4.5 * height), layout="constrained")
    for number, task in enumerate(tasks, start=1):
        axes = figure.add_subplot(height, width, number)
        _panel(axes, [line for line in lines if line.task == task], score, cost, front)
        axes.set(title=_literal(task), xlabel=name, ylabel=f"{score} score, %")
    return figure


def _panel(
    axes: Axes, lines: Sequence[Line], score: str, cost: Callable[[Line], float], front: bool
) -> None:
    points = [(cost(line), 100 * line.score[score]) for line in lines]
    for line, (x, y) in zip(lines, points, strict=True):
        low, high = (100 * bound for bound in line.interval[score])
        axes.errorbar(x, y, [[max(0.0, y - low)], [max(0.0, high - y)]], fmt="o", capsize=2)
        axes.annotate(
            _literal(line.method), (x, y), xytext=(5, 4), textcoords="offset points", fontsize=8
        )
    costs = [x for x, _ in points if x > 0]
    if costs and max(costs) > 10 * min(costs) or len(costs) < len(points):
        axes.set_xscale("symlog", linthresh=min(costs, default=1.0))
    if front:
        best = pareto_front(points)
        if len(best) > 1:
            axes.plot(*zip(*best, strict=True), drawstyle="steps-post", color="0.6", zorder=0,
                      label="Pareto front")  # fmt: skip
            axes.legend(loc="lower right", fontsize=8)
    majority = lines[0].majority
    if majority is not None:
        axes.axhline(100 * majority, linestyle=":", color="0.5", linewidth=1)
    axes.margins(x=0.15)


def _literal(text: str) -> str:
    return text.replace("$", r"\$")
