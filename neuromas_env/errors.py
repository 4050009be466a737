"""Bad input, said in one message: what is wrong, where, and what is right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LISTED = 60  # a split may have thousands of ids


class InputError(ValueError):
    """Something that the user gave is wrong; the message says what is right.

    The command line prints the message alone, without a traceback, and exits with 2.
    """


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Make the error for a name that is not among the known ones, with a suggestion."""
    names = sorted(known)
    listed = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else f"Known: {listed}."
    return InputError(f"unknown {kind} {name!r}. {hint}")
