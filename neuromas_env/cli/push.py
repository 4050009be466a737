"""The command `neuromas push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuromas_env.extras import need

EXAMPLES = ("neuromas push runs/NAME ORG/NAME --private",)


def push(
    run: Annotated[Path, typer.Argument(help="run folder of a finished run")],
    repo: Annotated[str, typer.Argument(help="where to on the hub, as ORG/NAME")],
    private: Annotated[
        bool, typer.Option("--private", help="make a repository that only its owners see")
    ] = False,
) -> None:
    """Upload a trained network to the Hugging Face hub: adapters, options, result, model card."""
    need("neuromas push", "huggingface_hub", "torch")
    from neuromas_env.agents.training.publish import push

    typer.echo(push(run, repo, private))
