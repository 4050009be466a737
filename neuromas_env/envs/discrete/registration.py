"""The ids under which PettingZoo and Gymnasium know discrete networks."""

from __future__ import annotations

from neuromas_env.envs.discrete.levels import LEVELS
from neuromas_env.envs.registration import when_imported

VIEWS = {
    "neuromas/DiscreteTurns-v0": "neuromas_env.envs.discrete.views:TurnView",
    "neuromas/DiscreteOneLearner-v0": "neuromas_env.envs.discrete.views:OneLearnerView",
}
"""Gymnasium id to constructor."""


def register_discrete() -> None:
    """Enter `neuromas/discrete-v0`, every level and the views; each is imported when it is made.

    A level is called `neuromas/xor-easy-v0` in PettingZoo's registries.
    """
    when_imported("pettingzoo", _enter_levels)
    when_imported("gymnasium", _enter_views)


def _enter_levels() -> None:
    from pettingzoo import register

    for kind, constructor in (("aec", "env"), ("parallel", "parallel_env")):
        entry = f"neuromas_env.discrete_v0:{constructor}"
        register(kind, "neuromas/discrete-v0", entry)
        for name, arguments in LEVELS.items():
            register(kind, f"neuromas/{name}", entry, kwargs=dict(arguments))


def _enter_views() -> None:
    from gymnasium import register

    for id, view in VIEWS.items():
        register(id, view)
