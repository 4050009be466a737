"""What a Python file of a user offers under `path/file.py:Name`, without being installed.

The file is run once for each state of its content. Its folder joins those that Python imports
from, as that of a script does. What goes wrong in it is said with the file and the line.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any

from neuromas_env.errors import InputError, unknown

# Up to the first ".py:", since a drive of Windows has a colon, too.
_NAME = re.compile(r"(.+?\.py):(\w+)(?::(.*))?", re.DOTALL)
_loaded: dict[str, tuple[str, ModuleType]] = {}  # path to hash of the content and module


@dataclass(frozen=True)
class Script:
    """A name in a file.

    Attributes:
        file: Path of the file, as it was given but for a `./` before it.
        attribute: What of the file is meant.
        options: What follows, such as `depth=3`; empty for nothing.
    """

    file: str
    attribute: str
    options: str = ""

    @property
    def name(self) -> str:
        """File and attribute, by which results know it."""
        return f"{self.file}:{self.attribute}"

    @property
    def path(self) -> Path:
        """Where the file is."""
        return Path(self.file).expanduser().absolute()

    @property
    def digest(self) -> str:
        """SHA-256 of the content that was loaded."""
        return _loaded[str(self.path)][0]

    def load(self) -> Any:
        """Return what the file has under the attribute.

        Raises:
            InputError: There is no such file or attribute, or the file fails.
        """
        module = _module(self.path)
        public = [name for name in vars(module) if not name.startswith("_")]
        if not hasattr(module, self.attribute):
            raise unknown(f"name in {self.file}:", self.attribute, public)
        return getattr(module, self.attribute)


def parse_script(name: str) -> Script | None:
    """Take `path/file.py:Name:depth=3` apart; None for a name of another kind.

    Raises:
        InputError: A file is named, but nothing in it.
    """
    if found := _NAME.fullmatch(name):
        file, attribute, options = found.groups(default="")
        return Script(PurePath(file).as_posix(), attribute, options)
    if name.rstrip(":").endswith(".py"):
        raise InputError(f"{name!r}: give what is meant in the file, too, as in file.py:Name")
    return None


def _module(path: Path) -> ModuleType:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    digest, key = sha256(source).hexdigest(), str(path)
    if key in _loaded and _loaded[key][0] == digest:
        return _loaded[key][1]
    try:
        code = compile(source, key, "exec")
    except (SyntaxError, ValueError) as error:  # a ValueError of NUL
        line, said = getattr(error, "lineno", None) or 1, getattr(error, "msg", error)
        raise InputError(f"{path}, line {line}: {type(error).__name__}: {said}") from error
    module = ModuleType(f"{path.stem}@{sha256(key.encode()).hexdigest()[:12]}")
    module.__file__ = key
    sys.modules[module.__name__] = module  # where dataclasses and pickle look for it
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    _loaded[key] = digest, module
    try:
        with blamed():
            exec(code, vars(module))
    except BaseException:
        del _loaded[key], sys.modules[module.__name__]
        raise
    return module


@contextmanager
def blamed() -> Iterator[None]:
    """Turn what goes wrong in a user's file into one message with its file and line.

    Raises:
        InputError: A line of such a file raised something, or called what did.
    """
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        if place := place_of(error):
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise InputError(f"{place}: {said}") from error
        raise


def place_of(error: BaseException) -> str | None:
    """Return the innermost line of a user's file that an error passed through."""
    lines = [(f.f_code.co_filename, line) for f, line in traceback.walk_tb(error.__traceback__)]
    own = [f"{file}, line {line}" for file, line in lines if file in _loaded]
    return own[-1] if own else None
