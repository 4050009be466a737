"""Lines as tables: for the terminal, as Markdown, LaTeX and HTML, and all numbers as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from html import escape

from rich.table import Table
from rich.text import Text

from neuromas_env.baselines.sc import TOLERANCE
from neuromas_env.bench.summary import SCORES, Line

_NESTED = (
    "score", "interval", "against", "cells", "seeds", "topology", "labels", "training",
)  # fmt: skip
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
}  # fmt: skip


_TRAINING = {
    "training questions": "questions",
    "training steps": "steps",
    "training calls": "calls",
    "tokens generated in training": "completion_tokens",
    "tokens trained on": "trained_tokens",
    "tokens read by critics": "critic_tokens",
}


@dataclass(frozen=True)
class Grid:
    """A table of texts. The first column is a name, the others are numbers."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def make_grids(lines: Sequence[Line], score: str) -> list[Grid]:
    """Return for every task its results and, where there are any, its comparisons."""
    grids = []
    for task in dict.fromkeys(line.task for line in lines):
        here = [line for line in lines if line.task == task]
        grids.append(_results(task, here, score))
        if any(line.against for line in here):
            grids.append(_comparisons(task, here, score))
    return grids


def _results(task: str, lines: Sequence[Line], score: str) -> Grid:
    other = next(kind for kind in SCORES if kind != score)
    columns: dict[str, Callable[[Line], str]] = {
        "method": lambda line: line.method,
        "n": lambda line: f"{line.n}" if line.n >= line.asked else f"{line.n} of {line.asked}",
        "seeds": lambda line: str(len(line.seeds)) if line.seeds != (None,) else "-",
        f"{score} %": lambda line: percent(line.score[score]),
        "95 %": lambda line: _range(line.interval[score]),
        f"{other} %": lambda line: percent(line.score[other]),
        "no answer %": lambda line: percent(line.parse_failures),
        "ties %": lambda line: percent(line.ties),
        "errors %": lambda line: percent(line.errors),
        "calls": lambda line: f"{line.calls:.3g}",
        "prompt tokens": lambda line: f"{line.prompt_tokens:.1f}",
        "completion tokens": lambda line: f"{line.completion_tokens:.1f}",
        "seconds": lambda line: f"{line.seconds:.3g}",
        "trained": lambda line: f"{line.trainable:,}",
    }
    if any(line.training != {} for line in lines):
        columns |= {head: partial(_spent, key=key) for head, key in _TRAINING.items()}
    if any(line.cached for line in lines):
        columns["cached %"] = lambda line: percent(line.cached)
    if any(line.skipped for line in lines):
        columns["rows left out"] = lambda line: str(line.skipped)
    if any(line.money is not None for line in lines):
        columns["cost of 1,000"] = lambda line: (
            "-" if line.money is None else f"{1000 * line.money:.4g}"
        )
    rows = [tuple(cell(line) for cell in columns.values()) for line in lines]
    for name, share in (
        ("best constant answer", lines[0].majority),
        ("best without messages", lines[0].blind),
    ):
        if share is not None:
            rows.append((name, "", "", percent(share), *[""] * (len(columns) - 4)))
    return Grid(task, tuple(columns), tuple(rows))


def _spent(line: Line, key: str) -> str:
    if line.training == {}:
        return "-"
    return f"{line.training[key]:,}" if line.training and key in line.training else "?"


def _comparisons(task: str, lines: Sequence[Line], score: str) -> Grid:
    head = (
        "method", "against", "n", "points", "95 %", "p", "p (Holm)", "p (McNemar)", "p (seeds)",
        "h", "d", "detectable",
    )  # fmt: skip
    rows = []
    for line in lines:
        for name, found in line.against.items():
            rows.append(
                (
                    line.method,
                    f"{name} ({_budget(line)})" if name == line.matched else name,
                    str(found.n),
                    f"{100 * found.difference:+.1f}",
                    _range(found.interval, "+.1f"),
                    *map(_p, (found.p, found.p_holm, found.p_mcnemar, found.p_seeds)),
                    f"{found.h:+.2f}",
                    "-" if found.d is None else f"{found.d:+.2f}",
                    "-" if found.detectable is None else f"{100 * found.detectable:.1f}",
                )
            )
    return Grid(f"{task}: differences in the {score} score", head, tuple(rows))


def _budget(line: Line) -> str:
    """Say of a matched row whether it spends the same, and how much of it if it does not."""
    ratio = line.budget_ratio
    if ratio is None or abs(ratio - 1) <= TOLERANCE:
        return "same budget"
    return f"{ratio:.2f} of the budget"


def to_rich(grid: Grid) -> Table:
    """Return a table for the terminal."""
    table = Table(title=Text(grid.title), title_justify="left")
    for number, name in enumerate(grid.head):
        words = name.replace(" ", "\n")
        table.add_column(Text(words), justify="right" if number else "left", no_wrap=number > 1)
    for row in grid.rows:
        table.add_row(*map(Text, row))
    return table


def to_markdown(grid: Grid) -> str:
    """Return a Markdown table under its title."""
    ruler = ["---", *["---:"] * (len(grid.head) - 1)]
    lines = [grid.head, ruler, *grid.rows]
    body = "\n".join(f"| {' | '.join(map(_markdown, line))} |" for line in lines)
    return f"**{_markdown(grid.title)}**\n\n{body}\n"


def to_latex(grid: Grid) -> str:
    """Return a LaTeX table; it needs the package `booktabs`."""
    head, *rows = (" & ".join(map(_latex, row)) + r" \\" for row in (grid.head, *grid.rows))
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_latex(grid.title)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(grid.head) - 1)}}}",
            r"\toprule", head, r"\midrule", *rows, r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )  # fmt: skip


def to_html(grid: Grid) -> str:
    """Return an HTML table, all texts escaped."""
    rows = [
        f"<tr>{''.join(f'<{tag}>{escape(text)}</{tag}>' for text in row)}</tr>"
        for tag, row in (("th", grid.head), *(("td", row) for row in grid.rows))
    ]
    return f"<table><caption>{escape(grid.title)}</caption>{''.join(rows)}</table>"


def to_csv(lines: Sequence[Line]) -> str:
    """Return all numbers at full precision, one row per line."""
    text = io.StringIO()
    rows = [_flat(line) for line in lines]
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _flat(line: Line) -> dict[str, object]:
    row = {key: value for key, value in asdict(line).items() if key not in _NESTED}
    row |= {f"training_{key}": value for key, value in (line.training or {}).items()}
    row["seeds"] = " ".join(str(seed) for seed in line.seeds if seed is not None)
    for kind in SCORES:
        low, high = line.interval[kind]
        row |= {kind: line.score[kind], f"{kind}_low": low, f"{kind}_high": high}
    for name, found in line.against.items():
        prefix = "budget_" if name == line.matched else "reference_"
        row[f"{prefix}method"] = name
        values = asdict(found)
        low, high = values.pop("interval")
        row |= {f"{prefix}{k}": v for k, v in {**values, "low": low, "high": high}.items()}
    return {key: "" if value is None else value for key, value in row.items()}


def percent(share: float | None) -> str:
    """Write a share as percent with one decimal, `-` for None."""
    return "-" if share is None else f"{100 * share:.1f}"


def _range(bounds: tuple[float, float], form: str = ".1f") -> str:
    return " to ".join(format(100 * bound, form) for bound in bounds)


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(text.split()))


def _latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)
