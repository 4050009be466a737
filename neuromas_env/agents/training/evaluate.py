"""How well a network answers held-out questions, and whether its messages matter."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from neuromas_env.checks import Natural, arguments
from neuromas_env.errors import InputError
from neuromas_env.method import Method
from neuromas_env.policy import Cost, Trajectory, Usage
from neuromas_env.rollout import Intervene, run_episodes
from neuromas_env.tasks.base import Example, Task

CHUNK = 64
"""Questions that run at once. Low-precision arithmetic depends on it, so it is fixed."""

Progress = Callable[[int, int], None]
"""Gets how many of how many questions are done; what it raises ends the evaluation."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of a network on some questions of one split.

    Attributes:
        n: Number of questions.
        strict: Mean strict score.
        extracted: Mean extracted score.
        strict_interval: 95 % Wilson interval of `strict`.
        extracted_interval: 95 % Wilson interval of `extracted`.
        parse_rate: Share of replies in which an answer was found.
        reasons: How often each reason was given for a score.
        errors: Episodes that failed; they count as wrong.
        first_error: What the first failed episode says.
        majority: Accuracy of the best constant answer on the whole split.
        blind: Best accuracy without any message, None where the task does not know it.
        cost: `calls`, `prompt_tokens`, `completion_tokens` and `seconds` of the engine.
        reader: Name and version of the reader that scored the answers, empty for a score without
            one. What was written before readers had versions is `neuromas 1`'s.
    """

    n: int
    strict: float
    extracted: float
    strict_interval: tuple[float, float]
    extracted_interval: tuple[float, float]
    parse_rate: float
    reasons: dict[str, int]
    errors: int
    first_error: str | None
    majority: float
    blind: float | None
    cost: dict[str, float]
    reader: str = "neuromas 1"

    def to_dict(self) -> dict[str, Any]:
        """Return a dict for JSON; `from_dict` reads it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Evaluation:
        """Read what `to_dict` gave, also after JSON has made lists of the intervals."""
        values = dict(data)
        for key in ("strict_interval", "extracted_interval"):
            values[key] = tuple(values[key])
        return cls(**values)


@arguments
def evaluate(
    method: Method,
    task: Task,
    examples: Sequence[Example],
    *,
    split: str = "test",
    seed: Natural = 0,
    intervene: Intervene | None = None,
    progress: Progress | None = None,
    play: Callable[..., list[Trajectory]] = run_episodes,
    phase: str = "eval",
) -> Evaluation:
    """Run every question once and score the answers.

    Args:
        method: What is run; decode greedily for comparable figures. The cost of its engines is
            counted under `phase`.
        task: Scores the answers.
        examples: The questions.
        split: Where the questions come from, for the constant and the blind baseline.
        seed: For policies that sample; a question's seeds derive from it and from the question's
            place among all.
        intervene: Replaces messages between layers.
        progress: Called after every chunk of questions.
        play: Runs the episodes, as `run_episodes` does.
        phase: Under which the cost is counted.

    Raises:
        InputError: There are no questions, or every single episode failed.
    """
    if not examples:
        raise InputError("an evaluation needs at least one question")
    costs = method.costs
    phases, before = [cost.phase for cost in costs], _total(costs, phase)
    for cost in costs:
        cost.phase = phase
    try:
        done: list[Trajectory] = []
        # Of equal size, so that no chunk is left with one question, which could not be shuffled.
        for part in np.array_split(np.arange(len(examples)), math.ceil(len(examples) / CHUNK)):
            numbers = part.tolist()
            chunk = [examples[number] for number in numbers]
            # By a question's own number: no chunk has the seeds of another, nor of another seed's.
            done += play(method, task, chunk, seed=seed, numbers=numbers, intervene=intervene)
            if progress is not None:
                progress(len(done), len(examples))
        spent = _difference(_total(costs, phase), before)
    finally:
        for cost, old in zip(costs, phases, strict=True):
            cost.phase = old
    return _summary(done, task, split, spent)


def communication_ablation(
    method: Method,
    task: Task,
    examples: Sequence[Example],
    *,
    split: str = "test",
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Evaluation]:
    """Evaluate with the hidden nodes' messages destroyed; the output node's stays.

    Over several rounds it stays wherever it is heard: it is the action that a task replies to.

    Args:
        method: The network.
        task: Scores the answers.
        examples: Questions of the task, at least two.
        split: Their split, for the bounds of the evaluation.
        seed: Of sampled replies and of the shuffling.
        progress: Shows a bar.

    Returns:
        `blanked`: every hidden message is empty. `shuffled`: every question gets the
        hidden messages of another one of its chunk.

    Raises:
        InputError: There are fewer than two questions, or only one node.
    """
    if len(examples) < 2 or len(method.topology) < 2:
        raise InputError("taking messages away needs two questions and two nodes at least")
    output = method.topology.output
    interventions = {"blanked": blank(output), "shuffled": shuffle(output, seed)}
    return {
        name: evaluate(
            method, task, examples, split=split, seed=seed, intervene=intervene, progress=progress
        )
        for name, intervene in interventions.items()
    }


def blank(output: str, nodes: Collection[str] | None = None) -> Intervene:
    """Make the intervention that empties the messages of some nodes, by default of all.

    The output node's always stays.
    """
    return lambda layer: [
        {node: "" if _taken(node, output, nodes) else text for node, text in messages.items()}
        for messages in layer
    ]


def shuffle(output: str, seed: int, nodes: Collection[str] | None = None) -> Intervene:
    """Make the intervention that gives every question the messages of another one.

    The order is a random cycle (Sattolo's algorithm), so no question keeps its own.

    Args:
        output: The node whose message stays.
        seed: Of the order.
        nodes: Whose messages are given away, by default those of all nodes.
    """
    rng = np.random.default_rng(seed)

    def intervene(layer: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
        if not layer:  # every episode of the chunk has failed
            return []
        mixed = [dict(messages) for messages in layer]
        full = max((messages.keys() for messages in layer), key=len)
        # An episode whose call failed has no message to give and takes none.
        whole = [i for i, messages in enumerate(layer) if messages.keys() == full]
        order = whole.copy()
        for last in range(len(order) - 1, 0, -1):
            other = int(rng.integers(last))
            order[last], order[other] = order[other], order[last]
        for taker, giver in zip(whole, order, strict=True):
            mixed[taker] |= {n: t for n, t in layer[giver].items() if _taken(n, output, nodes)}
        return mixed

    return intervene


def _taken(node: str, output: str, nodes: Collection[str] | None) -> bool:
    return node != output and (nodes is None or node in nodes)


def wilson(successes: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the score interval of a share (Wilson 1927).

    Args:
        successes: How many; scores with partial credit need not be whole.
        n: Of how many, at least 1.
        z: Quantile of the normal distribution; the default is that of 95 %.
    """
    share, shrink = successes / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def _summary(
    done: Sequence[Trajectory], task: Task, split: str, cost: dict[str, float]
) -> Evaluation:
    scores = [t.score for t in done if t.score is not None and t.error is None]
    errors = [t.error for t in done if t.error is not None]
    if not scores:
        raise InputError(f"every episode failed; the first: {errors[0]}")
    n = len(done)
    strict, extracted = sum(s.strict for s in scores), sum(s.extracted for s in scores)
    reasons = Counter(score.reason for score in scores)
    return Evaluation(
        n=n,
        strict=strict / n,
        extracted=extracted / n,
        strict_interval=wilson(strict, n),
        extracted_interval=wilson(extracted, n),
        parse_rate=(reasons["ok"] + reasons["wrong"]) / n,
        reasons=dict(sorted(reasons.items())),
        errors=len(errors),
        first_error=errors[0] if errors else None,
        majority=task.majority(split),
        blind=task.blind_accuracy(split),
        cost=cost,
        reader=task.read_by,
    )


def _total(costs: Sequence[Cost], phase: str) -> Usage:
    total = Usage()
    for cost in costs:
        total.add(cost.total(phase))
    return total


def _difference(after: Usage, before: Usage) -> dict[str, float]:
    old = asdict(before)
    return {key: value - old[key] for key, value in asdict(after).items()}
