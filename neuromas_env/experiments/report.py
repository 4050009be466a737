"""Writes what an experiment has shown: `report.md` and its pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from neuromas_env.bench.overview import UNREAD, make_matrix
from neuromas_env.bench.statistics import Estimand, corrected
from neuromas_env.bench.store import Store
from neuromas_env.bench.stored import read_said
from neuromas_env.bench.summary import SCORES, summarise
from neuromas_env.bench.tables import Grid, make_grids, p_value, percent, points, to_markdown
from neuromas_env.experiments import curves
from neuromas_env.experiments.probes import message_agreement, message_entropy
from neuromas_env.experiments.sample_complexity_report import NOTES as COMPLEXITY_NOTES
from neuromas_env.experiments.sample_complexity_report import (
    rise_claim,
    rise_row,
    sample_complexity_section,
)
from neuromas_env.experiments.spec import Arm, Experiment, Study, slug
from neuromas_env.experiments.study import Run, Running
from neuromas_env.experiments.verdict import (
    Finding,
    estimand,
    judge,
    overall,
    parts_of_gain,
    read_scores,
)
from neuromas_env.files import read, write

PROBE = "probe.json"
SEEDS = 5
"""With fewer no claim is made."""
NOTES = (
    "Answers to test questions are greedy; votes are sampled. A deciding comparison holds if its "
    "difference exceeds the margin, one-sided p below 0.05: the 90 % interval, two one-sided "
    "bounds of 95 %, lies above the margin. The claim holds if all deciding comparisons hold. "
    "This is an intersection-union test, so p needs no correction. The claim does not hold if one "
    "difference is below its margin: p (below) under 0.05, with Bonferroni's correction. "
    "Otherwise it is undecided. If every true difference equals the largest detectable one, the "
    "claim holds with 80 % probability. Exploratory comparisons have 95 % intervals and a "
    "two-sided p, with Holm's correction."
)
LOG = "log.md"
_COUNTED = {
    "Training budget, mean of a run": {
        name: name for name in ("learning rate", "parameters", "questions", "updates", "calls")
    },
    "Training tokens, mean of a run": {
        "prompt tokens": "prompt tokens", "tokens": "generated tokens",
        "trained tokens": "trained tokens", "critic tokens": "critic tokens",
    },
}  # fmt: skip
"""Title of a table to counters of a run and what they are called there."""


@dataclass(frozen=True)
class Section:
    """What a report says of one study.

    Attributes:
        text: Its section.
        verdict: On the claim.
        rows: Networks, comparison, difference with its interval, margin and verdict.
        unit: Of the differences.
        differences: Comparison to the difference, its interval and the margin, for the figure.
    """

    text: str
    verdict: str
    rows: tuple[tuple[str, ...], ...]
    unit: str
    differences: dict[str, tuple[float, float, float, float]]


def write_report(
    experiment: Experiment,
    studies: Sequence[Running],
    folder: Path,
    made: Sequence[Mapping[str, str]],
) -> Path:
    """Write the report of a finished experiment; return its path.

    Args:
        experiment: What was run.
        studies: Its studies, all done.
        folder: Where `report.md`, `log.md` and the pictures go. Names of pictures are unique
            among all experiments and scales, so that reports can be put into one folder.
        made: `command`, `commit` and `machine` of each run that worked on it.
    """
    name = f"{slug(experiment.name)}-{experiment.scale}"
    sections = [(running.study, _study(running, folder, name)) for running in studies]
    figure = folder / f"{name}-differences.svg"
    drawn = {
        study.heading: (one.unit, one.differences) for study, one in sections if one.differences
    }
    write(figure, curves.differences_picture(drawn))
    verdicts = [f"{study.heading}: **{one.verdict}**.{_few(study)}" for study, one in sections]
    head = ("networks", "comparison", "difference [90 % CI]", "margin", "verdict")
    rows = tuple(row for _, one in sections for row in one.rows)
    lines = [
        f"# {experiment.title}",
        f"**Claim.** {experiment.claim}",
        "**Verdict.** " + " ".join(verdicts),
        to_markdown(Grid("Deciding comparisons", head, rows, names=2)),
        f"![Deciding differences with 90 % intervals; dashed: the margins]({figure.name})",
        f"**Refuted if** {experiment.refuted_if}",
        *([f"**Matched:** {experiment.matched}"] if experiment.matched else []),
        *(one.text for _, one in sections),
        "## Method",
        *([NOTES] if any(one.study.claims for one in studies) else []),
        *([COMPLEXITY_NOTES] if any(one.study.sample_complexity for one in studies) else []),
        f"Commands, commits and machines: [log]({LOG}).",
    ]
    write_log(experiment, folder, made)
    write(folder / "report.md", "\n\n".join(line.strip() for line in lines) + "\n")
    return folder / "report.md"


def write_log(experiment: Experiment, folder: Path, made: Sequence[Mapping[str, str]]) -> None:
    """Write `log.md`: by what results were made, as it was noted when each run began."""
    rows = tuple((one["command"], one["commit"] or "-", one["machine"]) for one in made)
    grid = Grid("Commands behind the results", ("command", "commit", "machine"), rows, names=3)
    write(folder / LOG, f"# {experiment.title}: log\n\n{to_markdown(grid)}")


def _few(study: Study) -> str:
    """What so few seeds cannot show."""
    if study.note:
        return f" {study.note}"
    if study.seeds == 1:
        return " One seed decides nothing: the result is that of its runs alone."
    return f" With {study.seeds} seeds this is a hint." if study.seeds < SEEDS else ""


def _study(running: Running, folder: Path, name: str) -> Section:
    """Write a study's section."""
    study, pictures = running.study, folder / f"{name}-{slug(running.study.name)}"
    with Store(running.folder) as store:
        # Comparisons with the first method are the benchmark's; here claims decide. What training
        # took stands in a table of its own, by arms.
        found = summarise(store, cells=running.cells)
        lines = [replace(line, against={}, reference=None, training={}) for line in found]
        lines.sort(key=lambda line: study.tasks.index(line.task))  # the store's may be others first
        scores = read_scores(store, running.cells)
    findings = judge(study, scores)
    deciding = [one for one in findings if one.decides]
    others = [one for one in findings if not one.decides]
    verdict, unit = overall(findings), "points"
    rows = [_summary(study, one) for one in deciding]
    drawn: dict[str, tuple[float, float, float, float]] = {}
    for one in deciding:
        if one.found is not None:
            values = (one.found.difference, *one.interval, one.claim.threshold)
            difference, low, high, margin = (100 * value for value in values)
            drawn[f"{one.claim}{_on(study, one)}"] = (difference, low, high, margin)
    parts = [f"## {study.heading}", _setting(running), _curves(running, pictures)]
    if study.sample_complexity is not None:
        more, rise = sample_complexity_section(running, scores, pictures)
        parts += more
        verdict, unit = rise.verdict, "difference of slopes"
        low, high = map(float, rise.interval)
        rows = [(study.heading, *rise_row(rise))]
        drawn = {rise_claim(rise): (rise.difference, low, high, rise.claim.margin)}
    frozen = any(arm.kind == "frozen" for arm in study.arms.values())
    grids = [_deciding(study, deciding)] if deciding else []
    grids += [_exploratory(study, others)] if others else []
    grids += (
        [grid for kind in (*SCORES, UNREAD) for grid in make_matrix(lines, kind)] if frozen else []
    )
    grids += make_grids(lines, "extracted")
    grids += [_gains(study, scores)] if findings else []
    grids += _matched(running)
    if any(running._tunes(arm) for arm in study.trained()):
        grids.append(_rates(running))
    parts += map(to_markdown, grids)
    if study.probes:
        parts += _probes(running, study.arms[study.probes], pictures)
    return Section("\n\n".join(part.strip() for part in parts), verdict, tuple(rows), unit, drawn)


def _summary(study: Study, one: Finding) -> tuple[str, ...]:
    difference = "-"
    if one.found is not None:
        difference = f"{100 * one.found.difference:+.1f} [{points(one.interval)}]"
    claim = f"{one.claim}{_on(study, one)}"
    return study.heading, claim, difference, f"{100 * one.claim.threshold:+g}", one.verdict


def _matched(running: Running) -> list[Grid]:
    """What training has cost each arm, by the runs' own counters."""
    counted = {}
    for arm in running.study.trained():
        runs = [running.result(run) for run in running.runs() if run.arm is arm]
        rate = running.rates.get(arm.name)
        counted[arm.name] = {
            "learning rate": "-" if rate is None else f"{rate:g}",
            "parameters": _number(float(np.mean([run["parameters"] for run in runs]))),
            **{
                name: _number(float(np.mean([run["counters"][name] for run in runs])))
                for name in runs[0]["counters"]
            },
        }

    def grid(title: str, names: Mapping[str, str]) -> Grid:
        told = [name for name in names if any(name in known for known in counted.values())]
        rows = [(arm, *(known.get(name, "-") for name in told)) for arm, known in counted.items()]
        return Grid(title, ("arm", *(names[name] for name in told)), tuple(rows))

    return [grid(title, names) for title, names in _COUNTED.items()]


def _sample(study: Study, findings: Sequence[Finding]) -> str:
    """On how many questions and seeds arms are compared."""
    counts = sorted({one.found.n for one in findings if one.found is not None}) or [0]
    n = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    return f"{n} questions, {_seeds(study)}"


def _on(study: Study, one: Finding) -> str:
    """On which task, where there are several."""
    return f" ({one.task})" if len(study.tasks) > 1 else ""


def _deciding(study: Study, findings: Sequence[Finding]) -> Grid:
    head = ("claim", "points", "90 % CI", "margin", "p", "p (below)", "detectable", "verdict")
    rows = []
    for one in findings:
        figures = ("-", "-")
        if one.found is not None:
            figures = f"{100 * one.found.difference:+.1f}", points(one.interval)
        rows.append(
            (
                f"{one.claim}{_on(study, one)}", *figures, f"{100 * one.claim.threshold:+g}",
                p_value(one.p), p_value(one.p_not),
                "-" if one.detectable is None else f"{100 * one.detectable:+.1f}", one.verdict,
            )
        )  # fmt: skip
    return Grid(f"Deciding comparisons: {_sample(study, findings)}", head, tuple(rows))


def _exploratory(study: Study, findings: Sequence[Finding]) -> Grid:
    head = ("difference", "points", "95 % CI", "p", "p (Holm)", "detectable")
    known = [one for one in findings if one.found is not None]
    family = corrected([one.found for one in known if one.found is not None])
    rows = [
        (
            one.claim.difference + _on(study, one), f"{100 * found.difference:+.1f}",
            points(found.interval), p_value(found.p), p_value(found.p_holm),
            "-" if found.detectable is None else f"{100 * found.detectable:.1f}",
        )
        for one, found in zip(known, family, strict=True)
    ]  # fmt: skip
    return Grid(f"Exploratory comparisons: {_sample(study, findings)}", head, tuple(rows))


def _gains(study: Study, scores: Any) -> Grid:
    """How much of each difference is form, and how much is answering better."""
    head = ("difference", "task", "strict", "extracted", "from parsing", "from parsed answers")
    rows = []
    for claim in {(c.better, c.than): c for c in study.claims}.values():
        for task in study.tasks_of(study.arms[claim.better]):
            better, than = scores[claim.better, task], scores[claim.than, task]
            moved = [100 * float(getattr(better, kind).mean() - getattr(than, kind).mean())
                     for kind in ("strict", "extracted")]  # fmt: skip
            moved += [100 * part for part in parts_of_gain(better, than)]
            rows.append((f"{claim.better} - {claim.than}", task, *(f"{v:+.1f}" for v in moved)))
    note = (
        "The extracted difference is the sum of two parts: more replies with an answer that can "
        "be read, and more right answers among those."
    )
    title = f"Decomposition of differences, points, {Estimand.ANSWERS}"
    return Grid(title, head, tuple(rows), names=2, note=note)


def _rates(running: Running) -> Grid:
    rows = []
    for arm in running.study.trained():
        if running._tunes(arm):
            scores = running.pilot_scores(arm)
            cells = (percent(float(np.mean(scores[rate]))) for rate in running.study.rates)
            rows.append((arm.name, *cells, f"{running.rates[arm.name]:g}"))
    head = ("arm", *(f"{rate:g}" for rate in running.study.rates), "chosen")
    judged = "extracted % on validation questions"
    if running.study.sample_complexity is not None:
        judged = "mean of the learning curve in %"
    return Grid(
        f"Learning-rate search: {judged}, pilot seeds: {running.study.pilots}",
        head, tuple(rows),
    )  # fmt: skip


def _curves(running: Running, pictures: Path) -> str:
    study, drawn = running.study, {}
    by_size = study.sample_complexity
    curve_of = {
        arm: curve
        for curve, points in (by_size.curves if by_size else {}).items()
        for arm in points.values()
    }
    for task in study.tasks:
        runs = [run for run in running.runs() if run.task == task]
        drawn[task] = {
            curve_of.get(arm.name, arm.name): [
                running.result(run)["curve"] for run in runs if run.arm is arm
            ]
            for arm in study.trained()
            if task in arm.tasks
        }
    greedy = "greedy score, validation questions" if study.kind == "discrete" else "sampled score"
    path = pictures.with_name(f"{pictures.name}-curves.svg")
    scale = "log" if by_size else "linear"
    most = curves.bounds(getattr(running.backend, "tasks", {}))
    write(path, curves.learning_curves(drawn, greedy, scale, most))
    return f"![Learning curves, {study.heading}: mean over seeds with 95 % bands]({path.name})"


def _probes(running: Running, arm: Arm, pictures: Path) -> list[str]:
    """Compare the nodes of every run of an arm, mean over seeds."""
    parts: list[str] = []
    for task in running.study.tasks_of(arm):
        runs = [Run(arm, task, seed, None, False) for seed in range(running.study.seeds)]
        found = [_similarity(running, run) for run in runs]
        said = _said(running, arm.name, task)
        nodes = list(said[0][0])
        agreement = [message_agreement(one) for one in said]
        same = [[float(np.mean([a[i][j] for a in agreement])) for j in nodes] for i in nodes]
        weights = "policies" if running.study.kind == "discrete" else "adapters"
        path = pictures.with_name(f"{pictures.name}-nodes-{len(parts) // 2}.svg")
        picture = curves.similarity_picture(
            {f"cosine between {weights}": _mean(found), "share of equal messages": same}
        )
        write(path, picture)
        entropy = [message_entropy(one) for one in said]
        rows = [(node, f"{np.mean([e[node] for e in entropy]):.2f}") for node in nodes]
        title = f"Message entropy of each node over the questions: {arm.name} on {task}"
        parts.append(to_markdown(Grid(title, ("node", "bits"), tuple(rows))))
        parts.append(f"![Similarity of the nodes of {arm.name} on {task}]({path.name})")
    return parts


def _similarity(running: Running, run: Run) -> list[list[float | None]]:
    """How alike a run's nodes are, kept beside its result, so that a report needs no weights."""
    path, backend = running.path(run) / PROBE, cast(Any, running.backend)
    if not path.is_file():
        write(path, json.dumps(backend.probe(run.arm, run.task, path.parent)))
    return read(path)["similarity"]


def _said(running: Running, arm: str, task: str) -> list[list[dict[str, str]]]:
    """What the nodes said, for every seed and question."""
    seeds: dict[int, list[dict[str, str]]] = {}
    for row in running.answers(arm, task, "results.seed, transcript"):
        said = {one["node"]: one["text"] for one in read_said(row["transcript"])}
        seeds.setdefault(row["seed"], []).append(said)
    return list(seeds.values())


def _mean(grids: Sequence[Sequence[Sequence[float | None]]]) -> list[list[float | None]]:
    size = range(len(grids[0]))
    cells = [[[grid[i][j] for grid in grids] for j in size] for i in size]
    return [
        [None if any(v is None for v in cell) else float(np.mean(cell)) for cell in row]  # type: ignore[arg-type]
        for row in cells
    ]


def _setting(running: Running) -> str:
    """How many seeds, from which weights, and what is estimated."""
    every = dict.fromkeys(task for arm in running.study.arms.values() for task in arm.tasks)
    left = [task for task in every if task not in running.study.tasks]
    part = f" Left out: {', '.join(left)}." if left else ""
    return f"{_seeds(running.study)}{_weights(running)}. Estimand: {estimand(running.study)}.{part}"


def _seeds(study: Study) -> str:
    return f"{study.seeds} seed{'s' if study.seeds > 1 else ''}"


def _weights(running: Running) -> str:
    """The hash of the weights that all arms start from, none on discrete networks."""
    with Store(running.folder) as store:
        rows = store.rows("SELECT hash, settings ->> '$.weights_hash' AS weights FROM cells")
    found = sorted({row["weights"] for row in rows if row["hash"] in running.cells} - {None})
    return f", base weights `{' and '.join(found)}`" if found else ""


def _number(value: float) -> str:
    return f"{value:,.0f}"
