"""The ids under which PettingZoo and Gymnasium know coded networks."""

from __future__ import annotations

import gymnasium
import pettingzoo

from neuromas_env.coded.levels import LEVELS

VIEWS = {
    "neuromas/CodedTurns-v0": "neuromas_env.coded.views:TurnView",
    "neuromas/CodedOneLearner-v0": "neuromas_env.coded.views:OneLearnerView",
}
"""Gymnasium id to constructor."""


def register_coded() -> None:
    """Enter `neuromas/coded-v0`, every level and the views; nothing is imported before it is made.

    A level is called `neuromas/xor-easy-v0` in PettingZoo's registries.
    """
    for kind, constructor in (("aec", "env"), ("parallel", "parallel_env")):
        entry = f"neuromas_env.coded_v0:{constructor}"
        pettingzoo.register(kind, "neuromas/coded-v0", entry)
        for name, arguments in LEVELS.items():
            pettingzoo.register(kind, f"neuromas/{name}", entry, kwargs=dict(arguments))
    for id, view in VIEWS.items():
        gymnasium.register(id, view)
