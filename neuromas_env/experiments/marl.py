"""The experiment `marl` with algorithms, levels and a length that a user chooses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict

from neuromas_env.envs.discrete.levels import level
from neuromas_env.experiments.load import load
from neuromas_env.experiments.options import DiscreteOptions
from neuromas_env.experiments.spec import Arm, Experiment, Study

NAME = "marl"


class Chosen(TypedDict, total=False):
    """Arguments of `marl_experiment`, as `experiment.json` has them; seeds stand there apart."""

    algorithms: list[str]
    levels: list[str]
    updates: int
    growth_seeds: int


def marl_experiment(
    scale: str = "tiny",
    *,
    algorithms: Sequence[str] = (),
    levels: Sequence[str] = (),
    updates: int | None = None,
    seeds: int | None = None,
    growth_seeds: int | None = None,
) -> Experiment:
    """Return the comparison of algorithms on levels, and of growth with training from scratch.

    Args:
        scale: `tiny` or `quick`.
        algorithms: Names, perhaps with options, instead of this package's.
        levels: Names instead of the twelve of one round.
        updates: Of a run on a level, instead of the scale's; growth has half as many again.
        seeds: Instead of the scale's.
        growth_seeds: Of growth alone. Growth is left out where algorithms or levels are chosen
            and this is not given.

    Raises:
        InputError: There is no such algorithm, option, level or scale.
    """
    length = {"levels": updates, "growth": updates and 3 * updates // 2}
    chosen = load(NAME, scale, seeds, {k: {"updates": n} for k, n in length.items() if n})
    found = {study.name: study for study in chosen.studies}
    found["levels"] = _choose(found["levels"], algorithms, levels)
    if growth_seeds is not None:
        found["growth"] = replace(found["growth"], seeds=growth_seeds)
    elif algorithms or levels:
        del found["growth"]
    asked = {
        "algorithms": list(algorithms), "levels": list(levels), "updates": updates,
        "growth_seeds": growth_seeds,
    }  # fmt: skip
    kept = {key: value for key, value in asked.items() if value}
    return replace(chosen, studies=tuple(found.values()), chosen=kept)


def _choose(study: Study, algorithms: Sequence[str], levels: Sequence[str]) -> Study:
    shared = dict(next(iter(study.arms.values())).options)
    tasks = tuple(levels) or study.tasks
    arms = {}
    for name in algorithms or study.arms:
        options = shared | {"learner": name}
        for task in tasks:
            level(task)  # tells of one that is unknown
            DiscreteOptions.from_mapping(options).layouts(task)
        arms[name] = Arm(name, "train", options, tasks=tasks)
    return replace(study, tasks=tasks, arms=arms)
