"""Inside the sandbox: a fork server, and the two children that it forks for each program.

The fork server is trusted and reads nothing that its children say. For each program it takes a
descriptor of the parent's and forks a judge, which reads the program and its tests from there,
and a candidate, which is connected to that judge alone: the tests are in no memory that a
candidate is forked from. Both give up all other rights. It watches their processor time and the
clock, and ends both when the judge is done or a limit is reached. Runs by itself as
`python - DESCRIPTOR`, so it imports the standard library and its neighbours here only.
"""

from __future__ import annotations

import base64
import ctypes
import gc
import importlib
import os
import posix
import random
import resource
import select
import signal
import socket
import sys
import time
import types
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NoReturn

from neuromas_env.tasks.sandbox.candidate import serve
from neuromas_env.tasks.sandbox.judge import judge
from neuromas_env.tasks.sandbox.protocol import ORDER, READY, frame, receive, send

# What programs import most; a candidate forked later has them without reading a file.
_PRELOADED = (
    "abc array bisect calendar cmath collections contextlib copy dataclasses datetime decimal "
    "enum fractions functools hashlib heapq io itertools json math numbers operator queue random "
    "re statistics string struct sys textwrap time traceback typing unicodedata"
)
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER, _PARENT_DEATH, _DUMPABLE, _DROP_BOUND = 38, 22, 2, 1, 4, 24

_DYING_SECONDS = 1.0
_GLANCE_SECONDS = 0.005
# Status of a judge whose candidate has closed the connection, as the dying do.
_HUNG_UP = 1

prctl = ctypes.CDLL(None).prctl
leave = os._exit


def main() -> None:
    """Serve on the control descriptor named on the command line until its other end closes."""
    control = socket.socket(fileno=int(sys.argv[1]))
    config = receive(control.recv)
    code_filter = _filter_program(base64.b64decode(config["filter"]))
    _lock_down(config)
    send(control.send, frame(READY))
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, ORDER.size, 1)
        if not data:
            return
        seconds, wall_seconds = ORDER.unpack(data)
        children, life = _fork_both(*descriptors, partial(_close_off, seconds, code_filter))
        report = _watch(children, seconds, wall_seconds, [life, control.fileno()])
        os.close(life)
        send(control.send, frame(report))


def _fork_both(parent: int, close_off: Callable[[], None]) -> tuple[dict[str, int], int]:
    """Fork a judge with a connection to the parent, which is closed here, and its candidate.

    Returns:
        The process of each, and a descriptor that can be read when the judge has ended.
    """
    life, held = os.pipe()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        judging = _fork(close_off, _judge, parent, ours.fileno(), held)
        os.close(held)
        running = _fork(close_off, serve, theirs.fileno())
    os.close(parent)
    return {"tests": judging, "program": running}, life


def _fork(close_off: Callable[[], None], work: Callable[..., None], *descriptors: int) -> int:
    """Fork a child that works at what comes over the first of some descriptors, its only ones."""
    if child := os.fork():
        return child
    try:
        os.setsid()
        for before, after in pairwise([2, *sorted(descriptors), 1 << 16]):
            os.closerange(before + 1, after)
        prctl(_PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
        ends = [partial(do, fd) for fd in descriptors for do in (os.read, os.write)]
        request = receive(ends[0])
        close_off()
        work(request, *ends)
    finally:
        leave(0)


def _judge(program: Any, _: Any, parent: Any, read: Any, write: Any, *held: Any) -> NoReturn:
    said = judge(program, read, write)
    send(parent, frame(said))
    leave(_HUNG_UP if said["gone"] else 0)


def _watch(
    children: Mapping[str, int], seconds: int, wall_seconds: int, ends: Sequence[int]
) -> dict[str, Any]:
    """Wait until the judge is done, a limit is reached or the parent is gone, and end both.

    The limit of the kernel counts whole ticks for whoever runs at the tick: on a busy machine it
    strikes early or late, and what the kernel reports afterwards does not tell that it did. A
    child has one thread, so it spends no more than passes by the clock.

    Args:
        children: A judge and its candidate.
        seconds: Of processor time that each has, at most.
        wall_seconds: By the clock, at most.
        ends: Descriptors, one of which can be read when the judge or the parent is gone.

    Returns:
        A message of the shape `protocol.REPORT`.
    """
    end, wait = time.monotonic() + wall_seconds, float(min(seconds, wall_seconds))
    limit, whose = "", "program"
    while not select.select(ends, [], [], max(wait, _GLANCE_SECONDS))[0] and not limit:
        left = {who: seconds - _spent(child) for who, child in children.items()}
        whose = min(left, key=left.__getitem__)
        left_by_the_clock = end - time.monotonic()
        wait = min(left[whose], left_by_the_clock)
        if wait <= 0:
            limit = "wall" if left_by_the_clock <= 0 else "cpu"
            break
    tests = _end(children["tests"])
    program = _end(children["program"], _DYING_SECONDS * (tests == _HUNG_UP))
    return {"limit": limit, "whose": whose, "tests": tests, "program": program}


def _spent(child: int) -> float:
    """Return the processor time of a child in seconds."""
    return time.clock_gettime(~child << 3 | 2)  # as clock_getcpuclockid makes it


def _end(child: int, dying_seconds: float = 0.0) -> int | None:
    """Kill a child and what it started; return its status, None if it has not ended by itself.

    Args:
        child: Its process.
        dying_seconds: How long it may take to end by itself.
    """
    deadline = time.monotonic() + dying_seconds
    peek = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while not (dead := os.waitid(os.P_PID, child, peek)) and time.monotonic() < deadline:
        time.sleep(_GLANCE_SECONDS)
    for kill in (os.kill, os.killpg):
        try:
            kill(child, signal.SIGKILL)
        except ProcessLookupError:
            pass
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if dead or status != -signal.SIGKILL else None


def _close_off(seconds: int, code_filter: Any) -> None:
    """Give up all rights but what is open."""
    # Of processor time only what the fork server would have to be dead for.
    for name, limit in ((resource.RLIMIT_NPROC, 0), (resource.RLIMIT_CPU, 4 * seconds)):
        resource.setrlimit(name, (limit, limit))
    if code_filter is not None:
        forbidden = prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        if forbidden or prctl(_SECCOMP, _FILTER, ctypes.byref(code_filter), 0, 0):
            leave(1)


def _lock_down(config: Mapping[str, Any]) -> None:
    """Load what will be needed, then give up rights that no candidate may inherit."""
    for name in _PRELOADED.split():
        importlib.import_module(name)
    os.register_at_fork = posix.register_at_fork  # see `tiers.script`
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)
    os.chdir("/")
    rules = _landlock(config["landlock"]) if config["landlock"] else None
    if config["uid"] is not None:
        _drop_root(config["uid"])
    prctl(_DUMPABLE, 0, 0, 0, 0)
    if rules:
        rules.apply()
    for name, limit in config["limits"].items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    _forget_ourselves()
    random.seed(0)
    gc.collect()
    gc.freeze()


def _forget_ourselves() -> None:
    """Leave the program nothing of ours that it could take for its own."""
    for name in list(sys.modules):
        if name.partition(".")[0] not in sys.stdlib_module_names:
            del sys.modules[name]
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.argv[:] = [""]


def _landlock(config: Mapping[str, Any]) -> Any:
    sys.path.append(config["package"])
    landlock = importlib.import_module("landlock")
    sys.path.remove(config["package"])
    rules = landlock.Ruleset()
    for path in config["readable"]:
        kind = landlock.FSAccess.READ_FILE
        if os.path.isdir(path):
            kind |= landlock.FSAccess.READ_DIR
        rules.allow(path, rules=kind)
    return rules


def _drop_root(uid: int) -> None:
    """Become another user, or root without any capability where that cannot be.

    That user may be able to read nothing (an interpreter in root's home), or not exist in
    this container.
    """
    try:
        os.setgroups([])
        os.seteuid(uid)
        reachable = os.access(os.__file__, os.R_OK, effective_ids=True)
        os.seteuid(0)
    except OSError:
        reachable = False
    if reachable:
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        return
    for capability in range(64):
        prctl(_DROP_BOUND, capability, 0, 0, 0)
    # Version 3 of the header, the calling process, and three empty sets of 64 bits.
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None).capset(header, sets):
        raise PermissionError("cannot drop the capabilities of root")


def _filter_program(code: bytes) -> Any:
    """Return what prctl wants of a seccomp filter: `struct sock_fprog` (kernel, filter.h)."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))

    return Program(len(code) // 8, code) if code else None


if __name__ == "__main__":
    main()
