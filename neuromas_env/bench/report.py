"""Writes and prints what a benchmark has measured."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.measure import Measurement

from neuromas_env.bench import plots, tables
from neuromas_env.bench.overview import about, make_matrix
from neuromas_env.bench.page import make_page
from neuromas_env.bench.rescore import rescored
from neuromas_env.bench.store import Store
from neuromas_env.bench.summary import SCORES, Line, summarise
from neuromas_env.checks import Natural, arguments
from neuromas_env.errors import InputError, unknown
from neuromas_env.extras import REPORT, need
from neuromas_env.tasks.readers import get_reader
from neuromas_env.text import say, visible

NOTES = (
    "Titles name the estimand. Intervals (CI) are 95 %; p is two-sided and from the same estimate: "
    "below 0.05 where the interval excludes 0. p (Holm) is corrected for all comparisons of the "
    "report. Detectable: the true difference, in points, that has p (Holm) below 0.05 with 80 % "
    "probability. Failed questions count as wrong."
)
_WIDEST = 400
_PRINTED = {"markdown": "md", "latex": "tex", "csv": "csv"}


@arguments
def write_report(
    console: Console,
    folder: str | Path,
    against: str | None = None,
    score: str = "extracted",
    form: str = "terminal",
    transcripts: Natural | None = None,
    reader: str | None = None,
    data: str | None = None,
) -> None:
    """Print the tables and write report.md, .csv, .tex, .html and the plots into the directory.

    Args:
        console: Where to print.
        folder: The benchmark directory.
        against: Method to compare with, by default the first one run.
        score: `extracted` or `strict`.
        form: What is printed: `terminal`, `markdown`, `csv` or `latex`.
        transcripts: Questions of each task with transcripts in the page, None for all.
        reader: Who reads the stored answers again, None for the scores that are stored. The
            files are named after it, and the store stays as it is.
        data: Folder with benchmark rows for it.

    Raises:
        InputError: There is no benchmark, an option is unknown, a package or rows are missing,
            or a file cannot be written.
    """
    if form not in ("terminal", *_PRINTED):
        raise unknown("format", form, ("terminal", *_PRINTED))
    if score not in SCORES:
        raise unknown("score", score, SCORES)
    if reader is not None:
        get_reader(reader)
    need("a report", *REPORT)
    folder = Path(folder)
    with ExitStack() as stack:
        store, read = _read(stack.enter_context(Store(folder)), reader, data, stack)
        if origins := store.origins():
            read += f" Data: {', '.join(f'{name} ({which})' for name, which in origins.items())}."
        notes, suffix = f"{NOTES} {read}", f"-{reader}" if reader else ""
        lines = summarise(store, against, score)
        head, grids = about(store, lines), _grids(lines, score)
        figures = {
            "accuracy-tokens": plots.accuracy_against_tokens(lines, score),
            "accuracy-parameters": plots.accuracy_against_parameters(lines, score),
        }
        drawn = {name: plots.to_svg(figure) for name, figure in figures.items()}
        written = {f"{name}{suffix}.svg": svg for name, svg in drawn.items()} | {
            f"report{suffix}.md": _markdown(head, grids, notes),
            f"report{suffix}.csv": tables.to_csv(lines),
            f"report{suffix}.tex": _latex(head, grids, read),
            f"report{suffix}.html": make_page(store, lines, head, grids, drawn, notes, transcripts),
        }
    for name, text in written.items():
        _write(folder / name, text)
    if form == "terminal":
        for name, text in head.items():
            say(console, f"{name}: {text}")
        for grid in grids:
            print_grid(console, grid)
        say(console, notes)
        files = ", ".join(written)
        say(console, f"written to {folder}: {files}")
    else:
        print(visible(written[f"report{suffix}.{_PRINTED[form]}"]), end="")


def make_markdown(
    folder: str | Path, *, reader: str | None = None, data: str | Path | None = None
) -> str:
    """Return the tables of a benchmark as `write_report` writes them to `report.md`.

    Raises:
        InputError: As `write_report`.
    """
    with Store(folder) as stored, ExitStack() as stack:
        store, read = _read(stored, reader, data, stack)
        lines = summarise(store)
        head, grids = about(store, lines), _grids(lines, "extracted")
        return _markdown(head, grids, f"{NOTES} {read}")


def _grids(lines: Sequence[Line], score: str) -> list[tables.Grid]:
    return [*make_matrix(lines, score), *tables.make_grids(lines, score)]


def _read(
    store: Store, reader: str | None, data: str | Path | None, stack: ExitStack
) -> tuple[Store, str]:
    """Return a store with the scores of a reader, and a line that says who read the answers."""
    if reader is None:
        return store, f"Answers were read by {' and '.join(store.readers()) or 'no reader'}."
    twin, read = rescored(store, reader, data)
    return stack.enter_context(twin), read


def print_grid(console: Console, grid: tables.Grid) -> None:
    """Print a table in long lines rather than with numbers cut off."""
    table = tables.to_rich(grid)
    wanted = Measurement.get(console, console.options.update(max_width=_WIDEST), table).maximum
    width, console.width = console.width, max(console.width, wanted)
    console.print(table, crop=False)
    console.width = width


def _markdown(head: Mapping[str, str], grids: Sequence[tables.Grid], notes: str) -> str:
    listed = "\n".join(f"- {name}: {tables.markdown(text)}" for name, text in head.items())
    return "\n".join([f"{listed}\n", *map(tables.to_markdown, grids), notes, ""])


def _latex(head: Mapping[str, str], grids: Sequence[tables.Grid], read: str) -> str:
    comments = [f"% {name}: {' '.join(text.split())}" for name, text in head.items()]
    return "\n".join([*comments, "", *map(tables.to_latex, grids), f"% {read}", ""])


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
