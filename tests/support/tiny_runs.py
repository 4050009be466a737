"""Short training runs of tiny models, for the tests of training."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from neuromas_env.agents.training import checkpoint
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.progress import Reporter

# Matrices this small gain nothing from threads, and lose much where cores are shared.
torch.set_num_threads(1)


def tiny_config(model: Path, out: Path, **options) -> TrainConfig:
    """A run of a second. The bonus gives every row a gradient, right or wrong."""
    values = {
        "task": "signal:symbols=3",
        "topology": "1-1",
        "model": str(model),
        "dtype": "float32",
        "out": str(out),
        "steps": 3,
        "questions": 2,
        "rollouts": 2,
        "max_new_tokens": 2,
        "eval_questions": 2,
        "validate_questions": 2,
        "keep": "last",
        "warm_up": 0,
        "warmup_steps": 0,
        "reward": "both",
        "temperature": 0.5,
        "learning_rate": 0.001,
        "entropy_coef": 0.1,
        "rank": 4,
        "checkpoint_every": 2,
    }
    return TrainConfig.from_mapping(values | options)


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n")[:-1]]


def untimed(file: Path) -> list[dict]:
    """The lines of a log without what a clock says."""
    rows = lines(file)
    for row in rows:
        for key in [key for key in row if key.endswith("seconds")]:
            del row[key]
        for evaluation in (row.get("evaluation"), row.get("before"), row.get("after")):
            if evaluation:
                del evaluation["cost"]["seconds"]
    return rows


def _same(a, b):
    """Whether two nested states hold equal values, tensors bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return a == b


def assert_same_end(run, other):
    """Two runs hold the same weights, learner's state and logs."""
    ends = [checkpoint.latest(folder) for folder in (run, other)]
    files = [sorted(p.relative_to(end) for p in end.rglob("*.safetensors")) for end in ends]
    assert files[0] == files[1] and files[0]
    for file in files[0]:
        assert (ends[0] / file).read_bytes() == (ends[1] / file).read_bytes()
    assert _same(*[checkpoint.load_learner(end) for end in ends])
    for name in ("metrics.jsonl", "transcripts.jsonl"):
        assert untimed(run / name) == untimed(other / name)


class At(Reporter):
    """Does something once, right after a training step."""

    def __init__(self, step: int, act) -> None:
        self._step, self._act = step, act

    def advance(self, done, figures=None):
        if figures and done == self._step:
            self._act()


class Killed(BaseException):
    """Stands for a process that is gone."""


def kill():
    raise Killed
