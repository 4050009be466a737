"""Draw how networks learn a game of several rounds, and count the test games that they win.

    python benchmarks/rounds.py RUN RUN RUN --store DIR --out docs/results/rounds
    python benchmarks/rounds.py --tries docs/results/rounds-tries.csv

A `RUN` is a folder of `neuromas train --task games/...`, and `DIR` that of `neuromas bench` with
one method for each. Prints a table, and writes the curves into `rounds.svg` and every training step
into `rounds.csv`. Test questions that are the same game, range and hidden number alike, count once:
greedy answers to them are equal, and would make an interval too narrow. The second form draws the
learning curves of single tries, with the columns `try`, `questions` and `won`, in the folder of
their file.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neuromas_env.agents.training.config import saved_config
from neuromas_env.agents.training.evaluate import wilson
from neuromas_env.bench.store import Store
from neuromas_env.bench.tables import Grid, percent, to_markdown
from neuromas_env.experiments import curves
from neuromas_env.tasks import make_task

QUERY = "SELECT method, task, row, strict FROM results WHERE error IS NULL ORDER BY cell"
SECONDS = ("rollout_seconds", "train_seconds", "other_seconds")


def games(folder: Path) -> dict[str, list[float]]:
    """Return the scores of each method in the different games of a store."""
    found: dict[str, dict[tuple[str, str], float]] = {}
    with Store(folder) as store:
        for answer in store.rows(QUERY):
            example = make_task(answer["task"]).examples("test")[answer["row"]]
            game = example.question, str(example.target)
            found.setdefault(answer["method"], {})[game] = answer["strict"]
    return {method: list(scores.values()) for method, scores in found.items()}


def table(scores: Mapping[str, Sequence[float]]) -> str:
    """Return the share of games that each method wins, with a 95 % interval (Wilson)."""
    rows = [
        (method, str(len(won)), percent(sum(won) / len(won)),
         " to ".join(map(percent, wilson(sum(won), len(won)))))
        for method, won in scores.items()
    ]  # fmt: skip
    return to_markdown(Grid("Test games", ("network", "games", "won %", "95 %"), tuple(rows)))


def steps(run: Path) -> list[dict[str, Any]]:
    """Return the training steps of a run: share of won games, validation, seconds."""
    found, seed = [], saved_config(run).seed
    for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()):
        if "reward" in line:
            found.append({
                "seed": seed,
                "step": line["step"],
                "won": line["strict"],
                "validation": line.get("validation", {}).get("strict", ""),
                "seconds": round(sum(line[part] for part in SECONDS), 1),
            })  # fmt: skip
    return found


def draw(task: str, found: Mapping[str, list[list[tuple[float, float]]]]) -> str:
    """Draw learning curves against what one round and no message win at most."""
    lines = curves.bounds({task: make_task(task)})
    return curves.learning_curves({task: dict(found)}, "won in training", bounds=lines)


def tries(path: Path) -> None:
    """Draw single tries."""
    found: dict[str, list[tuple[float, float]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["try"], []).append((float(row["questions"]), float(row["won"])))
    path.with_suffix(".svg").write_text(
        draw("games/guess", {name: [curve] for name, curve in found.items()})
    )


def main() -> None:
    """Read the folders, and write the figure and its data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/results/rounds"))
    parser.add_argument("--tries", type=Path)
    given = parser.parse_args()
    if given.tries:
        tries(given.tries)
        return
    config = saved_config(given.runs[0])
    trained = [steps(run) for run in given.runs]
    lines = [[(s["step"] * config.questions, s["won"]) for s in run] for run in trained]
    given.out.with_suffix(".svg").write_text(draw(config.task, {config.topology: lines}))
    rows = [step for run in trained for step in run]
    with given.out.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for run in trained:
        minutes = sum(step["seconds"] for step in run) / 60
        print(f"seed {run[0]['seed']}: {len(run)} steps, {minutes:.1f} minutes")
    if given.store:
        print(table(games(given.store)))


if __name__ == "__main__":
    main()
