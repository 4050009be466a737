"""The names by which options choose a learner, an advantage and terms of the reward.

What they stand for is imported when it is used.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from neuromas_env.errors import InputError, unknown
from neuromas_env.registry import Registry, built_in

if TYPE_CHECKING:
    from neuromas_env.agents.learners.base import Learner

ADVANTAGES = ("leave_one_out", "batch_mean", "moving_average", "group_normalised", "none")
TERMS = ("length", "format", "informative")
_BUILT_IN = {
    "joint": ("reinforce:Reinforce", "REINFORCE on all nodes from one reward"),
    "independent": ("independent:Independent", "REINFORCE by every node for itself"),
    "collm_cc": ("actor_critic:CollmCC", "CoLLM with a centralised critic"),
    "collm_dc": ("actor_critic:CollmDC", "CoLLM with a critic for every node"),
    "magrpo": ("actor_critic:Magrpo", "MAGRPO: advantages relative to a question's group"),
    "counterfactual": (
        "counterfactual:Counterfactual",
        "difference rewards: the episode again without one node's message",
    ),
    "malt": ("malt:Malt", "MALT: trees of replies, then imitation and preferences"),
    "tabular": ("tabular:TabularReinforce", "exact REINFORCE on a table of logits"),
}
LEARNERS: Registry[type[Learner]] = Registry(
    "learner", "neuromas_env.learners", built_in("neuromas_env.agents.learners", _BUILT_IN)
)


def list_learners() -> dict[str, str]:
    """Return name and one-line description of every learner."""
    return LEARNERS.abouts()


def check_learner_name(name: str) -> None:
    """Check that a name is that of a learner, which is not imported.

    Raises:
        InputError: It is not.
    """
    if name not in LEARNERS:
        raise unknown("learner", name, LEARNERS)


def read_terms(text: str) -> dict[str, float]:
    """Read weights by term, such as `format=0.2,length=0.1`; nothing is no term.

    Raises:
        InputError: A term is unknown or given twice, or a weight is no number.
    """
    terms: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in TERMS:
            raise unknown("term of shaping:", name, TERMS)
        try:
            weight = float(value)
        except ValueError:
            weight = math.nan
        if name in terms or not math.isfinite(weight):
            raise InputError(
                f"shaping must hold each term once with its weight, got {part!r}; write it as in "
                "'format=0.2,length=0.1'"
            )
        terms[name] = weight
    return terms
