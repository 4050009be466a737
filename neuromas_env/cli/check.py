"""The command `neuromas check`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.cli.options import config_options
from neuromas_env.errors import InputError
from neuromas_env.text import visible

EXAMPLES = (
    "neuromas check mine.py:Mine",
    "neuromas check mine.py:sums:most=9",
    "neuromas check hierarchy/max",
)


@config_options(
    TrainConfig, "data", "skip_bad_rows", "model", "dtype", "device", model="of an engine; a table"
)
def check(
    name: Annotated[
        str,
        typer.Argument(
            help="file.py:Name of your own, or a name of `neuromas list`; with its parameters"
        ),
    ],
    **given: Any,
) -> None:
    """Check that a task, policy, learner or engine keeps its contract.

    Says everything that is wrong, and then ends with 1. A learner learns on a table, or on the
    adapters of --model if that is given.
    """
    from neuromas_env.testing.named import find_checks

    options = {key: value for key, value in given.items() if value is not None}
    faulty = False
    for kind, test in find_checks(name, TrainConfig.from_mapping(options), "model" in options):
        try:
            test()
            said = f"{kind} {name}: no faults"
        except InputError as error:
            said, faulty = str(error), True
        Console().print(visible(said), markup=False, highlight=False, soft_wrap=True)
    if faulty:
        raise typer.Exit(1)
