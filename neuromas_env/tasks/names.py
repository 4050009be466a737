"""Names of tasks and baselines, `family/variant:parameter=value,...`, and checks of parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from neuromas_env.errors import InputError
from neuromas_env.scripts import parse_script

Value = int | str


def split_name(name: str) -> tuple[str, str, dict[str, Value]]:
    """Split `hierarchy/max:leaves=4` into family, variant (may be empty) and parameters.

    The family of `path/file.py:Name:leaves=4` is `path/file.py:Name`.

    Raises:
        InputError: What follows the colon is not a list of `parameter=value`.
    """
    if script := parse_script(name):
        head, variant, tail = script.name, "", script.options
    else:
        head, _, tail = name.partition(":")
        head, _, variant = head.partition("/")
    given = read_options(tail, f"task {name!r}", "hierarchy/max:leaves=4,parts=2")
    number = re.compile(r"-?[0-9]{1,18}")
    return head, variant, {k: int(v) if number.fullmatch(v) else v for k, v in given.items()}


def split_options(name: str, kind: str, example: str) -> tuple[str, dict[str, str]]:
    """Split `head:key=value,...` into the head and the texts of the values by key.

    Args:
        name: What is split.
        kind: What it names, for messages.
        example: A right name of that kind.

    Raises:
        InputError: What follows the colon is no list of `key=value`, each key once.
    """
    head, _, tail = name.partition(":")
    return head, read_options(tail, f"{kind} {name!r}", example)


def read_options(text: str, what: str, example: str) -> dict[str, str]:
    """Return the texts of the values by key of `key=value,...`.

    Args:
        text: What is read.
        what: Whose options they are, for messages.
        example: A right name with options.

    Raises:
        InputError: It is no list of `key=value`, each key once.
    """
    given: dict[str, str] = {}
    for item in filter(None, text.split(",")):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not (key and equals and value) or key in given:
            raise InputError(
                f"{what}: options must be key=value, each key once, as in {example!r}, got {item!r}"
            )
        given[key] = value
    return given


def full_name(base: str, params: Mapping[str, object], defaults: Mapping[str, object]) -> str:
    """Return the name that means the same task everywhere: only what differs from the defaults."""
    given = [f"{key}={value}" for key, value in params.items() if value != defaults[key]]
    return f"{base}:{','.join(given)}" if given else base


def check_int(task: str, key: str, value: object, low: int, high: int) -> None:
    """Raise an InputError unless `value` is an integer in `low..high`."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(
            f"task {task}: {key} must be an integer from {low} to {high}, not {value!r}"
        )


def check_choice(task: str, key: str, value: object, allowed: Iterable[object]) -> None:
    """Raise an InputError unless `value` is one of `allowed`."""
    allowed = list(allowed)
    if value not in allowed:
        listed = " or ".join(map(str, allowed))
        raise InputError(f"task {task}: {key} must be {listed}, not {value!r}")


def split_names(text: str) -> list[str]:
    """Split `direct,sc:k=5,temperature=0.7,debate` into names; options stay with theirs."""
    names: list[str] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, _ = part.partition("=")
        # A task or a run may have an `=` in its own name: `task:k=2`, `neuromas@runs/rate=0.1`.
        if names and equals and not {":", "@"} & set(key):
            names[-1] += f"{',' if ':' in names[-1] else ':'}{part}"
        else:
            names.append(part)
    return names
