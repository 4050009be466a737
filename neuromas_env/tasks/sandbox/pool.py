"""Judging many programs on a pool of workers."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Sequence

from neuromas_env.checks import Count, arguments
from neuromas_env.errors import InputError, unknown
from neuromas_env.tasks.sandbox import tiers
from neuromas_env.tasks.sandbox.protocol import BadMessageError
from neuromas_env.tasks.sandbox.syscalls import UnavailableError
from neuromas_env.tasks.sandbox.verdicts import Program, Verdict
from neuromas_env.tasks.sandbox.worker import DiedError, Worker

_MOST_WORKERS = 16
_TRIES = 2


class Sandbox:
    """Judges untrusted programs, several at once. Also a context manager.

    Attributes:
        tier: What isolates the programs, such as `bubblewrap+landlock+seccomp`.
    """

    @arguments
    def __init__(
        self,
        *,
        tier: str | None = None,
        workers: Count | None = None,
        allow_unsandboxed: bool = False,
    ) -> None:
        """Start a worker, with the best isolation that works here.

        Args:
            tier: Which isolation to use, one of `tiers.SAFE`; the first that works by default.
            workers: Programs at once; the number of usable processors, at most 16, by default.
            allow_unsandboxed: Where no isolation works, run programs with resource limits
                only. They can then read and change whatever the user can.

        Raises:
            InputError: This is not Linux, no isolation works here (the message says
                why), the tier is unknown, or programs would run as root without isolation.
        """
        if tier is not None and tier not in tiers.SAFE:
            raise unknown("sandbox tier", tier, tiers.SAFE)
        if sys.platform != "linux":
            raise InputError(
                "running code that a model wrote needs Linux: a container or WSL will do"
            )
        self._most = workers or min(len(os.sched_getaffinity(0)), _MOST_WORKERS)
        self._lock = threading.Lock()
        self._workers: list[Worker] = []
        self.tier = self._probe((tier,) if tier else tiers.SAFE, allow_unsandboxed)

    def judge(self, programs: Sequence[Program]) -> list[Verdict]:
        """Judge programs, each by its tests; the verdicts stand in the programs' order.

        A program whose worker died, or whose tests ended without a verdict, is tried once more,
        then its outcome is `error`.
        """
        batch = _Batch(programs)
        with self._lock:
            try:
                while batch.open:
                    self._staff(batch.open)
                    for worker in [w for w in self._workers if w.deadline is None]:
                        self._give(worker, batch)
                    for worker in self._heard():
                        self._take(worker, batch)
            except UnavailableError as error:
                batch.give_up(str(error))
            finally:
                # An answer that was not waited for must not be taken for the next one's.
                for worker in [w for w in self._workers if w.job is not None]:
                    self._discard(worker)
        return [batch.verdicts[index] for index in range(len(programs))]

    def close(self) -> None:
        """End the workers."""
        with self._lock:
            while self._workers:
                self._discard(self._workers[-1])

    def __enter__(self) -> Sandbox:
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End the workers."""
        self.close()

    def _probe(self, names: Sequence[str], allow_unsandboxed: bool) -> str:
        """Return the first tier in which a program can do its work and nothing else."""
        reasons = []
        for self.tier in names:
            try:
                if breach := self._breach():
                    raise UnavailableError(breach)
                return self.tier
            except UnavailableError as error:
                self.close()
                reasons.append(f"{self.tier}: {error}")
        trouble = f"no sandbox for untrusted code works here ({'; '.join(reasons)})"
        if not allow_unsandboxed:
            raise InputError(
                f"{trouble}. Programs that a model wrote do not run without one, unless you say "
                "allow_unsandboxed; they can then read and change whatever you can"
            )
        if os.geteuid() == 0:
            raise InputError(f"{trouble}, and without one programs never run as root")
        warnings.warn(
            f"{trouble}. As allow_unsandboxed asks for, programs that a model wrote run all the "
            "same: they can read and change whatever you can",
            stacklevel=3,
        )
        self.tier = tiers.UNSAFE
        self._staff(1)
        return self.tier

    def _breach(self) -> str:
        """Say what a program can do in this tier that it must not, nothing if all is well."""
        [verdict] = self.judge([_SELF_CHECK])
        if verdict.outcome == "error":
            raise UnavailableError(verdict.detail)
        return "" if verdict.outcome == "passed" else f"it does not hold: {verdict.detail}"

    def _staff(self, jobs: int) -> None:
        while len(self._workers) < min(self._most, jobs):
            try:
                self._workers.append(Worker(self.tier))
            except (OSError, DiedError) as error:
                raise UnavailableError(f"no worker can be started: {error}") from None

    def _give(self, worker: Worker, batch: _Batch) -> None:
        if not batch.waiting:
            return
        job = batch.waiting.popleft()
        try:
            worker.give(batch.programs[job[0]], job)
        except DiedError as error:
            self._discard(worker)
            batch.again(job, f"the worker died: {error}")
        except (BadMessageError, TypeError, ValueError) as error:
            batch.verdicts[job[0]] = Verdict("error", f"it cannot be sent to a worker: {error}")

    def _heard(self) -> list[Worker]:
        """Wait until workers have said something or are late, and return these."""
        poll = select.poll()
        busy = {w.connection.fileno(): w for w in self._workers if w.deadline is not None}
        for descriptor in busy:
            poll.register(descriptor, select.POLLIN)
        first = min((w.deadline for w in busy.values() if w.deadline is not None), default=0.0)
        heard = poll.poll(max(0.0, first - time.monotonic()) * 1000)
        return [busy[descriptor] for descriptor, _ in heard] or [w for w in busy.values() if w.late]

    def _take(self, worker: Worker, batch: _Batch) -> None:
        job = worker.job
        if worker.late and job is not None:
            self._discard(worker)
            batch.verdicts[job[0]] = Verdict(
                "timeout", "the tests did not come to an end", limit="wall"
            )
            return
        try:
            verdict = worker.take()
        except DiedError as error:
            self._discard(worker)
            if job is None:
                raise UnavailableError(str(error)) from None
            return batch.again(job, f"the worker died: {error}")
        if verdict and verdict.outcome == "error":
            batch.again(job, verdict.detail)
        elif verdict:
            batch.verdicts[job[0]] = verdict

    def _discard(self, worker: Worker) -> None:
        self._workers.remove(worker)
        worker.close()


class _Batch:
    """What is to be judged: the programs that wait, each with its number of tries, and verdicts."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self.programs = programs
        self.waiting = deque((index, 1) for index in range(len(programs)))
        self.verdicts: dict[int, Verdict] = {}

    @property
    def open(self) -> int:
        return len(self.programs) - len(self.verdicts)

    def again(self, job: tuple[int, int], why: str) -> None:
        index, tries = job
        if tries < _TRIES:
            self.waiting.appendleft((index, tries + 1))
        else:
            self.verdicts[index] = Verdict("error", why)

    def give_up(self, why: str) -> None:
        for index in range(len(self.programs)):
            self.verdicts.setdefault(index, Verdict("error", why))


# Tried in each tier before it is trusted, by a program and by tests: what must fail, unless the
# tier does not hold.
_ATTEMPTS = """
import os, signal, socket, threading

ATTEMPTS = {
    "make a process": os.fork,
    "make a thread": lambda: threading.Thread(target=int).start(),
    "open a socket": socket.socket,
    "read the user's files": lambda: open("/etc/passwd").read(),
    "write a file": lambda: open("/tmp/neuromas-env-self-check", "w"),
    "signal another process": lambda: os.kill(os.getppid(), 0),
    "become root": lambda: os.setuid(0),
}

def breaches():
    return [what for what, attempt in ATTEMPTS.items() if succeeds(attempt)]

def succeeds(attempt):
    try:
        attempt()
        return True
    except Exception:
        return False
"""
_SELF_CHECK = Program(
    readings=((_ATTEMPTS,),),
    names=("breaches",),
    setup=f"{_ATTEMPTS}\nfound = breaches()",
    tests="found += breaches()\nassert found == [], f'a program can {\", \".join(found)}'",
)
