"""How checks say what is wrong: one error with a line for each fault."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from neuromas_env.errors import InputError
from neuromas_env.scripts import place_of


def tell(what: str, faults: Iterable[str]) -> None:
    """Raise an InputError with a line for each fault, if there are any."""
    if lines := "".join(f"\n- {fault}" for fault in dict.fromkeys(faults)):
        raise InputError(f"{what}:{lines}")


def guarded(what: str, faults: Callable[[], Iterable[str]]) -> Iterator[str]:
    """Yield faults; an exception in finding them is one more, of what was tried."""
    try:
        yield from faults()
    except Exception as error:
        yield f"{what} raises {raised(error)}"


def raised(error: Exception) -> str:
    """Return an exception as Python writes it, with the line of a user's file that raised it."""
    place = place_of(error)
    return f"{short(error)} in {place}" if place else short(error)


def short(value: object) -> str:
    """Return a value as Python writes it, cut to a line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def equal(one: Any, other: Any) -> bool:
    """Whether two values are equal, arrays and tensors in tables and lists included."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, Sequence) and not isinstance(one, str):
        return len(one) == len(other) and all(map(equal, one, other))
    same = one == other  # of arrays and tensors one for each entry
    return same if isinstance(same, bool) else bool(same.all())
