"""Inside the sandbox: a fork server, and the candidate that it forks for each program.

The fork server is trusted. It takes one descriptor per program, forks a child that gives
up everything but that descriptor and /dev/null, and kills it when the judge says so. The
child compiles the untrusted program, runs it and answers calls to what it defines. Runs by
itself as `python - DESCRIPTOR`, so it imports the standard library and `protocol` only.
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
import signal
import socket
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from neuromas_env.tasks.sandbox.protocol import LIMIT, Read, frame, pack, receive, unpack

# What programs import most; a candidate forked later has them without reading a file.
_PRELOADED = (
    "abc array bisect calendar cmath collections contextlib copy dataclasses datetime decimal "
    "enum fractions functools hashlib heapq io itertools json math numbers operator queue random "
    "re statistics string struct sys textwrap time traceback typing unicodedata"
)
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER, _PARENT_DEATH, _DUMPABLE, _DROP_BOUND = 38, 22, 2, 1, 4, 24

prctl = ctypes.CDLL(None).prctl


def main() -> None:
    """Serve on the control descriptor named on the command line until its other end closes."""
    control = socket.socket(fileno=int(sys.argv[1]))
    config = receive(control.recv)
    code_filter = _filter_program(base64.b64decode(config["filter"]))
    _lock_down(config)
    control.sendall(frame({"ready": True}))
    child = None
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if order == b"r":
            child = os.fork()
            if child == 0:
                _become_candidate(descriptors[0], config["limits"], code_filter)
            os.close(descriptors[0])
            continue
        ended = _end(child)
        child = None
        if not order:
            return
        control.sendall(frame(ended))


def _end(child: int | None) -> dict[str, Any]:
    """Kill the candidate and what it started; say which signal ended it and its seconds of CPU."""
    if child is None:
        return {}
    for kill in (os.kill, os.killpg):
        try:
            kill(child, signal.SIGKILL)
        except ProcessLookupError:
            pass
    _, status, usage = os.wait4(child, 0)
    ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    return {"signal": ended, "cpu": usage.ru_utime + usage.ru_stime}


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


def _become_candidate(judge: int, limits: dict[str, int], code_filter: Any) -> NoReturn:
    """Keep the connection to the judge alone, give up all other rights, and serve."""
    try:
        os.setsid()
        os.closerange(3, judge)
        os.closerange(judge + 1, 1 << 16)
        prctl(_PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
        read = open(judge, "rb", closefd=False).read
        request = receive(read)
        for name, limit in (limits | {"RLIMIT_CPU": request["seconds"]}).items():
            resource.setrlimit(getattr(resource, name), (limit, limit))
        if code_filter is not None:
            forbidden = prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
            if forbidden or prctl(_SECCOMP, _FILTER, ctypes.byref(code_filter), 0, 0):
                os._exit(1)
        random.seed(0)
        _serve(request, read, partial(os.write, judge))
    finally:
        os._exit(0)


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
        exec(compile(readings[0][0], "<program>", "exec"), namespace)
        return 0
    for number, pieces in enumerate(readings):
        parsed = [tree for tree in map(_parse, pieces) if tree]
        body = [statement for tree in parsed for statement in tree.body]
        if _defines(body, request["names"][0]):
            exec(compile(_forgiving(body), "<program>", "exec"), namespace)
            return number
    return None


def _parse(piece: str) -> ast.Module | None:
    try:
        compile(piece, "<program>", "exec")
        return ast.parse(piece)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _defines(body: Sequence[ast.stmt], name: str) -> bool:
    """Whether the last binding of a name is a function that returns something, or a value."""
    for statement in reversed(body):
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if statement.name == name:
                return _returns(statement)
        elif isinstance(statement, ast.Assign):
            if any(isinstance(t, ast.Name) and t.id == name for t in statement.targets):
                return True
    return False


def _returns(node: ast.AST) -> bool:
    """Whether there is a return or yield in a function itself, not in one within it."""
    inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    return any(
        isinstance(child, (ast.Return, ast.Yield, ast.YieldFrom))
        or (not isinstance(child, inner) and _returns(child))
        for child in ast.iter_child_nodes(node)
    )


def _forgiving(body: Sequence[ast.stmt]) -> ast.Module:
    """Let a top-level statement that fails be passed over: often an example of use."""
    future = [s for s in body if isinstance(s, ast.ImportFrom) and s.module == "__future__"]
    skip = ast.ExceptHandler(type=ast.Name("Exception", ast.Load()), name=None, body=[ast.Pass()])
    tries: list[ast.stmt] = [
        ast.Try(body=[statement], handlers=[skip], orelse=[], finalbody=[])
        for statement in body
        if statement not in future
    ]
    return ast.fix_missing_locations(ast.Module(body=[*future, *tries], type_ignores=[]))


if __name__ == "__main__":
    main()
