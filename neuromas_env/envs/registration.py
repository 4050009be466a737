"""The ids under which Gymnasium and PettingZoo know the environments."""

from __future__ import annotations

from typing import Any

import gymnasium
import pettingzoo

NETWORKS = {
    "aec": "neuromas_env.neuromas_v0:env",
    "parallel": "neuromas_env.neuromas_v0:parallel_env",
}
"""Kind of `neuromas/network-v0` to its constructor."""

SINGLE: dict[str, dict[str, Any]] = {
    "neuromas/Task-v0": {"by": "task"},
    "neuromas/MMLU-v0": {"family": "mmlu", "by": "subject", "subject": "all"},
    "neuromas/ARC-Challenge-v0": {"family": "arc/challenge"},
    "neuromas/ARC-Easy-v0": {"family": "arc/easy"},
    "neuromas/BBH-v0": {"family": "bbh", "by": "task"},
    "neuromas/HumanEval-v0": {"family": "humaneval"},
    "neuromas/MBPP-v0": {"family": "mbpp"},
    "neuromas/Hierarchy-v0": {"family": "hierarchy", "by": "kind", "kind": "max"},
}
"""Gymnasium id to the arguments of `neuromas_env.envs.single.make` that it stands for."""


def register_environments() -> None:
    """Enter all ids into the two registries; nothing is imported before it is made."""
    for kind, constructor in NETWORKS.items():
        pettingzoo.register(kind, "neuromas/network-v0", constructor)
    for id, arguments in SINGLE.items():
        gymnasium.register(id, "neuromas_env.envs.single:make", kwargs=arguments)
