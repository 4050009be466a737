"""The command `neuromas list`."""

from __future__ import annotations

from typing import Annotated

import typer

from neuromas_env.agents.engines.base import list_engines
from neuromas_env.agents.learners.base import list_learners
from neuromas_env.agents.tables.registry import list_algorithms
from neuromas_env.baselines import list_baselines, list_trained
from neuromas_env.cli import printing
from neuromas_env.envs.discrete.levels import list_levels
from neuromas_env.errors import InputError, unknown
from neuromas_env.tasks import list_tasks

EXAMPLES = ("neuromas list tasks",)
TOPOLOGIES = {
    "1": "one node: the control without a network",
    "1-1-1": "a chain",
    "2-1": "two nodes that one node reads",
    "2-2-1": "two layers; every node reads the whole layer before",
    "2-2-1:skip": "the same, and every node reads all earlier layers",
    "2-2-2-1": "seven nodes",
}
MODELS = {
    "smollm2-135m": "embedded default, fetched from the package index",
    "<folder>": "as written by save_pretrained",
    "<file>.gguf": "converted once into the cache",
    "<organisation>/<name>": "from the Hugging Face hub",
}
LISTS = {
    "tasks": list_tasks,
    "learners": list_learners,
    "engines": list_engines,
    "baselines": lambda: list_baselines() | list_trained(),
    "models": lambda: MODELS,
    "topologies": lambda: TOPOLOGIES,
    "algorithms": list_algorithms,
    "levels": list_levels,
}


def list_(
    what: Annotated[str, typer.Argument(help=", ".join(LISTS))],
    data: Annotated[
        str | None, typer.Option(help="list the tasks of this folder with benchmark rows")
    ] = None,
) -> None:
    """List what can be chosen by name."""
    if what not in LISTS:
        raise unknown("list", what, LISTS)
    if data is not None and what != "tasks":
        raise InputError(f"--data goes with `neuromas list tasks`, not with {what}")
    printing.print_names((list_tasks(data=data) if what == "tasks" else LISTS[what]()).items())
