"""Writes the report of a table of language models: what settings of training reach."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.agents.training.records import Metrics
from neuromas_env.agents.training.validation import peak_and_final
from neuromas_env.bench.store import Store
from neuromas_env.bench.tables import Grid, percent, to_markdown
from neuromas_env.experiments.curves import learning_curves
from neuromas_env.experiments.spec import Arm, Experiment, slug
from neuromas_env.experiments.study import Running
from neuromas_env.experiments.table_report import write_table
from neuromas_env.experiments.verdict import read_scores
from neuromas_env.files import read_lines, write

NOTES = (
    "All scores are in percent of greedy answers, strict, extracted: before training, at the best "
    "validation and at the last one on validation questions, then on test questions, which are "
    "asked once, after training, of the checkpoint that is kept. The best constant answer is that "
    "of the test questions, chosen with hindsight. Entropy is nats a token and cut-off the share "
    "of replies at the limit of tokens, both of the last training step. Where there are several "
    "seeds figures are means, and the range is from the lowest to the highest strict test score."
)
LOSS, GAIN, FORM = 0.03, 0.10, 0.05
"""Differences of scores that count: below the start, above a constant answer, of the two scores."""


@dataclass(frozen=True)
class Reached:
    """What one run has reached; scores are pairs of the strict and the extracted one.

    Attributes:
        before: On validation questions, before training.
        peak: At the best validation.
        final: At the last one.
        test: On test questions.
        constant: The best constant answer to those.
        entropy: Nats a token in the last step, the mean over nodes.
        cut_off: Share of replies in the last step that ended at the limit.
        seconds: Of all training steps.
        curve: Training questions and strict validation score.
    """

    before: tuple[float, float]
    peak: tuple[float, float]
    final: tuple[float, float]
    test: tuple[float, float]
    constant: float
    entropy: float
    cut_off: float
    seconds: float
    curve: list[tuple[float, float]]


Runs = Mapping[tuple[str, str], Sequence[Reached]]
"""Arm and task to its runs, in the order of the seeds."""


def write_report(
    experiment: Experiment,
    studies: Sequence[Running],
    folder: Path,
    made: Sequence[Mapping[str, str]],
) -> Path:
    """Write `report.md` and what it links to; return its path. See `report.write_report`."""
    parts: list[str] = []
    for running in studies:
        found, name = read(running), f"{slug(experiment.name)}-{slug(running.study.name)}"
        write(folder / f"{name}.svg", learning_curves(_curves(found), "strict, validation"))
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(cells(found))
        note = f"{running.study.note} " if running.study.note else ""
        parts += [
            f"## {running.study.heading}",
            f"{note}{running.study.seeds} seeds. Every run: [{name}.csv]({name}.csv).",
            to_markdown(targets(running.study.arms, found)),
            *[to_markdown(reached(arm, found)) for arm in running.study.arms],
            f"![Strict validation scores, mean over seeds with 95 % bands]({name}.svg)",
        ]
    return write_table(experiment, parts, NOTES, folder, made)


def read(running: Running) -> dict[tuple[str, str], list[Reached]]:
    """Read the results of a study's runs."""
    found: dict[tuple[str, str], list[Reached]] = {}
    with Store(running.folder) as store:
        scores = read_scores(store, running.cells)
    for run in running.runs():
        folder, asked = running.path(run), len(running.backend.questions(run.task))
        own = scores[run.arm.name, run.task]  # perhaps of more questions, of a former run
        test = [kind[:asked, run.seed].mean().item() for kind in (own.strict, own.extracted)]
        one = summarise(
            read_lines(folder / "metrics.jsonl", Metrics),
            TrainConfig.from_mapping(run.arm.options),
            (test[0], test[1]),
            running.backend.facts(run.arm, run.task, folder, 1)["majority"],
        )
        found.setdefault((run.arm.name, run.task), []).append(one)
    return found


def summarise(
    lines: Sequence[Mapping[str, Any]],
    config: TrainConfig,
    test: tuple[float, float],
    constant: float,
) -> Reached:
    """Return what a run has reached.

    Args:
        lines: Its metrics, with at least one validation.
        config: Its options. The peak is the best by the score that is the reward, as it is for the
            weights that a run keeps.
        test: Strict and extracted score on test questions.
        constant: The best constant answer to those.
    """
    steps = [line for line in lines if "event" not in line]
    validated = [line for line in lines if "validation" in line]
    best = peak_and_final(lines, config.reward)
    last: Mapping[str, Any] = steps[-1] if steps else {}
    entropies = [value for name, value in last.items() if name.startswith("entropy/")]
    return Reached(
        _pair(validated[0]["validation"]),
        _pair(best["peak"]),
        _pair(best["final"]),
        test,
        constant,
        float(np.mean(entropies)) if entropies else 0.0,
        last.get("cut_off", 0.0),
        sum(line["rollout_seconds"] + line["train_seconds"] for line in steps),
        [(line["step"] * config.questions, line["validation"]["strict"]) for line in validated],
    )


def _pair(scores: Mapping[str, float]) -> tuple[float, float]:
    return scores["strict"], scores["extracted"]


def mean(runs: Sequence[Reached], name: str) -> np.ndarray:
    """Return the mean over runs of what they have reached, `[]`, or `[2]` for a pair."""
    return np.mean([getattr(run, name) for run in runs], axis=0)


def spread(runs: Sequence[Reached]) -> float | None:
    """Return the range of the runs' strict test scores, None for a single run."""
    scores = [run.test[0] for run in runs]
    return max(scores) - min(scores) if len(scores) > 1 else None


def reached(arm: str, found: Runs) -> Grid:
    """Return what an arm has reached on each task."""
    rows = []
    for (name, task), runs in found.items():
        if name == arm:
            pairs = (mean(runs, one) for one in ("before", "peak", "final", "test"))
            rows.append(
                (
                    task,
                    percent(float(mean(runs, "constant"))),
                    *(", ".join(percent(share) for share in pair) for pair in pairs),
                    percent(spread(runs)),
                    f"{mean(runs, 'entropy'):.3f}",
                    percent(float(mean(runs, "cut_off"))),
                    f"{mean(runs, 'seconds'):.0f}",
                )
            )
    head = (
        "task", "constant", "before", "peak", "final", "test", "range of seeds", "entropy",
        "cut off", "seconds",
    )  # fmt: skip
    return Grid(arm, head, tuple(rows))


def targets(arms: Mapping[str, Arm], found: Runs) -> Grid:
    """Return on how many tasks each arm does what a recipe should."""
    rows = []
    for arm in arms:
        own = [runs for (name, _), runs in found.items() if name == arm]
        names = ("before", "final", "test", "constant")
        scores = [[mean(runs, one) for one in names] for runs in own]
        spreads = [one for runs in own if (one := spread(runs)) is not None]
        worse = sum(f[0] < b[0] - LOSS or t[0] < c for b, f, t, c in scores)
        better = sum(t[0] >= c + GAIN for *_, t, c in scores)
        formed = sum(abs(t[1] - t[0]) <= FORM for *_, t, _ in scores)
        ahead = float(np.mean([t[0] - c for *_, t, c in scores]))
        widest = percent(max(spreads)) if spreads else "-"
        rows.append((arm, str(worse), str(better), str(formed), f"{100 * ahead:+.1f}", widest))
    count = len({task for _, task in found})
    head = (
        "arm", "below its start or a constant answer", "10 points above a constant answer",
        "strict within 5 points of extracted", "points above a constant answer, mean",
        "widest range of seeds",
    )  # fmt: skip
    note = (
        "Below its start: the last validation is over 3 points below the first one, both on "
        "validation questions. All else is of test questions."
    )
    return Grid(f"Of {count} tasks, by strict scores", head, tuple(rows), note=note)


def cells(found: Runs) -> list[list[Any]]:
    """Rows of a file: each run with all that it has reached."""
    pairs = ("before", "peak", "final", "test")
    single = ("constant", "entropy", "cut_off", "seconds")
    kinds = ("strict", "extracted")
    head = ["arm", "task", "seed", *(f"{pair}_{kind}" for pair in pairs for kind in kinds), *single]
    rows: list[list[Any]] = [head]
    for (arm, task), runs in found.items():
        for seed, run in enumerate(runs):
            scores = [f"{share:.4f}" for pair in pairs for share in getattr(run, pair)]
            rows.append([arm, task, seed, *scores, *(f"{getattr(run, one):.4f}" for one in single)])
    return rows


def _curves(found: Runs) -> dict[str, dict[str, list[list[tuple[float, float]]]]]:
    curves: dict[str, dict[str, list[list[tuple[float, float]]]]] = {}
    for (arm, task), runs in found.items():
        curves.setdefault(task, {})[arm] = [run.curve for run in runs]
    return curves
