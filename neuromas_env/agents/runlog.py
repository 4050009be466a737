"""What a training run writes down and shows: metrics, transcripts, progress."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

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

from neuromas_env.errors import InputError
from neuromas_env.policy import Trajectory

FILES = ("metrics.jsonl", "transcripts.jsonl")


class RunLog:
    """Metrics and transcripts of a run, as JSON lines and for TensorBoard.

    A checkpoint notes how long the files are; a resumed run cuts them to that length, so
    that they hold what an uninterrupted run's would.
    """

    def __init__(self, run: Path, lengths: Mapping[str, int] | None = None, step: int = 0) -> None:
        """Open the log of a run folder.

        Args:
            run: The run folder.
            lengths: File name to length in bytes, from which to go on; by default 0.
            step: The last step that stays.
        """
        self._run, self._step = run, step
        self._files = {}
        for name in FILES:
            with writing(run / name):
                file = (run / name).open("ab")
                file.truncate((lengths or {}).get(name, 0))
                self._files[name] = file
        self._board: Any = None

    def metrics(self, values: Mapping[str, Any]) -> None:
        """Write one line of metrics; numbers also go to TensorBoard, under `values["step"]`."""
        self._line("metrics.jsonl", values)
        board = self._tensorboard()
        for key, value in values.items() if board else ():
            if type(value) in (int, float) and key != "step":
                board.add_scalar(key, value, values["step"])

    def transcripts(self, step: int, trajectories: Sequence[Trajectory], count: int) -> None:
        """Write `count` episodes, spread over the batch."""
        count = min(count, len(trajectories))
        for i in range(count):
            chosen = trajectories[i * len(trajectories) // count]
            self._line("transcripts.jsonl", {"step": step, **transcript(chosen)})

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return the metric lines whose `event` is `kind`."""
        self._files["metrics.jsonl"].flush()
        rows = read_lines(self._run / "metrics.jsonl")
        return [row for row in rows if row.get("event") == kind]

    def sync(self) -> dict[str, int]:
        """Force everything to disk and return the lengths of the files in bytes."""
        lengths = {}
        for name, file in self._files.items():
            with writing(self._run / name):
                file.flush()
                os.fsync(file.fileno())
                lengths[name] = (self._run / name).stat().st_size
        return lengths

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            with writing(self._run):
                file.close()
        if self._board:
            self._board.close()

    def _line(self, name: str, values: Mapping[str, Any]) -> None:
        line = json.dumps(values, ensure_ascii=False) + "\n"
        with writing(self._run / name):
            self._files[name].write(line.encode())
            self._files[name].flush()

    def _tensorboard(self) -> Any:
        if self._board is None:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # protobuf's, about itself
                    from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                self._board = False
            else:
                folder = str(self._run / "tensorboard")
                self._board = SummaryWriter(folder, purge_step=self._step + 1)
        return self._board


class NoLog(RunLog):
    """The log of processes other than the main one: nothing is written."""

    def __init__(self) -> None:
        """Open no file."""
        self._files, self._board = {}, None

    def metrics(self, values: Mapping[str, Any]) -> None:
        """Write nothing."""

    def transcripts(self, step: int, trajectories: Sequence[Trajectory], count: int) -> None:
        """Write nothing."""


class writing:  # noqa: N801
    """Turn a failure to write `path` into one message; for `with`."""

    def __init__(self, path: Path) -> None:
        """Name what is being written."""
        self._path = path

    def __enter__(self) -> None:
        """Start."""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Raise the InputError for what went wrong."""
        if isinstance(error, OSError):
            raise unwritable(self._path, error) from error


def unwritable(path: Path, error: BaseException) -> InputError:
    """Make the error for a file of a run that cannot be written."""
    return InputError(
        f"cannot write {path}: {getattr(error, 'strerror', None) or error}. Earlier checkpoints "
        "are unharmed: free some space or open the folder for writing, and resume the run."
    )


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    with writing(path):
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of a run, or raise an InputError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of a run with one JSON object a line, or raise an InputError."""
    try:
        # Not `splitlines`: to it some characters that may stand in a text, such as U+2028, end one.
        with path.open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def transcript(trajectory: Trajectory) -> dict[str, Any]:
    """Return an episode for JSON: the question, what every node said, and the score."""
    score = trajectory.score
    return {
        "id": trajectory.example.id,
        "question": trajectory.example.question,
        "parts": list(trajectory.example.parts),
        "target": trajectory.example.target,
        "seed": trajectory.seed,
        "messages": [
            {
                "node": step.node,
                "text": step.text,
                "tokens": 0 if step.completion is None else len(step.completion.ids),
                "finished": step.completion is None or step.completion.finished,
            }
            for step in trajectory.steps.values()
        ],
        "answer": trajectory.answer,
        "reward": trajectory.reward,
        "strict": None if score is None else score.strict,
        "extracted": None if score is None else score.extracted,
        "reason": None if score is None else score.reason,
        "error": trajectory.error,
    }


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
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}"),
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
