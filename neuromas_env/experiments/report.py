"""Writes what an experiment came to: `report.md` and its pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from neuromas_env.agents.runlog import write
from neuromas_env.bench.store import Store
from neuromas_env.bench.summary import summarise
from neuromas_env.bench.tables import Grid, make_grids, percent, to_markdown
from neuromas_env.experiments import curves
from neuromas_env.experiments.need_report import NOTES as NEED_NOTES
from neuromas_env.experiments.need_report import need_section
from neuromas_env.experiments.probes import message_agreement, message_entropy
from neuromas_env.experiments.spec import Arm, Experiment, Study, slug
from neuromas_env.experiments.study import Run, Running
from neuromas_env.experiments.verdict import (
    ALPHA,
    OPEN,
    Finding,
    judge,
    least_p,
    overall,
    parts_of_gain,
    read_scores,
)

SEEDS = 5
"""With fewer no claim is made."""
NOTES = (
    "Greedy answers to the test questions; votes sample. Intervals: 95 %, two-level bootstrap over "
    "questions and seeds. p: sign-flip permutation test of per-question means, Holm over all "
    "comparisons of the study; p (seeds): paired t test of the seeds' means; p (runs): one-sided "
    "exact sign-flip test of the seeds' mean differences, Holm over the deciding comparisons. A "
    "claim holds if the interval of the difference is above 0 and p (runs) below 0.05, and does "
    "not hold if the interval is below the margin."
)


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
        folder: Where `report.md` and the pictures go. Their names are their own among all
            experiments and scales, so that reports can be put into one folder.
        made: `command`, `commit` and `machine` of each run that worked on it.
    """
    name = f"{slug(experiment.name)}-{experiment.scale}"
    parts, verdicts = [], []
    for running in studies:
        text, verdict, least = _study(running, folder, name)
        parts.append(text)
        said = f"is {verdict}" if verdict == OPEN else verdict
        verdicts.append(f"**{running.study.name}: the claim {said}.**{_few(running, least)}")
    lines = [
        f"# {experiment.title}",
        f"Claim: {experiment.claim}",
        f"It would be refuted if {experiment.refuted_if}",
        "What was seen: " + " ".join(verdicts),
        *([f"Matched: {experiment.matched}"] if experiment.matched else []),
        _setting(studies, made),
        *parts,
        *([NOTES] if any(one.study.claims for one in studies) else []),
        *([NEED_NOTES] if any(one.study.need for one in studies) else []),
    ]
    write(folder / "report.md", "\n\n".join(lines) + "\n")
    return folder / "report.md"


def _few(running: Running, least: float) -> str:
    """What so many seeds, with which p is at least `least`, cannot show."""
    seeds = running.study.seeds
    hint = f" That is {seeds} seeds: a hint." if seeds < SEEDS else ""
    if least < ALPHA:
        return hint
    return hint + f" With {seeds} seeds it cannot hold: p (runs) is at least {least:.2f}."


def _study(running: Running, folder: Path, name: str) -> tuple[str, str, float]:
    """Write a study's part; return it, the verdict, and the smallest p that it could have."""
    study, pictures = running.study, folder / f"{name}-{slug(running.study.name)}"
    with Store(running.folder) as store:
        # Comparisons with the first method are the benchmark's; here claims decide. What training
        # took stands in a table of its own, by arms.
        found = summarise(store, cells=running.cells)
        lines = [replace(line, against={}, training={}) for line in found]
        scores = read_scores(store, running.cells)
    findings = judge(study, scores)
    verdict, least = overall(findings), least_p(study.seeds, findings)
    parts = [f"## {study.name}"]
    if study.need is not None:
        more, rise = need_section(running, scores, pictures)
        parts += more
        verdict, least = rise.verdict, 0.5**study.seeds
    parts += [to_markdown(_matched(running)), *map(to_markdown, make_grids(lines, "extracted"))]
    if findings:
        parts += [to_markdown(_comparisons(findings)), to_markdown(_gains(study, scores))]
    if any(running._tunes(arm) for arm in study.trained()):
        parts.append(to_markdown(_rates(running)))
    parts.append(_curves(running, pictures))
    if study.probes:
        parts += _probes(running, study.arms[study.probes], pictures)
    return "\n\n".join(parts), verdict, least


def _matched(running: Running) -> Grid:
    """What training has cost each arm, by the runs' own counters."""
    rows = []
    names = (
        "questions", "updates", "calls", "prompt tokens", "tokens", "trained tokens",
        "critic tokens",
    )  # fmt: skip
    for arm in running.study.trained():
        runs = [running.result(run) for run in running.runs() if run.arm is arm]
        counted = [run["counters"] for run in runs]
        cells = [
            _number(np.mean([one[name] for one in counted])) if name in counted[0] else "-"
            for name in names
        ]
        rate = running.rates.get(arm.name)
        parameters = _number(np.mean([run["parameters"] for run in runs]))
        rows.append((arm.name, "-" if rate is None else f"{rate:g}", parameters, *cells))
    head = ("arm", "learning rate", "parameters", *names)
    return Grid("Training, mean of a run, by the runs' own counters", head, tuple(rows))


def _comparisons(findings: Sequence[Finding]) -> Grid:
    head = ("claim", "task", "score", "n", "points", "95 %", "p", "p (Holm)", "p (seeds)",
            "p (runs)", "margin", "verdict")  # fmt: skip
    rows = []
    for one in findings:
        found, claim = one.found, one.claim
        name = f"{claim.better} better than {claim.than}" + ("" if claim.decides else " (beside)")
        figures: tuple[str, ...] = ("0", *["-"] * 6)
        if found is not None:
            low, high = (100 * bound for bound in found.interval)
            figures = (
                str(found.n), f"{100 * found.difference:+.1f}", f"{low:+.1f} to {high:+.1f}",
                *("-" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"
                  for p in (found.p, found.p_holm, found.p_seeds, one.p_runs)),
            )  # fmt: skip
        rows.append((name, one.task, claim.score, *figures, f"{100 * claim.margin:g}", one.verdict))
    return Grid("Comparisons", head, tuple(rows))


def _gains(study: Study, scores: Any) -> Grid:
    """How much of each difference is form, and how much is answering better."""
    head = ("difference", "task", "strict", "extracted", "of it readable replies",
            "of it right among readable")  # fmt: skip
    rows = []
    for claim in {(c.better, c.than): c for c in study.claims}.values():
        for task in study.arms[claim.better].tasks:
            better, than = scores[claim.better, task], scores[claim.than, task]
            moved = [100 * float(getattr(better, kind).mean() - getattr(than, kind).mean())
                     for kind in ("strict", "extracted")]  # fmt: skip
            moved += [100 * part for part in parts_of_gain(better, than)]
            rows.append((f"{claim.better} - {claim.than}", task, *(f"{v:+.1f}" for v in moved)))
    return Grid("Where the differences come from, in points", head, tuple(rows))


def _rates(running: Running) -> Grid:
    rows = []
    for arm in running.study.trained():
        if running._tunes(arm):
            scores = running.pilot_scores(arm)
            cells = (percent(float(np.mean(scores[rate]))) for rate in running.study.rates)
            rows.append((arm.name, *cells, f"{running.rates[arm.name]:g}"))
    head = ("arm", *(f"{rate:g}" for rate in running.study.rates), "chosen")
    judged = "extracted % on validation questions"
    if running.study.need is not None:
        judged = "mean of the learning curve in %"
    return Grid(
        f"Learning rates, {judged}, {running.study.pilots} pilot(s) with seeds of their own",
        head, tuple(rows),
    )  # fmt: skip


def _curves(running: Running, pictures: Path) -> str:
    study, drawn = running.study, {}
    curve_of = {
        arm: curve
        for curve, points in (study.need.curves if study.need else {}).items()
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
    greedy = "greedy score, validation questions" if study.kind == "coded" else "sampled score"
    path = pictures.with_name(f"{pictures.name}-curves.svg")
    write(path, curves.learning_curves(drawn, greedy, "log" if study.need else "linear"))
    return f"![Learning curves, {study.name}: mean over seeds with 95 % bands]({path.name})"


def _probes(running: Running, arm: Arm, pictures: Path) -> list[str]:
    """Compare the nodes of every run of an arm, mean over seeds."""
    parts: list[str] = []
    for task in arm.tasks:
        runs = [Run(arm, task, seed, None, False) for seed in range(running.study.seeds)]
        backend: Any = running.backend
        found = [backend.probe(arm, task, running.path(run))["similarity"] for run in runs]
        said = _said(running, arm.name, task)
        nodes = list(said[0][0])
        agreement = [message_agreement(one) for one in said]
        same = [[float(np.mean([a[i][j] for a in agreement])) for j in nodes] for i in nodes]
        weights = "policies" if running.study.kind == "coded" else "adapters"
        path = pictures.with_name(f"{pictures.name}-nodes-{len(parts) // 2}.svg")
        picture = curves.similarity_picture(
            {f"cosine between {weights}": _mean(found), "share of equal messages": same}
        )
        write(path, picture)
        entropy = [message_entropy(one) for one in said]
        rows = [(node, f"{np.mean([e[node] for e in entropy]):.2f}") for node in nodes]
        title = f"{arm.name} on {task}: entropy of each node's messages over the questions"
        parts.append(to_markdown(Grid(title, ("node", "bits"), tuple(rows))))
        parts.append(f"![How alike the nodes of {arm.name} are on {task}]({path.name})")
    return parts


def _said(running: Running, arm: str, task: str) -> list[list[dict[str, str]]]:
    """What the nodes said, for every seed and question."""
    seeds: dict[int, list[dict[str, str]]] = {}
    for row in running.answers(arm, task, "results.seed, transcript"):
        said = {one["node"]: one["text"] for one in json.loads(row["transcript"])}
        seeds.setdefault(row["seed"], []).append(said)
    return list(seeds.values())


def _mean(grids: Sequence[Sequence[Sequence[float | None]]]) -> list[list[float | None]]:
    size = range(len(grids[0]))
    cells = [[[grid[i][j] for grid in grids] for j in size] for i in size]
    return [
        [None if any(v is None for v in cell) else float(np.mean(cell)) for cell in row]  # type: ignore[arg-type]
        for row in cells
    ]


def _setting(studies: Sequence[Running], made: Sequence[Mapping[str, str]]) -> str:
    """By what the results were made, as it was noted when each run began."""
    lines = []
    for number, one in enumerate(made):
        commit = f" at commit {one['commit']}" if one["commit"] else ""
        begin = "gone on with by" if number else "Made by"
        lines.append(f"{begin} `{one['command']}`{commit}, on {one['machine']}")
    for running in studies:
        lines.append(f"{running.study.name}: {running.study.seeds} seeds" + _weights(running))
    return "; ".join(lines) + "."


def _weights(running: Running) -> str:
    """The hash of the weights that all arms start from, none on coded networks."""
    with Store(running.folder) as store:
        rows = store.rows("SELECT hash, settings ->> '$.weights_hash' AS weights FROM cells")
    found = sorted({row["weights"] for row in rows if row["hash"] in running.cells} - {None})
    return f", base weights {' and '.join(found)}" if found else ""


def _number(value: float) -> str:
    return f"{value:,.0f}"
