"""Direct prompting: one call of the frozen base model answers the question."""

from __future__ import annotations

from neuromas_env.agents.llm import llm_team
from neuromas_env.policy import Engine, Policy, Sampling
from neuromas_env.tasks.base import Task
from neuromas_env.topology import Topology

TOPOLOGY = Topology.parse("1")


def make_team(task: Task, engine: Engine, sampling: Sampling) -> dict[str, Policy]:
    """Put the base model, without an adapter, at the only node."""
    return llm_team(TOPOLOGY, task, engine, sampling, adapters=False)
