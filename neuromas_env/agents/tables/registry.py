"""Algorithms for discrete networks by name: this package's, and those of its users.

An algorithm is a function that makes a `TableLearner` of a network:

    make(layout, *, seed, updates, **options)

`seed` is of everything random in it, `updates` is how many batches it will be trained on, for
schedules. Its options have defaults; a name may set them, as in `IQL:rate=0.2,explore=0.1`.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from neuromas_env.agents.tables.algorithms import PolicyGradient, QLearning
from neuromas_env.agents.tables.play import TableLearner
from neuromas_env.checks import arguments, check_arguments
from neuromas_env.envs.discrete.layout import Layout
from neuromas_env.errors import InputError, placed, unknown
from neuromas_env.registry import Registry, built_in
from neuromas_env.tasks.names import split_options

MakeAlgorithm = Callable[..., TableLearner]
_GIVEN = ("layout", "seed", "updates")

_reinforce = partial(PolicyGradient, rate=0.3, entropy=0.01)
leave_one_out = partial(_reinforce, credit="leave_one_out")
batch_mean = partial(_reinforce, credit="batch_mean")
moving_average = partial(_reinforce, credit="moving_average")
grpo = partial(_reinforce, credit="group_normalised")
actor_critic = partial(_reinforce, credit="own", critic_rate=0.2)
ippo = partial(_reinforce, credit="own", critic_rate=0.2, epochs=4)
mappo = partial(PolicyGradient, rate=0.1, entropy=0.01, credit="central", epochs=4)
coma = partial(PolicyGradient, rate=0.1, entropy=0.01, credit="counterfactual", critic_steps=4)
iql = partial(QLearning, rate=0.1, explore=0.3)
hysteretic = partial(QLearning, rate=0.1, explore=0.3, negative=0.2)
vdn = partial(QLearning, rate=0.1, explore=0.3, joint=True)


_BUILT_IN = {
    "REINFORCE, leave-one-out": (
        "registry:leave_one_out",
        "baseline: the mean reward of the question's other episodes",
    ),
    "REINFORCE, batch mean": ("registry:batch_mean", "baseline: the mean reward of the batch"),
    "REINFORCE, moving average": (
        "registry:moving_average",
        "baseline: a moving average of rewards",
    ),
    "GRPO": ("registry:grpo", "rewards standardised within the episodes of a question"),
    "independent actor-critic": (
        "registry:actor_critic",
        "baseline: each node's mean reward at what it saw",
    ),
    "IPPO": ("registry:ippo", "the same with the clipped objective of PPO"),
    "MAPPO": ("registry:mappo", "PPO with a central critic"),
    "COMA": ("registry:coma", "counterfactual credit by a central critic"),
    "IQL": ("registry:iql", "independent Q-learning"),
    "hysteretic IQL": ("registry:hysteretic", "Q-learning that moves less on bad news"),
    "VDN": ("registry:vdn", "Q-learning of values that sum to the reward"),
}
ALGORITHMS: Registry[MakeAlgorithm] = Registry(
    "algorithm", "neuromas_env.algorithms", built_in("neuromas_env.agents.tables", _BUILT_IN)
)


@arguments
def register_algorithm(name: str, make: MakeAlgorithm | None = None, *, about: str = "") -> Any:
    """Make an algorithm known under a name, for `neuromas bench-marl --algorithms NAME`.

    Args:
        name: A plain word that no algorithm of this project has.
        make: A function or class that makes a `TableLearner`: `make(layout, *, seed, updates,
            **options)`. Left out, what comes back is a decorator.
        about: One line for lists; by default the first line of the docstring.

    Raises:
        InputError: The name is no plain word, or is one of this project's.
    """
    return ALGORITHMS.register(name, make, about=about)


def list_algorithms() -> dict[str, str]:
    """Return the names of all algorithms with a line about each."""
    return ALGORITHMS.abouts()


def find_algorithm(name: str) -> partial[TableLearner]:
    """Return what makes the learner, with the options that the name sets.

    Raises:
        InputError: The name or an option is unknown, or an option has no value.
    """
    head, texts = split_options(name, "algorithm", "IQL:rate=0.2")
    make = ALGORITHMS.find(head)
    known = [key for key in inspect.signature(make).parameters if key not in _GIVEN]
    for key in texts:
        if key not in known:
            raise unknown(f"option of algorithm {head}:", key, known)
    options = {key: _value(text) for key, text in texts.items()}
    with placed(f"algorithm {name}"):
        check_arguments(make, options)
    return partial(make, **options)


def settings(name: str) -> dict[str, Any]:
    """Return the options of an algorithm with their values, defaults included."""
    return {
        key: one.default
        for key, one in inspect.signature(find_algorithm(name)).parameters.items()
        if key not in _GIVEN and one.default is not one.empty
    }


@arguments
def make_algorithm(
    name: str, layout: Layout, *, seed: int, updates: int, **options: Any
) -> TableLearner:
    """Make the learner of a network.

    Args:
        name: Of the algorithm, perhaps with options.
        layout: The network.
        seed: Of everything random in the algorithm.
        updates: How many batches it will be trained on.
        **options: Further options.

    Raises:
        InputError: The name or an option is unknown, what it stands for does not take `layout`,
            `seed` and `updates`, or the learner's table has not the shape
            `[observations, messages]`.
    """
    make = find_algorithm(name)
    try:
        inspect.signature(make).bind(layout, seed=seed, updates=updates, **options)
    except TypeError as error:
        raise InputError(f"algorithm {name}: {error}") from None
    learner = make(layout, seed=seed, updates=updates, **options)
    shape = sum(layout.sizes), layout.messages
    if learner.table.shape != shape:
        raise InputError(
            f"algorithm {name}: the table must have shape {shape}, got {learner.table.shape}"
        )
    return learner


def learns_values(name: str) -> bool:
    """Say whether an algorithm is this package's Q-learning: values in its table, not logits."""
    return find_algorithm(name).func is QLearning


def gradient_options(name: str) -> dict[str, Any] | None:
    """Return with which options an algorithm is a `PolicyGradient`, None if it is not one."""
    make = find_algorithm(name)
    return dict(make.keywords) if make.func is PolicyGradient else None


def has_critic(name: str) -> bool:
    """Say whether an algorithm learns a critic that sees all, for which it needs torch."""
    return (gradient_options(name) or {}).get("credit") in ("central", "counterfactual")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
