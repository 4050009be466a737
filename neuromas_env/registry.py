"""What users choose by name: built in, registered in code, or offered by an installed package."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pkgutil import resolve_name
from typing import Any, Generic, TypeVar

from neuromas_env.errors import InputError, unknown

Made = TypeVar("Made")


@dataclass(frozen=True)
class BuiltIn:
    """What this package offers under a name.

    Attributes:
        path: `module:attribute`, imported when it is first used.
        about: One line that says what it is.
    """

    path: str
    about: str


def built_in(package: str, rows: Mapping[str, tuple[str, str]]) -> dict[str, BuiltIn]:
    """Return entries from name to `("module:attribute", about)`, modules within `package`."""
    return {name: BuiltIn(f"{package}.{path}", about) for name, (path, about) in rows.items()}


class Registry(Generic[Made]):
    """Names of one kind of thing, such as tasks, and what each stands for.

    One rule says what a name stands for: what is built in, else what is registered, else what an
    installed package offers. Stored results and run folders hold names, so a built-in name means
    the same everywhere and cannot be registered; what a program registers is nearer to its
    user than what is installed. A name that is registered twice stands for the later one,
    as a notebook's cell is run again.

    A package offers names by entry points: the entry's name is the name, its value
    `module:attribute`. It is imported when one of its names is used, so that a broken package
    stands in nobody else's way.

    Attributes:
        kind: What the names are names of, for messages.
        group: The entry points' group.
        built_in: What this package offers.
        registered: What was registered in this process, with a line about each.
    """

    def __init__(self, kind: str, group: str, built_in: Mapping[str, BuiltIn]) -> None:
        """Start with what is built in."""
        self.kind, self.group, self.built_in = kind, group, built_in
        self.registered: dict[str, tuple[Made, str]] = {}

    def register(self, name: str, made: Made | None = None, *, about: str = "") -> Any:
        """Let a name stand for something, in this process.

        Args:
            name: A plain word: letters, digits, `_`, `.` and `-`.
            made: What it stands for; left out, a decorator is returned.
            about: One line for lists; by default the first line of the docstring.

        Returns:
            `made`, or the decorator.

        Raises:
            InputError: The name is no plain word, or is built in.
        """
        if not re.fullmatch(r"[\w.-]+", name):
            raise InputError(f"{self.kind} {name!r}: a name is letters, digits, '_', '.' and '-'")
        if name in self.built_in:
            raise InputError(f"{self.kind} {name!r} is built in; another name is free")
        if made is None:
            return partial(self.register, name, about=about)
        self.registered[name] = made, about or _first_line(made) or "registered in code"
        return made

    def find(self, name: str) -> Made:
        """Return what a name stands for, imported if need be.

        Raises:
            InputError: The name is unknown, a package's does not load, or two packages offer it.
        """
        if name in self.built_in:
            return resolve_name(self.built_in[name].path)
        if name in self.registered:
            return self.registered[name][0]
        offers = [point for point in entry_points(group=self.group) if point.name == name]
        if not offers:
            raise unknown(self.kind, name, self)
        if len(offers) > 1:
            raise InputError(
                f"{self.kind} {name!r} is offered by {' and '.join(map(_offer, offers))}; "
                "uninstall all but one"
            )
        try:
            return offers[0].load()
        except (Exception, SystemExit) as error:
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise InputError(
                f"{self.kind} {name!r} of {_offer(offers[0])} does not load: {said}"
            ) from error

    def abouts(self) -> dict[str, str]:
        """Return every name with one line about it.

        What a package offers is imported for its docstring; what does not load says so.
        """
        return {name: self._about(name) for name in self}

    def _about(self, name: str) -> str:
        if name in self.built_in:
            return self.built_in[name].about
        if name in self.registered:
            return self.registered[name][1]
        try:
            line = _first_line(self.find(name))
        except InputError as error:
            return str(error)
        [point] = entry_points(group=self.group, name=name)
        return f"{line.rstrip('.')}; {_offer(point)}" if line else _offer(point)

    def __iter__(self) -> Iterator[str]:
        """Iterate over all names: built in, offered by packages, registered."""
        offered = (point.name for point in entry_points(group=self.group))
        return iter(dict.fromkeys((*self.built_in, *offered, *self.registered)))

    def __contains__(self, name: object) -> bool:
        """Whether a name stands for something; a package's may still not load."""
        return name in self.built_in or name in self.registered or name in [*self]


def _first_line(made: object) -> str:
    """Return the first line of the docstring that a class or function has of its own."""
    doc = made.__doc__ if inspect.isclass(made) or inspect.isroutine(made) else None
    generated = f"{getattr(made, '__name__', '')}("  # what a dataclass has without one
    return "" if not doc or doc.startswith(generated) else inspect.cleandoc(doc).partition("\n")[0]


def _offer(point: EntryPoint) -> str:
    package = f"the package {point.dist.name}" if point.dist else "a package"
    return f"{package} ({point.value})"
