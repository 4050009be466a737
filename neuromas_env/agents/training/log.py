"""What a training run writes down: metrics, transcripts, TensorBoard."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neuromas_env.agents.training.records import Metrics
from neuromas_env.files import read_lines, writing
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
        rows = read_lines(self._run / "metrics.jsonl", Metrics)
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
                "node": turn.node,
                "text": turn.text,
                "tokens": 0 if turn.completion is None else len(turn.completion.ids),
                "finished": turn.completion is None or turn.completion.finished,
            }
            for turn in trajectory.turns
        ],
        "answer": trajectory.answer,
        "reward": trajectory.reward,
        "strict": None if score is None else score.strict,
        "extracted": None if score is None else score.extracted,
        "reason": None if score is None else score.reason,
        "error": trajectory.error,
    }
