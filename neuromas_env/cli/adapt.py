"""The command `neuromas adapt`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.baselines.adapted import FILE, adapt, learning_of
from neuromas_env.cli.options import config_options, filed, path
from neuromas_env.progress import ConsoleReporter
from neuromas_env.tasks import make_task


@config_options(
    TrainConfig, "task", "data", "skip_bad_rows", "model", "dtype", "device", "seed", "chunk_rows"
)
def adapt_(
    baseline: Annotated[str, typer.Argument(help="with its options, such as gptswarm:agents=2")],
    out: Annotated[
        Path,
        typer.Option(parser=path, help="folder of what is learned; goes on with what it holds"),
    ],
    iterations: Annotated[int, typer.Option(min=0, help="in all")] = 200,
    **given: Any,
) -> None:
    """Let a baseline that learns, but not by its model's weights, adapt to a task."""
    learning_of(baseline)  # said before a model is loaded
    config = TrainConfig.from_mapping(filed(None, given))
    task = make_task(config.task, config.data, skip_bad_rows=config.skip_bad_rows)
    from neuromas_env.agents.training.api import make_engine

    engine = make_engine(config)
    done = adapt(
        baseline, task, engine, iterations, out, seed=config.seed, report=ConsoleReporter()
    )
    console = Console()
    family = baseline.partition(":")[0]
    lines = [
        f"{baseline} on {task.name}: {done.iterations} iterations, seed {done.seed}",
        "training cost: " + ", ".join(f"{n:,} {k.replace('_', ' ')}" for k, n in done.cost.items()),
        f"learned: {out}/{FILE}; test it as '{family}:state={out}' with the same options",
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
