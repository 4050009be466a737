"""What a training run writes down: metrics and transcripts, and figures for trackers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuromas_env.agents.training.records import Metrics
from neuromas_env.agents.training.trackers import figures
from neuromas_env.errors import InputError
from neuromas_env.files import read_lines, writing
from neuromas_env.policy import Trajectory

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker

FILES = ("metrics.jsonl", "transcripts.jsonl")


class RunLog:
    """Metrics and transcripts of a run, as JSON lines and for trackers.

    A checkpoint notes how long the files are; a resumed run cuts them to that length, so
    that they hold what an uninterrupted run's would.
    """

    def __init__(
        self,
        run: Path,
        lengths: Mapping[str, int] | None = None,
        trackers: Sequence[GeneralTracker] = (),
    ) -> None:
        """Open the log of a run folder.

        Args:
            run: The run folder.
            lengths: File name to length in bytes, from which to go on; by default 0.
            trackers: Are given the figures, and closed with the files.
        """
        self._run, self._trackers = run, trackers
        self._files = {}
        for name in FILES:
            with writing(run / name):
                file = (run / name).open("ab")
                file.truncate((lengths or {}).get(name, 0))
                self._files[name] = file

    def metrics(self, values: Mapping[str, Any]) -> None:
        """Write one line of metrics and track its figures."""
        self._line("metrics.jsonl", values)
        self.track(values)

    def track(self, values: Mapping[str, Any]) -> None:
        """Give the figures of a line of metrics to the trackers alone, under `values["step"]`."""
        for tracker in self._trackers:
            tracker.log(figures(values), step=values["step"])

    def transcripts(self, step: int, trajectories: Sequence[Trajectory], count: int) -> None:
        """Write `count` episodes, spread over the batch."""
        count = min(count, len(trajectories))
        for i in range(count):
            chosen = trajectories[i * len(trajectories) // count]
            self._line("transcripts.jsonl", {"step": step, **transcript(chosen)})

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return the metric lines whose `event` is `kind`."""
        return [line for line in self.lines() if line.get("event") == kind]

    def lines(self) -> list[dict[str, Any]]:
        """Return all metric lines."""
        self._files["metrics.jsonl"].flush()
        return read_lines(self._run / "metrics.jsonl", Metrics)

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
        for tracker in self._trackers:
            tracker.finish()

    def _line(self, name: str, values: Mapping[str, Any]) -> None:
        line = json.dumps(values, ensure_ascii=False) + "\n"
        with writing(self._run / name):
            self._files[name].write(line.encode())
            self._files[name].flush()


def check_lengths(run: Path, lengths: Mapping[str, int]) -> None:
    """Refuse logs that end before the place from which a run would go on.

    Raises:
        InputError: A file is shorter than the checkpoint remembers.
    """
    for name, length in lengths.items():
        path = run / name
        size = path.stat().st_size if path.is_file() else 0
        if size < length:
            raise InputError(
                f"{path} holds {size:,} bytes, but the checkpoint remembers {length:,}: something "
                "else has cut or replaced it"
            )


class NoLog(RunLog):
    """The log of processes other than the main one: nothing is written."""

    def __init__(self) -> None:
        """Open no file."""
        self._files, self._trackers = {}, ()

    def metrics(self, values: Mapping[str, Any]) -> None:
        """Write nothing."""

    def transcripts(self, step: int, trajectories: Sequence[Trajectory], count: int) -> None:
        """Write nothing."""


def transcript(trajectory: Trajectory) -> dict[str, Any]:
    """Return an episode for JSON: the question, what nodes said and a task replied, the score."""
    score = trajectory.score
    replies = [reply and reply.text for reply in trajectory.replies]
    return {
        "id": trajectory.example.id,
        "question": trajectory.example.question,
        "parts": list(trajectory.example.parts),
        "target": trajectory.example.target,
        "seed": trajectory.seed,
        "messages": [
            {
                "node": turn.node,
                "text": turn.text,
                "tokens": 0 if turn.completion is None else len(turn.completion.ids),
                "finished": turn.completion is None or turn.completion.finished,
                **({"round": turn.round} if turn.round else {}),
            }
            for turn in trajectory.turns
        ],
        **({"replies": replies, "rewards": list(trajectory.rewards)} if replies else {}),
        "answer": trajectory.answer,
        "reward": trajectory.reward,
        "strict": None if score is None else score.strict,
        "extracted": None if score is None else score.extracted,
        "reason": None if score is None else score.reason,
        "error": trajectory.error,
    }
