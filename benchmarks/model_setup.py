"""What the model benchmarks share: the machine, engines, random rows, timing."""

import argparse
import os
import platform
import statistics
import time

import numpy as np
import torch

from neuromas_env.agents.engines.base import Row
from neuromas_env.agents.engines.devices import precision
from neuromas_env.agents.engines.models import load_base
from neuromas_env.agents.engines.transformers import TransformersEngine
from neuromas_env.agents.training.config import PRECISIONS
from neuromas_env.policy import Engine

THREADS = 2
RANK = 16


def options(text, **more):
    """Read the options that all have, and `more`, lists of words with these defaults."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller batches, fewer repeats")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", default="auto", choices=PRECISIONS)
    for name, default in more.items():
        parser.add_argument(f"--{name}", nargs="+", default=default)
    chosen = parser.parse_args()
    chosen.dtype = precision(chosen.dtype)
    torch.set_num_threads(THREADS)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {THREADS} threads, torch "
        f"{torch.__version__}; {chosen.model}, {chosen.dtype}, LoRA rank {RANK} on all linear "
        f"layers{', quick' if chosen.quick else ''}"
    )
    return chosen


def make_engine(chosen, nodes, **more):
    """Make an engine with so many adapters, none of them zero."""
    base = load_base(chosen.model, dtype=chosen.dtype, quiet=True)
    engine = TransformersEngine(base, rank=RANK, **more)
    for number in range(nodes):
        engine.adapters.add(f"node_{number}", number)
        engine.adapters.add_noise(f"node_{number}", 0.01, number)
    return engine


class Recorder(Engine):
    """An engine that remembers the batches it was asked."""

    def __init__(self, engine):
        self.engine, self.cost, self.batches = engine, engine.cost, []

    def generate(self, requests):
        self.batches.append(list(requests))
        return self.engine.generate(requests)


def random_rows(engine, nodes, questions, rollouts, prompt, completion):
    """Rows with random tokens; those of a question and node share their prompt."""
    rng = np.random.default_rng(0)
    high = engine.model.config.vocab_size
    rows = []
    for number in range(nodes):
        for _ in range(questions):
            ids = rng.integers(100, high, prompt)
            for _ in range(rollouts):
                rows.append(Row(f"node_{number}", ids, rng.integers(100, high, completion)))
    return rows


def train(engine, rows):
    """Run forward and backward over all micro-batches; the gradients stay."""
    for batch in engine.micro_batches(rows):
        with engine.training([rows[i] for i in batch]) as scored:
            scored.logprobs.sum().backward()


def clear_gradients(engine):
    for parameter in engine.model.parameters():
        parameter.grad = None


def alternate(tasks, repeats, warm=False):
    """Time the tasks in turn and return the median seconds of each, by name.

    Each is done once before, and that does not count, unless all have been done (`warm`).
    """
    seconds = {name: [] for name in tasks}
    for task in () if warm else tasks.values():
        task()
    for _ in range(repeats):
        for name, task in tasks.items():
            started = time.perf_counter()
            task()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}
