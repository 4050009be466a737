"""The first tables of a report: what it is a report of, and all methods on all tasks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from neuromas_env.bench.statistics import ALPHA
from neuromas_env.bench.store import Store
from neuromas_env.bench.summary import Line
from neuromas_env.bench.tables import Grid, percent

TASKS = 4
"""Most tasks side by side; a table of eight columns still fits a column of a paper."""
BETTER, WORSE = "*", "†"
UNREAD = "no answer"
"""In place of a score: the share of replies in which no answer was found."""
_CELLS = "SELECT split, settings, facts FROM cells WHERE id IN (SELECT value FROM json_each(?))"
_SOFTWARE = ("neuromas-env", "python", "torch", "transformers", "vllm", "openai")


def make_matrix(lines: Sequence[Line], score: str) -> list[Grid]:
    """Return the table of all methods on all tasks, in blocks of a few tasks.

    It holds the mean score with the half width of its 95 % interval, the average over the
    tasks of the methods that answered all of them, and what a question costs, averaged likewise;
    the score of the best constant answer is the last row. The best of a task is bold. Marks are
    of the comparison with the reference, after Holm's correction over all comparisons of the
    report.

    Args:
        lines: Of the methods and tasks.
        score: One of `SCORES`, or `UNREAD`.
    """
    what = "replies without an answer" if score == UNREAD else f"{score} score"
    tasks = list(dict.fromkeys(line.task for line in lines))
    blocks = [tasks[start : start + TASKS] for start in range(0, len(tasks), TASKS)]
    grids = []
    for number, some in enumerate(blocks, start=1):
        last, rest = number == len(blocks), f" ({number})" if len(blocks) > 1 else ""
        columns = _scores(lines, some, score) + (_means(lines, tasks, score) if last else [])
        rows = _methods(lines)
        if score != UNREAD and any(line.majority is not None for line in lines):
            rows.append("best constant answer")
            constant = _constant(lines, some, tasks if last else [])
            for (_, texts, _), text in zip(columns, constant, strict=True):
                texts.append(text)
        grids.append(
            Grid(
                f"All methods: {what}, %{rest}",
                ("method", *(name for name, *_ in columns)),
                tuple(zip(rows, *(texts for _, texts, _ in columns), strict=True)),
                bold=frozenset(
                    (row, place)
                    for place, (_, _, best) in enumerate(columns, start=1)
                    for row in best
                ),
                note=_note(lines, tasks, score),
                label=f"methods{number if rest else ''}",
            )
        )
    return grids


def about(store: Store, lines: Sequence[Line]) -> dict[str, str]:
    """Return what a report is of: models, engine, questions, versions, commands, machine, dates."""
    numbers = json.dumps([cell for line in lines for cell in line.cells])
    cells = store.rows(_CELLS, (numbers,))
    settings = [json.loads(cell["settings"]) for cell in cells]
    facts = [json.loads(cell["facts"]) for cell in cells]
    starts = store.starts()
    asked = {line.task: line.n for line in reversed(lines)}
    seeds = sorted({seed for line in lines for seed in line.seeds if seed is not None})
    rows = {
        "models": _listed(_model(one) for one in settings),
        "engine": _listed(str(one["engine"]) for one in settings if "engine" in one),
        "split": _listed(cell["split"] for cell in cells),
        "questions": ", ".join(f"{task} {n}" for task, n in sorted(asked.items())),
        "seeds": _listed(map(str, seeds)) or "none, no method samples",
        "data": _listed(
            f"{name} ({which})" for one in facts for name, which in one.get("origins", {}).items()
        ),
        "versions": _listed(
            f"{name} {version}"
            for one in facts
            for name, version in (one.get("versions") or {}).items()
            if name in _SOFTWARE
        ),
        "command": _listed(start["command"] for start in starts),
        "commit": _listed(start["commit_"] for start in starts),
        "machine": _listed(start["machine"] for start in starts),
        "date": " to ".join(
            dict.fromkeys(start["date"][:10] for start in starts[:1] + starts[-1:])
        ),
    }
    return {name: text for name, text in rows.items() if text}


def _model(settings: dict[str, Any]) -> str:
    weights = settings.get("weights_hash")
    return f"{settings.get('model', '?')}" + (f" (weights {weights})" if weights else "")


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(text for text in texts if text))


_Column = tuple[str, list[str], list[int]]
"""Name, texts by method, and the rows that are the best."""


def _scores(lines: Sequence[Line], tasks: Sequence[str], score: str) -> list[_Column]:
    columns = []
    for task in tasks:
        found = [_found(lines, method, [task]) for method in _methods(lines)]
        texts = [_cell(line[0], score) if line else "-" for line in found]
        columns.append((task, texts, _best([_mean(line, score) for line in found], score)))
    return columns


def _means(lines: Sequence[Line], tasks: Sequence[str], score: str) -> list[_Column]:
    """Return the columns over all tasks, which only methods that answered all of them have."""
    found = [_found(lines, method, tasks) for method in _methods(lines)]
    columns: list[_Column] = []
    if len(tasks) > 1:
        means = [_mean(some, score) for some in found]
        columns.append(("average", [percent(mean) for mean in means], _best(means, score)))
    for name, cost in (
        ("calls", lambda line: line.calls),
        ("tokens", lambda line: line.completion_tokens),
    ):
        each = [[cost(line) for line in some] for some in found]
        texts = [f"{sum(some) / len(some):.3g}" if some else "-" for some in each]
        columns.append((name, texts, []))
    return columns


def _constant(lines: Sequence[Line], some: Sequence[str], tasks: Sequence[str]) -> list[str]:
    """Return the row of the best constant answer, which costs nothing."""
    known = {line.task: line.majority for line in lines}
    texts = [percent(known[task]) for task in some]
    every = [known[task] for task in tasks]
    if len(tasks) > 1:
        whole = [one for one in every if one is not None]
        texts.append(percent(sum(whole) / len(whole) if len(whole) == len(every) else None))
    return [*texts, "-", "-"] if tasks else texts


def _methods(lines: Sequence[Line]) -> list[str]:
    return list(dict.fromkeys(line.method for line in lines))


def _found(lines: Sequence[Line], method: str, tasks: Sequence[str]) -> list[Line]:
    """Return a method's lines on some tasks, none where one is missing."""
    found = [line for line in lines if line.method == method and line.task in tasks]
    return found if len(found) == len(tasks) else []


def _mean(lines: Sequence[Line], score: str) -> float | None:
    return sum(_value(line, score) for line in lines) / len(lines) if lines else None


def _value(line: Line, score: str) -> float:
    return line.parse_failures if score == UNREAD else line.score[score]


def _best(means: Sequence[float | None], score: str) -> list[int]:
    """Return where the highest of several is; none where all are equal, and of no answers."""
    if score == UNREAD:
        return []
    known = [mean for mean in means if mean is not None]
    differ = len(set(known)) > 1
    return [i for i, mean in enumerate(means) if differ and mean == max(known)]


def _cell(line: Line, score: str) -> str:
    mean = _value(line, score)
    if score == UNREAD:
        return percent(mean)
    bounds = line.interval[score]
    half = "" if bounds is None else f" ± {percent(max(bounds[1] - mean, mean - bounds[0]))}"
    return percent(mean) + half + _mark(line)


def _mark(line: Line) -> str:
    reference = line.against.get(line.reference or "")
    if reference is None or reference.p_holm is None or not reference.p_holm < ALPHA:
        return ""
    return BETTER if reference.difference > 0 else WORSE


def _note(lines: Sequence[Line], tasks: Sequence[str], score: str) -> str:
    mean = ", means over all tasks" if len(tasks) > 1 else ""
    costs = f"calls and completion tokens: of a question{mean}"
    if score == UNREAD:
        return f"{costs.capitalize()}."
    reference = next((line.reference for line in lines if line.reference), None)
    parts = ["±: half of the 95 % interval, the longer half where they differ"]
    if reference is not None:
        parts.append(
            f"{BETTER} above and {WORSE} below {reference}, p < {ALPHA} after Holm's correction"
        )
    parts.append(f"bold: the highest; {costs}")
    return "; ".join(parts) + "."
