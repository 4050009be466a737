"""What the tests of the sandbox share."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from neuromas_env.errors import InputError
from neuromas_env.tasks.sandbox import Program, Sandbox, tiers

HONEST = Program((("def double(x): return 2 * x",),), ("double",), "assert double(21) == 42")
WRONG = Program((("def double(x): return 3 * x",),), ("double",), "assert double(21) == 42")


@cache
def working_tiers() -> list[str]:
    """Return the tiers of isolation that work on this machine."""
    return [tier for tier in tiers.SAFE if _works(tier)]


def _works(tier: str) -> bool:
    try:
        Sandbox(tier=tier, workers=1).close()
    except InputError:
        return False
    return True


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
