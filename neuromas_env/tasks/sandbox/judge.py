"""The judge: trusted tests here, the untrusted candidate behind a socket.

A program passes if its tests run to their end in this process and no call of the candidate
failed. Isolation alone could not protect that verdict: where tests and candidate share a
process, the candidate can forge it. Runs by itself as `python - DESCRIPTOR`, so it imports
the standard library and `protocol` only.
"""

from __future__ import annotations

import builtins
import os
import random
import resource
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from types import CodeType
from typing import Any, NoReturn

from neuromas_env.tasks.sandbox.protocol import (
    GONE,
    KILL,
    LIMIT,
    BadMessageError,
    ClosedError,
    frame,
    pack,
    receive,
    unpack,
)

_MEMORY = 4 << 30
_START_SECONDS = 30.0
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
        over: Whether the tests are at their end, so that no deadline matters any more.
    """

    def __init__(self, connection: socket.socket) -> None:
        """Talk over a connection."""
        self._connection = connection
        self._read = open(connection.fileno(), "rb", closefd=False).read
        self.failure: str | None = None
        self.limit = ""
        self.gone = self.over = False

    def start(self, program: Mapping[str, Any]) -> None:
        """Hand over the program; what fails before it runs is no fault of its own, and raised."""
        self._connection.sendall(frame(program))
        receive(self._read, LIMIT)

    def loaded(self, readings: int) -> int | None:
        """Return which reading of the program runs, None if none of so many can be read."""
        number = self._answer("loaded")
        if number is not None and (type(number) is not int or not 0 <= number < readings):
            self.fail("not the number of a reading")
        return number

    def ask(self, *question: Any) -> Any:
        """Have the candidate do something and return the value that comes of it."""
        answer = self._answer("value", frame(pack(list(question), self._number)))
        try:
            return unpack(answer, self._refer)
        except BadMessageError as error:
            self.fail(str(error))

    def fail(self, why: str, limit: str = "") -> NoReturn:
        """Have failed, for good."""
        if self.failure is None:
            self.failure, self.limit = why, limit
        raise CallFailedError(self.failure)

    def _answer(self, field: str, question: bytes = b"") -> Any:
        """Return what the candidate answers; the one place where its messages are taken apart."""
        if self.failure is not None:
            self.fail(self.failure)
        try:
            if question:
                self._connection.sendall(question)
            answer = receive(self._read, LIMIT)
        except (OSError, ClosedError) as error:
            self.gone = True
            self.fail(str(error))
        except BadMessageError as error:
            self.fail(str(error))
        match answer:
            case {"error": str(words)}:
                self.fail(words[:200], _SAID_LIMITS.get(words.partition(":")[0], ""))
            case dict() if answer.keys() == {field}:
                return answer[field]
        self.fail("no answer to the question")

    def _number(self, value: Any) -> int:
        if isinstance(value, Ref) and value._link[0] is self:
            return value._link[1]
        raise TypeError(f"a test passes a {type(value).__name__}, which cannot be sent")

    def _refer(self, number: int) -> Ref:
        return Ref(self, number)


class Server:
    """The fork server in its sandbox."""

    def __init__(self, command: list[str], source: str, config: Mapping[str, Any]) -> None:
        """Start it; raise a RuntimeError that says why if it does not come up."""
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        assert self._process.stdin and self._process.stderr
        self._control.settimeout(_START_SECONDS)
        try:
            with self._process.stdin as script:
                script.write(source.encode())
            self._control.sendall(frame(config))
            receive(self._control.recv, LIMIT)
        except (OSError, BadMessageError) as error:
            self._process.kill()
            said = self._process.stderr.read().decode(errors="replace").strip()
            raise RuntimeError(said.rpartition("\n")[2] or str(error)) from None
        self._process.stderr.close()

    def fork(self, seconds: int) -> socket.socket:
        """Return the connection to a fresh candidate, which gets some seconds of CPU."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [seconds.to_bytes(4, "big")], [theirs.fileno()])
        return ours

    def end(self, gone: bool) -> dict[str, Any]:
        """Kill the candidate; say whether it had spent its CPU, and how it ended if by itself.

        Args:
            gone: Whether it has hung up, so that it may be about to end.
        """
        self._control.sendall((GONE if gone else KILL).to_bytes(4, "big"))
        return receive(self._control.recv, LIMIT)


@lru_cache(maxsize=2048)
def _compiled(source: str, mode: str = "exec") -> CodeType:
    return compile(source, "<tests>", mode, dont_inherit=True)


def judge(program: Mapping[str, Any], server: Server) -> dict[str, Any]:
    """Run the tests of a program on a fresh candidate and say how that went."""
    with server.fork(program["seconds"]) as connection:
        session = Session(connection)
        session.start({key: program[key] for key in ("readings", "free", "names")})
        try:
            with _deadline(program["wall_seconds"], session):
                verdict = _run_tests(program, session)
        except BaseException as error:  # whatever a test raises, also SystemExit
            verdict = {"outcome": "failed", "detail": _words(error)}
        ended = server.end(session.gone)
    if session.failure is None:
        return verdict
    limit, why = _cause(session, ended)
    outcome = "timeout" if limit in ("cpu", "wall") else "failed"
    return verdict | {"outcome": outcome, "detail": f"the program: {why}", "limit": limit}


def _cause(session: Session, ended: Mapping[str, Any]) -> tuple[str, str]:
    """Return the limit that a failed program ran out of, if any, and what happened in words.

    What happened to its process decides, not which side of the connection noticed first.
    """
    status = -ended["status"]
    if ended["spent"] or (ended["by_itself"] and status == signal.SIGXCPU):
        return "cpu", "out of processor time"
    if ended["by_itself"] and status == signal.SIGKILL:
        return "memory", "killed by the system, as when its memory runs out"
    if session.gone and ended["by_itself"]:
        names = {number.value: number.name for number in signal.Signals}
        how = names.get(status, f"signal {status}") if status > 0 else f"exit status {-status}"
        return "", f"it ended with {how}"
    return session.limit, str(session.failure)


@contextmanager
def _deadline(seconds: float, session: Session) -> Iterator[None]:
    """Fail a session after some seconds, and again after each further one."""
    parent = os.getppid()

    def over(*_: Any) -> None:
        if os.getppid() != parent:
            os._exit(1)  # tests without end must not outlive who asked for them
        if not session.over:
            session.fail("out of time", limit="wall")

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        session.over = True
        signal.setitimer(signal.ITIMER_REAL, 0)


def _run_tests(program: Mapping[str, Any], session: Session) -> dict[str, Any]:
    chosen = session.loaded(len(program["readings"]))
    if chosen is None and program["free"]:
        return {
            "outcome": "unreadable",
            "detail": "no code that compiles and defines what is asked",
        }
    random.seed(0)
    namespace: dict[str, Any] = {"__name__": "tests", "__builtins__": builtins}
    exec(_compiled(program["setup"]), namespace)
    namespace |= {name: Ref(session, number) for number, name in enumerate(program["names"])}
    exec(_compiled(program["tests"]), namespace)
    verdict = {"outcome": "passed", "detail": "", "reading": chosen}
    if program["calls"]:
        returned = [_form(eval(_compiled(call, "eval"), namespace)) for call in program["calls"]]
        verdict["returned"] = sha256("\n".join(returned).encode("utf-8", "replace")).hexdigest()
    return verdict


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


def main() -> None:
    """Judge programs that come over the descriptor named on the command line, until it closes."""
    parent = socket.socket(fileno=int(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    start = receive(parent.recv)
    try:
        server = Server(**start)
    except (RuntimeError, OSError) as error:
        parent.sendall(frame({"error": str(error)}))
        return
    parent.sendall(frame({"ready": True}))
    while True:
        try:
            program = receive(parent.recv)
        except BadMessageError:
            return
        parent.sendall(frame(judge(program, server)))


if __name__ == "__main__":
    main()
