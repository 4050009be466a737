"""The command `neuromas list`."""

from __future__ import annotations

from typing import Annotated

import typer

from neuromas_env.cli import printing
from neuromas_env.cli.names import LISTS, names, offering
from neuromas_env.errors import InputError, unknown

EXAMPLES = ("neuromas list tasks",)


def list_(
    what: Annotated[
        str,
        typer.Argument(
            help=", ".join(LISTS), autocompletion=offering(lambda: dict.fromkeys(LISTS, ""))
        ),
    ],
    data: Annotated[
        str | None, typer.Option(help="list the tasks of this folder with benchmark rows")
    ] = None,
) -> None:
    """List what can be chosen by name."""
    if what not in LISTS:
        raise unknown("list", what, LISTS)
    if data is not None and what != "tasks":
        raise InputError(f"--data goes with `neuromas list tasks`, not with {what}")
    printing.print_names(names(what, **({} if data is None else {"data": data})).items())
