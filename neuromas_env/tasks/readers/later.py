"""Functions of this room that are imported when they are first called.

Their patterns take time to compile, which a command that reads no answer spares.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pkgutil import resolve_name
from typing import Any


def later(path: str) -> Callable[..., Any]:
    """Return the function `module:name` of this room, imported at its first call."""
    return partial(_call, f"{__package__}.{path}")


def _call(path: str, *args: Any, **options: Any) -> Any:
    return _found(path)(*args, **options)


_found = cache(resolve_name)
