"""Checks of what an experiment's file holds; each says which file and entry is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from neuromas_env.errors import InputError, unknown


def check_keys(
    path: Path, where: str, given: Mapping, known: Iterable[str], needed: Iterable[str] = ()
) -> None:
    """Refuse keys that are not known, and a mapping without those that are needed."""
    place = f"{path}, {where}" if where else f"{path}"
    known = tuple(known)
    for key in given:
        if key not in known:
            raise InputError(f"{place}: {unknown('key', str(key), known)}")
    for key in needed:
        if not given.get(key):
            raise InputError(f"{place}: key {key!r} is missing")


def mapping(path: Path, where: str, value: Any) -> dict[str, Any]:
    """Return a value that must be a mapping."""
    if not isinstance(value, dict):
        raise InputError(f"{path}, {where}: {value!r}, but keys with values would be right")
    return value


def count(path: Path, where: str, key: str, value: Any) -> int:
    """Return a value that must be a whole number of at least 1."""
    if type(value) is not int or value < 1:
        raise InputError(f"{path}, {where}: {key}: {value!r} is no count of at least 1")
    return value


def positive(value: Any) -> bool:
    """Say whether a value is a finite number above 0."""
    return type(value) in (int, float) and 0 < value < float("inf")
