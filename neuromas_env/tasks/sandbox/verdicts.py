"""Programs, and the verdicts on them."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from neuromas_env.checks import Count, Natural, arguments
from neuromas_env.tasks.sandbox.source import Piece
from neuromas_env.text import valid

Outcome = Literal["passed", "failed", "timeout", "unreadable", "error"]
Limit = Literal["", "cpu", "wall", "memory", "message"]


@arguments
@dataclass(frozen=True)
class Program:
    """An untrusted program and the tests for it, which are no more trusted.

    Attributes:
        readings: What the program may be, best first, each as pieces of source.
        names: What the tests use of the program, the function that was asked for first.
        tests: Run in a process of their own, with `names` standing for what the program defines.
        setup: Run there before the tests, with names of its own.
        free: False to run the only piece of the only reading as it is. True to run the
            first reading whose pieces, those left out that do not compile, define the
            function; a top-level statement that fails is then passed over, one that exits
            ends the program.
        seconds: Of processor time, at most, for the program and for its tests.
        wall_seconds: By the clock, at most. Only a program that waits needs so many, so
            that a busy machine does not turn right programs into wrong ones.
        calls: Expressions, evaluated like tests after them; see `Verdict.returned`.
        shows: How many characters of the text that the last call returns are told as they are; 0
            for a hash of all.
    """

    readings: tuple[tuple[Piece, ...], ...]
    names: tuple[str, ...]
    tests: str
    setup: str = ""
    free: bool = False
    seconds: Count = 3
    wall_seconds: Count = 30
    calls: tuple[str, ...] = ()
    shows: Natural = 0


@dataclass(frozen=True)
class Verdict:
    """What became of a program.

    Attributes:
        outcome: `passed`; `failed` (tests or program); `timeout`; `unreadable` (no reading
            compiles and defines the function); `error` (twice the worker died, or the tests
            ended without a verdict).
        detail: More about it, in words.
        reading: Which reading ran, None if it did not come so far.
        limit: Which limit the program ran out of: `cpu` (processor time) and `wall` (time by the
            clock) are timeouts, `memory` and `message` (what it may return) failures. Which of
            several it is follows from what ended its process, not from who noticed first.
        returned: A hash of what the `calls` of a program that passed returned. Programs that
            return equal values, floats to nine digits, have the same. Of a program that `shows`
            some, the text that the last call returned, cut.
    """

    outcome: Outcome
    detail: str = ""
    reading: int | None = None
    limit: Limit = ""
    returned: str = ""


def verdict_on(told: Mapping[str, Any] | None, report: Mapping[str, Any]) -> Verdict:
    """Return the verdict on a program; what became of the processes outweighs what was said.

    Args:
        told: What the judge said, of the shape `protocol.said`; None if it was nothing of it.
        report: What the fork server reports, of the shape `protocol.REPORT`.
    """
    if told and told["failure"] is None:
        returned = valid(told["returned"])
        return Verdict(told["outcome"], valid(told["detail"]), told["reading"], returned=returned)
    if report["limit"] == "cpu":
        return Verdict("timeout", f"the {report['whose']}: out of processor time", limit="cpu")
    if report["limit"] == "wall":
        return Verdict("timeout", "out of time", limit="wall")
    if not told:
        ended = "were ended" if report["tests"] is None else f"ended with {_how(report['tests'])}"
        return Verdict("error", f"the tests {ended} and gave no verdict")
    status = report["program"]
    if status == -signal.SIGXCPU:
        return Verdict("timeout", "the program: out of processor time", limit="cpu")
    if status == -signal.SIGKILL:
        why = "killed by the system, as when its memory runs out"
        return Verdict("failed", f"the program: {why}", limit="memory")
    if told["gone"] and status is not None:
        return Verdict("failed", f"the program: it ended with {_how(status)}")
    return Verdict("failed", f"the program: {valid(told['failure'])}", limit=told["limit"])


def _how(status: int) -> str:
    names = {-number.value: number.name for number in signal.Signals}
    return names.get(status, f"exit status {status}" if status >= 0 else f"signal {-status}")
