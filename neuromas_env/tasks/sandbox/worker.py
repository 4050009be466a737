"""A worker: a judge process, which starts the fork server of one sandbox."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from typing import Any

from neuromas_env.tasks.sandbox import tiers
from neuromas_env.tasks.sandbox.protocol import BadMessageError, frame, receive

_START_SECONDS = 60.0


class DiedError(Exception):
    """A worker is gone, or did not come up; the message says why if that is known."""


class Worker:
    """A judge process and the connection to it.

    Attributes:
        connection: Readable when the worker has said something.
        job: What it is at work on, None while it starts or waits.
        deadline: When its next word is overdue, by `time.monotonic`; None while it waits.
    """

    def __init__(self, tier: str) -> None:
        """Begin to start one; its first message says whether it came up.

        Raises:
            UnavailableError: A piece of the tier is missing on this machine.
        """
        message = tiers.start_message(tier)
        self.job: Any = None
        self.deadline: float | None = None
        self.connection, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, *tiers.PYTHON_OPTIONS, "-", str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=tiers.environment(),
                cwd="/",
                # Ctrl-C is for us alone.
                start_new_session=True,
            )
        assert self.process.stdin
        with self.process.stdin as script:
            script.write(tiers.script("judge").encode())
        self.send(message, _START_SECONDS)

    @property
    def late(self) -> bool:
        """Whether it should have said something by now."""
        return self.deadline is not None and time.monotonic() > self.deadline

    def send(self, message: Any, seconds: float, job: Any = None) -> None:
        """Give it something to do, to be answered within some seconds.

        Raises:
            DiedError: It is gone.
            BadMessageError: The message is too long; TypeError or ValueError: it is no JSON.
        """
        data = frame(message)
        self.job, self.deadline = job, time.monotonic() + seconds
        try:
            self.connection.sendall(data)
        except OSError as error:
            raise DiedError(str(error)) from None

    def receive(self) -> Any:
        """Return its answer, which ends the job.

        Raises:
            DiedError: It is gone, or did not come up.
        """
        try:
            answer = receive(self.connection.recv)
        except (OSError, BadMessageError) as error:
            raise DiedError(str(error)) from None
        if "error" in answer:
            raise DiedError(answer["error"])
        self.job = self.deadline = None
        return answer

    def close(self) -> None:
        """End it; its sandbox ends with it."""
        self.connection.close()
        self.process.kill()
        self.process.wait()
