"""The ids under which Gymnasium and PettingZoo know the environments."""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

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

VIEWS = {
    "neuromas/Turns-v0": "neuromas_env.neuromas_v0:turns",
    "neuromas/OneLearner-v0": "neuromas_env.neuromas_v0:one_learner",
}
"""Gymnasium id to the constructor of a view of a network of texts."""


def register_environments() -> None:
    """Enter all ids into the two registries; nothing is imported before it is made."""
    when_imported("pettingzoo", _enter_networks)
    when_imported("gymnasium", _enter_single)


def when_imported(module: str, call: Callable[[], None]) -> None:
    """Call once a module has been imported: now, if it has been.

    So this package starts without the packages that it has something to tell.
    """
    if module in sys.modules:
        call()
    else:
        sys.meta_path.insert(0, _Waiting(module, call))


def _enter_networks() -> None:
    from pettingzoo import register

    for kind, constructor in NETWORKS.items():
        register(kind, "neuromas/network-v0", constructor)


def _enter_single() -> None:
    from gymnasium import register

    for id, arguments in SINGLE.items():
        register(id, "neuromas_env.envs.single:make", kwargs=arguments)
    for id, constructor in VIEWS.items():
        register(id, constructor)


class _Waiting(importlib.abc.MetaPathFinder):
    """Finds nothing itself; calls once a module is imported that another finder finds."""

    def __init__(self, module: str, call: Callable[[], None]) -> None:
        self.module, self.call = module, call

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != self.module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            sys.meta_path.insert(0, self)
            return spec
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            self.call()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
