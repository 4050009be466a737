"""Small benchmarks on scripted engines, and what they stored, for the tests of benchmarks."""

from __future__ import annotations

from pathlib import Path

from neuromas_env.bench.config import BenchConfig
from neuromas_env.bench.runner import run_benchmark
from neuromas_env.bench.store import Store
from neuromas_env.progress import Reporter

TASK = "hierarchy/max"
ANSWERS = "SELECT method, seed, row, answer, extracted, transcript FROM results ORDER BY 1, 2, 3"


class Notes(Reporter):
    def __init__(self):
        self.notes, self.totals, self.done = [], [], []

    def begin(self, what, total, done=0):
        self.totals.append((total, done))

    def advance(self, done, figures=None, left=None):
        self.done.append((done, left))

    def note(self, text):
        self.notes.append(text)


def configure(out, model="right=0.5", **options):
    values = {"methods": ("direct",), "tasks": (TASK,), "limit": 10, "chunk": 4}
    values |= {"engine": "support.bench_engines:make", "model": model}
    return BenchConfig(str(out), **(values | options))


def run(out, model="right=0.5", **options):
    notes = Notes()
    run_benchmark(configure(out, model, **options), report=notes)
    return notes


def rows(out, query=ANSWERS):
    with Store(out) as store:
        return store.rows(query)


def asked(log):
    return Path(log).read_text().split("\n")[:-1] if Path(log).exists() else []
