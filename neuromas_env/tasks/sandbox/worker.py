"""A worker: the fork server of one sandbox, seen from outside it."""

from __future__ import annotations

import socket
import subprocess
import time
from typing import Any

from neuromas_env.tasks.sandbox import tiers
from neuromas_env.tasks.sandbox.protocol import (
    ORDER,
    READY,
    REPORT,
    SAID_LIMIT,
    BadMessageError,
    checked,
    frame,
    receive,
    said,
)
from neuromas_env.tasks.sandbox.verdicts import Program, Verdict, verdict_on

_START_SECONDS = 60.0
# A fork server ends what it has forked in time; this is for one that does not.
_GRACE = 15.0


class DiedError(Exception):
    """A worker is gone, or did not come up; the message says why if that is known."""


class Worker:
    """A fork server and the connection to it.

    Attributes:
        connection: Readable when the worker has said something.
        job: What it is at work on, None while it starts or waits.
        deadline: When its next word is overdue, by `time.monotonic`; None while it waits.
    """

    def __init__(self, tier: str) -> None:
        """Begin to start one; its first message says whether it came up.

        Raises:
            UnavailableError: A piece of the tier is missing on this machine.
            DiedError: It ended at once.
        """
        command, config = tiers.command(tier), tiers.config(tier)
        self.job: Any = None
        self._program: Program | None = None
        self._judge: socket.socket | None = None
        self.deadline: float | None = time.monotonic() + _START_SECONDS
        self.connection, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                env=tiers.environment(),
                cwd="/",
                # Ctrl-C is for us alone.
                start_new_session=True,
            )
        assert self.process.stdin
        try:
            with self.process.stdin as script:
                script.write(tiers.script().encode())
            self.connection.sendall(frame(config))
        except OSError:
            raise self._died() from None

    @property
    def late(self) -> bool:
        """Whether it should have said something by now."""
        return self.deadline is not None and time.monotonic() > self.deadline

    def give(self, program: Program, job: Any) -> None:
        """Have it judge a program; the program goes past it, to the judge that it forks.

        Raises:
            DiedError: It is gone.
            BadMessageError: The program is too long; TypeError or ValueError: it is no
                JSON, or its limits are no whole seconds.
        """
        data, order = frame(vars(program)), _order(program)
        self.job, self._program = job, program
        self.deadline = time.monotonic() + program.wall_seconds + _GRACE
        self._judge, theirs = socket.socketpair()
        self._judge.settimeout(program.wall_seconds + _GRACE)
        with theirs:
            try:
                socket.send_fds(self.connection, [order], [theirs.fileno()])
            except OSError as error:
                raise DiedError(str(error)) from None
        try:
            self._judge.sendall(data)
        except OSError:
            pass  # what the fork server reports says why

    def take(self) -> Verdict | None:
        """Return the verdict on its program, which ends the job; None when it has come up.

        Raises:
            DiedError: It is gone, or did not come up.
        """
        try:
            message = receive(self.connection.recv, SAID_LIMIT)
            shape = READY if self._program is None else REPORT
            report = checked(message, shape, "a message of a fork server")
        except (OSError, BadMessageError):
            raise self._died() from None
        self.deadline = None
        if self._program is None:
            assert self.process.stderr
            self.process.stderr.close()
            return None
        verdict = verdict_on(self._told(self._program), report)
        self.job = self._program = None
        return verdict

    def _told(self, program: Program) -> Any:
        """Return what the judge, which has ended, has said; None if that is no verdict."""
        assert self._judge
        with self._judge:
            try:
                # No character takes more than the six bytes of an escape.
                told = receive(self._judge.recv, SAID_LIMIT + 6 * program.shows)
                return checked(told, said(len(program.readings), program.shows), "a verdict")
            except (OSError, BadMessageError):
                return None

    def _died(self) -> DiedError:
        self.process.kill()
        if self.process.stderr is None or self.process.stderr.closed:
            return DiedError("the connection is closed")
        words = self.process.stderr.read().decode(errors="replace").strip()
        return DiedError(words.rpartition("\n")[2] or "the connection is closed")

    def close(self) -> None:
        """End it; its sandbox ends with it."""
        self.connection.close()
        for end in (self._judge, self.process.stderr):
            if end:
                end.close()
        self.process.kill()
        self.process.wait()


def _order(program: Program) -> bytes:
    for name, seconds in (("seconds", program.seconds), ("wall_seconds", program.wall_seconds)):
        if type(seconds) is not int or not 0 < seconds < 1 << 32:
            raise ValueError(f"{name} must be a whole number from 1, got {seconds!r}")
    return ORDER.pack(program.seconds, program.wall_seconds)
