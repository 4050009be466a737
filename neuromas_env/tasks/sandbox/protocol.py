"""What the parties say to each other: framed JSON, each message with a shape.

`SAID`, `REPORT` and the like are the shapes: what a field may be, checked by `checked` where a
message arrives, before anything is made of it. Runs inside the sandbox too, so it imports the
standard library only.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from typing import Any

LIMIT = 256 * 1024
"""Bytes of a message from the candidate, at most."""
PROGRAM_LIMIT = 16 * 1024 * 1024
"""Bytes of a message from our own side, at most."""
SAID_LIMIT = 8 * 1024
"""Bytes of a verdict and of a report, at most, beside what the program shows."""
WORDS = 200
"""Characters of an explanation, at most."""

Read = Callable[[int], bytes]
Write = Callable[[bytes], int]


class BadMessageError(Exception):
    """The other side said something that is no message, or nothing at all."""


class ClosedError(BadMessageError):
    """The other side is gone."""


def frame(message: Any, limit: int = PROGRAM_LIMIT) -> bytes:
    """Return a message as bytes: four of length, then JSON in UTF-8 (lone surrogates too).

    Raises:
        BadMessageError: The message is longer than the limit.
    """
    data = json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if len(data) > limit:
        raise BadMessageError(f"a message of {len(data)} bytes; at most {limit} are allowed")
    return len(data).to_bytes(4, "big") + data


def receive(read: Read, limit: int = PROGRAM_LIMIT) -> Any:
    """Read one message; `read` returns at most as many bytes as asked for, none at the end.

    Raises:
        BadMessageError: What comes is too long or no JSON.
        ClosedError: The stream ends.
    """
    size = int.from_bytes(_exactly(read, 4), "big")
    if size > limit:
        raise BadMessageError(f"a message of {size} bytes; at most {limit} are allowed")
    try:
        return json.loads(_exactly(read, size).decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise BadMessageError(f"no JSON: {type(error).__name__}") from None


def _exactly(read: Read, size: int) -> bytes:
    parts = []
    while size:
        part = read(min(size, 1 << 16))
        if not part:
            raise ClosedError("the connection is closed")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def send(write: Write, data: bytes) -> None:
    """Write all of a message; `write` returns how many bytes it has taken."""
    while data:
        data = data[write(data) :]


def checked(message: Any, shape: Any, what: str) -> Any:
    """Return a message that has a shape.

    Raises:
        BadMessageError: It has another one; the error says that it is not `what`.
    """
    if not fits(message, shape):
        raise BadMessageError(f"not {what}")
    return message


def fits(value: Any, shape: Any) -> bool:
    """Whether a value is what a shape allows.

    A shape is a type (that one, no subclass; `object` for all), a range of integers, a pattern for
    the whole of a text, a constant, a tuple of alternatives, a list with the shape of every item
    or, where there are several, of each, or a dict with the shape of each key's value; a dict has
    those keys and no others.
    """
    match shape:
        case type():
            return shape is object or type(value) is shape
        case range():
            return type(value) is int and value in shape
        case re.Pattern():
            return type(value) is str and shape.fullmatch(value) is not None
        case tuple():
            return any(fits(value, one) for one in shape)
        case [item]:
            return type(value) is list and all(fits(one, item) for one in value)
        case list():
            return type(value) is list and len(value) == len(shape) and all(map(fits, value, shape))
        case dict():
            return (
                fits(value, dict)
                and value.keys() == shape.keys()
                and all(fits(value[key], part) for key, part in shape.items())
            )
    return type(value) is type(shape) and value == shape


TEXT = re.compile(rf"(?s).{{0,{WORDS}}}")
ORDER = struct.Struct(">II")
"""Parent to fork server, with a descriptor for the judge: seconds of processor time, and seconds
by the clock."""
READY: Any = {"ready": True}
_STATUS = (None, range(-64, 256))
REPORT: Any = {
    "limit": ("", "cpu", "wall"), "whose": ("program", "tests"),
    "program": _STATUS, "tests": _STATUS,
}  # fmt: skip
"""Fork server to parent: the limit that was run out of and by whom, and with which status each
process ended by itself, negative for a signal, None for one that was ended."""
QUESTION: Any = {
    "kind": ("call", "get", "set"), "object": range(1 << 31), "given": list, "named": dict,
}  # fmt: skip
"""Judge to candidate: what to do with something that it keeps."""


def said(readings: int, shows: int = 0) -> Any:
    """Return the shape of what a judge says to the parent about a program.

    Args:
        readings: How many the program has.
        shows: How many characters it may show.
    """
    returned = rf"(?s).{{0,{shows}}}" if shows else "(?:[0-9a-f]{64})?"
    return {
        "outcome": ("passed", "failed", "unreadable"),
        "detail": TEXT,
        "reading": (None, range(readings)),
        "returned": re.compile(returned),
        "failure": (None, TEXT),  # why a call of the program failed
        "limit": ("", "memory", "message"),
        "gone": bool,  # whether the program has hung up
    }


def answer(field: str, content: Any) -> Any:
    """Return the shape of what a candidate answers."""
    return ({field: content}, {"error": TEXT})
