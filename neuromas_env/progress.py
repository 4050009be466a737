"""How long work shows its progress: nothing, or a bar on a terminal and lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.text import Text

from neuromas_env.text import say, visible

_LINE_SECONDS = 10.0


def duration(seconds: float) -> str:
    """Return a time for people: `0.42 s`, `45 s`, `1 min 20 s`, `2 h 5 min`."""
    if 0 < seconds < 0.01:
        return "under 0.01 s"
    if seconds < 10:
        return f"{seconds:.2g} s"
    small, unit, large = round(seconds), "s", "min"
    if small >= 3600:
        small, unit, large = round(seconds / 60), "min", "h"
    many, rest = divmod(small, 60)
    return " ".join([f"{many} {large}"] * (many > 0) + [f"{rest} {unit}"] * (rest > 0))


class Reporter:
    """Told how a run goes on; this one keeps silent."""

    def begin(self, what: str, total: int, done: int = 0) -> None:
        """Start a stretch of work of `total` units, `done` of which are behind."""

    def advance(
        self, done: int, figures: Mapping[str, float] | None = None, left: float | None = None
    ) -> None:
        """Say how many units of the current stretch are done, with figures to show.

        Args:
            done: Units.
            figures: Name to value.
            left: Seconds to the end, where they are known better than from the units so far.
        """

    def note(self, text: str) -> None:
        """Say something."""

    def end(self) -> None:
        """End the current stretch of work."""


def usual_reporter() -> Reporter:
    """Return what shows progress in a terminal or a notebook, and keeps silent elsewhere."""
    console = Console(stderr=True)
    return ConsoleReporter(console) if console.is_terminal or console.is_jupyter else Reporter()


class _Clock(ProgressColumn):
    """The time that a bar has taken and the time left."""

    def render(self, task: Task) -> Text:
        left = task.time_remaining if task.fields["left"] is None else task.fields["left"]
        # Whole seconds: it is drawn several times in each.
        times = [duration(round(task.elapsed or 0))]
        if left is not None:
            times.append(f"{duration(round(left))} left")
        return Text(", ".join(times), style="progress.remaining")


class ConsoleReporter(Reporter):
    """Shows a bar on a terminal, elsewhere a line for every training step or ten seconds."""

    def __init__(self, console: Console | None = None) -> None:
        """Report to a console, by default on standard error."""
        self._console = console or Console(stderr=True)
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._total = self._first = 0
        self._began = self._shown = 0.0

    def begin(self, what: str, total: int, done: int = 0) -> None:
        """Start a bar."""
        self.end()
        self._total, self._first = total, done
        self._began = self._shown = time.monotonic()
        if self._console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}", markup=False),
                _Clock(),
                console=self._console,
            )
            self._progress.start()
            self._task = self._progress.add_task(
                visible(what), total=total, completed=done, figures="", left=None
            )
        elif done < total:
            self.note(f"{what}: {total - done} to do")

    def advance(
        self, done: int, figures: Mapping[str, float] | None = None, left: float | None = None
    ) -> None:
        """Move the bar, or print a line; say how long each unit takes."""
        parts = [f"{key} {value:.3g}" for key, value in (figures or {}).items()]
        now = time.monotonic()
        if done > self._first:
            each = (now - self._began) / (done - self._first)
            parts.append(f"{duration(each)} each")
            if not self._progress:  # the bar has a clock
                seconds = each * (self._total - done) if left is None else left
                parts.append(f"{duration(round(seconds))} left")
        text = "  ".join(parts)
        if self._progress:
            self._progress.update(self._task, completed=done, figures=text, left=left)
        elif figures or now - self._shown >= _LINE_SECONDS or (left == 0 and done == self._total):
            self._shown = now
            self.note(f"{done}/{self._total}  {text}")

    def note(self, text: str) -> None:
        """Print a line."""
        say(self._console, text)

    def end(self) -> None:
        """Take the bar away."""
        if self._progress:
            self._progress.stop()
            self._progress = None
