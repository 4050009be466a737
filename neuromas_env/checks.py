"""Types and ranges of what comes from outside: arguments, options, files.

One rule for all: a type hint says what a value must be, and `Annotated` in which range.

    @arguments
    def tree(leaves: Count) -> Topology: ...

`tree(0)` then raises an InputError, "leaves must be at least 1, got 0". Files are read by the same
hints, those of a `TypedDict`; see `neuromas_env.files.read`.
"""

from __future__ import annotations

import functools
import inspect
import operator
import re
import reprlib
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from math import isfinite
from numbers import Integral, Real
from os import PathLike
from typing import Annotated, Any, Literal, TypeVar

from neuromas_env.errors import InputError, unknown

T = TypeVar("T")
_LIKE: dict[type, Any] = {int: Integral, float: Real, str: str, bool: ()}
Rule = Callable[[str, Any], Any]

KINDS: dict[Any, tuple[str, str]] = {
    str: ("a text", "string"),
    int: ("a whole number", "integer"),
    float: ("a number", "number"),
    bool: ("true or false", "boolean"),
    tuple: ("a list", "array"),
    list: ("a list", "array"),
    dict: ("a mapping", "object"),
    types.NoneType: ("nothing", "null"),
}
"""Types in messages and in a JSON schema."""
BOUNDS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "at least": (operator.ge, "minimum"),
    "above": (operator.gt, "exclusiveMinimum"),
    "at most": (operator.le, "maximum"),
}
"""Bounds in messages: how they are checked, and what a JSON schema calls them."""
WHOLE = "it"
"""What a file or a line is called in messages that name it otherwise."""
LARGEST = 2**63 - 1
"""Of whole numbers: databases and arrays hold no larger ones."""
_TYPE = re.compile(r" must be an? ")  # what is said of a wrong type
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = _SHOWN.maxlong = 80


@dataclass(frozen=True)
class Range:
    """The range of a number, for `Annotated`.

    Attributes:
        low: The least value.
        above: What a value must exceed.
        high: The largest value.
    """

    low: float | None = None
    above: float | None = None
    high: float | None = None

    @property
    def bounds(self) -> dict[str, float]:
        """The limits that there are, by their words."""
        limits = {"at least": self.low, "above": self.above, "at most": self.high}
        return {word: limit for word, limit in limits.items() if limit is not None}


Count = Annotated[int, Range(low=1)]
"""How many, at least one."""
Natural = Annotated[int, Range(low=0)]
"""A number or a seed, from 0."""
Positive = Annotated[float, Range(above=0)]
"""Such as a learning rate."""
NonNegative = Annotated[float, Range(low=0)]
"""Such as a weight in a loss."""
Share = Annotated[float, Range(low=0, high=1)]
"""Such as a score."""


def check(name: str, value: Any, hint: Any) -> Any:
    """Return a value as its hint has it: a whole number as a float, a list as a tuple.

    Args:
        name: What it is, for messages.
        value: Any.
        hint: A type hint; of a `TypedDict` a mapping, of other classes an instance.

    Raises:
        InputError: It has another type, or is out of range.
    """
    return _rule(hint)(name, value)


def made(name: str, value: Any, cls: type[T]) -> T:
    """Make a dataclass of a mapping of its fields, each checked; other keys are left out.

    Raises:
        InputError: A field is missing, has another type or is out of range.
    """
    own = fields(cls)  # type: ignore[arg-type]
    needed = {one.name for one in own if one.default is one.default_factory is MISSING}
    hints = typing.get_type_hints(cls, include_extras=True)
    return cls(**_table(cls, hints, needed)(name, value))


def shown(value: Any) -> str:
    """Return the `repr` of a value for a message, cut where it is long."""
    try:
        return " ".join(_SHOWN.repr(value).split())
    except Exception:  # a `__repr__` of others, or a number of too many digits
        return f"<{type(value).__name__}>"


def in_range(name: str, value: Any, bounds: Mapping[str, float]) -> Any:
    """Return a number that is finite and within bounds.

    Raises:
        InputError: It is not.
    """
    if isinstance(value, float) and not isfinite(value):
        raise InputError(f"{name} must be finite, got {value}")
    if not all(BOUNDS[word][0](value, limit) for word, limit in bounds.items()):
        limits = " and ".join(f"{word} {limit}" for word, limit in bounds.items())
        raise InputError(f"{name} must be {limits}, got {shown(value)}")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise InputError(f"{name} must be at most {LARGEST}, got {shown(value)}")
    return value


def arguments(thing: T) -> T:
    """Check the arguments of a function, or of a class's constructor, by their hints.

    They are passed on as they are.

    Raises:
        InputError: In a call, whose argument is wrong.
    """
    function: Any = thing.__init__ if isinstance(thing, type) else thing  # type: ignore[misc]
    scope = vars(sys.modules[thing.__module__])

    @functools.cache
    def rules() -> dict[str, Rule]:  # at the first call: a hint may name what stands further down
        found = {}
        for name, one in inspect.signature(function).parameters.items():
            if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL):
                hint = _resolved(one.annotation, scope)
                if hint is not Any:
                    found[name] = _rule(hint)
        return found

    parameters = inspect.signature(function).parameters
    names = list(parameters)
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    own = getattr(thing, "__name__", "it")

    @functools.wraps(function)
    def checking(*args: Any, **given: Any) -> Any:
        known = rules()
        for name, value in zip(names, args, strict=False):
            if name in known:
                known[name](name, value)
        for name, value in given.items():
            if name in known:
                known[name](name, value)
            elif not takes_any and name not in parameters:
                raise unknown(f"argument of {own}:", name, names[isinstance(thing, type) :])
        return function(*args, **given)

    checking.rules = rules  # type: ignore[attr-defined]
    if isinstance(thing, type):
        thing.__init__ = checking  # type: ignore[misc]
        return thing
    return typing.cast(T, checking)


def check_arguments(function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Check arguments before there is a call, as `arguments` does in it.

    Args:
        function: A function or a class, perhaps a `partial` of one; without `arguments` nothing
            is known of it.
        given: Some of its arguments by name.

    Raises:
        InputError: One has a wrong type or is out of range.
    """
    while isinstance(function, functools.partial):
        function = function.func
    inner: Any = function.__init__ if isinstance(function, type) else function  # type: ignore[misc]
    known = inner.rules() if hasattr(inner, "rules") else {}
    for name in given.keys() & known.keys():
        known[name](name, given[name])


def _resolved(hint: Any, scope: dict[str, Any]) -> Any:
    """Return the hint that a text stands for; one of type checkers alone says nothing."""
    try:
        return eval(hint, scope) if isinstance(hint, str) else hint
    except (NameError, AttributeError):
        return Any


@functools.cache
def _rule(hint: Any) -> Rule:
    """Return what checks a value against a hint."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, TypeVar | str) or hint is inspect.Parameter.empty:
        return lambda name, value: value
    if origin is Annotated:
        bounds = next((one.bounds for one in inner[1:] if isinstance(one, Range)), {})
        base = _rule(inner[0])
        return lambda name, value: in_range(name, base(name, value), bounds)
    if origin is typing.NotRequired:
        return _rule(inner[0])
    if origin in (typing.Union, types.UnionType):
        return _one_of(inner)
    if origin is Literal:
        return functools.partial(_choice, inner)
    if typing.is_typeddict(hint):
        hints = typing.get_type_hints(hint, include_extras=True)
        table = _table(hint, hints, hint.__required_keys__)
        return lambda name, value: {**table(name, value), **_others(value, hints)}
    kind = origin or hint
    if kind in (int, float, bool, str):
        return functools.partial(_plain, kind)
    if not isinstance(kind, type):
        return lambda name, value: value
    if kind is type:
        return _is(type, "a class")
    if issubclass(kind, Mapping):
        return _mapping(inner)
    if getattr(kind, "_is_protocol", False) and not getattr(kind, "_is_runtime_protocol", False):
        return lambda name, value: value
    if kind.__module__ == "collections.abc" and kind is not Callable and issubclass(kind, Iterable):
        return _collection(kind, inner)
    if kind in (list, tuple):
        return _collection(kind, inner)
    return _is(kind, _word(hint))


def _plain(kind: type, name: str, value: Any) -> Any:
    if type(value) is kind and kind is not float:
        return value
    if isinstance(value, bool) or not isinstance(value, _LIKE[kind]):
        raise InputError(f"{name} must be {_word(kind)}, got {shown(value)}")
    try:
        return in_range(name, value if kind is str else kind(value), {})
    except OverflowError:
        raise InputError(f"{name} must be finite, got {shown(value)}") from None


def _is(kind: type, word: str) -> Rule:
    known: set[type] = set()  # asking a Protocol takes as long as making a request

    def rule(name: str, value: Any) -> Any:
        if type(value) not in known:
            if not isinstance(value, kind):
                raise InputError(f"{name} must be {word}, got {shown(value)}")
            known.add(type(value))
        return value

    return rule


def _choice(choices: tuple[Any, ...], name: str, value: Any) -> Any:
    if not isinstance(value, str | int) or value not in choices:
        raise unknown(f"value of {name}:", value, map(str, choices))
    return value


def _one_of(hints: tuple[Any, ...]) -> Rule:
    """One of several hints. Where but one may fit, its own message says what is wrong."""
    rest = [hint for hint in hints if hint is not types.NoneType]
    rules, optional = [_rule(hint) for hint in rest], len(rest) < len(hints)

    def rule(name: str, value: Any) -> Any:
        if value is None and optional:
            return None
        errors = []
        for one in rules:
            try:
                return one(name, value)
            except InputError as error:
                errors.append(error)
        told = [str(error) for error in errors if not _TYPE.search(str(error))]
        if told:  # the type was right
            raise InputError(told[0])
        words = " or ".join(dict.fromkeys(map(_word, hints)))
        raise InputError(f"{name} must be {words}, got {shown(value)}")

    return rule


def _collection(kind: Any, inner: tuple[Any, ...]) -> Rule:
    whole = () if not inner or inner[-1] is ... or kind is not tuple else inner
    rules = [_rule(hint) for hint in whole]
    each = None if not inner or whole else _rule(inner[0])
    accepted: Any = (list, tuple) if kind in (list, tuple) else kind

    def rule(name: str, value: Any) -> Any:
        if isinstance(value, (str, bytes)) or not isinstance(value, accepted):
            raise InputError(f"{name} must be a list, got {shown(value)}")
        if whole and len(value) != len(whole):
            raise InputError(f"{name} must have {len(whole)} entries, got {len(value)}")
        inner_name = f"each of {name}"
        if whole:
            pairs = zip(rules, value, strict=True)
            return tuple([rule(inner_name, one) for rule, one in pairs])
        if each is None or not isinstance(value, Collection):  # an iterator is read once
            return value
        made = [each(inner_name, one) for one in value]
        return tuple(made) if kind is tuple else made

    return rule


def _mapping(inner: tuple[Any, ...]) -> Rule:
    keys, values = map(_rule, inner or (Any, Any))

    def rule(name: str, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise InputError(f"{name} must be a mapping, got {shown(value)}")
        return {
            keys(f"each key of {name}", key): values(_inner(name, key), one)
            for key, one in value.items()
        } if inner else value  # fmt: skip

    return rule


def _table(cls: Any, hints: Mapping[str, Any], needed: Collection[str]) -> Rule:
    """A mapping of which some keys are known; of those alone it makes another."""

    def rule(name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise InputError(f"{name} must be {_word(cls)}, got {shown(value)}")
        for key in hints:
            if key in needed and key not in value:
                raise InputError(f"{name} must hold {key}")
        return {
            key: _rule(hint)(_inner(name, key), value[key])
            for key, hint in hints.items()
            if key in value
        }

    return rule


def _others(value: Mapping[str, Any], hints: Mapping[str, Any]) -> dict[str, Any]:
    return {key: one for key, one in value.items() if key not in hints}


def _inner(name: str, key: Any) -> str:
    short = str(key)[:40]
    return short if name == WHOLE else f"{name}.{short}"


def _word(hint: Any) -> str:
    """Say what a hint stands for, in a message."""
    kind = typing.get_origin(hint) or hint
    if kind is Annotated:
        return _word(typing.get_args(hint)[0])
    if kind in KINDS:
        return KINDS[kind][0]
    if typing.is_typeddict(kind) or (isinstance(kind, type) and issubclass(kind, Mapping)):
        return "a mapping"
    if kind is Callable:
        return "a function"
    if kind is PathLike:
        return "a path"
    name = getattr(kind, "__name__", str(kind))
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
