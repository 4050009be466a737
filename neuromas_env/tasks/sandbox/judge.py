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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from types import CodeType
from typing import Any, NoReturn

from neuromas_env.tasks.sandbox.protocol import (
    LIMIT,
    BadMessageError,
    frame,
    pack,
    receive,
    unpack,
)

_MEMORY = 4 << 30
_START_SECONDS = 30.0


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
        late: Whether it failed because the time was over.
    """

    def __init__(self, connection: socket.socket) -> None:
        """Talk over a connection."""
        self._connection = connection
        self._read = open(connection.fileno(), "rb", closefd=False).read
        self.failure: str | None = None
        self.late = False

    def start(self, program: Mapping[str, Any]) -> None:
        """Hand over the program; what fails before it runs is no fault of its own, and raised."""
        self._connection.sendall(frame(program))
        receive(self._read, LIMIT)

    def loaded(self) -> int | None:
        """Return which reading of the program runs, None if none can be read."""
        number = self._answer().get("loaded")
        return number if number is None or type(number) is int else 0

    def ask(self, *question: Any) -> Any:
        """Have the candidate do something and return the value that comes of it."""
        answer = self._answer(frame(pack(list(question), self._number)))
        try:
            return unpack(answer.get("value"), self._refer)
        except BadMessageError as error:
            self.fail(str(error))

    def fail(self, why: str, late: bool = False) -> NoReturn:
        """Have failed, for good."""
        if self.failure is None:
            self.failure, self.late = why, late
        raise CallFailedError(self.failure)

    def _answer(self, question: bytes = b"") -> dict[str, Any]:
        if self.failure is not None:
            self.fail(self.failure)
        try:
            if question:
                self._connection.sendall(question)
            answer = receive(self._read, LIMIT)
        except (OSError, BadMessageError) as error:
            self.fail(str(error))
        if not isinstance(answer, dict):
            self.fail("no answer to the question")
        if "error" in answer:
            self.fail(str(answer["error"])[:200])
        return answer

    def _number(self, value: Any) -> int:
        if isinstance(value, Ref) and value._link[0] is self:
            return value._link[1]
        raise TypeError(f"a test passes a {type(value).__name__}, which cannot be sent")

    def _refer(self, number: int) -> Ref:
        if type(number) is not int:
            raise BadMessageError("no number of an object")
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

    def fork(self) -> socket.socket:
        """Return the connection to a fresh candidate."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [b"r"], [theirs.fileno()])
        return ours

    def end(self) -> dict[str, Any]:
        """Kill the candidate; return the signal that ended it and its seconds of CPU."""
        self._control.sendall(b"e")
        return receive(self._control.recv, LIMIT)


@lru_cache(maxsize=2048)
def _compiled(source: str) -> CodeType:
    return compile(source, "<tests>", "exec")


def judge(program: Mapping[str, Any], server: Server) -> dict[str, Any]:
    """Run the tests of a program on a fresh candidate and say how that went."""
    seconds = program["seconds"]
    with server.fork() as connection:
        session = Session(connection)
        session.start({key: program[key] for key in ("readings", "free", "names", "seconds")})
        try:
            with _deadline(program["wall_seconds"], session):
                verdict = _run_tests(program, session)
        except BaseException as error:  # whatever a test raises, also SystemExit
            verdict = {"outcome": "failed", "detail": _words(error)}
        ended = server.end()
    if session.failure is not None:
        # What the kernel counts for the limit is a little more than what it reports.
        out_of_cpu = ended["signal"] == signal.SIGKILL and ended["cpu"] > 0.9 * seconds
        outcome = "timeout" if session.late or out_of_cpu else "failed"
        verdict |= {"outcome": outcome, "detail": f"the program: {session.failure}"}
    return verdict


@contextmanager
def _deadline(seconds: float, session: Session) -> Iterator[None]:
    """Fail a session after some seconds, and again after each further one."""
    parent = os.getppid()

    def over(*_: Any) -> None:
        if os.getppid() != parent:
            os._exit(1)  # tests without end must not outlive who asked for them
        session.fail("out of time", late=True)

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _run_tests(program: Mapping[str, Any], session: Session) -> dict[str, Any]:
    chosen = session.loaded()
    if chosen is None:
        return {
            "outcome": "unreadable",
            "detail": "no code that compiles and defines what is asked",
        }
    random.seed(0)
    namespace: dict[str, Any] = {"__name__": "tests", "__builtins__": builtins}
    exec(_compiled(program["setup"]), namespace)
    namespace |= {name: Ref(session, number) for number, name in enumerate(program["names"])}
    exec(_compiled(program["tests"]), namespace)
    return {"outcome": "passed", "detail": "", "reading": chosen}


def _words(error: BaseException) -> str:
    return f"the tests: {type(error).__name__}: {error}"[:200]


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
