"""Print how often the networks of each seed win, from the stored answers of an experiment.

    python benchmarks/rounds.py DIR [--curves FILE.csv]

`DIR` is what `neuromas experiment rounds --out DIR` wrote, or an unpacked archive of it. Test
questions that are the same game, range and hidden number alike, count once: greedy answers to them
are equal, and would make an interval too narrow. With `--curves`, for which the `metrics.jsonl` of
runs must still be there, a file gets the share of won games and the seconds of every training step.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path

from neuromas_env.agents.training.evaluate import wilson
from neuromas_env.bench.store import FILE, Store
from neuromas_env.bench.tables import Grid, percent, to_markdown
from neuromas_env.tasks import make_task
from neuromas_env.tasks.interactive import InteractiveTask

QUERY = "SELECT method, task, seed, row, extracted FROM results ORDER BY cell, row"
POINT = ("extracted", "rollout_seconds", "train_seconds")


def table(folder: Path) -> str:
    """Return a row for every arm and seed of a study: games won, with a 95 % interval (Wilson)."""
    won: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
    with Store(folder) as store:
        answers = store.rows(QUERY)
    [name] = {answer["task"] for answer in answers}
    task = make_task(name)
    assert isinstance(task, InteractiveTask)
    for answer in answers:
        example = task.examples("test")[answer["row"]]
        games = won.setdefault((answer["method"], str(answer["seed"])), {})
        games[example.question, str(example.target)] = answer["extracted"]
    rows = []
    for (arm, seed), games in won.items():
        right, n = sum(games.values()), len(games)
        low, high = wilson(right, n)
        cells = (percent(right / n), f"{percent(low)} to {percent(high)}")
        rows.append((arm, seed, str(n), *cells))
    for bound, share in (
        ("best with one round", task.one_round_accuracy("test")),
        ("best without messages", task.blind_accuracy("test")),
    ):
        rows.append((bound, "", "", percent(share), ""))
    head = ("network", "seed", "games", "won %", "95 %")
    return to_markdown(Grid(f"{folder.name}: {name}, test games", head, tuple(rows)))


def steps(folder: Path) -> Iterator[tuple[str | int | float, ...]]:
    """Yield study, arm, seed, step and `POINT` of every training step."""
    for path in sorted(folder.glob("*/seed_*/metrics.jsonl")):
        arm, seed = path.parent.parent.name, path.parent.name.removeprefix("seed_")
        for line in map(json.loads, path.read_text().splitlines()):
            if "event" not in line:
                figures = (round(line[key], 3) for key in POINT)
                yield folder.name, arm, int(seed), line["step"], *figures


def main() -> None:
    """Read the folder and print the table of every study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--curves", type=Path, help="file for the training steps")
    given = parser.parse_args()
    studies = sorted(path.parent for path in given.folder.glob(f"*/{FILE}"))
    for folder in studies:
        print(table(folder), end="\n\n")
    if given.curves:
        with given.curves.open("w", newline="") as file:
            write = csv.writer(file, lineterminator="\n").writerows
            write([("study", "arm", "seed", "step", "won", *POINT[1:])])
            write(line for folder in studies for line in steps(folder))


if __name__ == "__main__":
    main()
