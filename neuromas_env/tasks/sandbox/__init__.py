"""Running programs that a model wrote, judged by tests that they cannot reach.

`Sandbox().judge(programs)` runs each `Program` and returns a `Verdict`. The trusted tests
run in a process of their own, the judge, on stand-ins for what the program defines; each
call goes to the program as data and comes back as data. The program runs in a child of a
fork server that bubblewrap, Landlock and seccomp shut off, as far as this machine has
them: `tier()` says which. Where nothing works, programs do not run.
"""

from __future__ import annotations

import atexit
import os

from neuromas_env.tasks.sandbox.pool import Program, Sandbox, Verdict

__all__ = ["Program", "Sandbox", "Verdict", "shared", "tier"]

_SHARED: dict[bool, Sandbox] = {}


def shared(allow_unsandboxed: bool = False) -> Sandbox:
    """Return the one sandbox that all tasks of this process share, started when first needed.

    Raises:
        InputError: No isolation works here; see `Sandbox`.
    """
    if allow_unsandboxed not in _SHARED:
        _SHARED[allow_unsandboxed] = Sandbox(allow_unsandboxed=allow_unsandboxed)
    return _SHARED[allow_unsandboxed]


def tier(allow_unsandboxed: bool = False) -> str:
    """Return what isolates untrusted programs here, for the record of a result.

    Raises:
        InputError: No isolation works here; see `Sandbox`.
    """
    return shared(allow_unsandboxed).tier


def _close() -> None:
    while _SHARED:
        _SHARED.popitem()[1].close()


atexit.register(_close)
if hasattr(os, "register_at_fork"):
    # A child must not talk to its parent's workers; it starts its own.
    os.register_at_fork(after_in_child=_SHARED.clear)
