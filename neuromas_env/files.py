"""Files of runs, reports and results: written whole or not at all, read with one clear error."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import AcquireReturnProxy, FileLock, Timeout

from neuromas_env.checks import WHOLE, check, shown
from neuromas_env.errors import InputError, placed

MOST_BYTES = 1 << 28
"""Of a file that is read whole, and of a line: more than any of this suite's has."""


class writing:  # noqa: N801
    """Turn a failure to write `path` into one message; for `with`."""

    def __init__(self, path: Path) -> None:
        """Name what is being written."""
        self._path = path

    def __enter__(self) -> None:
        """Start."""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Raise the InputError for what went wrong."""
        if isinstance(error, OSError):
            raise unwritable(self._path, error) from error


def unwritable(path: Path, error: BaseException) -> InputError:
    """Make the error for a file of a run that cannot be written."""
    return InputError(
        f"cannot write {path}: {getattr(error, 'strerror', None) or error}. Earlier checkpoints "
        "are unharmed: free some space or open the folder for writing, and resume the run."
    )


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    with writing(path):
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)


def path_of(name: str, text: str | os.PathLike[str]) -> Path:
    """Return a path as a user wrote it, with `~` written out.

    Args:
        name: What it is a path of, for messages.
        text: The path.

    Raises:
        InputError: It is empty, no path, or a home that nobody has.
    """
    given = os.fspath(check(name, text, str | os.PathLike))
    if not given or "\0" in given:
        raise InputError(f"{name} must be a path, got {shown(text)}")
    try:
        return Path(given).expanduser()
    except RuntimeError:
        raise InputError(f"{name}: there is no home {given.split('/')[0]!r}") from None


def read_text(path: Path, limit: int = MOST_BYTES, right: str = "") -> str:
    """Read a file of UTF-8, with a byte order mark or without.

    Args:
        path: The file.
        limit: Bytes that it may hold.
        right: What is right, for messages.

    Raises:
        InputError: It is missing, no file, too large or no UTF-8.
    """
    with reading(path, right):
        if path.exists() and not path.is_file():
            raise InputError("it is no file")
        with path.open("rb") as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise InputError(f"a file must have at most {limit:,} bytes")
        return content.decode("utf-8-sig")


def read(path: Path, hint: Any = dict[str, Any], right: str = "") -> Any:
    """Read a file of JSON, checked by a type hint; see `neuromas_env.checks`.

    Args:
        path: The file.
        hint: What it must hold.
        right: What is right, for messages.

    Raises:
        InputError: It cannot be read or holds something else; the message names it.
    """
    text = read_text(path, right=right)
    with reading(path, right):
        return parse(text, hint)


def read_lines(path: Path, hint: Any = dict[str, Any]) -> list[Any]:
    """Read a file with one JSON value a line, each checked by a type hint.

    Raises:
        InputError: It cannot be read, or a line holds something else; the message names it.
    """
    found: list[Any] = []
    with reading(path), path.open("rb") as file:
        # Not `splitlines`: to it some characters that may stand in a text, such as U+2028, end one.
        while line := file.readline(MOST_BYTES):
            with placed(f"line {len(found) + 1}"):
                found.append(parse(line.decode(), hint))
    return found


def parse(text: str, hint: Any = dict[str, Any]) -> Any:
    """Read JSON, checked by a type hint.

    Raises:
        InputError: It is no JSON, nested too deeply, holds a key twice or something else than
            the hint says.
    """
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise InputError("it is nested too deeply") from None
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"it is no JSON: {error}") from None
    return check(WHOLE, value, hint)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InputError(f"the key {shown(twice)} must be given once, got it twice")
    return made


@contextmanager
def reading(path: Path, right: str = "") -> Iterator[None]:
    """Put the name of a file in front of what is wrong with it, and what is right behind it."""
    end = f"; {right}" if right else ""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"there is no {path}{end}") from None
    except (OSError, ValueError, EOFError) as error:  # an InputError is a ValueError, too
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read: {reason}{end}") from None


def lock(path: Path, folder: Path) -> AcquireReturnProxy:
    """Take a lock file, for `with`; it ends with the process, however that ends.

    Args:
        path: The file that is locked; its folder is made if need be.
        folder: What the lock protects, for the message.

    Raises:
        InputError: Another process holds the lock, or the file cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return FileLock(path, thread_local=False).acquire(blocking=False)
        except Timeout:
            raise InputError(
                f"{folder} is being written by another process; wait until it ends, or give "
                "another folder"
            ) from None
