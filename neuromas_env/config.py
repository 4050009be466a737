"""Options as fields of a dataclass: declared once, then checked, read from YAML and described.

    @dataclass(frozen=True)
    class Adapters(Options):
        rank: int = option(16, "of the adapters (LoRA)", low=1)

`Adapters.from_mapping({"rank": 0})` says "rank must be at least 1, got 0", a file's options with
their file and line; `schema(Adapters)` describes them to editors, and the command line makes its
options of the same fields. Types are `str`, `int`, `float`, `bool`, a `dict`, a `tuple` of one of
the first four, and any of them or None.
"""

from __future__ import annotations

import operator
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from math import isfinite
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Self

import yaml

from neuromas_env.errors import InputError, unknown

REQUIRED: Any = MISSING
"""The default of an option that must be given."""
# Types and bounds, in messages and in a JSON schema.
_KINDS: dict[type, tuple[str, str]] = {
    str: ("a text", "string"),
    int: ("a whole number", "integer"),
    float: ("a number", "number"),
    bool: ("true or false", "boolean"),
    tuple: ("a list", "array"),
    dict: ("a mapping", "object"),
}
_BOUNDS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "at least": (operator.ge, "minimum"),
    "above": (operator.gt, "exclusiveMinimum"),
    "at most": (operator.le, "maximum"),
}


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    choices: Iterable[str] | None = None,
    also: type | None = None,
    panel: str | None = None,
    split: Callable[[str], list[str]] = lambda text: text.split(","),
) -> Any:
    """Declare a field of `Options`.

    Args:
        default: `REQUIRED` for none.
        help: What it is, for people.
        low: The least value, of each entry where there are several.
        above: What a value must exceed.
        high: The largest value.
        choices: The only values.
        panel: Heading of the command's help under which it stands.
        also: A type that YAML may take the value for, such as int for a topology of one node.
        split: Takes the text of a list apart.
    """
    bounds = {"at least": low, "above": above, "at most": high}
    metadata = {
        "help": help,
        "bounds": {word: limit for word, limit in bounds.items() if limit is not None},
        "choices": None if choices is None else tuple(choices),
        "also": also,
        "panel": panel,
        "split": split,
    }
    return field(default=default, metadata=metadata)


def inherited(cls: type[Options], name: str) -> Any:
    """Declare the same option as another class has."""
    [one] = [one for one in fields(cls) if one.name == name]
    return field(default=one.default, metadata=one.metadata)


_PLAIN = option(None, "").metadata


@dataclass(frozen=True)
class Options:
    """Options by name; each field's `metadata["help"]` says what it is."""

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], where: str = "") -> Self:
        """Take options by name, as a configuration file holds them.

        Args:
            values: Option names with `_` or `-`, and their values.
            where: Whence they come, for messages; a `Section` knows it by itself.

        Raises:
            InputError: An option is unknown, given twice or missing, has a value of the wrong type
                or out of range, or two do not fit together.
        """
        section = values if isinstance(values, Section) else Section(values, where)
        known = {one.name: one for one in fields(cls)}
        hints = typing.get_type_hints(cls)
        taken: dict[str, Any] = {}
        for key, value in values.items():
            with placed(section.at(key)):
                name = canonical(key)
                if name not in known:
                    raise unknown("option", str(key), known)
                if name in taken:
                    raise InputError(f"{name} must be given once, got it twice")
                taken[name] = checked(name, value, hints[name], known[name].metadata)
        with placed(section.place):
            for name, one in known.items():
                if one.default is REQUIRED and name not in taken:
                    raise InputError(f"{name} must be given: {one.metadata['help']}")
            config = cls(**taken)
            config.validate()
        return config

    def to_mapping(self) -> dict[str, Any]:
        """Return all options by name; `from_mapping` reads them."""
        return asdict(self)

    def validate(self) -> None:
        """Check the values, as far as that is possible without data and model.

        Raises:
            InputError: A value is out of range, or two options do not fit together.
        """
        hints = typing.get_type_hints(type(self))
        for one in fields(self):
            checked(one.name, getattr(self, one.name), hints[one.name], one.metadata)


def canonical(key: Any) -> str:
    """Return an option's name as the field has it."""
    return str(key).replace("-", "_")


def checked(name: str, value: Any, hint: Any, metadata: Mapping[str, Any] = _PLAIN) -> Any:
    """Return the value of an option in its own type.

    Raises:
        InputError: It has another type, or is out of range.
    """
    kind, items, optional = _parts(hint)
    if value is None and optional:
        return None
    if kind is tuple:
        return _entries(name, value, items, metadata)
    if kind is float:
        # YAML reads 1e-3, without a point, as a text.
        value = from_text(value, float) if isinstance(value, str) else value
        value = float(value) if type(value) is int else value
    if metadata["also"] is not None and type(value) is metadata["also"]:
        value = kind(value)
    if type(value) is not kind and not (kind is dict and isinstance(value, dict)):
        none = " or nothing" if optional else ""
        raise InputError(f"{name} must be {_KINDS[kind][0]}{none}, got {value!r}")
    if metadata["choices"] is not None and value not in metadata["choices"]:
        raise unknown(f"value of {name}:", value, metadata["choices"])
    if kind is float and not isfinite(value):
        raise InputError(f"{name} must be finite, got {value}")
    bounds = metadata["bounds"].items()
    if not all(_BOUNDS[word][0](value, limit) for word, limit in bounds):
        limits = " and ".join(f"{word} {limit}" for word, limit in bounds)
        raise InputError(f"{name} must be {limits}, got {value}")
    return value


def _parts(hint: Any) -> tuple[Any, tuple[Any, ...], bool]:
    """Return the type of a hint, the types of its entries, and whether it may be None."""
    kinds = typing.get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return typing.get_origin(kinds[0]) or kinds[0], typing.get_args(kinds[0]), NoneType in kinds


def _entries(name: str, value: Any, items: tuple[Any, ...], metadata: Mapping[str, Any]) -> tuple:
    kind, *others = items
    if isinstance(value, str):
        parts = filter(None, (part.strip() for part in metadata["split"](value)))
        value = [from_text(part, kind) for part in parts]
    if not isinstance(value, list | tuple):
        raise InputError(f"{name} must be a list, got {value!r}")
    if others != [...] and len(value) != len(items):
        raise InputError(f"{name} must have {len(items)} entries, got {len(value)}")
    return tuple(checked(f"each of {name}", one, kind, metadata) for one in value)


def from_text(text: str, kind: type) -> Any:
    """Read a number or a truth value; what is none is returned as it is, for a check to refuse."""
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        return text


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Put a place in front of the message of what is wrong there."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{place}: {error}" if place else str(error)) from None


class Section(dict):
    """A mapping of a YAML file that knows where it and its keys stand, for messages."""

    def __init__(self, values: Mapping | None = None, place: str = "") -> None:
        """Take keys with values, all of which stand in a place, such as `run.yaml, line 3`."""
        super().__init__(values or {})
        self.place = place
        self.places = dict.fromkeys(self, place)

    def at(self, key: Any) -> str:
        """Return the place of a key, or that of the mapping if the key is not there."""
        return self.places.get(key, self.place)

    def updated(self, other: Mapping) -> Section:
        """Return a copy with what another has; every key keeps its place."""
        result = Section({**self, **other}, self.place)
        for one in (self, other):
            result.places |= one.places if isinstance(one, Section) else dict.fromkeys(one, "")
        return result

    def without(self, *keys: str) -> Section:
        """Return a copy that lacks some keys."""
        result = Section({key: value for key, value in self.items() if key not in keys}, self.place)
        result.places |= self.places
        return result

    def inner(self, key: Any) -> Section:
        """Return the mapping under a key, an empty one if there is none.

        Raises:
            InputError: Something else is there.
        """
        value = self.get(key)
        if not isinstance(value, Section | None):
            raise InputError(f"{self.at(key)}: {key} must be a mapping, got {value!r}")
        return Section(place=self.at(key)) if value is None else value

    def check(self, known: Collection[str], needed: Iterable[str] = ()) -> None:
        """Check the keys.

        Raises:
            InputError: One is not known, or one is missing that is needed.
        """
        for key in self:
            if key not in known:
                raise InputError(f"{self.at(key)}: {unknown('key', str(key), known)}")
        for key in needed:
            if not self.get(key):
                raise InputError(f"{self.place}: {key} must be given")


class _Loader(yaml.SafeLoader):
    """Makes a `Section` of every mapping."""

    def section(self, node: yaml.MappingNode) -> Iterator[Section]:
        section = Section(place=_line(node.start_mark))
        yield section
        section.update(self.construct_mapping(node))
        for key, _ in node.value:
            section.places[self.construct_object(key)] = _line(key.start_mark)


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.section)


def _line(mark: yaml.Mark) -> str:
    return f"{mark.name}, line {mark.line + 1}"


def read_config(path: str | Path) -> Section:
    """Read a configuration file: YAML, option names to values.

    Raises:
        InputError: The file cannot be read, is no YAML, or holds no options.
    """
    try:
        loader = _Loader(Path(path).read_text(encoding="utf-8"))
        loader.name = str(path)
        values = loader.get_single_data()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read configuration {path}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(
            f"{_line(mark) if mark else path}: {getattr(error, 'problem', None) or error}; options "
            "must be lines such as `steps: 20`"
        ) from None
    values = Section() if values is None else values
    if not isinstance(values, Section):
        raise InputError(f"{path}: holds no options, which must be lines such as `steps: 20`")
    values.place = str(path)
    return values


def schema(cls: type[Options], title: str) -> dict[str, Any]:
    """Describe options as a JSON schema (draft 2020-12), by which editors complete YAML.

    Args:
        cls: The options.
        title: Of the schema.
    """
    hints = typing.get_type_hints(cls)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "properties": {one.name: _described(one, hints[one.name]) for one in fields(cls)},
        "required": [one.name for one in fields(cls) if one.default is REQUIRED],
        "additionalProperties": False,
    }


def _described(one: Field, hint: Any) -> dict[str, Any]:
    """Return the JSON schema of an option."""
    kind, items, optional = _parts(hint)
    also = str if kind is tuple else one.metadata["also"]  # a list may be one text with commas
    types = [_KINDS[known][1] for known in (kind, also) if known] + ["null"] * optional
    limits: dict[str, Any] = {_BOUNDS[word][1]: n for word, n in one.metadata["bounds"].items()}
    if one.metadata["choices"]:
        limits["enum"] = [*one.metadata["choices"], *[None] * optional]
    found = {"description": one.metadata["help"], "type": types if len(types) > 1 else types[0]}
    if kind is tuple:
        found["items"] = {"type": _KINDS[items[0]][1]} | limits
        if items[-1] is not ...:
            found |= {"minItems": len(items), "maxItems": len(items)}
    else:
        found |= limits
    if one.default is not REQUIRED:
        found["default"] = list(one.default) if isinstance(one.default, tuple) else one.default
    return found
