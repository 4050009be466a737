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
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

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
# What a judge says to the fork server: it is done; it is done, and the candidate has closed the
# connection; what runs next may change it, or has.
_DONE, _HUNG_UP, _CHANGED = b"d", b"h", b"c"

prctl = ctypes.CDLL(None).prctl
leave = os._exit


def main() -> None:
    """Serve on the control descriptor named on the command line until its other end closes."""
    control = socket.socket(fileno=int(sys.argv[1]))
    config = receive(control.recv)
    code_filter = _filter_program(base64.b64decode(config["filter"]))
    _lock_down(config)
    send(control.send, frame(READY))
    judging: Judge | None = None
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, ORDER.size, 1)
        if not data:
            return
        seconds, wall_seconds = ORDER.unpack(data)
        judging = judging or Judge(code_filter)
        candidate = judging.take_on(descriptors[0], partial(_close_off, code_filter, seconds))
        report = _watch(judging, candidate, seconds, wall_seconds, control.fileno())
        if not judging.lasts:
            judging = None
        send(control.send, frame(report))


class Judge:
    """A judge that has been forked, seen from the fork server.

    Attributes:
        process: Its number.
        link: Takes the descriptors for a program; can be read when the judge has said a word.
        lasts: Whether it may judge another program.
        gone: Whether the candidate has closed its connection, as the dying do.
    """

    def __init__(self, code_filter: Any) -> None:
        """Fork it."""
        self.link, theirs = socket.socketpair()
        with theirs:
            self.process = _fork(partial(_judge, theirs, partial(_close_off, code_filter)), theirs)
        self.lasts, self.gone = True, False

    def take_on(self, parent: int, close_off: Callable[[], None]) -> int:
        """Connect it to the parent and to a new candidate, and return that one's process."""
        self.gone = False
        ours, theirs = socket.socketpair()
        with ours, theirs:
            socket.send_fds(self.link, [_DONE], [parent, ours.fileno()])
            os.close(parent)
            return _fork(partial(_run, theirs.fileno(), close_off), theirs)

    def is_done(self) -> bool:
        """Take a word of the judge's: whether it is done with a program, or gone.

        One that is changed has one more word, so that it cannot keep this process busy.
        """
        word, changed = self.link.recv(1), not self.lasts
        self.gone = word == _HUNG_UP
        self.lasts &= word in (_DONE, _HUNG_UP)
        return changed or word != _CHANGED

    def end(self) -> int | None:
        """End it unless it lasts; return its status, None if it has not ended by itself."""
        if self.lasts:
            return None
        self.link.close()
        return _end(self.process)


def _fork(work: Callable[[], None], connection: socket.socket) -> int:
    """Fork a child that works and has one connection only."""
    if child := os.fork():
        return child
    try:
        os.setsid()
        os.closerange(3, connection.fileno())
        os.closerange(connection.fileno() + 1, 1 << 16)
        prctl(_PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
        work()
    finally:
        leave(0)


def _run(judge: int, close_off: Callable[[], None]) -> None:
    read, write = partial(os.read, judge), partial(os.write, judge)
    request = receive(read)
    close_off()
    serve(request, read, write)


def _judge(link: socket.socket, close_off: Callable[[], None]) -> None:
    close_off()
    say = partial(os.write, link.fileno())
    while True:
        _, (parent, candidate), _, _ = socket.recv_fds(link, 1, 2)
        program = receive(partial(os.read, parent))
        ends = partial(os.read, candidate), partial(os.write, candidate)
        said, unchanged = judge(program, *ends, partial(say, _CHANGED))
        send(partial(os.write, parent), frame(said))
        if not unchanged:
            say(_CHANGED)
        os.close(parent)
        os.close(candidate)
        say(_HUNG_UP if said["gone"] else _DONE)


def _watch(
    judging: Judge, candidate: int, seconds: int, wall_seconds: int, control: int
) -> dict[str, Any]:
    """Wait for the judge, a limit or the end of the parent, then end the candidate.

    The limit of the kernel counts whole ticks for whoever runs at the tick: on a busy machine it
    strikes early or late, and what the kernel reports afterwards does not tell that it did. A
    child has one thread, so it spends no more than passes by the clock.

    Args:
        judging: The judge, which is ended too unless it lasts.
        candidate: The process of its candidate.
        seconds: Of processor time that each has for this program, at most.
        wall_seconds: By the clock, at most.
        control: Can be read when the parent is gone.

    Returns:
        A message of the shape `protocol.REPORT`.
    """
    start, link = _spent(judging.process), judging.link.fileno()
    end, wait = time.monotonic() + wall_seconds, float(min(seconds, wall_seconds))
    limit, whose, done = "", "program", False
    while not done and not limit:
        ready = select.select([link, control], [], [], max(wait, _GLANCE_SECONDS))[0]
        if control in ready:
            judging.lasts, done = False, True
        elif link in ready:
            done = judging.is_done()
        else:
            left = {"program": -_spent(candidate), "tests": start - _spent(judging.process)}
            whose = min(left, key=left.__getitem__)
            left_by_the_clock = end - time.monotonic()
            wait = min(seconds + left[whose], left_by_the_clock)
            if wait <= 0:
                limit = "wall" if left_by_the_clock <= 0 else "cpu"
                judging.lasts = False
    return {
        "limit": limit,
        "whose": whose,
        "tests": judging.end(),
        "program": _end(candidate, _DYING_SECONDS * judging.gone),
    }


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


def _close_off(code_filter: Any, seconds: int | None = None) -> None:
    """Give up all rights but what is open, and spend so many seconds of processor time at most."""
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    if seconds is not None:
        # Only what the fork server would have to be dead for.
        resource.setrlimit(resource.RLIMIT_CPU, (4 * seconds, 4 * seconds))
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
    # The name of the machine and its kernel are no business of a program's.
    named = os.uname_result(("Linux", "sandbox", "0", "0", os.uname().machine))
    os.uname = lambda: named
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
