"""Accuracy in the course of a run, on questions that are neither trained on nor reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.agents.training.evaluate import Evaluation
from neuromas_env.agents.training.trackers import SCORES
from neuromas_env.tasks import Example, Task

Line = Mapping[str, Any]


def questions(config: TrainConfig, task: Task) -> list[Example]:
    """Return the validation questions of a run, none where the task has none.

    Where the held-out questions come from the same split, these are the ones after them.
    """
    rows = task.examples("validation") if config.validate_questions else ()
    first = config.eval_questions if config.eval_split == "validation" else 0
    return [rows[i] for i in range(first, min(first + config.validate_questions, len(rows)))]


def due(config: TrainConfig, step: int) -> bool:
    """Whether a run validates after a step: at its start and end, and every so many steps."""
    every = config.validate_every
    return step in (0, config.total_steps()) or bool(every and step % every == 0)


def figures(evaluation: Evaluation) -> dict[str, float]:
    """Return what a line of metrics holds of an evaluation on validation questions."""
    return {"n": evaluation.n} | {name: getattr(evaluation, name) for name in SCORES}


def peak_and_final(lines: Sequence[Line], reward: str = "extracted") -> dict[str, dict[str, float]]:
    """Return the best and the last validation of a run, each with its `step`.

    The best has the highest score of those that the reward is made of, then the highest other one,
    and is the earliest of equals. As the largest of several noisy figures it is biased upwards;
    the last is not.

    Args:
        lines: Lines of metrics; of a run that does not validate nothing is returned.
        reward: `strict`, `extracted`, or the mean of `both`.
    """

    def worth(scores: Mapping[str, float]) -> tuple[float, float]:
        strict, extracted = scores["strict"], scores["extracted"]
        if reward == "both":
            return strict + extracted, strict
        return (strict, extracted) if reward == "strict" else (extracted, strict)

    found = [{"step": line["step"], **line["validation"]} for line in lines if "validation" in line]
    if not found:
        return {}
    return {"peak": max(found, key=worth), "final": found[-1]}


def best_step(lines: Sequence[Line], config: TrainConfig, first: int = 0) -> int | None:
    """Return the step whose weights a run keeps, None for the last one.

    Args:
        lines: Lines of metrics.
        config: Options of the run.
        first: The last network's first step.
    """
    if config.keep == "last":
        return None
    found = peak_and_final([line for line in lines if line["step"] >= first], config.reward)
    return int(found["peak"]["step"]) if found else None


def mean_norms(lines: Sequence[Line], topology: str) -> dict[str, float]:
    """Return each node's gradient norm, before clipping, in the mean of the steps of a network.

    Args:
        lines: Lines of metrics.
        topology: The network's name; one that has grown renames nodes.
    """
    prefix, each = "gradient_norm/", dict[str, list[float]]()
    for line in lines:
        if line.get("topology") == topology:
            for name in (name for name in line if name.startswith(prefix)):
                each.setdefault(name.removeprefix(prefix), []).append(line[name])
    return {node: sum(values) / len(values) for node, values in each.items()}
