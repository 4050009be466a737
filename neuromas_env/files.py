"""Files of runs, reports and results: written whole or not at all, read with one clear error."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from filelock import AcquireReturnProxy, FileLock, Timeout

from neuromas_env.errors import InputError


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


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of a run, or raise an InputError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of a run with one JSON object a line, or raise an InputError."""
    try:
        # Not `splitlines`: to it some characters that may stand in a text, such as U+2028, end one.
        with path.open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


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
