"""Lines as tables: for the terminal, as Markdown, LaTeX and HTML, and all numbers as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from textwrap import wrap
from typing import Literal, TypeVar

from rich.table import Table
from rich.text import Text

from neuromas_env.baselines.sc import TOLERANCE
from neuromas_env.bench.statistics import Comparison, Estimand
from neuromas_env.bench.summary import SCORES, Line
from neuromas_env.text import cell

T = TypeVar("T")
_NESTED = (
    "score", "interval", "against", "cells", "seeds", "topology", "labels", "training", "reference",
)  # fmt: skip
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$",
    "†": r"$^{\dagger}$", "*": r"$^{*}$",
}  # fmt: skip
_FIT = r"\resizebox{\ifdim\width>\columnwidth\columnwidth\else\width\fi}{!}{%"
"""Makes a table as wide as a column, if it is wider."""
_TRAINING = {
    "questions": "questions",
    "steps": "steps",
    "calls": "calls",
    "generated tokens": "completion_tokens",
    "trained tokens": "trained_tokens",
    "critic tokens": "critic_tokens",
}


@dataclass(frozen=True)
class Grid:
    """A table of texts: columns of names, then columns of numbers.

    Attributes:
        title: What it speaks about.
        head: Names of the columns.
        rows: The texts.
        names: How many columns hold names.
        bold: Row and column of the cells that stand out.
        note: What the cells mean, below the table.
        label: By which a paper refers to it, after `tab:`; by default from the title.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: int = 1
    bold: frozenset[tuple[int, int]] = frozenset()
    note: str = ""
    label: str = ""

    @property
    def sides(self) -> str:
        """To which side each column is set: `l` or `r`."""
        return "l" * self.names + "r" * (len(self.head) - self.names)

    def marked(self, write: Callable[[str], T], bold: Callable[[T], T]) -> list[list[T]]:
        """Return the rows as another language writes texts, some of them made bold."""
        return [
            [
                bold(write(text)) if (i, j) in self.bold else write(text)
                for j, text in enumerate(row)
            ]
            for i, row in enumerate(self.rows)
        ]


def make_grids(lines: Sequence[Line], score: str) -> list[Grid]:
    """Return the tables of every task, each with what it speaks about.

    They are its results, what they cost, what training cost, and comparisons, where there are any.
    """
    grids = []
    for task in dict.fromkeys(line.task for line in lines):
        here = [line for line in lines if line.task == task]
        for estimand in dict.fromkeys(line.estimand for line in here):
            grids.append(_results(task, [x for x in here if x.estimand == estimand], score))
        grids.append(_costs(task, here))
        if any(line.training != {} for line in here):
            grids.append(_trainings(task, here))
        found = [(line, name, one) for line in here for name, one in line.against.items()]
        for estimand in dict.fromkeys(one.estimand for *_, one in found):
            grids.append(_comparisons(task, [x for x in found if x[2].estimand == estimand], score))
    return grids


def _results(task: str, lines: Sequence[Line], score: str) -> Grid:
    other = next(kind for kind in SCORES if kind != score)
    columns: dict[str, Callable[[Line], str]] = {
        "method": lambda line: line.method,
        "n": _questions,
        "seeds": lambda line: str(len(line.seeds)) if line.seeds != (None,) else "-",
        f"{score} % [95 % CI]": lambda line: with_interval(line.score[score], line.interval[score]),
        f"{other} %": lambda line: percent(line.score[other]),
        "no answer %": lambda line: percent(line.parse_failures),
        "errors %": lambda line: percent(line.errors),
    }
    if any(line.ties is not None for line in lines):
        columns["ties %"] = lambda line: percent(line.ties)
    rows = [tuple(cell(line) for cell in columns.values()) for line in lines]
    for name, share in (
        ("best constant answer", lines[0].majority),
        ("best without messages", lines[0].blind),
    ):
        if share is not None:
            rows.append((name, "", "", percent(share), *[""] * (len(columns) - 4)))
    title = f"{task}: scores, {lines[0].estimand}"
    return Grid(title, tuple(columns), tuple(rows), note=_notes(_alone(lines), *_without(lines)))


def _questions(line: Line) -> str:
    count = f"{line.n}" if line.n >= line.asked else f"{line.n} of {line.asked}"
    return f"{count} ({line.skipped} left out)" if line.skipped else count


def _notes(*notes: str) -> str:
    return " ".join(filter(None, notes))


def _alone(lines: Sequence[Line]) -> str:
    """Say which rows are about one run, whatever their interval."""
    alone = dict.fromkeys(line.method for line in lines if line.alone)
    if not alone:
        return ""
    return f"A single training run: {', '.join(alone)}; the interval says nothing of other runs."


def _without(lines: Sequence[Line]) -> Iterable[str]:
    """Say which rows a server was asked for without something that it refuses."""
    lacking = {line.method: line.left_out for line in lines if line.left_out}
    return (f"{method}: asked without {what}." for method, what in lacking.items())


def _costs(task: str, lines: Sequence[Line]) -> Grid:
    columns: dict[str, Callable[[Line], str]] = {
        "method": lambda line: line.method,
        "calls": lambda line: f"{line.calls:.3g}",
        "prompt tokens": lambda line: f"{line.prompt_tokens:.1f}",
        "completion tokens": lambda line: f"{line.completion_tokens:.1f}",
        "seconds": lambda line: f"{line.seconds:.3g}",
        "trained parameters": lambda line: f"{line.trainable:,}",
    }
    if any(line.cached for line in lines):
        columns["cached %"] = lambda line: percent(line.cached)
    if any(line.money is not None for line in lines):
        columns["price of 1,000"] = lambda line: (
            "-" if line.money is None else f"{1000 * line.money:.4g}"
        )
    rows = tuple(tuple(cell(line) for cell in columns.values()) for line in lines)
    return Grid(f"{task}: cost of a question, {Estimand.ANSWERS}", tuple(columns), rows)


def _trainings(task: str, lines: Sequence[Line]) -> Grid:
    rows = [
        (line.method, *(_spent(line, key) for key in _TRAINING.values()))
        for line in lines
        if line.training != {}
    ]
    several = any(line.training != {} and not line.alone for line in lines)
    note = "The mean of a row's training runs." if several else ""
    return Grid(f"{task}: cost of training", ("method", *_TRAINING), tuple(rows), note=note)


def _spent(line: Line, key: str) -> str:
    return f"{round(line.training[key]):,}" if line.training and key in line.training else "?"


def _comparisons(task: str, found: Sequence[tuple[Line, str, Comparison]], score: str) -> Grid:
    head = ("method", "reference", "n", "points", "95 % CI", "p", "p (Holm)", "detectable")
    rows = []
    for line, name, one in found:
        sampled = one.estimand != Estimand.ANSWERS
        rows.append(
            (
                line.method,
                f"{name} ({_budget(line)})" if name == line.matched else name,
                str(one.n),
                f"{100 * one.difference:+.1f}",
                points(one.interval) if sampled else "-",
                *(p_value(p) if sampled else "-" for p in (one.p, one.p_holm)),
                "-" if one.detectable is None else f"{100 * one.detectable:.1f}",
            )
        )
    title = f"{task}: differences in the {score} score, {found[0][2].estimand}"
    return Grid(title, head, tuple(rows), names=2, note=_alone([line for line, *_ in found]))


def _budget(line: Line) -> str:
    """Say of a matched row whether it spends the same, and how much of it if it does not."""
    ratio = line.budget_ratio
    if ratio is None or abs(ratio - 1) <= TOLERANCE:
        return "same budget"
    return f"{ratio:.2f} of the budget"


def slug(grid: Grid) -> str:
    """Return the name by which a page and a paper refer to a table."""
    return grid.label or re.sub("[^a-z0-9]+", "-", grid.title.partition(";")[0].lower()).strip("-")


def to_rich(grid: Grid) -> Table:
    """Return a table for the terminal."""
    table = Table(title=cell(grid.title), title_justify="left")
    for number, (name, side) in enumerate(zip(grid.head, grid.sides, strict=True)):
        justify: Literal["left", "right"] = "left" if side == "l" else "right"
        table.add_column(
            cell("\n".join(wrap(name, 12, break_long_words=False))),
            justify=justify,
            no_wrap=number > 1,
        )
    for row in grid.marked(cell, _bold):
        table.add_row(*row)
    if grid.note:
        table.caption, table.caption_justify = cell(grid.note), "left"
    return table


def _bold(text: Text) -> Text:
    text.stylize("bold")
    return text


def to_markdown(grid: Grid) -> str:
    """Return a Markdown table under its title."""
    ruler = ["---" if side == "l" else "---:" for side in grid.sides]
    lines = [map(markdown, grid.head), ruler, *grid.marked(markdown, "**{}**".format)]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    note = f"\n{markdown(grid.note)}\n" if grid.note else ""
    return f"**{markdown(grid.title)}**\n\n{body}\n{note}"


def to_latex(grid: Grid) -> str:
    """Return a LaTeX table that fits a column; it needs the packages `booktabs` and `graphicx`."""
    rows = [map(_latex, grid.head), *grid.marked(_latex, r"\textbf{{{}}}".format)]
    head, *body = (" & ".join(row) + r" \\" for row in rows)
    note = [rf"\par\smallskip\parbox{{\columnwidth}}{{\footnotesize {_latex(grid.note)}}}"]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(grid.title)}}}",
            rf"\label{{tab:{slug(grid)}}}",
            _FIT,
            rf"\begin{{tabular}}{{{grid.sides}}}",
            r"\toprule", head, r"\midrule", *body, r"\bottomrule",
            r"\end{tabular}}",
            *note * bool(grid.note),
            r"\end{table}",
            "",
        ]
    )  # fmt: skip


def to_html(grid: Grid) -> str:
    """Return an HTML table, all texts escaped."""
    kinds = [' class="name"' if side == "l" else "" for side in grid.sides]

    def row(tag: str, texts: Iterable[str]) -> str:
        cells = zip(kinds, texts, strict=True)
        return f"<tr>{''.join(f'<{tag}{kind}>{text}</{tag}>' for kind, text in cells)}</tr>"

    body = "".join(row("td", texts) for texts in grid.marked(escape, "<strong>{}</strong>".format))
    head = row("th", map(escape, grid.head))
    note = f"<p><small>{escape(grid.note)}</small></p>" if grid.note else ""
    return (
        f"<table><caption>{escape(grid.title)}</caption><thead>{head}</thead>"
        f"<tbody>{body}</tbody></table>{note}"
    )


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
        low, high = line.interval[kind] or ("", "")
        row |= {kind: line.score[kind], f"{kind}_low": low, f"{kind}_high": high}
    for name, found in line.against.items():
        prefix = "budget_" if name == line.matched else "reference_"
        row[f"{prefix}method"] = name
        low, high = found.interval
        values = {
            "n": found.n, "runs": found.runs, "estimand": found.estimand,
            "difference": found.difference, "low": low, "high": high, "p": found.p,
            "p_holm": found.p_holm, "detectable": found.detectable,
        }  # fmt: skip
        row |= {f"{prefix}{key}": value for key, value in values.items()}
    return {key: "" if value is None else value for key, value in row.items()}


def percent(share: float | None) -> str:
    """Write a share as percent with one decimal, `-` for None."""
    return "-" if share is None else f"{100 * share:.1f}"


def with_interval(share: float, interval: tuple[float, float] | None) -> str:
    """Write a share as percent, with its interval in brackets where there is one."""
    if interval is None:
        return percent(share)
    low, high = interval
    return f"{percent(share)} [{percent(low)}, {percent(high)}]"


def points(bounds: tuple[float, float]) -> str:
    """Write an interval of differences in percentage points."""
    return " to ".join(f"{100 * bound:+.1f}" for bound in bounds)


def p_value(value: float | None) -> str:
    """Write a p with three decimals, `-` for None."""
    if value is None:
        return "-"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def markdown(text: str) -> str:
    """Return a text as Markdown shows it, on one line."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(text.split()))


def _latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)
