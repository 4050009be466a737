"""What trained discrete networks answer: greedily, by a vote, or with a message taken away."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np

from neuromas_env.agents.tables.algorithms import sample, softmax
from neuromas_env.baselines.vote import vote
from neuromas_env.bench.store import Answer
from neuromas_env.envs.discrete.layout import Layout
from neuromas_env.envs.discrete.levels import LEVELS
from neuromas_env.envs.discrete.tasks import make_discrete_task
from neuromas_env.errors import InputError
from neuromas_env.experiments.backends.tables import halves, messages, some
from neuromas_env.seeds import TableStream
from neuromas_env.tasks.base import Example


def answer(
    layout: Layout,
    table: np.ndarray,
    rows: np.ndarray,
    *,
    seed: int = 0,
    samples: int = 0,
    change: Callable | None = None,
) -> list[Answer]:
    """Answer questions greedily, or by a vote over samples.

    Args:
        layout: The network.
        table: Of its nodes.
        rows: Numbers of the questions among the test questions.
        seed: Of the samples; each question's depend on its number.
        samples: How many vote; 0 for one greedy answer.
        change: See `messages`.
    """
    test = halves(layout.task)[1]
    chosen = test[rows]
    if not samples:
        drawn = [messages(layout, lambda seen: table.argmax(1)[seen], chosen, change)[0]]
    else:
        p, drawn = softmax(table), []
        for number in range(samples):
            # For all test questions, so that a question's sample does not depend on the chunk.
            rng = np.random.default_rng([seed, TableStream.SAMPLES, number])
            drawn.append(messages(layout, lambda seen: sample(p, seen, rng), test)[0][:, rows])  # noqa: B023
    parts, query = some(layout.task, chosen)
    right = layout.task.rule(parts, query)
    nodes, turns, each = len(layout.topology), len(drawn[0]), []
    for i, row in enumerate(rows):
        votes = [str(sent[-1, i]) for sent in drawn]
        said = int(votes[vote(votes).winner or 0])
        score = float(said == right[i])
        reason = "ok" if score else "wrong" if said < layout.task.answers else "unparsable"
        calls = len(drawn) * turns
        spoken = [
            {"node": f"node_{turn % nodes}", "text": " ".join(str(sent[turn, i]) for sent in drawn)}
            | ({"round": turn // nodes} if turn >= nodes else {})
            for turn in range(turns)
        ]
        each.append(
            Answer(
                row=int(row), row_id=f"test/{row}", answer=str(said), strict=score,
                extracted=score, reason=reason, tie=vote(votes).tie if samples else None,
                error=None, calls=calls, cached=0, prompt_tokens=0,
                completion_tokens=calls * layout.bandwidth, seconds=0.0, sandbox=None,
                transcript=json.dumps(spoken),
            )
        )  # fmt: skip
    return each


def examples(task: str) -> list[Example]:
    """Return the test questions of a task, or of a level."""
    made = make_discrete_task(LEVELS[task]["task"] if task in LEVELS else task)
    parts, query = some(made, halves(made)[1])
    right = made.rule(parts, query)
    return [
        Example(f"test/{i}", f"parts {list(map(int, parts[:, i]))}, query "
                f"{list(map(int, query[:, i]))}", str(right[i]))
        for i in range(len(right))
    ]  # fmt: skip


def ablation(layout: Layout, node: int, how: str, seed: int) -> Callable:
    """Return the change that takes a node's message away.

    `blank` sends symbol 0 always, `shuffle` another question's message, `base` what the
    untrained node says: anything.
    """
    rng = np.random.default_rng([seed, TableStream.CHANGE, node])

    def change(who: int, sent: np.ndarray) -> np.ndarray:
        if who != node:
            return sent
        if how == "base":
            return rng.integers(layout.messages, size=len(sent))
        return np.zeros_like(sent) if how == "blank" else sent[_cycle(len(sent), rng)]

    return change


def swapped(layout: Layout, table: np.ndarray, node: str, other: str) -> np.ndarray:
    """Return the table of a network in which two nodes, which must be alike, change tables."""
    found = table.copy()
    places = [layout.topology.nodes.index(name) for name in (node, other)]
    mine, its = (layout.offsets[place] + np.arange(layout.sizes[place]) for place in places)
    found[mine], found[its] = table[its], table[mine]
    return found


def check_alike(layout: Layout, node: str, other: str) -> None:
    """Check that what one node sees can be looked up in another's table.

    Raises:
        InputError: They see different sorts of things.
    """
    mine, its = (layout.radices[layout.topology.nodes.index(name)] for name in (node, other))
    if mine != its:
        raise InputError(
            f"{node} and {other} must see the same sort of things to swap, got things with {mine} "
            f"and {its} values"
        )


def _cycle(count: int, rng: np.random.Generator) -> np.ndarray:
    """A random order in which nothing keeps its place."""
    order = rng.permutation(count)
    found = np.empty(count, np.int64)
    found[order] = np.roll(order, 1)
    return found
