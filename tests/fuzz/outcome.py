"""What became of one input: a right result or one line that says what is right, or a fault."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import re
import signal
import sys
import threading
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from neuromas_env.cli.app import main
from neuromas_env.errors import InputError

SECONDS = 60.0
"""Until an input counts as one that hangs, on however busy a machine."""
LONGEST = 2000
"""Characters of a message; a list of known names is the longest."""
_USAGE = re.compile(r"^╭─ Error ─|^Error: ", re.M)


class Hang(BaseException):
    """The time of an input is up."""


@dataclass(frozen=True)
class Outcome:
    """What became of one input.

    Attributes:
        fault: `traceback`, `hang`, `untold` (no single line that says what is wrong), `silent`
            (taken although it is wrong), `written` (refused, with something left behind), or
            nothing for a clean one.
        code: Exit status, None for a call.
        text: What was said, or the traceback.
    """

    fault: str
    code: int | None
    text: str


def command(args: Sequence[str]) -> Outcome:
    """Run one command in this process."""
    said, shown = io.StringIO(), io.StringIO()
    try:
        with _within(SECONDS), contextlib.redirect_stderr(said), contextlib.redirect_stdout(shown):
            main(list(args))
        code: Any = 0
    except SystemExit as end:
        code = end.code or 0
    except Hang:
        return Outcome("hang", None, traceback.format_exc(limit=-3))
    except BaseException:
        return Outcome("traceback", None, traceback.format_exc(limit=-3))
    return told(code, said.getvalue(), shown.getvalue())


def told(code: Any, said: str, shown: str = "") -> Outcome:
    """Judge an ended command by its exit status and what it wrote to stderr and stdout."""
    if "Traceback (most recent" in said + shown:
        return Outcome("traceback", code, said)
    if code not in (0, 1, 2):
        return Outcome("untold", code, said)
    if code == 2 and not _one_line(said):
        return Outcome("untold", code, said)
    return Outcome("", code, said)


def _one_line(said: str) -> bool:
    if _USAGE.search(said):
        return len(_USAGE.findall(said)) == 1
    errors = re.findall(r"^error: .*", said, re.M)
    last = said.rstrip("\n").splitlines()[-1:]
    return len(errors) == 1 and errors == last and len(errors[0]) <= LONGEST


def call(function: Callable[[], Any], wrong: bool) -> Outcome:
    """Call a function with an argument that is wrong, or may be."""
    try:
        with _within(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("error")
            function()
    except InputError as error:
        text = str(error)
        clean = text and len(text) <= LONGEST and "\n" not in text
        return Outcome("" if clean else "untold", None, text)
    except Hang:
        return Outcome("hang", None, traceback.format_exc(limit=-3))
    except BaseException:
        return Outcome("traceback", None, traceback.format_exc(limit=-3))
    return Outcome("silent" if wrong else "", None, "")


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raise `Hang` in the main thread when the time is up; other threads have no such alarm."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: Any) -> None:
        raise Hang

    former = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    # Code in C that does not come back hears no alarm: this ends the process.
    faulthandler.dump_traceback_later(2 * seconds, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


class Tally:
    """Counts outcomes by what was tried, and prints them as the table of `docs/security.md`."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}
        self.faults: list[str] = []

    def add(self, group: str, name: str, outcome: Outcome) -> None:
        self.counts.setdefault(group, Counter())[outcome.fault or "clean"] += 1
        if outcome.fault:
            tail = outcome.text.strip().splitlines()[-3:]
            self.faults.append(f"{outcome.fault}: {group}: {name}: {' | '.join(tail)[:300]}")

    def table(self) -> str:
        kinds = ("clean", "traceback", "hang", "untold", "silent", "written")
        head = ("what", "inputs", *kinds)
        rows = [
            (group, sum(count.values()), *(count[kind] for kind in kinds))
            for group, count in sorted(self.counts.items())
        ]
        total = [sum(column) for column in zip(*(row[1:] for row in rows), strict=True)]
        lines = [head, ("---",) * len(head), *rows, ("all", *total)]
        return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
