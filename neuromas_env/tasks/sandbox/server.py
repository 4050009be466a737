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
import random
import resource
import select
import signal
import socket
import sys
import time
import types
from collections.abc import Callable, Mapping
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
    deaths = _deaths()
    send(control.send, frame(READY))
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, ORDER.size, 1)
        if not data:
            return
        seconds, wall_seconds = ORDER.unpack(data)
        close_off = partial(_close_off, seconds, config["limits"], code_filter)
        children = _fork_both(descriptors[0], close_off)
        report = _watch(children, seconds, wall_seconds, control.fileno(), deaths)
        send(control.send, frame(report))


def _deaths() -> int:
    """Return a descriptor that can be read when a child has died."""
    told, tell = os.pipe()
    for end in (told, tell):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    return told


def _fork_both(parent: int, close_off: Callable[[], None]) -> dict[str, int]:
    """Fork a judge with a connection to the parent, which is closed here, and its candidate."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        judging = _fork(close_off, _judge, parent, ours.fileno())
        running = _fork(close_off, serve, theirs.fileno())
    os.close(parent)
    return {"tests": judging, "program": running}


def _fork(close_off: Callable[[], None], work: Callable[..., None], *descriptors: int) -> int:
    """Fork a child that works at what comes over the first of some descriptors, its only ones."""
    if child := os.fork():
        return child
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        for before, after in pairwise([2, *sorted(descriptors), 1 << 16]):
            os.closerange(before + 1, after)
        prctl(_PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
        ends = [(open(fd, "rb", closefd=False).read, partial(os.write, fd)) for fd in descriptors]
        request = receive(ends[0][0])
        close_off()
        random.seed(0)
        work(request, *(end for pair in ends for end in pair))
    finally:
        leave(0)


def _judge(program: Any, _: Any, parent: Any, read: Any, write: Any) -> NoReturn:
    said = judge(program, read, write)
    send(parent, frame(said))
    leave(_HUNG_UP if said["gone"] else 0)


def _watch(
    children: Mapping[str, int], seconds: int, wall_seconds: int, control: int, deaths: int
) -> dict[str, Any]:
    """Wait until the judge is done, a limit is reached or the parent is gone, and end both.

    The limit of the kernel counts whole ticks for whoever runs at the tick: on a busy machine it
    strikes early or late, and what the kernel reports afterwards does not tell that it did. A
    child has one thread, so it spends no more than passes by the clock.

    Returns:
        A message of the shape `protocol.REPORT`.
    """
    end = time.monotonic() + wall_seconds
    limit, whose, ready = "", "program", list[int]()
    while not (done := _dead(children["tests"])) and not limit and control not in ready:
        left = {who: seconds - _spent(child) for who, child in children.items()}
        left_by_the_clock = end - time.monotonic()
        wait = min(*left.values(), left_by_the_clock)
        if wait <= 0:
            limit = "wall" if left_by_the_clock <= 0 else "cpu"
            whose = min(left, key=left.__getitem__)
        else:
            ready = _wait(max(wait, _GLANCE_SECONDS), deaths, control)
    end = time.monotonic() + _DYING_SECONDS
    hung_up = done and (done.si_code, done.si_status) == (os.CLD_EXITED, _HUNG_UP)
    while hung_up and not _dead(children["program"]) and (wait := end - time.monotonic()) > 0:
        _wait(wait, deaths)
    statuses = {who: _end(child) for who, child in children.items()}
    return {"limit": limit, "whose": whose, **statuses}


def _wait(seconds: float, deaths: int, *others: int) -> list[int]:
    """Wait until a descriptor can be read, and return all that can be."""
    ready = select.select([deaths, *others], [], [], seconds)[0]
    if deaths in ready:
        os.read(deaths, 64)
    return ready


def _spent(child: int) -> float:
    """Return the processor time of a child in seconds."""
    return time.clock_gettime(~child << 3 | 2)  # as clock_getcpuclockid makes it


def _dead(child: int) -> Any:
    """Return how a child ended, by itself so far, None if it runs."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)


def _end(child: int) -> int | None:
    """Kill a child and what it started; return its status, None if it has not ended by itself."""
    dead = _dead(child)
    for kill in (os.kill, os.killpg):
        try:
            kill(child, signal.SIGKILL)
        except ProcessLookupError:
            pass
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if dead or status != -signal.SIGKILL else None


def _close_off(seconds: int, limits: Mapping[str, int], code_filter: Any) -> None:
    """Give up all rights but what is open."""
    # Of processor time only what the fork server would have to be dead for.
    for name, limit in {**limits, "RLIMIT_CPU": 4 * seconds}.items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    if code_filter is not None:
        forbidden = prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        if forbidden or prctl(_SECCOMP, _FILTER, ctypes.byref(code_filter), 0, 0):
            leave(1)
    _forget_ourselves()


def _forget_ourselves() -> None:
    """Leave the program nothing of ours that it could take for its own."""
    for name in list(sys.modules):
        if name.partition(".")[0] not in sys.stdlib_module_names:
            del sys.modules[name]
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.argv[:] = [""]


def _lock_down(config: Mapping[str, Any]) -> None:
    """Load what will be needed, then give up rights that no candidate may inherit."""
    for name in _PRELOADED.split():
        importlib.import_module(name)
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
    gc.collect()
    gc.freeze()


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
