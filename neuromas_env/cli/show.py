"""The command `neuromas show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from neuromas_env.cli import printing

EXAMPLES = ("neuromas show runs/NAME --step 3 --episode 1",)


def show(
    run: Annotated[Path, typer.Argument(help="run folder")],
    step: Annotated[int | None, typer.Option(help="training step; by default the last")] = None,
    episode: Annotated[int, typer.Option(help="which of the step's kept episodes")] = 0,
) -> None:
    """Print a run's network, one transcript node by node, and its result."""
    printing.print_run(Console(), run, step, episode)
