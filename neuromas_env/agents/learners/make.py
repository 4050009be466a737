"""Learners as training makes them: by name, with the rewards that a configuration shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neuromas_env.agents.learners.base import Learner, learner_class
from neuromas_env.agents.learners.names import read_terms
from neuromas_env.agents.learners.shaping import Shaped
from neuromas_env.checks import arguments
from neuromas_env.policy import Engine


@arguments
def make_learner(name: str, engine: Engine, nodes: Sequence[str], config: Any) -> Learner:
    """Build a learner by name, shown shaped rewards if the configuration asks for them.

    Raises:
        InputError: No such learner, or a package's learner cannot be imported.
    """
    learner = learner_class(name).make(engine, nodes, config)
    terms = read_terms(config.shaping)
    return Shaped(learner, terms) if terms else learner
