"""The door for learners: what learns from trajectories, and by which name it is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Protocol

import numpy as np

from neuromas_env.agents.learners.shaping import Shaped, read_terms
from neuromas_env.errors import InputError, unknown
from neuromas_env.policy import Trajectory

ENTRY_POINTS = "neuromas_env.learners"


class Learner(Protocol):
    """Improves the adapters of an engine from whole-network episodes.

    A learner that needs other episodes than `rollouts` of each question, sampled with the
    adapters, also has `gather(play, team)`, which returns a step's episodes: `team(...)` makes
    a team with the options of `llm_team`, and `play(team, ...)` runs the step's questions with
    the options of `run_episodes`.
    """

    def update(self, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        """Learn from one batch and return metrics by name.

        The batch holds the same number of episodes of every question, those of a
        question side by side, and no failed ones.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything besides the adapters that a resumed run needs."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        ...


MakeLearner = Callable[..., Learner]
"""`make(engine, nodes, config)`: an engine with trainable adapters, the names of the nodes
to train and the training configuration."""

_BUILT_IN = {
    "joint": "neuromas_env.agents.learners.reinforce:joint",
    "joint_unplaced": "neuromas_env.agents.learners.reinforce:joint",
    "joint_roles": "neuromas_env.agents.learners.reinforce:joint",
    "joint_whole": "neuromas_env.agents.learners.reinforce:joint",
    "independent": "neuromas_env.agents.learners.reinforce:independent",
    "collm_cc": "neuromas_env.agents.learners.actor_critic:collm_cc",
    "collm_dc": "neuromas_env.agents.learners.actor_critic:collm_dc",
    "magrpo": "neuromas_env.agents.learners.actor_critic:magrpo",
    "counterfactual": "neuromas_env.agents.learners.counterfactual:counterfactual",
    "malt": "neuromas_env.agents.learners.malt:malt",
    "tabular": "neuromas_env.agents.learners.tabular:tabular",
}
_registered: dict[str, MakeLearner] = {}


def register_learner(name: str, make: MakeLearner) -> None:
    """Make a learner known under a name, for `neuromas train --learner NAME`."""
    _registered[name] = make


def list_learners() -> list[str]:
    """Names of all learners: built in, registered, and from installed packages."""
    installed = {point.name for point in entry_points(group=ENTRY_POINTS)}
    return sorted({*_BUILT_IN, *_registered, *installed})


def make_learner(name: str, engine: Any, nodes: Sequence[str], config: Any) -> Learner:
    """Build a learner by name, shown shaped rewards if the configuration asks for them.

    Raises:
        InputError: No such learner, or a package's learner cannot be imported.
    """
    learner, terms = _make(name, engine, nodes, config), read_terms(getattr(config, "shaping", ""))
    return Shaped(learner, terms) if terms else learner


def _make(name: str, engine: Any, nodes: Sequence[str], config: Any) -> Learner:
    if name in _registered:
        return _registered[name](engine, nodes, config)
    if name in _BUILT_IN:
        module, function = _BUILT_IN[name].split(":")
        return getattr(import_module(module), function)(engine, nodes, config)
    for point in entry_points(group=ENTRY_POINTS):
        if point.name == name:
            try:
                return point.load()(engine, nodes, config)
            except ImportError as error:
                raise InputError(f"learner {name!r} of {point.value}: {error}") from error
    raise unknown("learner", name, list_learners())


def reward_table(trajectories: Sequence[Trajectory]) -> np.ndarray:
    """Arrange the rewards of a batch as `[questions, rollouts]`.

    Raises:
        InputError: The questions have different numbers of episodes.
    """
    groups = [trajectory.group for trajectory in trajectories]
    count = len(set(groups))
    if (
        not count
        or len(groups) % count
        or any(
            len(set(groups[i : i + len(groups) // count])) > 1
            for i in range(0, len(groups), len(groups) // count)
        )
    ):
        raise InputError("a learner needs the same number of episodes of each question, in a row")
    return np.array([trajectory.reward for trajectory in trajectories]).reshape(count, -1)
