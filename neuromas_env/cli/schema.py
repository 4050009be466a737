"""The command `neuromas schema`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.bench.config import BenchConfig
from neuromas_env.cli.names import offering
from neuromas_env.config import schema
from neuromas_env.errors import unknown

EXAMPLES = ("neuromas schema train > train.schema.json",)
OPTIONS = {"train": TrainConfig, "bench": BenchConfig}


def schema_(
    command: Annotated[
        str,
        typer.Argument(
            help="whose options: " + ", ".join(OPTIONS),
            autocompletion=offering(lambda: dict.fromkeys(OPTIONS, "")),
        ),
    ],
) -> None:
    """Print the JSON schema of a command's configuration file, by which editors complete it."""
    if command not in OPTIONS:
        raise unknown("command with a configuration file:", command, OPTIONS)
    typer.echo(json.dumps(schema(OPTIONS[command], f"neuromas {command} --config"), indent=2))
