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

import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Self

import yaml

from neuromas_env.checks import BOUNDS, KINDS, check, in_range, shown
from neuromas_env.errors import InputError, placed, unknown
from neuromas_env.files import path_of, read_text

REQUIRED: Any = MISSING
"""The default of an option that must be given."""


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
    place: bool = False,
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
        place: Whether a text is a path, of which `~` is written out.
        split: Takes the text of a list apart.
    """
    bounds = {"at least": low, "above": above, "at most": high}
    metadata = {
        "help": help,
        "bounds": {word: limit for word, limit in bounds.items() if limit is not None},
        "choices": None if choices is None else tuple(choices),
        "also": also,
        "panel": panel,
        "place": place,
        "split": split,
    }
    return field(default=default, metadata=metadata)


def inherited(cls: type[Options], name: str) -> Any:
    """Declare the same option as another class has."""
    [one] = [one for one in fields(cls) if one.name == name]
    return field(default=one.default, metadata=one.metadata)


_PLAIN = option(None, "").metadata
_MOST_BYTES, _MOST_NODES = 1 << 16, 100_000  # of a YAML file: a second to read


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
            return cls(**taken)

    def to_mapping(self) -> dict[str, Any]:
        """Return all options by name; `from_mapping` reads them."""
        return asdict(self)

    def __post_init__(self) -> None:
        """Check every value, as far as that is possible without data and model."""
        hints = typing.get_type_hints(type(self))
        for one in fields(self):
            value = checked(one.name, getattr(self, one.name), hints[one.name], one.metadata)
            object.__setattr__(self, one.name, value)
        self.validate()

    def validate(self) -> None:
        """Check that the values fit together.

        Raises:
            InputError: They do not.
        """


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
    if kind is float and isinstance(value, str):  # YAML reads 1e-3, without a point, as a text
        value = from_text(value, float)
    if metadata["also"] is not None and type(value) is metadata["also"]:
        value = kind(value)
    value = check(name, value, hint)
    if metadata["choices"] is not None and value not in metadata["choices"]:
        raise unknown(f"value of {name}:", value, metadata["choices"])
    if metadata["place"] and value is not None:
        return str(path_of(name, value))
    return in_range(name, value, metadata["bounds"])


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
        raise InputError(f"{name} must be a list, got {shown(value)}")
    if others != [...] and len(value) != len(items):
        raise InputError(f"{name} must have {len(items)} entries, got {len(value)}")
    return tuple(checked(f"each of {name}", one, kind, metadata) for one in value)


def from_text(text: str, kind: type) -> Any:
    """Read a number or a truth value; what is none is returned as it is, for a check to refuse."""
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        return text


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

    def value(self, key: Any, hint: Any, default: Any = None) -> Any:
        """Return what stands under a key, checked by a type hint.

        Raises:
            InputError: Something else is there.
        """
        with placed(self.at(key)):
            return check(str(key), self.get(key, default), hint)

    def inner(self, key: Any) -> Section:
        """Return the mapping under a key, an empty one if there is none.

        Raises:
            InputError: Something else is there.
        """
        value = self.get(key)
        if not isinstance(value, Section | None):
            raise InputError(f"{self.at(key)}: {key} must be a mapping, got {shown(value)}")
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
    """Makes a `Section` of every mapping; what YAML 1.1 takes for a time or a date is a text."""

    def section(self, node: yaml.MappingNode) -> Iterator[Section]:
        section = Section(place=_line(node.start_mark))
        yield section
        own = [key for key, _ in node.value if not key.tag.endswith(":merge")]
        section.update(self.construct_mapping(node))
        lines: dict[Any, str] = {}
        for key in own:
            name, line = self.construct_object(key), _line(key.start_mark)
            if lines.setdefault(name, line) != line or own.count(key) > 1:
                raise InputError(f"{line}: {name} must be given once, got it twice")
        for key, _ in node.value:
            section.places[self.construct_object(key)] = _line(key.start_mark)

    def text(self, node: yaml.ScalarNode) -> str:
        return self.construct_scalar(node)

    def whole(self, node: yaml.ScalarNode) -> int | str:
        return node.value if ":" in node.value else self.construct_yaml_int(node)  # 1:10 is no 70

    def number(self, node: yaml.ScalarNode) -> float | str:
        return node.value if ":" in node.value else self.construct_yaml_float(node)


for _kind, _make in {
    "map": _Loader.section,
    "timestamp": _Loader.text,
    "int": _Loader.whole,
    "float": _Loader.number,
}.items():
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _make)


def _line(mark: yaml.Mark) -> str:
    return f"{mark.name}, line {mark.line + 1}"


def _size(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """Return how many nodes there are when every alias is written out."""
    if node not in known:
        known[node] = _MOST_NODES  # of a node that holds itself
        inner = node.value if isinstance(node, yaml.CollectionNode) else ()
        each = (one for entry in inner for one in (entry if isinstance(entry, tuple) else (entry,)))
        known[node] = 1 + sum(_size(one, known) for one in each)
        if known[node] > _MOST_NODES:
            raise InputError(
                f"{_line(node.start_mark)}: with its aliases written out, a file must "
                f"have at most {_MOST_NODES:,} values"
            )
    return known[node]


def read_config(path: str | Path) -> Section:
    """Read a configuration file: YAML, option names to values.

    Raises:
        InputError: The file cannot be read, is no YAML, holds a key twice, or no options.
    """
    path = Path(path)
    right = "options must be lines such as `steps: 20`"
    loader = None
    try:
        loader = _Loader(read_text(path, _MOST_BYTES))
        loader.name = str(path)
        node = loader.get_single_node()
        if node is not None:
            _size(node, {})
        values = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise InputError(f"{_line(mark) if mark else path}: {problem}; {right}") from None
    except RecursionError:
        raise InputError(f"{path}: it is nested too deeply; {right}") from None
    except (TypeError, ValueError, OverflowError, AttributeError) as error:  # of PyYAML's types
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: {error}; {right}") from None
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
    types = [KINDS[known][1] for known in (kind, also) if known] + ["null"] * optional
    limits: dict[str, Any] = {BOUNDS[word][1]: n for word, n in one.metadata["bounds"].items()}
    if one.metadata["choices"]:
        limits["enum"] = [*one.metadata["choices"], *[None] * optional]
    found = {"description": one.metadata["help"], "type": types if len(types) > 1 else types[0]}
    if kind is tuple:
        found["items"] = {"type": KINDS[items[0]][1]} | limits
        if items[-1] is not ...:
            found |= {"minItems": len(items), "maxItems": len(items)}
    else:
        found |= limits
    if one.default is not REQUIRED:
        found["default"] = list(one.default) if isinstance(one.default, tuple) else one.default
    return found
