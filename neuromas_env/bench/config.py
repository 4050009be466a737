"""What a benchmark is asked to do."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from neuromas_env.agents.engines.base import check_engine_name
from neuromas_env.agents.engines.servers.address import read_address
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.config import REQUIRED, Options, inherited, option
from neuromas_env.errors import InputError
from neuromas_env.tasks.base import SPLITS
from neuromas_env.tasks.names import split_names

_benchmark, _server = (partial(option, panel=panel) for panel in ("Benchmark", "Server"))


@dataclass(frozen=True)
class BenchConfig(Options):
    """Methods × tasks × seeds, and how to answer: options of `neuromas bench`.

    An option that is None by default is what is usual for a method, or no limit.
    """

    out: str = _benchmark(REQUIRED, "benchmark directory; continues what it holds", place=True)
    methods: tuple[str, ...] = _benchmark(
        REQUIRED,
        "frozen ones, and NAME@RUN for trained ones: neuromas list baselines",
        split=split_names,
    )
    tasks: tuple[str, ...] = _benchmark(REQUIRED, "tasks, comma separated", split=split_names)
    seeds: tuple[int, ...] = _benchmark(
        (0,), "of the methods that sample; the others run once", low=0
    )
    limit: int | None = _benchmark(None, "only so many questions of each task", low=1)
    split: str = _benchmark("test", "which questions", choices=SPLITS)
    data: str | None = inherited(TrainConfig, "data")
    skip_bad_rows: bool = inherited(TrainConfig, "skip_bad_rows")
    matched: bool = _benchmark(
        False,
        "also self-consistency with the completion tokens of every method of several calls",
    )
    engine: str = option(
        "transformers",
        "transformers, vllm, openai, mock or module:function of your own",
        panel="Model",
    )
    model: str = inherited(TrainConfig, "model")
    dtype: str = inherited(TrainConfig, "dtype")
    device: str = inherited(TrainConfig, "device")
    chunk_rows: int = inherited(TrainConfig, "chunk_rows")
    max_new_tokens: int | None = inherited(TrainConfig, "max_new_tokens")
    temperature: float | None = _benchmark(
        None, "of all nodes; by default what is usual for a method", low=0, high=10
    )
    chunk: int = _benchmark(64, "questions that run and are stored together", low=1)
    cache: str | None = _benchmark(
        None, "file that keeps replies, so that no call is made twice", place=True
    )
    base_url: str | None = _server(None, "of an OpenAI-compatible server; key: OPENAI_API_KEY")
    concurrency: int = _server(8, "calls to the server at once", low=1)
    requests_per_minute: float | None = _server(None, "to the server", above=0)
    tokens_per_minute: float | None = _server(None, "to the server", above=0)
    retries: int = _server(6, "how often a failed call is tried again", low=0)
    prices: tuple[float, float] | None = _server(
        None, "of a million prompt and completion tokens, such as 0.15,0.60", low=0
    )

    def validate(self) -> None:
        """Check what can be checked without model and data.

        Raises:
            InputError: Something is missing, given twice or out of range.
        """
        super().validate()
        check_engine_name(self.engine)
        for name in ("methods", "tasks", "seeds"):
            values = getattr(self, name)
            if not values:
                raise InputError(f"{name} must have at least one entry, got none")
            if doubled := {str(value) for value in values if values.count(value) > 1}:
                raise InputError(f"{name} must differ, got {', '.join(sorted(doubled))} twice")
        if self.base_url is not None and self.engine == "openai":
            read_address(self.base_url)
        if Path(self.out).is_file():
            raise InputError(f"out must be a directory, got the file {self.out}")

    @property
    def command(self) -> str:
        """The command line with these options; an address without what is secret in it."""
        words = ["neuromas", "bench"]
        for one in fields(self):
            value = getattr(self, one.name)
            if value == one.default:
                continue
            if one.name == "base_url":
                value = read_address(value).shown
            flag = f"--{one.name.replace('_', '-')}"
            if value is True:
                words.append(flag)
            else:
                shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
                words += [flag, shown]
        return shlex.join(words)
