"""Runs a study: pilots, trainings, answers. What is finished is never done again."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

from neuromas_env.agents.tables.registry import settings
from neuromas_env.agents.training.config import read_schedule
from neuromas_env.baselines import matched_self_consistency
from neuromas_env.bench.config import BenchConfig
from neuromas_env.bench.methods import Training
from neuromas_env.bench.runner import Job, run_benchmark
from neuromas_env.bench.store import FILE, Answer, Cell, Store
from neuromas_env.errors import InputError
from neuromas_env.experiments.options import DiscreteOptions
from neuromas_env.experiments.rates import choose
from neuromas_env.experiments.spec import Arm, Reached, Study, slug
from neuromas_env.progress import Reporter, duration
from neuromas_env.tasks.base import Example
from neuromas_env.topology import Topology

FIRST_PILOT = 1000
"""Seed of the first pilot: pilots share no seed with results."""
CHUNK = 64
_TRAINING = {
    "questions": "questions",
    "updates": "steps",
    "calls": "calls",
    "prompt tokens": "prompt_tokens",
    "tokens": "completion_tokens",
    "trained tokens": "trained_tokens",
    "critic tokens": "critic_tokens",
}
"""A run's counters under the names of `Training`."""


class Backend(Protocol):
    """Trains and asks arms: `Discrete` or `Language`."""

    def train(
        self, arm: Arm, task: str, seed: int, rate: float | None, out: Path, pilot: bool,
        report: Reporter,
    ) -> None:  # fmt: skip
        """Train a run, or go on with it."""
        ...

    def finished(self, arm: Arm, out: Path) -> bool:
        """Say whether a run has its result."""
        ...

    def result(self, arm: Arm, out: Path) -> Reached:
        """Return what a finished run came to."""
        ...

    def questions(self, task: str) -> list[Example]:
        """Return the test questions."""
        ...

    def bounds(self, arm: Arm, task: str) -> tuple[float, float]:
        """Return the return of a guess and the best one."""
        ...

    def facts(self, arm: Arm, task: str, out: Path, calls: float) -> dict[str, Any]:
        """Return what a store's cell says of an arm."""
        ...

    def settings(self, out: Path) -> dict[str, Any]:
        """Return what all answers of the study share, given the folder of one of its runs."""
        ...

    def answer(
        self, arm: Arm, task: str, seed: int, out: Path, rows: Sequence[int], samples: float
    ) -> list[Answer]:
        """Answer test questions."""
        ...


@dataclass(frozen=True)
class Run:
    """One training."""

    arm: Arm
    task: str
    seed: int
    rate: float | None
    pilot: bool


class Running:
    """A study in its folder."""

    def __init__(self, study: Study, backend: Backend, folder: Path, report: Reporter) -> None:
        """Take the study, who trains, the study's folder, and who is told."""
        self.study, self.backend, self.folder = study, backend, folder
        self._report = report
        self.rates: dict[str, float | None] = {}
        # Hashes of the cells that count: the store may hold others, of more seeds or of votes
        # that had another budget.
        self.cells: set[str] = set()

    def path(self, run: Run) -> Path:
        """Return the folder of a run."""
        parts = [slug(run.task)] if len(run.arm.tasks) > 1 else []
        if self.study.table:
            parts = [f"{slug(run.arm.name)}-{_setup(run.arm, self.study.kind)}", slug(run.task)]
        elif run.pilot:
            parts = ["pilots", slug(run.arm.name), f"rate_{run.rate:g}", *parts]
        else:
            parts = [slug(run.arm.name), *parts]
        return self.folder.joinpath(*parts, f"seed_{run.seed}")

    def pilots(self) -> list[Run]:
        """Return the trainings that try learning rates."""
        seeds = range(FIRST_PILOT, FIRST_PILOT + self.study.pilots)
        return [
            Run(arm, task, seed, rate, True)
            for seed in seeds
            for arm in self.study.trained()
            if self._tunes(arm)
            for rate in self.study.rates
            for task in self.study.tasks_of(arm)
        ]

    def runs(self) -> list[Run]:
        """Return the trainings whose results count, one seed of all arms after the other."""
        return [
            Run(arm, task, seed, self.rates.get(arm.name), False)
            for seed in range(self.study.seeds)
            for arm in self.study.trained()
            for task in self.study.tasks_of(arm)
        ]

    def go(self) -> None:
        """Do what is left to do."""
        self._train(self.pilots(), "trying learning rates")
        self.rates = {arm.name: self._rate(arm) for arm in self.study.trained()}
        self._train(self.runs(), "training")
        if self.study.table and self.study.kind == "discrete":
            return  # there are no other questions
        asked = [arm for arm in self.study.arms.values() if arm.kind != "vote"]
        self._ask(asked, {})
        if votes := [arm for arm in self.study.arms.values() if arm.kind == "vote"]:
            budget = {
                (arm.name, task): self._samples(arm, task)
                for arm in votes
                for task in self.study.tasks_of(arm)
            }
            self._ask(votes, budget)

    def result(self, run: Run) -> Reached:
        """Return what a finished run came to."""
        return self.backend.result(run.arm, self.path(run))

    def pilot_scores(self, arm: Arm) -> dict[float, list[float]]:
        """Return the validation scores of each rate, over pilots and tasks.

        Where sample complexity is measured it is not the last score that counts but the mean of
        the learning curve, so that of rates that all end at the top the fastest is chosen.
        """
        scores: dict[float, list[float]] = {}
        for run in self.pilots():
            if run.arm.name == arm.name and run.rate is not None:
                held = self.result(run)
                points = [score for _, score in held["curve"]]
                whole = self.study.sample_complexity is not None
                score = sum(points) / len(points) if whole else held["validation"]
                assert score is not None  # a pilot asks validation questions
                scores.setdefault(run.rate, []).append(score)
        return scores

    def _tunes(self, arm: Arm) -> bool:
        learns = arm.kind == "train" and (
            arm.options.get("schedule") or arm.options.get("steps", arm.options.get("updates", 1))
        )
        return bool(learns) and len(self.study.rates) > 1

    def _rate(self, arm: Arm) -> float | None:
        if arm.kind != "train":
            return None
        if self._tunes(arm):
            return choose(self.pilot_scores(arm))
        return self.study.rates[0] if self.study.rates else None

    def _train(self, runs: Sequence[Run], what: str) -> None:
        todo = [run for run in runs if not self.backend.finished(run.arm, self.path(run))]
        if self.study.table and self.study.kind == "discrete" and todo:
            self._train_table(todo, len(runs))
            return
        spent = defaultdict[str, list[float]](list)  # by kind of arm: seconds a unit of work
        for number, run in enumerate(todo):
            left, ahead = "", [(spent[one.arm.kind], _weight(one)) for one in todo[number:]]
            if all(known for known, _ in ahead):
                seconds = sum(weight * fmean(known) for known, weight in ahead)
                left = f", about {duration(seconds)} left for this"
            rate = "" if run.rate is None else f", rate {run.rate:g}"
            self._report.note(
                f"{self.study.name}: {what}, {len(runs) - len(todo) + number + 1} of {len(runs)}: "
                f"{run.arm.name} on {run.task}, seed {run.seed}{rate}{left}"
            )
            if not run.pilot:
                self._forget(run)
            started = time.monotonic()
            self.backend.train(
                run.arm, run.task, run.seed, run.rate, self.path(run), run.pilot, self._report
            )
            spent[run.arm.kind].append((time.monotonic() - started) / _weight(run))

    def _train_table(self, todo: Sequence[Run], total: int) -> None:
        """Train runs of seconds each, of which one bar tells."""
        before = total - len(todo)
        self._report.begin(f"{self.study.name}: training", total, before)
        for number, run in enumerate(todo, 1):
            self.backend.train(
                run.arm, run.task, run.seed, run.rate, self.path(run), False, Reporter()
            )
            self._report.advance(before + number)
        self._report.end()

    def _forget(self, run: Run) -> None:
        """Delete the answers of a run that is not there any more.

        Answers are known by an arm's options and the seed, and those do not change when a run is
        deleted and trained again by other code.
        """
        if (self.folder / FILE).is_file():
            arms = self.study.arms.values()
            names = [arm.name for arm in arms if run.arm.name in (arm.name, arm.source)]
            with Store(self.folder, write=True) as store:
                store.forget(names, run.task, run.seed)

    def _ask(self, arms: Sequence[Arm], budget: dict[tuple[str, str], float]) -> None:
        config = BenchConfig(
            str(self.folder), tuple(arm.name for arm in arms), self.study.tasks,
            tuple(range(self.study.seeds)), chunk=CHUNK,
        )  # fmt: skip
        run_benchmark(config, team=Asking(self, arms, budget), report=self._report)

    def answers(self, arm: str, task: str, columns: str) -> list[dict[str, Any]]:
        """Return columns of an arm's answers that count, in the order of seeds and questions."""
        query = (
            f"SELECT hash, {columns} FROM results JOIN cells ON cells.id = results.cell "
            "WHERE results.method = ? AND results.task = ? AND error IS NULL "
            "ORDER BY results.seed, row"
        )
        with Store(self.folder) as store:
            return [row for row in store.rows(query, (arm, task)) if row["hash"] in self.cells]

    def _samples(self, arm: Arm, task: str) -> float:
        """How many samples of the arm's source cost what its budget costs."""
        spent = [self._tokens(name, task) for name in (str(arm.budget), str(arm.source))]
        try:
            k = matched_self_consistency(*spent)["k"]
        except InputError:
            k = 1.0  # the report shows that the budget is not met
        return float(round(k)) if self.study.kind == "discrete" else k

    def _tokens(self, arm: str, task: str) -> float:
        spent = [row["completion_tokens"] for row in self.answers(arm, task, "completion_tokens")]
        return sum(spent) / len(spent) if spent else 0.0


class Asking:
    """Answers the test questions of a study's arms for the benchmark's store."""

    def __init__(
        self, running: Running, arms: Sequence[Arm], budget: dict[tuple[str, str], float]
    ) -> None:
        """Take the study, the arms to ask and how many samples votes may take, by arm and task."""
        self._running, self._budget = running, budget
        self._arms = {arm.name: arm for arm in arms}

    def plan(self, names: Sequence[tuple[str, str]] | None = None) -> list[Cell]:
        """Return a cell for every arm, task and seed."""
        study, backend = self._running.study, self._running.backend
        first = next(arm for arm in study.trained() if arm.kind == "train")
        shared = backend.settings(self._run(first, study.tasks_of(first)[0], 0))
        cells = []
        for arm in self._arms.values():
            for task in study.tasks_of(arm):
                count, samples = len(backend.questions(task)), self._budget.get((arm.name, task), 0)
                for seed in range(study.seeds):
                    facts = backend.facts(arm, task, self._run(arm, task, seed), samples or 1)
                    settings = shared | {
                        "study": study.name,
                        "chunk": CHUNK,
                        "samples": samples,
                        "adapters": {"arm": self._digest(arm)},
                    }
                    facts |= {
                        "training": self._training(arm, task, seed),
                        "skipped_rows": [],
                        "asked": count,
                        "questions": count,
                        "labels": {},
                        "prices": None,
                    }
                    cells.append(
                        Cell(
                            arm.name, task, "test", seed, settings, facts | {"versions": {}}, count
                        )
                    )
        self._running.cells |= {cell.hash for cell in cells}
        return cells

    def questions(self, cell: Cell) -> list[Example]:
        """Return the test questions."""
        return self._running.backend.questions(cell.task)

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, list[Answer]]]:
        """Answer one job after the other."""
        for job in jobs:
            cell, arm = job.cell, self._arms[job.cell.method]
            seed = int(cell.seed or 0)
            folder = self._run(arm, cell.task, seed)
            samples = self._budget.get((arm.name, cell.task), 0)
            backend = self._running.backend
            yield job, backend.answer(arm, cell.task, seed, folder, job.rows, samples)

    def _run(self, arm: Arm, task: str, seed: int) -> Path:
        source = self._source(arm)
        return self._running.path(Run(source, task, seed, None, False))

    def _training(self, arm: Arm, task: str, seed: int) -> Training:
        """Return what training took, nothing where nothing was trained."""
        source = self._source(arm)
        if source.kind == "frozen":
            return {}
        counters = self._running.backend.result(source, self._run(arm, task, seed))["counters"]
        if not counters["updates"]:
            return {}
        return {_TRAINING[name]: n for name, n in counters.items() if name in _TRAINING}

    def _source(self, arm: Arm) -> Arm:
        return self._running.study.arms[arm.source] if arm.source else arm

    def _digest(self, arm: Arm) -> str:
        source = self._source(arm)
        said = [arm.kind, arm.node, arm.how, source.options, self._running.rates.get(source.name)]
        if arm.partner is not None:
            said.append(arm.partner)
        return blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=8).hexdigest()


def _setup(arm: Arm, kind: str) -> str:
    """Return a digest of all options of an arm, those of its algorithm included."""
    own = (
        []
        if kind == "language"
        else [settings(arm.options.get("learner", DiscreteOptions.learner))]
    )
    said = json.dumps([arm.options, *own], sort_keys=True, default=repr)
    return blake2b(said.encode(), digest_size=4).hexdigest()


def _weight(run: Run) -> float:
    """How much work a run is, next to others of its kind: its updates times its turns."""
    options = run.arm.options
    if run.arm.kind == "adapt":
        return float(options["iterations"])
    if options.get("schedule"):
        stages = read_schedule(options["schedule"])
    else:
        steps = options.get("steps", options.get("updates", 30))
        stages = [(Topology.parse(options.get("topology", "2-1")), steps)]
    turns = sum(steps * len(topology) * topology.rounds for topology, steps in stages)
    return 1.0 + turns * options.get("questions", 16) * options.get("rollouts", 4)
