"""Baselines by name: each is a topology and a policy for every node of it.

A baseline is a module of this package with a constant `TOPOLOGY` and a function
`make_team(task, engine, sampling)`, so that the loop that measures trained networks
measures it, too, and counts the same cost.
"""

from __future__ import annotations

from importlib import import_module

from neuromas_env.errors import unknown
from neuromas_env.policy import Engine, Sampling, Team
from neuromas_env.tasks.base import Task
from neuromas_env.topology import Topology

__all__ = ["list_baselines", "make_baseline"]

_ABOUT = {
    "direct": "one call of the frozen base model",
}


def list_baselines() -> dict[str, str]:
    """Return name and one-line description of every baseline."""
    return dict(_ABOUT)


def make_baseline(
    name: str, task: Task, engine: Engine, sampling: Sampling
) -> tuple[Topology, Team]:
    """Build the network of a baseline.

    Args:
        name: One of `list_baselines`.
        task: Gives the answer format.
        engine: Serves all nodes.
        sampling: How to decode.

    Raises:
        InputError: There is no such baseline.
    """
    if name not in _ABOUT:
        raise unknown("baseline", name, _ABOUT)
    module = import_module(f"neuromas_env.baselines.{name}")
    return module.TOPOLOGY, module.make_team(task, engine, sampling)
