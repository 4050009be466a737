"""Runs what is still to do of a benchmark and stores it, chunk by chunk."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from neuromas_env.baselines import matched_self_consistency
from neuromas_env.baselines.sc import MOST, TOLERANCE
from neuromas_env.bench.config import BenchConfig
from neuromas_env.bench.machine import commit, machine
from neuromas_env.bench.store import FILE, Answer, Cell, Store
from neuromas_env.bench.worker import Worker
from neuromas_env.checks import arguments
from neuromas_env.errors import InputError
from neuromas_env.progress import Reporter
from neuromas_env.tasks.base import Example
from neuromas_env.tasks.ready import check_origins

SAMPLES = ("sc:k={:g}", "sc:k={:g},prompt=direct")
"""How matched rows sample: with reasoning, or for the answer alone where that costs too much."""
_TRIES = 5
_ORIGINS = "SELECT DISTINCT facts ->> '$.origins' AS origins FROM cells WHERE task = ?"


@dataclass(frozen=True)
class Job:
    """Questions of one cell that run at once.

    Attributes:
        cell: Method, task, seed and settings.
        rows: Numbers of the questions in the split.
    """

    cell: Cell
    rows: tuple[int, ...]


class Team(Protocol):
    """Who plans the cells and answers the jobs; `Alone` here, a Ray cluster elsewhere."""

    def plan(self, names: Sequence[tuple[str, str]] | None = None) -> list[Cell]:
        """Return the cells; see `Worker.plan`."""
        ...

    def questions(self, cell: Cell) -> list[Example]:
        """Return the questions of a cell."""
        ...

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, list[Answer]]]:
        """Answer all jobs, in any order, each as soon as it is done."""
        ...


class Alone(Worker):
    """One process answers everything, in order."""

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, list[Answer]]]:
        """Answer one job after the other."""
        for job in jobs:
            yield job, self.answer(job.cell, job.rows)


@arguments
def run_benchmark(
    config: BenchConfig, *, team: Team | None = None, report: Reporter | None = None
) -> None:
    """Run a benchmark, or continue it: what is stored is not asked again.

    Args:
        config: What to do.
        team: Who answers, by default this process.
        report: Shows how far it is.

    Raises:
        InputError: Something given is wrong, another process writes to the directory, it
            cannot be written, or the engine fails on every call.
    """
    report = report or Reporter()
    with ExitStack() as stack:
        if team is None:
            team = alone = Alone(config)
            stack.callback(alone.close)
        # A new directory is written when all that is asked for can be had, an old one locked first.
        out = Path(config.out)
        if (out / "report.md").exists() and not (out / FILE).exists():
            raise InputError(f"out: {out} holds another report; give another folder")
        planned = None if out.exists() else team.plan()
        store = stack.enter_context(Store(config.out, write=True))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        store.start(config.command, commit(), machine(), now)
        runner = _Runner(config, store, team, report)
        cells = planned or team.plan()
        if config.matched:
            # Planned beforehand so that a temperature of 0 is refused before hours of work.
            runner.team.plan([(cells[0].task, "sc:k=2")])
        try:
            runner.run(cells)
            if config.matched:
                runner.match(cells)
        finally:
            report.end()


class _Runner:
    def __init__(self, config: BenchConfig, store: Store, team: Team, report: Reporter) -> None:
        self.config, self.store, self.team, self.report = config, store, team, report
        self._numbers: dict[str, int] = {}
        self._asked: set[str] = set()
        self._left_out: set[str] = set()
        self._progress = _Progress(report)

    def run(self, cells: Sequence[Cell]) -> None:
        """Answer what is missing of some cells."""
        numbers = {cell.hash: self._enter(cell) for cell in cells}
        jobs: list[Job] = []
        for cell in cells:
            finished = self.store.done(numbers[cell.hash])
            jobs += _chunks(cell, finished, self.config.chunk)
        self._progress.begin(cells, jobs)
        for job, answers in self.team.run(jobs):
            self.store.add(numbers[job.cell.hash], answers)
            self._tell_left_out(answers)
            self._progress.advance(job, answers)

    def _tell_left_out(self, answers: Sequence[Answer]) -> None:
        """Say once what calls were made without."""
        turns = [turn for answer in answers for turn in json.loads(answer.transcript)]
        new = {name for turn in turns for name in turn.get("left_out", ())} - self._left_out
        if new:
            self._left_out |= new
            self.report.note(f"the server refuses {', '.join(sorted(new))}: asked without")

    def match(self, cells: Sequence[Cell]) -> None:
        """Add a self-consistency row of the same completion tokens to every costly method."""
        groups: dict[tuple[str, str], list[Cell]] = {}
        for cell in cells:
            if cell.facts["calls"] > 1 and cell.method.partition(":")[0] != "sc":
                groups.setdefault((cell.task, cell.method), []).append(cell)
        for group in groups.values():
            if budget := self._mean("completion_tokens", group):
                self._match(group[0], budget)

    def _match(self, cell: Cell, budget: float) -> None:
        """Match the samples with reasoning, or those without if one of them costs too much."""
        task, method = cell.task, cell.method
        for form in SAMPLES:
            name, spent, calls = self._sample(task, form.format(1))
            if not calls:
                why = f"{name} answered no question, so that a sample's cost is not known"
                break
            try:
                k = matched_self_consistency(budget, spent / calls)["k"]
            except InputError as error:
                why = str(error)
                continue
            name, spent = self._closest(task, form, min(k, MOST), budget)
            ratio = spent / budget
            verdict = "" if abs(ratio - 1) <= TOLERANCE else ", which is NOT within 5 %"
            self.report.note(
                f"{task}: {name} is matched to {method}: {spent:.1f} and {budget:.1f} "
                f"completion tokens per question, ratio {ratio:.3f}{verdict}"
            )
            self.store.match(cell, name)
            return
        self.report.note(f"{task}: {method} gets no budget-matched row: {why}")

    def _closest(self, task: str, form: str, k: float, budget: float) -> tuple[str, float]:
        """Move k until the budget is met; return the closest row and what it spends."""
        tries: dict[float, tuple[str, float]] = {}
        while k not in tries and len(tries) < _TRIES:
            name, spent, calls = self._sample(task, form.format(k))
            tries[k] = name, spent
            if not spent or abs(spent / budget - 1) <= TOLERANCE:
                break
            # What k itself took is no measure: a hash decides which questions get the last sample.
            missing = budget / (spent / calls) - calls
            k = min(max(1, k + missing), MOST)
            whole = round(k)
            near = whole not in tries and abs(whole - k) <= TOLERANCE * k
            k = whole if near else round(k, 3)
        return min(tries.values(), key=lambda tried: abs(tried[1] - budget))

    def _sample(self, task: str, name: str) -> tuple[str, float, float]:
        """Run self-consistency; return its name, and its mean completion tokens and calls."""
        # Marked, because a row that is only tried belongs in no table.
        cells = [
            replace(cell, facts=cell.facts | {"tried": True})
            for cell in self.team.plan([(task, name)])
        ]
        self.run(cells)
        spent, calls = self._mean("completion_tokens", cells), self._mean("calls", cells)
        return cells[0].method, spent, calls

    def _mean(self, column: str, cells: Sequence[Cell]) -> float:
        """Mean over the answered questions that are asked for; 0 where all failed."""
        rows = [
            row[column]
            for cell in cells
            for row in self.store.rows(
                f"SELECT {column} FROM answers WHERE cell = ? AND row < ? AND error IS NULL",
                (self._enter(cell), cell.questions),
            )
        ]
        return sum(rows) / len(rows) if rows else 0.0

    def _enter(self, cell: Cell) -> int:
        if cell.hash not in self._numbers:
            if cell.task not in self._asked:
                self._asked.add(cell.task)
                questions = self.team.questions(cell)
                self.store.check_order(cell, questions)
                for row in self.store.rows(_ORIGINS, (cell.task,)):
                    held = json.loads(row["origins"] or "{}")
                    check_origins(cell.task, cell.facts.get("origins", {}), held, self.store.path)
                self.store.add_questions(cell.task, cell.split, questions)
                if skipped := cell.facts["skipped_rows"]:
                    self.report.note(
                        f"{cell.task}: broken rows left out: {len(skipped)}; the first: "
                        f"{skipped[0]}"
                    )
            self._numbers[cell.hash] = self.store.cell(cell)
        return self._numbers[cell.hash]


class _Progress:
    """Tells how many questions of all cells are done and, from the calls so far, the time left."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self._questions: dict[str, int] = {}
        self._missing: dict[str, int] = {}
        self._worked = self._left = 0
        self._seconds = 0.0

    def begin(self, cells: Sequence[Cell], jobs: Sequence[Job]) -> None:
        """Add cells, as those that are matched to others, with what is to do of them."""
        self._last = time.monotonic()
        for cell in cells:
            self._questions[cell.hash], self._missing[cell.hash] = cell.questions, 0
        for job in jobs:
            self._missing[job.cell.hash] += len(job.rows)
            self._left += len(job.rows) * job.cell.facts["calls"]
        if jobs:
            what = f"questions of {len(self._questions)} cells"
            self._report.begin(what, sum(self._questions.values()), self._done)
            self._report.advance(self._done)

    @property
    def _done(self) -> int:
        return sum(self._questions.values()) - sum(self._missing.values())

    def advance(self, job: Job, answers: Sequence[Answer]) -> None:
        """Count the questions of a job as done."""
        calls = len(job.rows) * job.cell.facts["calls"]
        self._worked, self._left = self._worked + calls, self._left - calls
        self._missing[job.cell.hash] -= len(job.rows)
        now = time.monotonic()
        self._seconds, self._last = self._seconds + now - self._last, now
        failed = [answer.error for answer in answers if answer.error]
        if failed:
            name = f"{job.cell.method} on {job.cell.task}"
            self._report.note(
                f"{name}: {len(failed)} of {len(answers)} questions failed: {failed[0]}"
            )
        self._report.advance(self._done, left=self._seconds / max(1, self._worked) * self._left)


def _chunks(cell: Cell, finished: set[int], size: int) -> Iterator[Job]:
    """Cut a cell's questions at fixed places and leave out those that are done."""
    for start in range(0, cell.questions, size):
        rows = range(start, min(start + size, cell.questions))
        missing = tuple(row for row in rows if row not in finished)
        if missing:
            yield Job(cell, missing)
