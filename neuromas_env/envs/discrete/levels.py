"""Named levels of fixed difficulty: data that never changes under its name.

A change makes a new version (`-v1`) beside the old one.
"""

from __future__ import annotations

from typing import Any

from neuromas_env.checks import arguments
from neuromas_env.errors import unknown

LEVELS: dict[str, dict[str, Any]] = {
    "relay-easy-v0": {"task": "relay:values=4", "topology": "1-1-1", "codebook": 4},
    "relay-hard-v0": {"task": "relay:values=8", "topology": "1-1-1-1-1", "codebook": 8},
    "xor-easy-v0": {"task": "xor", "topology": "2-1", "codebook": 2},
    "xor-hard-v0": {"task": "xor", "topology": "2-2-1", "codebook": 2},
    "parity-easy-v0": {"task": "parity:bits=4", "topology": "tree-4", "codebook": 2},
    "parity-hard-v0": {"task": "parity:bits=8", "topology": "tree-8", "codebook": 2},
    "modsum-easy-v0": {"task": "modsum:parts=2,modulus=3", "topology": "2-1", "codebook": 3},
    "modsum-hard-v0": {"task": "modsum:parts=4,modulus=3", "topology": "tree-4", "codebook": 3},
    "lewis-easy-v0": {
        "task": "lewis:objects=8,candidates=2", "topology": "1-1", "codebook": 2, "bandwidth": 2,
    },
    "lewis-hard-v0": {
        "task": "lewis:objects=16,candidates=2", "topology": "2-2-1", "codebook": 4,
    },
    "routing-easy-v0": {
        "task": "routing:leaves=2,values=4", "topology": "2-1", "codebook": 4,
    },
    "routing-hard-v0": {
        "task": "routing:leaves=4,values=4", "topology": "tree-4", "codebook": 4,
    },
    "index-easy-v0": {
        "task": "index:bits=2", "topology": "2-1:rounds=2:feedback=0>1:memory=none", "codebook": 2,
    },
    "index-hard-v0": {
        "task": "index:bits=4", "topology": "2-1:rounds=2:feedback=0>1:memory=none", "codebook": 4,
    },
}  # fmt: skip
"""Arguments of the environments by level name."""


def list_levels() -> dict[str, str]:
    """Return the names of all levels with their tasks and networks."""
    return {name: f"{one['task']} on {one['topology']}" for name, one in LEVELS.items()}


@arguments
def level(name: str) -> dict[str, Any]:
    """Return a level's arguments: `discrete_v0.env(**level("xor-easy-v0"))`.

    Args:
        name: One of `list_levels`.

    Raises:
        InputError: There is no such level.
    """
    if name not in LEVELS:
        raise unknown("level", str(name), LEVELS)
    return dict(LEVELS[name])
