"""Plots of accuracy against what it cost. Needs Matplotlib (the extra `bench`)."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

from neuromas_env.bench.summary import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS, _STEP, _MARKERS = 3, 7.0, "osD^v"
_WIDE, _HIGH, _MARK, _LETTER, _LINE = 4.3, 4.0, 0.5, 0.065, 0.17
"""Inches: width and height of a panel; of the legend a mark, a letter and a line's height."""


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
    """Draw a panel per task; a method looks the same in all of them."""
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(line.task for line in lines))
    width = min(len(tasks), _COLUMNS)
    height = ceil(len(tasks) / width)
    looks: dict[str, dict[str, Any]] = {
        method: {"color": f"C{number % 10}", "marker": _MARKERS[number // 10 % len(_MARKERS)]}
        for number, method in enumerate(dict.fromkeys(line.method for line in lines))
    }
    figure = Figure(layout="constrained")
    entries: dict[str, Any] = {}
    for number, task in enumerate(tasks, start=1):
        axes = figure.add_subplot(height, width, number)
        entries |= _panel(axes, [li for li in lines if li.task == task], score, cost, front, looks)
        axes.set(title=_literal(task), xlabel=name, ylabel=f"{score} score, %")
    entry = _MARK + _LETTER * max(map(len, entries))
    columns = max(1, int(_WIDE * width / entry))
    below = _LINE * (ceil(len(entries) / columns) + 1)
    figure.set_size_inches(_WIDE * width, _HIGH * height + below)
    figure.legend(
        entries.values(), entries.keys(), loc="outside lower center", ncols=columns, fontsize=8
    )
    return figure


def _panel(
    axes: Axes,
    lines: Sequence[Line],
    score: str,
    cost: Callable[[Line], float],
    front: bool,
    looks: Mapping[str, dict[str, Any]],
) -> dict[str, Any]:
    """Draw the methods of one task and return what the legend is to show."""
    points = [(cost(line), 100 * line.score[score]) for line in lines]
    beside = Counter(x for x, _ in points)
    drawn: Counter[float] = Counter()
    entries: dict[str, Any] = {}
    for line, (x, y) in zip(lines, points, strict=True):
        low, high = (100 * bound for bound in line.interval[score] or [line.score[score]] * 2)
        step = _STEP * (drawn[x] - (beside[x] - 1) / 2)
        drawn[x] += 1
        entries[_literal(line.method)] = axes.errorbar(
            x, y, [[max(0.0, y - low)], [max(0.0, high - y)]], linestyle="", capsize=2,
            transform=axes.transData + _to_the_right(axes, step), **looks[line.method],
        )  # fmt: skip
        axes.update_datalim([(x, low), (x, high)])  # which a shifted point does not do
    costs = [x for x, _ in points if x > 0]
    if costs and (len(costs) < len(points) or max(costs) > 10 * min(costs)):
        axes.set_xscale("symlog", linthresh=min(costs))
    elif not costs:
        axes.set_xticks([0])
    best = pareto_front(points)
    if front and len(best) > 1:
        [entries["Pareto front"]] = axes.plot(
            *zip(*best, strict=True), drawstyle="steps-post", color="0.6", zorder=0
        )
    majority = lines[0].majority
    if majority is not None:
        entries["best constant answer"] = axes.axhline(
            100 * majority, linestyle=":", color="0.5", linewidth=1
        )
    axes.margins(x=0.15)
    axes.autoscale_view()
    return entries


def _to_the_right(axes: Axes, points: float) -> Any:
    """Shift by so many points, so that methods of equal cost stand side by side."""
    from matplotlib.transforms import ScaledTranslation

    return ScaledTranslation(points / 72, 0, axes.figure.dpi_scale_trans)


def _literal(text: str) -> str:
    return text.replace("$", r"\$")
