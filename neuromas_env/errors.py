"""Bad input, said in one message: what is wrong, where, and what is right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_LISTED = 60  # a split may have thousands of ids
_LONGEST = 200  # characters of a name that nothing has


class InputError(ValueError):
    """Something that the user gave is wrong; the message says what is right.

    The command line prints the message alone, without a traceback, and exits with 2.
    """


def unknown(kind: str, name: object, known: Iterable[str]) -> InputError:
    """Make the error for a name that is not among the known ones, with a suggestion."""
    names = sorted(known)
    name = name[:_LONGEST] if isinstance(name, str) else repr(name)[:_LONGEST]
    listed = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else f"Known: {listed}."
    return InputError(f"unknown {kind} {name!r}. {hint}")


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Put a place in front of the message of what is wrong there.

    Raises:
        InputError: What is inside raises one; its message then begins with the place.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"{place}: {error}" if place else str(error)) from None
