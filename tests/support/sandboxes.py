"""What the tests of the sandbox share."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from neuromas_env.errors import InputError
from neuromas_env.tasks.sandbox import Program, Sandbox, tiers

HONEST = Program((("def double(x): return 2 * x",),), ("double",), "assert double(21) == 42")
WRONG = Program((("def double(x): return 3 * x",),), ("double",), "assert double(21) == 42")


def working_tiers() -> list[str]:
    """Return the tiers of isolation that work on this machine."""
    return [tier for tier in tiers.SAFE if not _refusal(tier)]


@cache
def _refusal(tier: str) -> str:
    """Return why a tier does not work on this machine, nothing if it does."""
    try:
        Sandbox(tier=tier, workers=1).close()
    except InputError as error:
        return str(error)
    return ""


def open_sandbox(tier: str) -> Sandbox:
    """Return a sandbox of one worker, or skip the test where the tier does not work.

    Tests name every tier and ask here, when they run: what works is no part of a test's name,
    so that all workers of pytest-xdist collect the same ones.
    """
    if reason := _refusal(tier):
        pytest.skip(reason)
    return Sandbox(tier=tier, workers=1)


def descendants(pid: int) -> list[int]:
    """Return a process and all that it started, as far as they run."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        parents[int(folder.name)] = int(fields[1])
    family = [pid]
    for member in family:
        family += [child for child, parent in parents.items() if parent == member]
    return family


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX" and os.path.exists(f"/proc/{pid}")
