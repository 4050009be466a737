"""Inside the sandbox: a fork server, and the candidate that it forks for each program.

The fork server is trusted. It takes one descriptor per program, forks a child that gives
up everything but that descriptor and /dev/null, and kills it when its processor time is used
up or the judge says so. The child compiles the untrusted program, runs it and answers calls to
what it defines. Runs by itself as `python - DESCRIPTOR`, so it imports the standard library,
`protocol` and `source` only.
"""

from __future__ import annotations

import ast
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
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from neuromas_env.tasks.sandbox.protocol import (
    GONE,
    LIMIT,
    Read,
    frame,
    pack,
    receive,
    unpack,
)
from neuromas_env.tasks.sandbox.source import chosen_body, features

# What programs import most; a candidate forked later has them without reading a file.
_PRELOADED = (
    "abc array bisect calendar cmath collections contextlib copy dataclasses datetime decimal "
    "enum fractions functools hashlib heapq io itertools json math numbers operator queue random "
    "re statistics string struct sys textwrap time traceback typing unicodedata"
)
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER, _PARENT_DEATH, _DUMPABLE, _DROP_BOUND = 38, 22, 2, 1, 4, 24

_DYING_SECONDS = 1.0
_GLANCE_SECONDS = 0.005

prctl = ctypes.CDLL(None).prctl
leave = os._exit


def main() -> None:
    """Serve on the control descriptor named on the command line until its other end closes."""
    control = socket.socket(fileno=int(sys.argv[1]))
    config = receive(control.recv)
    code_filter = _filter_program(base64.b64decode(config["filter"]))
    _lock_down(config)
    control.sendall(frame({"ready": True}))
    child, spent = 0, False
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 4, 1)
        order = int.from_bytes(data, "big")
        if descriptors:
            child = os.fork()
            if child == 0:
                _become_candidate(descriptors[0], order, config["limits"], code_filter)
            os.close(descriptors[0])
            spent = _spends(child, order, control)
            continue
        ended = _end(child, order == GONE) if child else {}
        child = 0
        if not data:
            return
        control.sendall(frame({**ended, "spent": spent}))


def _spends(child: int, seconds: int, control: socket.socket) -> bool:
    """Wait for an order; kill a child that has spent its processor time before that, and say so.

    The limit of the kernel counts whole ticks for whoever runs at the tick: on a busy machine it
    strikes early or late, and what the kernel reports afterwards does not tell that it did. A
    child has one thread, so it spends no more than passes by the clock.
    """
    clock = ~child << 3 | 2  # what clock_getcpuclockid returns for a process
    while (left := seconds - time.clock_gettime(clock)) > 0:
        if select.select([control], [], [], max(left, _GLANCE_SECONDS))[0]:
            return False
    os.kill(child, signal.SIGKILL)
    return True


def _end(child: int, gone: bool) -> dict[str, Any]:
    """Kill a child and what it started; say how it ended, and whether that was by itself.

    Args:
        child: Its process.
        gone: Whether it has closed its connection, which the dying do a moment before they are
            dead.
    """
    deadline = time.monotonic() + _DYING_SECONDS * gone
    peek = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while not (dead := os.waitid(os.P_PID, child, peek)) and time.monotonic() < deadline:
        time.sleep(_GLANCE_SECONDS)
    for kill in (os.kill, os.killpg):
        try:
            kill(child, signal.SIGKILL)
        except ProcessLookupError:
            pass
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {"by_itself": bool(dead) or status != -signal.SIGKILL, "status": status}


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


def _become_candidate(
    judge: int, seconds: int, limits: dict[str, int], code_filter: Any
) -> NoReturn:
    """Keep the connection to the judge alone, give up all other rights, and serve."""
    try:
        os.setsid()
        os.closerange(3, judge)
        os.closerange(judge + 1, 1 << 16)
        prctl(_PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
        read = open(judge, "rb", closefd=False).read
        request = receive(read)
        # Of processor time only what the fork server would have to be dead for.
        for name, limit in (limits | {"RLIMIT_CPU": 4 * seconds}).items():
            resource.setrlimit(getattr(resource, name), (limit, limit))
        if code_filter is not None:
            forbidden = prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
            if forbidden or prctl(_SECCOMP, _FILTER, ctypes.byref(code_filter), 0, 0):
                leave(1)
        _forget_ourselves()
        random.seed(0)
        _serve(request, read, partial(os.write, judge))
    finally:
        leave(0)


def _forget_ourselves() -> None:
    """Leave the program nothing of ours that it could take for its own."""
    for name in list(sys.modules):
        if name.partition(".")[0] not in sys.stdlib_module_names:
            del sys.modules[name]
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.argv[:] = [""]


def _serve(request: Mapping[str, Any], read: Read, write: Callable[[bytes], int]) -> None:
    """Load the program, then answer until the judge hangs up."""

    def say(data: bytes) -> None:
        while data:
            data = data[write(data) :]

    say(frame({"ready": True}))
    kept: list[Any] = []
    module = types.ModuleType("candidate")
    sys.modules["candidate"] = module
    try:
        chosen = _load(request, vars(module))
        if chosen is not None:
            kept += [getattr(module, name) for name in request["names"]]
    except BaseException as error:
        return say(frame({"error": _words(error)}))
    say(frame({"loaded": chosen}))
    while True:
        question = receive(read)
        try:
            answer = {"value": pack(_perform(question, kept), partial(_keep, kept))}
            reply = frame(answer, LIMIT)
        except BaseException as error:
            reply = frame({"error": _words(error)})
        say(reply)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:200]


def _perform(question: Sequence[Any], kept: list[Any]) -> Any:
    kind, number, arguments, named = unpack(question, kept.__getitem__)
    if kind == "call":
        return kept[number](*arguments, **named)
    if kind == "get":
        return getattr(kept[number], *arguments)
    return setattr(kept[number], *arguments)


def _keep(kept: list[Any], value: Any) -> int:
    kept.append(value)
    return len(kept) - 1


def _load(request: Mapping[str, Any], namespace: dict[str, Any]) -> int | None:
    """Run the program; return which reading of it that was, None if none can be read."""
    readings = request["readings"]
    if not request["free"]:
        exec(compile(readings[0][0], "<program>", "exec", dont_inherit=True), namespace)
        return 0
    for number, pieces in enumerate(readings):
        body = chosen_body(pieces, request["names"][0])
        if body is not None:
            _run(body, namespace)
            return number
    return None


def _run(body: Sequence[ast.stmt], namespace: dict[str, Any]) -> None:
    """Run statements up to an exit; one that fails is passed over, as often an example of use."""

    def exit_alone(status: int = 0) -> NoReturn:
        raise SystemExit(status)

    os._exit = exit_alone
    flags = features(body)
    for statement in body:
        try:
            unit = ast.Module([statement], [])
            exec(compile(unit, "<program>", "exec", flags, dont_inherit=True), namespace)
        except SystemExit:
            return
        except BaseException:  # whatever a test run or a main program of its own raises
            continue


if __name__ == "__main__":
    main()
