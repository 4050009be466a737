"""The command `neuromas adapt`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.cli.options import config_options, filed, named_task, path
from neuromas_env.extras import MODEL, need
from neuromas_env.text import say

EXAMPLES = ("neuromas adapt gptswarm --task hierarchy/max --out DIR",)


@config_options(
    TrainConfig, "task", "data", "skip_bad_rows", "model", "dtype", "device", "seed", "chunk_rows"
)
def adapt_(
    baseline: Annotated[str, typer.Argument(help="with its options, such as gptswarm:agents=2")],
    out: Annotated[
        Path,
        typer.Option(parser=path, help="folder of what is learned; continues what it holds"),
    ],
    iterations: Annotated[int, typer.Option(min=0, help="in all")] = 200,
    **given: Any,
) -> None:
    """Let a baseline that learns, but not by its model's weights, adapt to a task."""
    config = TrainConfig.from_mapping(filed(None, given))
    need("a baseline that learns", *MODEL)  # said before rows are fetched
    task = named_task(config)
    from neuromas_env.baselines import read_options
    from neuromas_env.baselines.adapted import FILE, adapt, learning_of

    read_options(baseline, learning_of(baseline))  # a wrong one is told before a model is loaded
    from neuromas_env.agents.engines.devices import described
    from neuromas_env.agents.training.api import make_engine
    from neuromas_env.progress import ConsoleReporter

    report = ConsoleReporter()
    report.note(described(config.device, config.dtype))
    engine = make_engine(config)
    done = adapt(baseline, task, engine, iterations, out, seed=config.seed, report=report)
    console = Console()
    learned = f"{baseline.partition(':')[0]}:state={out}"
    test = shlex.join(["neuromas", "bench", "--methods", learned, "--tasks", config.task])
    lines = [
        f"{baseline} on {task.name}: {done.iterations} iterations, seed {done.seed}",
        "training cost: " + ", ".join(f"{n:,} {k.replace('_', ' ')}" for k, n in done.cost.items()),
        f"learned: {out}/{FILE}",
        f"test it, with the same options: {test} --out DIR",
    ]
    for line in lines:
        say(console, line)
