"""What the benchmark runner costs beside its engine, and what the store takes.

Three figures, all with the debate of three agents over two rounds (6 calls and a vote) on
questions with four options: seconds for 10,000 questions with an engine that answers at
once; the runner's own time beside an engine of 100 calls/s; answers/s that the store
commits in chunks of 64. Processor time stands beside the clock's, which on a busy machine
counts what others compute, too:

    python benchmarks/bench_speed.py [--quick]
"""

import argparse
import contextlib
import os
import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.bench import worker
from neuromas_env.bench.config import BenchConfig
from neuromas_env.bench.runner import Alone, run_benchmark
from neuromas_env.bench.store import Store
from neuromas_env.tasks import Example, Task
from neuromas_env.tasks.answers import grade
from neuromas_env.tasks.choices import extract_choice

QUESTIONS, CALL_SECONDS = 10_000, 0.01
TARGETS = {"seconds": 20.0, "overhead": 0.03, "answers": 2000.0}


class Letters(Task):
    """Which of four letters is the one? Nobody can know."""

    name = "letters"
    disjoint = False
    answer_format = "Answer with the letter only."
    max_new_tokens = 10

    def __init__(self, count):
        options = tuple((letter, f"the thing called {letter.lower()}") for letter in "ABCD")
        listed = "\n".join(f"{label}. {text}" for label, text in options)
        self._rows = [
            Example(
                f"q{i}", f"Which is it this time, {i}?\n{listed}", "ABCD"[i % 4], options=options
            )
            for i in range(count)
        ]

    def examples(self, split):
        return self._rows

    def score(self, example, reply):
        return grade(reply, example.target, extract_choice(reply, example.options))

    def majority(self, split):
        return 0.25


class Sleepy(MockEngine):
    """Takes its time, and nothing but its time counts as the engine's."""

    def __init__(self, seconds):
        super().__init__(lambda request: "ABCD"[request.seed % 4])
        self.seconds, self.spent, self.computed = seconds, 0.0, 0.0

    def generate(self, requests):
        started, computed = time.perf_counter(), time.process_time()
        if self.seconds:
            time.sleep(self.seconds * len(requests))
        replies = super().generate(requests)
        self.spent += time.perf_counter() - started
        self.computed += time.process_time() - computed
        return replies


class Team(Alone):
    """Runs on a task and an engine that are no names."""

    def __init__(self, config, task, engine):
        super().__init__(config)
        self.tasks = {task.name: task}
        self._engine = None, engine, {"model": "mock", "versions": {}}


def run(folder, count, seconds):
    """Return seconds in all, in the engine, of computing in all, of computing beside the engine."""
    config = BenchConfig(str(folder), ("debate",), ("letters",))
    engine = Sleepy(seconds)
    started, computed = time.perf_counter(), time.process_time()
    run_benchmark(config, team=Team(config, Letters(count), engine))
    computed = time.process_time() - computed
    return time.perf_counter() - started, engine.spent, computed, computed - engine.computed


def store_speed(folder, count):
    """Return answers per second that are committed, with a debate's transcript each."""
    run(folder / "one", 64, 0)
    with Store(folder / "one") as store:
        [row] = store.rows("SELECT * FROM answers WHERE row = 0")
    answer = worker.Answer(**{k: v for k, v in row.items() if k not in ("cell", "attempts")})
    config = BenchConfig(str(folder / "two"), ("debate",), ("letters",))
    [cell] = Team(config, Letters(1), Sleepy(0)).plan()
    with Store(folder / "two", write=True) as store:
        number = store.cell(cell)
        started = time.perf_counter()
        for start in range(0, count, 64):
            rows = range(start, min(start + 64, count))
            store.add(number, [replace(answer, row=i, row_id=f"q{i}") for i in rows])
        return count / (time.perf_counter() - started)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a twentieth of the questions")
    count = QUESTIONS // (20 if parser.parse_args().quick else 1)
    random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        seconds, _, busy, _ = run(folder / "fast", count, 0)
        whole, engine, _, own = run(folder / "slow", max(100, count // 20), CALL_SECONDS)
        answers = store_speed(folder, count)
    overhead = whole / engine - 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{cores} cores, Python {sys.version.split()[0]}")
    print(
        f"{count} questions of debate, 6 calls each: {seconds:.1f} s, "
        f"{busy:.1f} s of them computing"
    )
    print(
        f"runner beside an engine of {1 / CALL_SECONDS:.0f} calls/s: {100 * overhead:.2f} % more, "
        f"its computing {100 * own / engine:.2f} %"
    )
    print(f"store: {answers:,.0f} answers/s")
    met = (
        seconds * QUESTIONS / count < TARGETS["seconds"]
        and overhead <= TARGETS["overhead"]
        and answers >= TARGETS["answers"]
    )
    print(f"targets {'met' if met else 'MISSED'}: {TARGETS}")
    return met


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        raise SystemExit(not main())
