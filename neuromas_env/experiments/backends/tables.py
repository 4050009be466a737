"""Arms on discrete networks: training, and what a trained table answers.

There is nothing to generalise to in these tasks, so all questions are trained on; one half of
them is for choosing learning rates, results are about the other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from neuromas_env.agents.learners.names import read_terms
from neuromas_env.agents.learners.shaping import informative
from neuromas_env.agents.tables.algorithms import PolicyGradient, sample, softmax
from neuromas_env.agents.tables.growth import grow_table
from neuromas_env.agents.tables.play import Batch, TableLearner, play
from neuromas_env.agents.tables.registry import gradient_options, learns_values, make_algorithm
from neuromas_env.envs.discrete.layout import Layout
from neuromas_env.envs.discrete.tasks import DiscreteTask
from neuromas_env.envs.discrete.vector import Questions, VectorNetwork
from neuromas_env.errors import InputError
from neuromas_env.experiments.options import DiscreteOptions
from neuromas_env.experiments.spec import Reached
from neuromas_env.files import read as read_file
from neuromas_env.files import reading, write
from neuromas_env.progress import Reporter
from neuromas_env.seeds import TableStream

POINTS = 20
BIAS = 2.0
"""Logit with which a role written by hand starts."""


@dataclass(frozen=True)
class Trained:
    """A trained table.

    Attributes:
        layout: The network that it ends with.
        table: float array `[observations, messages]`.
        parameters: Different numbers in it.
        curve: `(training questions so far, greedy return)`, on the validation questions or, if
            so asked for, on all.
        counters: Training `updates`, `questions`, `episodes`, `calls` and `tokens`, the
            symbols that were sent.
        score: Greedy return at the end, on the same questions.
        seconds: That it took.
    """

    layout: Layout
    table: np.ndarray
    parameters: int
    curve: list[tuple[int, float]]
    counters: dict[str, int]
    score: float
    seconds: float


def halves(task: DiscreteTask) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the validation and of the test questions, a random half each."""
    order = np.random.default_rng(0).permutation(task.questions())
    cut = len(order) // 2
    return np.sort(order[:cut]), np.sort(order[cut:])


def some(task: DiscreteTask, rows: np.ndarray) -> Questions:
    """Return questions by their numbers."""
    parts, query = task.every()
    return parts[:, rows], query[:, rows]


def train(
    options: DiscreteOptions,
    task: str,
    seed: int,
    rate: float | None,
    report: Reporter | None = None,
) -> Trained:
    """Train an arm.

    Args:
        options: Of the arm.
        task: Such as `routing:leaves=4,values=4`, or a level.
        seed: Of everything random.
        rate: Step size, None for the algorithm's.
        report: Told after every evaluation.
    """
    started = time.perf_counter()
    layouts, report = options.layouts(task), report or Reporter()
    total = sum(updates for _, updates in layouts)
    counters = dict.fromkeys(("updates", "questions", "episodes", "calls", "tokens"), 0)
    curve: list[tuple[int, float]] = []
    table, before = np.zeros((0, 0)), None
    report.begin(f"training {layouts[-1][0].topology.name}", total)
    due = _step(options, total, 0)
    for stage, (layout, updates) in enumerate(layouts):
        rows = _rows(options, layout, task, seed)
        learner = _learner(options, layout, rows, seed, rate, max(1, total))
        if before is not None:
            learner.table = grow_table(before, layout, table, init=options.grow_init, seed=seed)
        elif options.start != "own":
            learner.table = _start(options, layout, rows, seed)
        rng = np.random.default_rng([seed, options.stream, stage])
        network = VectorNetwork.of(layout, batch=options.questions * options.rollouts)
        for _ in range(updates):
            counters = _update(options, network, learner, rows, rng, counters)
            if counters["updates"] in (due, total):
                due += _step(options, total, due)
                score = _score(options, layout, learner.table[rows])
                curve.append((counters["questions"], score))
                report.advance(counters["updates"], {options.evaluated_on: score})
        table, before = learner.table[rows], layout
    report.end()
    parameters = len(np.unique(rows)) * layout.messages
    score, seconds = _score(options, layout, table), time.perf_counter() - started
    return Trained(layout, table, parameters, curve, counters, score, seconds)


def _score(options: DiscreteOptions, layout: Layout, table: np.ndarray) -> float:
    """Return the greedy return on the questions that an arm is evaluated on."""
    everything = options.evaluated_on == "all"
    rows = np.arange(layout.task.questions()) if everything else halves(layout.task)[0]
    return float(greedy(layout, table, rows).mean())


def _step(options: DiscreteOptions, total: int, done: int) -> int:
    """After how many more updates the next evaluation is."""
    return max(1, (total if options.evaluated == "evenly" else done) // POINTS)


def _update(
    options: DiscreteOptions,
    network: VectorNetwork,
    learner: TableLearner,
    rows: np.ndarray,
    rng: np.random.Generator,
    counters: Mapping[str, int],
) -> dict[str, int]:
    """Play one batch and learn from it; return the counters after it."""
    layout = network.layout
    drawn = layout.task.draw(rng, options.questions)
    network.reset(questions=(drawn[0].repeat(options.rollouts, 1),
                             drawn[1].repeat(options.rollouts, 1)))  # fmt: skip
    batch = play(network, lambda seen: learner.act(rows[seen], rng), options.rollouts)
    rewards = batch.rewards + shaping(layout, batch, read_terms(options.shaping))
    batch = replace(batch, seen=rows[batch.seen], rewards=rewards)
    learner.update(batch)
    calls = batch.sent.size
    if isinstance(learner, LeaveOneNodeOut):
        calls += learner.replayed
    more = {
        "updates": 1, "questions": options.questions, "episodes": network.batch,
        "calls": calls, "tokens": calls * layout.bandwidth,
    }  # fmt: skip
    return {key: counters[key] + more[key] for key in counters}


def shaping(layout: Layout, batch: Batch, terms: Mapping[str, float]) -> np.ndarray:
    """Return what the terms add to each reward.

    Here a message costs (`length`) unless it is symbol 0, which stands for silence, and an
    answer can be read (`format`) if it is one of the task's.
    """
    total = np.zeros(len(batch.rewards))
    if "length" in terms:
        total -= terms["length"] * (batch.sent > 0).mean(0)
    if "format" in terms:
        total += terms["format"] * (batch.sent[-1] < layout.task.answers)
    if "informative" in terms and len(batch.sent) > 1:
        groups = (np.arange(len(total)) // batch.rollouts).tolist()
        each = [informative(node.tolist(), groups) for node in batch.sent[:-1]]
        total += terms["informative"] * np.mean(each, axis=0)
    return total


class LeaveOneNodeOut(PolicyGradient):
    """Credit of a message: the reward, minus that of the episode played without it.

    Without it the node says anything at random, as it did before training, and the nodes that
    hear of it, directly or not, speak anew. What was said before or beside it stays. This
    difference depends on the message through the reward alone, so the gradient stays unbiased;
    its mean over the question's other episodes is taken away as well. For the output node,
    without which there is no answer, that is the leave-one-out credit.

    Attributes:
        replayed: Messages that the last batch's credit took.
    """

    def __init__(self, layout: Layout, rows: np.ndarray, **options: Any) -> None:
        """Take the network, the row of the table for every observation, and options."""
        super().__init__(layout, **options)
        self._rows, self._seed, self._count = rows, options["seed"], 0
        self.replayed = 0

    def credits(self, batch: Batch) -> np.ndarray:
        """Credit of every message, `[nodes, episodes]`."""
        self._count += 1
        self.replayed = 0
        rng = np.random.default_rng([self._seed, TableStream.ROWS, self._count])
        found = np.empty(batch.seen.shape)
        for node in range(len(found)):
            gain = batch.rewards
            if node < len(found) - 1:
                gain = gain - self._without(node, batch, rng)
            groups = gain.reshape(-1, batch.rollouts)
            assert self._advantage is not None
            found[node] = self._advantage(groups).ravel()
        return found

    def _without(self, node: int, batch: Batch, rng: np.random.Generator) -> np.ndarray:
        layout, p = self.layout, softmax(self.table)
        network = VectorNetwork.of(layout, batch=len(batch.rewards))
        network.reset(questions=(batch.network.parts, batch.network.query))
        hears, rewards = descendants(layout, node), None
        for layer in layout.layers:
            sent = batch.sent[list(layer)].copy()
            for place, other in enumerate(layer):
                if other == node:
                    sent[place] = rng.integers(layout.messages, size=network.batch)
                elif other in hears:
                    sent[place] = sample(p, self._rows[network.observe(other)], rng)
                    self.replayed += network.batch
            _, rewards = network.step(sent)
        assert rewards is not None
        return rewards.astype(np.float64)


def descendants(layout: Layout, node: int) -> set[int]:
    """Return the nodes that hear of a node's message, directly or through others."""
    heard: set[int] = set()
    for other in range(node + 1, len(layout.topology)):
        if heard.intersection(layout.sources[other]) or node in layout.sources[other]:
            heard.add(other)
    return heard


def greedy(
    layout: Layout, table: np.ndarray, rows: np.ndarray, change: Callable | None = None
) -> np.ndarray:
    """Return the reward of each of some questions when all nodes send their best message."""
    return messages(layout, lambda seen: table.argmax(1)[seen], rows, change)[1]


def messages(
    layout: Layout,
    act: Callable[[np.ndarray], np.ndarray],
    rows: np.ndarray,
    change: Callable[[int, np.ndarray], np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the nodes send, `[turns, questions]`, and the rewards.

    Args:
        layout: The network.
        act: Observations to messages.
        rows: Numbers of the questions.
        change: Node and its messages to what is heard instead.
    """
    network = VectorNetwork.of(layout, batch=len(rows))
    network.reset(questions=some(layout.task, rows))
    nodes = len(layout.topology)
    sent = np.empty((layout.topology.rounds * nodes, len(rows)), np.int64)
    rewards = None
    for turns in layout.ticks:
        for turn, seen in zip(turns, network.observations(), strict=True):
            sent[turn] = act(seen)
            sent[turn] = sent[turn] if change is None else change(turn % nodes, sent[turn])
        _, rewards = network.step(sent[list(turns)])
    assert rewards is not None
    return sent, rewards.astype(np.float64)


def save(folder: Path, trained: Trained) -> None:
    """Write a trained table into a folder, the result last."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "table.npy", trained.table)
    result = {
        "validation": trained.score,
        "parameters": trained.parameters,
        "curve": trained.curve,
        "counters": trained.counters,
        "seconds": round(trained.seconds, 2),
    }
    write(folder / "result.json", json.dumps(result))


def read(folder: Path) -> Reached:
    """Return the result that `save` wrote: a report needs no table."""
    return read_file(folder / "result.json", Reached)


def read_table(folder: Path) -> np.ndarray:
    """Return the table that `save` wrote."""
    path = folder / "table.npy"
    with reading(path):
        table = np.load(path)
        if table.ndim != 2 or not np.isfinite(table).all():
            raise InputError("it must hold a table of numbers")
    return table


def _learner(
    options: DiscreteOptions,
    layout: Layout,
    rows: np.ndarray,
    seed: int,
    rate: float | None,
    updates: int,
) -> TableLearner:
    chosen = {} if rate is None else {"rate": rate}
    if options.credit == "leave_one_node_out":
        own = gradient_options(options.learner) or {}
        return LeaveOneNodeOut(layout, rows, **own | chosen, seed=seed)
    return make_algorithm(options.learner, layout, seed=seed, updates=updates, **chosen)


def _rows(options: DiscreteOptions, layout: Layout, task: str, seed: int) -> np.ndarray:
    """The row of the table that every observation uses: `[observations]`."""
    rows = np.arange(sum(layout.sizes))
    room = options.rows(task)
    if room is not None and room < len(rows):
        # Each row is used before any is used twice; which share one is chance.
        order = np.random.default_rng([seed, TableStream.ROWS]).permutation(len(rows))
        rows = order.argsort() % room
    if options.shared:
        first: dict[tuple[int, ...], int] = {}
        for node, radices in enumerate(layout.radices):
            start = first.setdefault(radices, layout.offsets[node])
            own = slice(layout.offsets[node], layout.offsets[node] + layout.sizes[node])
            rows[own] = start + np.arange(layout.sizes[node])
    return rows


def _start(options: DiscreteOptions, layout: Layout, rows: np.ndarray, seed: int) -> np.ndarray:
    table = np.zeros((sum(layout.sizes), layout.messages))
    if options.start == "noise":
        table = np.random.default_rng([seed, TableStream.START]).standard_normal(table.shape)
    if learns_values(options.learner):
        table = table + 1e-3 * np.random.default_rng([seed, TableStream.START]).random(table.shape)
    if options.start == "repeat":
        for node, radices in enumerate(layout.radices):
            size = layout.sizes[node]
            seen = np.stack(np.unravel_index(np.arange(size), radices or (1,)))
            # A part counts from 0; a message from 1, since 0 is nothing yet; a query before it.
            query = len(layout.task.query) if layout.reads_query[node] else 0
            first = seen[0] if layout.parts[node] else seen[min(query, len(seen) - 1)] - 1
            own = layout.offsets[node] + np.arange(size)
            table[rows[own], first.clip(0, layout.messages - 1)] += BIAS
    return table
