"""Write the page of the experiment `rounds`: how often networks win, against what one round wins.

    python benchmarks/rounds.py DIR --out docs/results
    python benchmarks/rounds.py --tries docs/results/rounds-tries.csv

`DIR` is what `neuromas experiment rounds --out DIR` wrote. Into the other folder go `rounds.md` and
`rounds.csv`, the share of won games and the seconds of every training step. Test questions that are
the same game, range and hidden number alike, count once: greedy answers to them are equal, and
would make an interval too narrow. The second form draws the learning curves of single tries, with
the columns `try`, `questions` and `won`, in the folder of their file.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from neuromas_env.agents.training.evaluate import wilson
from neuromas_env.bench.store import FILE, Store
from neuromas_env.bench.tables import Grid, percent, to_markdown
from neuromas_env.experiments import curves
from neuromas_env.experiments.run import HEAD
from neuromas_env.files import read
from neuromas_env.tasks import make_task

TASK, LEARNED = "games/guess", "two rounds"
"""The game, and the arm of which success is claimed."""
QUERY = "SELECT method, task, seed, row, extracted FROM results WHERE error IS NULL ORDER BY cell"
PAGE = """# Rounds: results

    {command}

Success, said before the runs: of each seed of `{learned}` the answers to the test games have a 95 %
interval (Wilson) above the most that a network of one round wins. **{verdict}**

In `{task}` one of three numbers is hidden, and after a guess the input node reads whether it
is higher or lower. One guess finds it in {one} % of the games; two different ones in {deaf} %, if
nobody listens to the reply; two with the middle first and then what the reply leaves in all. Node_1
of `1-1:rounds=2` acts and hears node_0 alone.

![Won games in training, mean over seeds with 95 % bands]({picture})

{table}

Greedy answers to {asked} test questions, {games} different games; `node_0 blank` is the trained
network without the message of node_0. A training run of two rounds took at most {minutes:.1f}
minutes. Arms, comparisons, archive of all answers: [report](experiments/rounds.md); commit and
machine: [log](log/rounds.md); every training step: [rounds.csv](rounds.csv).
"""


class Games(NamedTuple):
    """Test games of an arm and a seed."""

    arm: str
    seed: int
    won: float
    n: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, Wilson."""
        return wilson(self.won, self.n)


def games(folder: Path) -> tuple[str, int, list[Games]]:
    """Return the task of a study, the questions that were asked, and the games that were won."""
    with Store(folder) as store:
        answers = store.rows(QUERY)
    [name] = {answer["task"] for answer in answers}
    examples = make_task(name).examples("test")
    found: dict[tuple[str, int], dict[tuple[str, str], float]] = {}
    for answer in answers:
        example = examples[answer["row"]]
        won = found.setdefault((answer["method"], answer["seed"]), {})
        won[example.question, str(example.target)] = answer["extracted"]
    asked = max(Counter((a["method"], a["seed"]) for a in answers).values())
    return name, asked, [Games(*key, sum(won.values()), len(won)) for key, won in found.items()]


def steps(folder: Path) -> list[dict[str, Any]]:
    """Return every training step of a study."""
    found = []
    for path in sorted(folder.glob("*/seed_*/metrics.jsonl")):
        run = {"arm": path.parent.parent.name, "seed": int(path.parent.name.removeprefix("seed_"))}
        for line in map(json.loads, path.read_text().splitlines()):
            if "event" not in line:
                parts = ("rollout_seconds", "train_seconds", "other_seconds")
                seconds = round(sum(line[part] for part in parts), 2)
                found.append(
                    run | {"step": line["step"], "won": line["extracted"], "seconds": seconds}
                )
    return found


def page(folder: Path, study: Path, trained: list[dict[str, Any]]) -> str:
    """Write the page of a study."""
    head = read(folder / HEAD)
    name, asked, found = games(study)
    task = make_task(name)
    one, deaf = task.one_round_accuracy("test"), task.blind_accuracy("test")  # type: ignore[attr-defined]
    rows = [
        (x.arm, str(x.seed), percent(x.won / x.n), " to ".join(map(percent, x.interval)))
        for x in found
    ]
    rows += [(f"best {how}", "", percent(share), "")
             for how, share in (("with one round", one), ("without messages", deaf))]  # fmt: skip
    claimed = [x for x in found if x.arm == LEARNED]
    count = sum(x.interval[0] > one for x in claimed)
    reached = "Reached" if count == len(claimed) else "Not reached"
    spent: dict[int, float] = {}
    for line in trained:
        if line["arm"] == LEARNED.replace(" ", "-"):
            spent[line["seed"]] = spent.get(line["seed"], 0.0) + line["seconds"]
    return PAGE.format(
        command=head["made"][0]["command"], learned=LEARNED, task=name, one=percent(one),
        deaf=percent(deaf), asked=asked,
        picture=f"experiments/rounds-{head['scale']}-{study.name}-curves.svg",
        verdict=f"{reached}: {count} of {len(claimed)} seeds.", games=claimed[0].n,
        table=to_markdown(Grid("Test games", ("network", "seed", "won %", "95 %"), tuple(rows))),
        minutes=max(spent.values()) / 60,
    )  # fmt: skip


def draw(tries: Path) -> None:
    """Draw learning curves against what one round and no message win at most."""
    found: dict[str, list[tuple[float, float]]] = {}
    with tries.open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["try"], []).append((float(row["questions"]), float(row["won"])))
    runs = {TASK: {name: [curve] for name, curve in found.items()}}
    lines = curves.bounds({TASK: make_task(TASK)})
    tries.with_suffix(".svg").write_text(
        curves.learning_curves(runs, "won in training", bounds=lines)
    )


def main() -> None:
    """Read the folder and write the page and its data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--tries", type=Path)
    given = parser.parse_args()
    if given.tries:
        draw(given.tries)
        return
    [study] = sorted(path.parent for path in given.folder.glob(f"*/{FILE}"))
    trained = steps(study)
    (given.out / "rounds.md").write_text(page(given.folder, study, trained))
    with (given.out / "rounds.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, trained[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(trained)


if __name__ == "__main__":
    main()
