"""The command `neuromas compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from neuromas_env.cli.options import Score, path
from neuromas_env.extras import REPORT, need

EXAMPLES = ("neuromas compare runs/bench-before runs/bench-after",)


def compare(
    old: Annotated[Path, typer.Argument(parser=path, help="benchmark directory, the reference")],
    new: Annotated[Path, typer.Argument(parser=path, help="benchmark directory")],
    score: Score = "extracted",
) -> None:
    """Compare the same methods in two benchmark directories, question by question."""
    need("a comparison", *REPORT)
    from neuromas_env.bench.compare import compare_folders
    from neuromas_env.bench.report import print_grid

    print_grid(Console(), compare_folders(old, new, score))
