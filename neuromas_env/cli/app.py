"""The `neuromas` command. torch is imported by the commands that need it, when they run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from typing import Annotated

import typer
from rich.console import Console

from neuromas_env import __version__
from neuromas_env.cli import (
    adapt,
    bench,
    check,
    compare,
    data,
    evaluate,
    experiment,
    lists,
    marl,
    push,
    schema,
    show,
    train,
    verify,
)
from neuromas_env.cli.options import Command
from neuromas_env.errors import InputError
from neuromas_env.extras import EXTRA, missing
from neuromas_env.scripts import blamed
from neuromas_env.text import say

NETWORK, COMPARISONS, NAMES = "One network", "Comparisons", "Names and data"
COMMANDS = (
    (NETWORK, "train", train.train, train.EXAMPLES),
    (NETWORK, "eval", evaluate.evaluate_, evaluate.EXAMPLES),
    (NETWORK, "show", show.show, show.EXAMPLES),
    (NETWORK, "push", push.push, push.EXAMPLES),
    (COMPARISONS, "bench", bench.bench, bench.EXAMPLES),
    (COMPARISONS, "report", bench.report, bench.REPORT_EXAMPLES),
    (COMPARISONS, "compare", compare.compare, compare.EXAMPLES),
    (COMPARISONS, "verify", verify.verify_, verify.EXAMPLES),
    (COMPARISONS, "adapt", adapt.adapt_, adapt.EXAMPLES),
    (COMPARISONS, "experiment", experiment.experiment, experiment.EXAMPLES),
    (COMPARISONS, "bench-marl", marl.bench_marl, marl.EXAMPLES),
    (NAMES, "list", lists.list_, lists.EXAMPLES),
    (NAMES, "check", check.check, check.EXAMPLES),
    (NAMES, "schema", schema.schema_, schema.EXAMPLES),
)
"""Panel of the help, name, function and example command lines, in the order of the help."""

app = typer.Typer(
    help="Networks of language models, trained end to end from one shared reward.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for _panel, _name, _command, _examples in COMMANDS:
    _head = "Example: " if len(_examples) == 1 else "Examples:\n\n"
    _epilog = _head + "\n\n".join(_examples)
    app.command(_name, cls=Command, epilog=_epilog, rich_help_panel=_panel)(_command)
app.add_typer(data.app, name="data", rich_help_panel=NAMES)


@cache
def _parser():
    """Build all commands once: to do so at every call doubles the time of a small command."""
    return typer.main.get_command(app)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; bad input ends with one message and exit code 2."""
    try:
        with blamed():
            _parser()(args, prog_name="neuromas")
    except InputError as error:
        message = str(error)
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        message = missing("this command", error.name)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        message = f"{where}{error.strerror or error}"
    say(Console(stderr=True), f"error: {message}")
    sys.exit(2)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False):
    if version:
        typer.echo(__version__)
        raise typer.Exit()
