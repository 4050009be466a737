"""What a benchmark is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.errors import InputError, unknown
from neuromas_env.tasks.base import SPLITS


@dataclass(frozen=True)
class BenchConfig:
    """Methods × tasks × seeds, and how to answer.

    Attributes:
        out: The benchmark directory.
        methods: Baselines by name, and `neuromas@RUN` for the trained network of a run.
        tasks: Tasks by name.
        seeds: Of the methods that sample; the others run once.
        limit: Only so many questions of each task, None for all.
        split: Which questions.
        data: Folder with benchmark rows.
        skip_bad_rows: Leave broken rows out, instead of refusing their table.
        matched: Also give every method of several calls a self-consistency row of its budget.
        engine: `transformers`, `vllm`, `openai`, `mock`, or `module:function` of one's own.
        model: Name of the model.
        dtype: Precision of a local model.
        device: Where a local model computes.
        chunk_rows: Model calls that a local engine answers at once.
        max_new_tokens: Of every reply, None for what is canonical.
        temperature: Of all nodes, None for what is canonical.
        chunk: Questions that run at once; they are stored together.
        cache: File with the replies of earlier calls, None for none.
        base_url: Of an OpenAI-compatible server.
        concurrency: Calls to the server at once.
        requests_per_minute: At most so many, None for no limit.
        tokens_per_minute: At most so many, None for no limit.
        retries: How often a call to the server is tried again.
        prices: Price of a million prompt and of a million completion tokens.
    """

    out: str
    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...] = (0,)
    limit: int | None = None
    split: str = "test"
    data: str | None = None
    skip_bad_rows: bool = False
    matched: bool = False
    engine: str = "transformers"
    model: str = TrainConfig.model
    dtype: str = TrainConfig.dtype
    device: str = TrainConfig.device
    chunk_rows: int = TrainConfig.chunk_rows
    max_new_tokens: int | None = None
    temperature: float | None = None
    chunk: int = 64
    cache: str | None = None
    base_url: str | None = None
    concurrency: int = 8
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    retries: int = 6
    prices: tuple[float, float] | None = None

    def validate(self) -> None:
        """Check what can be checked without model and data.

        Raises:
            InputError: Something is missing, given twice or out of range.
        """
        for option in ("methods", "tasks", "seeds"):
            values = getattr(self, option)
            if not values:
                raise InputError(f"--{option}: at least one would be right")
            if doubled := {str(value) for value in values if values.count(value) > 1}:
                raise InputError(f"--{option}: {', '.join(sorted(doubled))} is given twice")
        if self.split not in SPLITS:
            raise unknown("split", self.split, SPLITS)
        if min(self.seeds) < 0:
            raise InputError(f"--seeds: {min(self.seeds)} is below 0; 0,1,2 would be right")
        for option in ("limit", "max_new_tokens", "chunk", "concurrency"):
            value = getattr(self, option)
            if value is not None and value < 1:
                raise InputError(f"--{option.replace('_', '-')}: {value}, but 1 is the least")
        for option in ("requests_per_minute", "tokens_per_minute"):
            value = getattr(self, option)
            if value is not None and value <= 0:
                raise InputError(f"--{option.replace('_', '-')} must be above 0, not {value}")
        if self.temperature is not None and not 0 <= self.temperature <= 10:
            raise InputError(f"--temperature must be from 0 to 10, not {self.temperature}")
        if self.prices is not None and min(self.prices) < 0:
            raise InputError(f"--prices must not be below 0, as {self.prices} are")
        if Path(self.out).is_file():
            raise InputError(f"--out: {self.out} is a file; a directory would be right")
