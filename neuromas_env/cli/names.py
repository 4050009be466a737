"""What can be chosen by name, for lists and for completion in a shell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pkgutil import resolve_name

TOPOLOGIES = {
    "1": "one node: the control without a network",
    "1-1-1": "a chain",
    "2-1": "two nodes that one node reads",
    "2-2-1": "two layers; every node reads the whole layer before",
    "2-2-1:skip": "the same, and every node reads all earlier layers",
    "2-2-2-1": "seven nodes",
}
MODELS = {
    "smollm2-135m": "the default, fetched from the package index",
    "<folder>": "as written by save_pretrained",
    "<file>.gguf": "converted once into the cache",
    "<organisation>/<name>": "from the Hugging Face hub",
}
LISTS: dict[str, str | dict[str, str]] = {
    "tasks": "neuromas_env.tasks:list_tasks",
    "learners": "neuromas_env.agents.learners.names:list_learners",
    "engines": "neuromas_env.agents.engines.base:list_engines",
    "tools": "neuromas_env.agents.engines.tools:list_tools",
    "baselines": "neuromas_env.baselines:list_methods",
    "models": MODELS,
    "topologies": TOPOLOGIES,
    "algorithms": "neuromas_env.agents.tables.registry:list_algorithms",
    "levels": "neuromas_env.envs.discrete.levels:list_levels",
}
"""What can be listed: names with a line about each, or the function that returns them."""


def names(what: str, **options: str) -> dict[str, str]:
    """Return names of one kind with a line about each."""
    listed = LISTS[what]
    return listed if isinstance(listed, dict) else resolve_name(listed)(**options)


def offering(found: Callable[[], Mapping[str, str]]) -> Callable[[str], list[tuple[str, str]]]:
    """Return what completes a name in a shell, or the last of several with commas.

    Args:
        found: Returns names with a line about each, when the shell asks.
    """

    def complete(incomplete: str) -> list[tuple[str, str]]:
        before, comma, last = incomplete.rpartition(",")
        names = found().items()
        return [(before + comma + name, about) for name, about in names if name.startswith(last)]

    return complete


def offering_names(what: str) -> Callable[[str], list[tuple[str, str]]]:
    """Return what completes names of a kind of `LISTS`."""
    return offering(partial(names, what))
