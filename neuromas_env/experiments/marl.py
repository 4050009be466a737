"""Algorithms on the levels of discrete networks, many seeds, in a file that survives a kill."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from neuromas_env.agents.tables.algorithms import PolicyGradient, QLearning
from neuromas_env.agents.tables.growth import grow_table
from neuromas_env.agents.tables.play import TableLearner, play
from neuromas_env.envs.discrete.layout import Layout, make_layout
from neuromas_env.envs.discrete.levels import LEVELS
from neuromas_env.envs.discrete.vector import VectorNetwork
from neuromas_env.errors import InputError
from neuromas_env.files import lock

FILE, LOCK = "runs.jsonl", "marl.lock"
QUESTIONS, ROLLOUTS = 64, 8
"""Of every update: so many random questions, each with so many episodes."""
POINTS = 20
"""Evaluations along a run."""
EDITION = 2
"""Raise it when the code changes what a run finds: earlier runs then do not count as done."""

_REINFORCE = {"rate": 0.3, "entropy": 0.01}
ALGORITHMS: dict[str, dict[str, Any]] = {
    "REINFORCE, leave-one-out": _REINFORCE | {"credit": "leave_one_out"},
    "REINFORCE, batch mean": _REINFORCE | {"credit": "batch_mean"},
    "REINFORCE, moving average": _REINFORCE | {"credit": "moving_average"},
    "GRPO": _REINFORCE | {"credit": "group_normalised"},
    "independent actor-critic": _REINFORCE | {"credit": "own", "critic_rate": 0.2},
    "IPPO": _REINFORCE | {"credit": "own", "critic_rate": 0.2, "epochs": 4},
    "MAPPO": {"rate": 0.1, "entropy": 0.01, "credit": "central", "epochs": 4},
    "COMA": {"rate": 0.1, "entropy": 0.01, "credit": "counterfactual", "critic_steps": 4},
    "IQL": {"rate": 0.1, "explore": 0.3},
    "hysteretic IQL": {"rate": 0.1, "explore": 0.3, "negative": 0.2},
    "VDN": {"rate": 0.1, "explore": 0.3, "joint": True},
}
"""Options of `QLearning` (those that explore) or `PolicyGradient`."""
GROWN_BY = "REINFORCE, leave-one-out"

CHAINS: dict[str, tuple[str, ...]] = {
    "modsum:parts=3,modulus=3": ("3-1", "3-2-1", "3-2-2-1"),
    "relay:values=8": ("1-1", "1-1-1", "1-1-1-1"),
    "modsum:parts=2,modulus=5": ("2-1", "2-2-1", "2-2-2-1"),
    "routing:leaves=2,values=4": ("2-1", "2-2-1", "2-2-2-1"),
    "lewis:objects=16,candidates=2": ("1-1", "2-1", "3-1"),
}
"""Task to the networks through which it grows; the code book has a symbol for each answer."""
STARTS = ("scratch", "zero", "copy", "noise")


@dataclass(frozen=True)
class Job:
    """One training run.

    Attributes:
        kind: `level` or `growth`.
        method: The algorithm, or for growth one of `STARTS`.
        problem: The level, or for growth the task.
        seed: Of everything random.
        updates: How many batches it is trained on.
    """

    kind: str
    method: str
    problem: str
    seed: int
    updates: int

    def key(self) -> str:
        """A hash of all that can change the result."""
        setup: list[Any]
        if self.kind == "level":
            setup = [ALGORITHMS[self.method], LEVELS[self.problem]]
        else:
            setup = [ALGORITHMS[GROWN_BY], CHAINS[self.problem]]
        facts = [*vars(self).values(), *setup, QUESTIONS, ROLLOUTS, EDITION]
        return blake2b(json.dumps(facts).encode(), digest_size=8).hexdigest()


def make_learner(options: Mapping[str, Any], layout: Layout, seed: int, updates: int) -> Any:
    """Build the learner that an entry of `ALGORITHMS` describes."""
    if "explore" in options:
        # Exploration ends half way, so that the rest of the run settles.
        return QLearning(layout, **options, decay_updates=max(1, updates // 2), seed=seed)
    return PolicyGradient(layout, **options, seed=seed)


def train(
    learner: TableLearner, updates: int, rng: np.random.Generator, every: int | None = None
) -> list[tuple[int, float]]:
    """Train and return `(episodes so far, greedy return)` after every so many updates."""
    layout = learner.layout
    network = VectorNetwork(
        layout.task, layout.topology, layout.codebook, layout.bandwidth, batch=QUESTIONS * ROLLOUTS
    )
    curve = []
    for update in range(1, updates + 1):
        parts, query = layout.task.draw(rng, QUESTIONS)
        network.reset(questions=(parts.repeat(ROLLOUTS, 1), query.repeat(ROLLOUTS, 1)))
        learner.update(play(network, lambda seen: learner.act(seen, rng), ROLLOUTS))
        if every and (update % every == 0 or update == updates):
            curve.append((update * network.batch, greedy_return(layout, learner.table)))
    return curve


def greedy_return(layout: Layout, table: np.ndarray) -> float:
    """Mean reward over all questions when every node sends its best message."""
    questions = layout.task.every()
    network = VectorNetwork(
        layout.task, layout.topology, layout.codebook, layout.bandwidth,
        batch=questions[0].shape[1],
    )  # fmt: skip
    network.reset(questions=questions)
    best = table.argmax(1)
    return float(play(network, lambda seen: best[seen]).rewards.mean())


def run(job: Job) -> dict[str, Any]:
    """Do a job and return its record."""
    started = time.perf_counter()
    layout, curve = (_level if job.kind == "level" else _growth)(job)
    reached = curve[-1][1]
    return vars(job) | {
        "key": job.key(),
        "return": round(reached, 6),
        "normalised": round(layout.returns.normalise(reached), 6),
        "curve": [(episodes, round(layout.returns.normalise(r), 4)) for episodes, r in curve],
        "seconds": round(time.perf_counter() - started, 2),
    }


def _level(job: Job) -> tuple[Layout, list[tuple[int, float]]]:
    layout = make_layout(**LEVELS[job.problem])
    learner = make_learner(ALGORITHMS[job.method], layout, job.seed, job.updates)
    rng = np.random.default_rng([job.seed, 1])
    return layout, train(learner, job.updates, rng, max(1, job.updates // POINTS))


def _growth(job: Job) -> tuple[Layout, list[tuple[int, float]]]:
    layouts = [make_layout(job.problem, topology) for topology in CHAINS[job.problem]]
    stages = layouts[-1:] if job.method == "scratch" else layouts
    share, curve = job.updates // len(stages), []
    before = None
    for stage, layout in enumerate(stages):
        learner = make_learner(ALGORITHMS[GROWN_BY], layout, job.seed, share)
        if before is not None:
            learner.table = grow_table(
                before.layout, layout, before.table, init=job.method, seed=job.seed
            )
        rng = np.random.default_rng([job.seed, 2, stage])
        updates = job.updates - share * (len(stages) - 1) if stage == len(stages) - 1 else share
        done = stage * share * QUESTIONS * ROLLOUTS
        found = train(learner, updates, rng, max(1, job.updates // POINTS))
        curve += [(done + episodes, reward) for episodes, reward in found]
        before = learner
    return layouts[-1], curve


def jobs(seeds: int, growth_seeds: int, updates: int) -> list[Job]:
    """Every algorithm on every level, and growth from every start, one seed after the other."""
    todo = []
    for seed in range(max(seeds, growth_seeds)):
        if seed < seeds:
            todo += [Job("level", a, name, seed, updates) for name in LEVELS for a in ALGORITHMS]
        if seed < growth_seeds:
            longer = 3 * updates // 2
            todo += [Job("growth", s, task, seed, longer) for task in CHAINS for s in STARTS]
    return todo


@contextmanager
def store(folder: Path) -> Iterator[tuple[dict[str, dict[str, Any]], Any]]:
    """Open a folder's records: those that are there by key, and a function that adds one.

    Raises:
        InputError: Another process writes there, or a line is broken.
    """
    path = folder / FILE
    with lock(folder / LOCK, folder), path.open("a+b") as file:
        file.seek(0)
        content = file.read()
        # A kill can leave half a line at the end; that run is done again.
        whole = content[: content.rfind(b"\n") + 1]
        file.truncate(len(whole))
        done = {}
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                record = json.loads(line)
                done[record["key"]] = record
            except (ValueError, TypeError, KeyError):
                raise InputError(f"{path}, line {number}: no record of a run") from None

        def add(record: dict[str, Any]) -> None:
            file.write(json.dumps(record).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            done[record["key"]] = record

        yield done, add
