"""How long work shows its progress: nothing, or a bar on a terminal and a line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Reporter:
    """Told how a run goes on; this one keeps silent."""

    def begin(self, what: str, total: int, done: int = 0) -> None:
        """Start a stretch of work of `total` units, `done` of which are behind."""

    def advance(self, done: int, figures: Mapping[str, float] | None = None) -> None:
        """Say how many units of the current stretch are done, with figures to show."""

    def note(self, text: str) -> None:
        """Say something."""

    def end(self) -> None:
        """End the current stretch of work."""


def usual_reporter() -> Reporter:
    """Return what shows progress in a terminal or a notebook, and keeps silent elsewhere."""
    console = Console(stderr=True)
    return ConsoleReporter(console) if console.is_terminal or console.is_jupyter else Reporter()


class ConsoleReporter(Reporter):
    """Shows a progress bar on a terminal, one line per training step elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        """Report to a console, by default on standard error."""
        self._console = console or Console(stderr=True)
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._total = self._first = 0
        self._began = 0.0

    def begin(self, what: str, total: int, done: int = 0) -> None:
        """Start a bar."""
        self.end()
        self._total, self._first, self._began = total, done, time.monotonic()
        if self._console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}", markup=False),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._progress.start()
            self._task = self._progress.add_task(what, total=total, completed=done, figures="")
        else:
            self.note(f"{what}: {total - done} to do")

    def advance(self, done: int, figures: Mapping[str, float] | None = None) -> None:
        """Move the bar, or print a line for a step with figures; say how long each takes."""
        parts = [f"{key} {value:.3g}" for key, value in (figures or {}).items()]
        if done > self._first:
            each = (time.monotonic() - self._began) / (done - self._first)
            parts.append(f"{each:.2f} s each")
            # The bar shows the time left by itself, and some work knows better.
            if not self._progress and "minutes left" not in (figures or {}):
                parts.append(f"{timedelta(seconds=round(each * (self._total - done)))} left")
        text = "  ".join(parts)
        if self._progress:
            self._progress.update(self._task, completed=done, figures=text)
        elif figures:
            self.note(f"{done}/{self._total}  {text}")

    def note(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, markup=False, highlight=False)

    def end(self) -> None:
        """Take the bar away."""
        if self._progress:
            self._progress.stop()
            self._progress = None
