"""What judge and candidate say to each other: framed JSON with tagged values, never pickle.

Only plain data crosses the border, rebuilt on the other side from its parts: an object
with a forged `__eq__` arrives as a reference that equals nothing but itself. Runs by
itself inside the sandbox, so it imports the standard library only.
"""

from __future__ import annotations

import builtins
import json
from collections import deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import Any

LIMIT = 256 * 1024
"""Bytes of a message from the candidate, at most."""
PROGRAM_LIMIT = 16 * 1024 * 1024
"""Bytes of a message from our own side, at most."""
KILL, GONE = 0, 0xFFFFFFFF
"""The judge's orders to the fork server: end the candidate; end it, it has hung up."""
_ITEMS = 100_000

Read = Callable[[int], bytes]


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


def pack(value: Any, keep: Callable[[Any], int]) -> Any:
    """Return a value as JSON; what is no plain data stays and is referred to by `keep`'s number.

    A subclass is packed as its plain base (a Counter as a dict), an iterator by its items.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        value = int(value)
        # Beyond this, decimal digits take quadratic time and Python limits their number.
        return value if abs(value) < 1 << 63 else {"int": hex(value)}
    if isinstance(value, float):
        return float(value)
    if isinstance(value, list):
        return [pack(item, keep) for item in value]
    for kind, (tag, parts, _) in _TAGS.items():
        if isinstance(value, kind):
            return {tag: [pack(part, keep) for part in parts(value)]}
    return {"ref": keep(value)}


def unpack(data: Any, fetch: Callable[[int], Any]) -> Any:
    """Return the value that was packed; `fetch` gives what a number refers to.

    Raises:
        BadMessageError: The data was not made by `pack`.
    """
    try:
        return _unpack(data, fetch)
    except BadMessageError:
        raise
    except Exception as error:  # whatever a forged message leads to
        raise BadMessageError(f"no packed value: {type(error).__name__}") from None


def _unpack(data: Any, fetch: Callable[[int], Any]) -> Any:
    if isinstance(data, list):
        return [_unpack(item, fetch) for item in data]
    if not isinstance(data, dict):
        return data
    [(tag, content)] = data.items()
    if tag == "ref":
        [number] = _all(int, [content])
        return fetch(number)
    if tag == "int":
        [digits] = _all(str, [content])
        return int(digits, 16)
    return _BUILDERS[tag]([_unpack(item, fetch) for item in content])


def _all(kind: type, parts: list[Any], count: int | None = None) -> list[Any]:
    """Return the parts if each is of a type, and they are as many as they must be."""
    if any(type(part) is not kind for part in parts) or count not in (None, len(parts)):
        raise BadMessageError(f"not {'' if count is None else f'{count} '}of type {kind.__name__}")
    return parts


def _pairs(parts: list[Any]) -> list[Any]:
    for pair in _all(tuple, parts):
        [_, _] = pair
    return parts


def _bounded_range(parts: list[Any]) -> range:
    made = range(*_all(int, parts, 3))
    # Tests may make a list of it on our side, or an integer of a Decimal.
    if len(made) > _ITEMS:
        raise BadMessageError(f"a range of more than {_ITEMS} items")
    return made


def _bounded_decimal(parts: list[Any]) -> Decimal:
    made = Decimal(*_all(str, parts, 1))
    if made.is_finite() and max(abs(made.adjusted()), len(parts[0])) > _ITEMS:
        raise BadMessageError(f"a Decimal of more than {_ITEMS} digits")
    return made


def _builtin_type(parts: list[Any]) -> type:
    [name] = parts
    found = vars(builtins)[name]
    if not isinstance(found, type) or found.__name__ != name:
        raise BadMessageError("no type")
    return found


def _items(iterator: Iterator[Any]) -> list[Any]:
    items = list(islice(iterator, _ITEMS + 1))
    if len(items) > _ITEMS:
        raise BadMessageError(f"an iterator of more than {_ITEMS} items")
    return items


# Type: tag, the value's parts, and the value from its parts. Abstract types stand last.
_TAGS: dict[Any, tuple[str, Callable[[Any], Any], Callable[[list[Any]], Any]]] = {
    tuple: ("tuple", tuple.__iter__, tuple),
    set: ("set", set.__iter__, set),
    frozenset: ("frozenset", frozenset.__iter__, frozenset),
    dict: ("dict", dict.items, lambda parts: dict(_pairs(parts))),
    bytes: ("bytes", bytes.__iter__, lambda parts: bytes(_all(int, parts))),
    bytearray: ("bytearray", bytearray.__iter__, lambda parts: bytearray(_all(int, parts))),
    complex: ("complex", lambda z: (z.real, z.imag), lambda parts: complex(*_all(float, parts, 2))),
    range: ("range", lambda r: (r.start, r.stop, r.step), _bounded_range),
    deque: ("deque", deque.__iter__, deque),
    Decimal: ("decimal", lambda number: [str(number)], _bounded_decimal),
    # Of two integers: a text such as "1e999999999" would be multiplied out.
    Fraction: (
        "fraction", Fraction.as_integer_ratio, lambda parts: Fraction(*_all(int, parts, 2)),
    ),
    type({}.keys()): ("keys", iter, lambda parts: dict.fromkeys(parts).keys()),
    type({}.items()): ("items", iter, lambda parts: dict(_pairs(parts)).items()),
    type({}.values()): ("values", iter, lambda parts: dict(enumerate(parts)).values()),
    type: ("type", lambda kind: [kind.__name__], _builtin_type),
    Iterator: ("iterator", _items, iter),
}  # fmt: skip
_BUILDERS = {tag: build for tag, _, build in _TAGS.values()}
