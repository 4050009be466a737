"""Values as JSON: plain data with tags for what JSON lacks, never pickle.

Only plain data crosses the border, rebuilt on the other side from its parts: an object
with a forged `__eq__` arrives as a reference that equals nothing but itself. What a tag holds
is checked, its type and its range, before a value is made of it. Runs inside the sandbox, so it
imports the standard library and `protocol` only.
"""

from __future__ import annotations

import builtins
import re
from collections import deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import Any

from neuromas_env.tasks.sandbox.protocol import LIMIT, BadMessageError, checked

_ITEMS = 100_000
# Hexadecimal digits of an integer, so that a Fraction of two is reduced in half a second.
_HEX = re.compile(rf"-?0x[0-9a-f]{{1,{LIMIT}}}")
_DECIMAL = re.compile(
    rf"-?(?:[0-9.]{{1,{_ITEMS}}}(?:E[+-][0-9]{{1,5}})?|s?NaN[0-9]{{0,9}}|Infinity)"
)
# Not `type` itself: tests that are given it can make classes.
_NAMED = {n: t for n, t in vars(builtins).items() if isinstance(t, type) and t.__name__ == n}
_TYPES = {name: found for name, found in _NAMED.items() if found is not type}


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
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    if isinstance(value, type):
        return {"type": value.__name__}
    for kind, (tag, parts, _, _) in _TAGS.items():
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
        return fetch(checked(content, range(1 << 31), "a reference"))
    if tag in _SCALARS:
        shape, make = _SCALARS[tag]
        return make(checked(content, shape, f"of type {tag}"))
    shape, make = _PARTS[tag]
    parts = [_unpack(item, fetch) for item in checked(content, list, f"of type {tag}")]
    return make(checked(parts, shape, f"of type {tag}"))


def _dict(pairs: list[Any]) -> dict[Any, Any]:
    if any(len(pair) != 2 for pair in pairs):
        raise BadMessageError("not of pairs")
    return dict(pairs)


def _range(ends: list[Any]) -> range:
    made = range(*ends)
    # Tests may make a list of it on our side.
    if len(made) > _ITEMS:
        raise BadMessageError(f"a range of more than {_ITEMS} items")
    return made


def _items(iterator: Iterator[Any]) -> list[Any]:
    items = list(islice(iterator, _ITEMS + 1))
    if len(items) > _ITEMS:
        raise BadMessageError(f"an iterator of more than {_ITEMS} items")
    return items


_PAIRS = [tuple]
_BYTES = [range(256)]
# Tag: the shape of its content, and the value from that.
_SCALARS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "int": (_HEX, lambda digits: int(digits, 16)),
    "decimal": (_DECIMAL, Decimal),
    "type": (tuple(_TYPES), _TYPES.__getitem__),
}
# Type: tag, the value's parts, their shape, and the value from them. Abstract types stand last.
_TAGS: dict[Any, tuple[str, Callable[[Any], Any], Any, Callable[[list[Any]], Any]]] = {
    tuple: ("tuple", tuple.__iter__, list, tuple),
    set: ("set", set.__iter__, list, set),
    frozenset: ("frozenset", frozenset.__iter__, list, frozenset),
    dict: ("dict", dict.items, _PAIRS, _dict),
    bytes: ("bytes", bytes.__iter__, _BYTES, bytes),
    bytearray: ("bytearray", bytearray.__iter__, _BYTES, bytearray),
    complex: ("complex", lambda z: (z.real, z.imag), [float, float], lambda z: complex(*z)),
    range: ("range", lambda r: (r.start, r.stop, r.step), [int, int, int], _range),
    deque: ("deque", deque.__iter__, list, deque),
    # Of two integers: a text such as "1e999999999" would be multiplied out.
    Fraction: ("fraction", Fraction.as_integer_ratio, [int, int], lambda ends: Fraction(*ends)),
    type({}.keys()): ("keys", iter, list, lambda parts: dict.fromkeys(parts).keys()),
    type({}.items()): ("items", iter, _PAIRS, lambda pairs: _dict(pairs).items()),
    type({}.values()): ("values", iter, list, lambda parts: dict(enumerate(parts)).values()),
    Iterator: ("iterator", _items, list, iter),
}  # fmt: skip
_PARTS = {tag: (shape, make) for tag, _, shape, make in _TAGS.values()}
