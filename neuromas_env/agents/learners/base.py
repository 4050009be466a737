"""The door for learners: what learns from trajectories, and by which name it is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from neuromas_env.agents.learners.shaping import Shaped, read_terms
from neuromas_env.errors import InputError
from neuromas_env.policy import Engine, Trajectory
from neuromas_env.registry import Registry, built_in


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
    "joint": ("reinforce:joint", "REINFORCE on all nodes from one reward"),
    "joint_unplaced": (
        "reinforce:joint",
        "joint, with prompts that do not place a node",
    ),
    "joint_roles": ("reinforce:joint", "joint, with a role for every node"),
    "joint_whole": ("reinforce:joint", "joint, where every node reads the whole question"),
    "independent": ("reinforce:independent", "REINFORCE by every node for itself"),
    "collm_cc": ("actor_critic:collm_cc", "CoLLM with a centralised critic"),
    "collm_dc": ("actor_critic:collm_dc", "CoLLM with a critic for every node"),
    "magrpo": ("actor_critic:magrpo", "MAGRPO: advantages relative to a question's group"),
    "counterfactual": (
        "counterfactual:counterfactual",
        "difference rewards: the episode again without one node's message",
    ),
    "malt": ("malt:malt", "MALT: trees of replies, then imitation and preferences"),
    "tabular": ("tabular:tabular", "exact REINFORCE on a table of logits"),
}
LEARNERS: Registry[MakeLearner] = Registry(
    "learner", "neuromas_env.learners", built_in("neuromas_env.agents.learners", _BUILT_IN)
)


def register_learner(name: str, make: MakeLearner | None = None, *, about: str = "") -> Any:
    """Make a learner known under a name, for `neuromas train --learner NAME`.

    Args:
        name: A plain word that no learner of this project has.
        make: The learner's class, or a function with its parameters. Left out, what comes
            back is a decorator.
        about: One line for lists; by default the first line of the docstring.

    Raises:
        InputError: The name is no plain word, or is one of this project's.
    """
    return LEARNERS.register(name, make, about=about)


def list_learners() -> dict[str, str]:
    """Return name and one-line description of every learner."""
    return LEARNERS.abouts()


def make_learner(name: str, engine: Engine, nodes: Sequence[str], config: Any) -> Learner:
    """Build a learner by name, shown shaped rewards if the configuration asks for them.

    Raises:
        InputError: No such learner, or a package's learner cannot be imported.
    """
    learner = LEARNERS.find(name)(engine, nodes, config)
    terms = read_terms(config.shaping)
    return Shaped(learner, terms) if terms else learner


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
