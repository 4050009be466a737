"""The ids under which PettingZoo and Gymnasium know discrete networks."""

from __future__ import annotations

import gymnasium
import pettingzoo

from neuromas_env.envs.discrete.levels import LEVELS

VIEWS = {
    "neuromas/DiscreteTurns-v0": "neuromas_env.envs.discrete.views:TurnView",
    "neuromas/DiscreteOneLearner-v0": "neuromas_env.envs.discrete.views:OneLearnerView",
}
"""Gymnasium id to constructor."""


def register_discrete() -> None:
    """Enter `neuromas/discrete-v0`, every level and the views; each is imported when it is made.

    A level is called `neuromas/xor-easy-v0` in PettingZoo's registries.
    """
    for kind, constructor in (("aec", "env"), ("parallel", "parallel_env")):
        entry = f"neuromas_env.discrete_v0:{constructor}"
        pettingzoo.register(kind, "neuromas/discrete-v0", entry)
        for name, arguments in LEVELS.items():
            pettingzoo.register(kind, f"neuromas/{name}", entry, kwargs=dict(arguments))
    for id, view in VIEWS.items():
        gymnasium.register(id, view)
