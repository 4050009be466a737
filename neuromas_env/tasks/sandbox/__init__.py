"""Running programs that a model wrote, judged by tests that they cannot reach.

`Sandbox().judge(programs)` runs each `Program` and returns a `Verdict`. A program's tests run in
a process of their own, the judge, on stand-ins for what the program defines; each call goes to the
program as data and comes back as data. Program and judge are children of a fork server that
bubblewrap, Landlock and seccomp shut off, as far as this machine has them: `tier()` says which.
Where nothing works, neither runs.
"""

from __future__ import annotations

import atexit
import os

from neuromas_env.tasks.sandbox.pool import Program, Sandbox, Verdict

__all__ = ["Program", "Sandbox", "Verdict", "shared", "tier"]

_SHARED: dict[tuple[int, bool], Sandbox] = {}


def shared(allow_unsandboxed: bool = False) -> Sandbox:
    """Return the one sandbox that all tasks of this process share, started when first needed.

    Raises:
        InputError: No isolation works here; see `Sandbox`.
    """
    # A forked child must not talk to its parent's workers.
    key = (os.getpid(), allow_unsandboxed)
    if key not in _SHARED:
        _SHARED[key] = Sandbox(allow_unsandboxed=allow_unsandboxed)
    return _SHARED[key]


def tier(allow_unsandboxed: bool = False) -> str:
    """Return what isolates untrusted programs here, for the record of a result.

    Raises:
        InputError: No isolation works here; see `Sandbox`.
    """
    return shared(allow_unsandboxed).tier


@atexit.register
def _close() -> None:
    for (process, _), box in _SHARED.items():
        if process == os.getpid():
            box.close()
