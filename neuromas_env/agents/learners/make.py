"""Learners as training makes them: by name, with the rewards that a configuration shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from neuromas_env.agents.learners.base import Learner, learner_class
from neuromas_env.agents.learners.names import read_terms
from neuromas_env.agents.learners.shaping import Shaped
from neuromas_env.checks import arguments


@arguments
def make_learner(
    name: str,
    engine: Any,
    nodes: Sequence[str],
    config: Any,
    extract: Callable[[str, str], str | None] | None = None,
) -> Learner:
    """Build a learner by name, with the rewards and the warm-up that a configuration asks for.

    Args:
        name: Of the learner.
        engine: Holds the adapters.
        nodes: Whose adapters are trained.
        config: A training configuration.
        extract: Finds the answers that the warm-up imitates, as the task's `extract` does; without
            it there is none.

    Raises:
        InputError: No such learner, or a package's learner cannot be imported.
    """
    kind = learner_class(name)
    if extract is None or not kind.warms_up or config.warm_up == 0:
        return _shaped(kind.make(engine, nodes, replace(config, warm_up=0)), config)
    from neuromas_env.agents.learners.warm_up import WarmUp  # needs torch

    return WarmUp(
        _shaped(kind.make(engine, nodes, config), config), engine, nodes, extract,
        steps=config.warm_up_steps(), base_temperature=config.warm_up_temperature,
        learning_rate=config.warm_up_rate, weight_decay=config.weight_decay,
        clip=config.clip, temperature=config.temperature,
    )  # fmt: skip


def _shaped(learner: Learner, config: Any) -> Learner:
    terms = read_terms(config.shaping)
    return Shaped(learner, terms) if terms else learner
