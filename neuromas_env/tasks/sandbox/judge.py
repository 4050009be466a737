"""The judge: a program's tests, and the untrusted candidate behind a socket.

A program passes if its tests run to their end in this process and no call of the candidate
failed. Isolation alone could not protect that verdict: where tests and candidate share a
process, the candidate can forge it. The tests come from a row of data, so they are not trusted
either: a judge is a child of the fork server, as closed as the candidate, and the last program
that it judges is the first one whose tests may have changed it (see `plain`).
Imports the standard library and its neighbours here only.
"""

from __future__ import annotations

import ast
import builtins
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Set
from functools import lru_cache
from hashlib import sha256
from types import CodeType
from typing import Any, NoReturn

from neuromas_env.tasks.sandbox.plain import is_plain
from neuromas_env.tasks.sandbox.protocol import (
    LIMIT,
    READY,
    WORDS,
    BadMessageError,
    ClosedError,
    Read,
    Write,
    answer,
    checked,
    frame,
    receive,
    send,
)
from neuromas_env.tasks.sandbox.values import pack, unpack

_SAID_LIMITS = {"MemoryError": "memory", "BadMessageError": "message"}


class CallFailedError(BaseException):
    """A call of the candidate failed. No `except Exception` of a test catches it."""


class Ref:
    """Something that stays with the candidate: tests call it, pass it on, use its attributes."""

    def __init__(self, session: Session, number: int) -> None:
        """Refer to what the candidate keeps under a number."""
        object.__setattr__(self, "_link", (session, number))

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call it over there."""
        session, number = self._link
        return session.ask("call", number, arguments, named)

    def __getattr__(self, name: str) -> Any:
        """Read an attribute over there; the special ones are not there for the tests."""
        if name.startswith("__"):
            raise AttributeError(name)
        session, number = self._link
        return session.ask("get", number, (name,), {})

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute over there."""
        session, number = self._link
        session.ask("set", number, (name, value), {})


class Session:
    """The talk with one candidate.

    Attributes:
        failure: Why a call failed, None as long as none has. It is never taken back, so
            no test that swallows exceptions can undo it.
        limit: Which limit it ran out of, as far as that is seen from here.
        gone: Whether the candidate has hung up.
    """

    def __init__(self, read: Read, write: Write) -> None:
        """Talk over a connection."""
        self._read, self._write = read, write
        self.failure: str | None = None
        self.limit = ""
        self.gone = False

    def start(self, program: Mapping[str, Any]) -> None:
        """Hand over the program; what fails before it runs is no fault of its own, and raised."""
        send(self._write, frame(program))
        checked(receive(self._read, LIMIT), READY, "a candidate")

    def loaded(self, readings: int, free: bool) -> int | None:
        """Return which of so many readings of the program runs; of a free one perhaps none."""
        return self._answer("loaded", (range(readings), *[None] * free))

    def ask(self, kind: str, number: int, given: Any, named: Mapping[str, Any]) -> Any:
        """Have the candidate do something and return the value that comes of it."""
        parts = {key: pack(value, self._number) for key, value in named.items()}
        question = {"kind": kind, "object": number, "named": parts}
        question["given"] = [pack(value, self._number) for value in given]
        packed = self._answer("value", object, frame(question))
        try:
            return unpack(packed, self._refer)
        except BadMessageError as error:
            self.fail(str(error))

    def fail(self, why: str, limit: str = "") -> NoReturn:
        """Have failed, for good."""
        if self.failure is None:
            self.failure, self.limit = why, limit
        raise CallFailedError(self.failure)

    def _answer(self, field: str, content: Any, question: bytes = b"") -> Any:
        """Return what the candidate answers; the one place where its messages are taken apart."""
        if self.failure is not None:
            self.fail(self.failure)
        try:
            send(self._write, question)
            told = checked(receive(self._read, LIMIT), answer(field, content), "an answer")
        except (OSError, ClosedError) as error:
            self.gone = True
            self.fail(str(error))
        except BadMessageError as error:
            self.fail(str(error))
        if "error" in told:
            self.fail(told["error"], _SAID_LIMITS.get(told["error"].partition(":")[0], ""))
        return told[field]

    def _number(self, value: Any) -> int:
        if isinstance(value, Ref) and value._link[0] is self:
            return value._link[1]
        raise TypeError(f"a test passes a {type(value).__name__}, which cannot be sent")

    def _refer(self, number: int) -> Ref:
        return Ref(self, number)


def judge(
    program: Mapping[str, Any], read: Read, write: Write, announce: Callable[[], object]
) -> tuple[dict[str, Any], bool]:
    """Run the tests of a program on the candidate at the other end; say how that went.

    Args:
        program: The fields of a `Program`.
        read: From the candidate.
        write: To the candidate.
        announce: Called before tests run that may change this process.

    Returns:
        A message of the shape `protocol.said`, and whether this process is what it was before.
    """
    session = Session(read, write)
    asked = {key: program[key] for key in ("readings", "free", "names")}
    session.start(asked | {"tested": bool(program["tests"])})
    found: dict[str, Any] = {"detail": "", "reading": None, "returned": ""}
    unchanged = True
    try:
        found |= _run_tests(program, session, announce)
    except BaseException as error:  # whatever a test raises, also SystemExit
        found |= {"outcome": "failed", "detail": _words(error)}
        unchanged = isinstance(error, (AssertionError, CallFailedError))
    failed = None if session.failure is None else session.failure[:WORDS]
    return found | {"failure": failed, "limit": session.limit, "gone": session.gone}, unchanged


def _run_tests(
    program: Mapping[str, Any], session: Session, announce: Callable[[], object]
) -> dict[str, Any]:
    chosen = session.loaded(len(program["readings"]), program["free"])
    if chosen is None:
        return {
            "outcome": "unreadable",
            "detail": "no code that compiles and defines what is asked",
        }
    setup, *parts = [_compiled(program[key]) for key in ("setup", "tests")]
    parts += [_compiled(call, "eval") for call in program["calls"]]
    if not all(plain for _, plain in (setup, *parts)):
        announce()
    random.seed(0)
    namespace: dict[str, Any] = {"__name__": "tests", "__builtins__": builtins}
    exec(setup[0], namespace)
    namespace |= {name: Ref(session, number) for number, name in enumerate(program["names"])}
    returned = [eval(code, namespace) for code, _ in parts][1:]
    verdict = {"outcome": "passed", "detail": "", "reading": chosen}
    if program["shows"]:
        verdict["returned"] = str(returned[-1])[: program["shows"]]
    elif returned:
        forms = "\n".join(map(_form, returned))
        verdict["returned"] = sha256(forms.encode("utf-8", "replace")).hexdigest()
    return verdict


@lru_cache(maxsize=2048)
def _compiled(source: str, mode: str = "exec") -> tuple[CodeType, bool]:
    """Return code, and whether it can change nothing but names of its own."""
    tree: Any = compile(source, "<tests>", mode, ast.PyCF_ONLY_AST, dont_inherit=True)
    return compile(tree, "<tests>", mode, dont_inherit=True), is_plain(tree)


def _form(value: Any) -> str:
    """Return what two values share if they are equal, floats to nine digits; raise for objects."""
    match value:
        case Ref():
            raise TypeError("an object of the program's own is equal to nothing but itself")
        case float() if not value.is_integer() or abs(value) > 1 << 53:
            return f"{value:.9g}"
        case bool() | int() | float():
            return hex(int(value))
        case list() | tuple() | deque():
            return f"{type(value).__name__}({', '.join(map(_form, value))})"
        case dict():
            return f"dict({', '.join(sorted(f'{_form(k)}: {_form(v)}' for k, v in value.items()))})"
        case Set():
            return f"set({', '.join(sorted(map(_form, value)))})"
        case Iterator():
            return f"iterator({', '.join(map(_form, value))})"
    return repr(value)


def _words(error: BaseException) -> str:
    try:
        said = str(error)
    except Exception:  # an integer of too many digits, for example
        said = "?"
    return f"the tests: {type(error).__name__}: {said}"[:200]
