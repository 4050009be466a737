"""The command `neuromas experiment`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuromas_env.cli import printing
from neuromas_env.cli.names import offering
from neuromas_env.cli.options import path
from neuromas_env.errors import InputError, unknown
from neuromas_env.extras import REPORT, need
from neuromas_env.tasks.names import split_names
from neuromas_env.text import visible

if TYPE_CHECKING:
    from neuromas_env.experiments.spec import Experiment

EXAMPLES = ("neuromas experiment parameters --scale tiny --out DIR",)
_STOPPED = "stopped; what is done is kept, and the same command goes on"


def _titles() -> dict[str, str]:
    from neuromas_env.experiments.load import list_experiments

    return {name: title for name, (title, _) in list_experiments().items()}


def experiment(
    name: Annotated[
        str | None,
        typer.Argument(
            help="an experiment, or a folder with experiment.yaml", autocompletion=offering(_titles)
        ),
    ] = None,
    scale: Annotated[
        str, typer.Option(help="tiny, small, paper or another of its scales")
    ] = "tiny",
    out: Annotated[
        Path | None,
        typer.Option(parser=path, help="folder of the results; continues what it holds"),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="instead of the scale's")] = None,
    study: Annotated[
        str | None, typer.Option(help="only this part of the scale, such as coded")
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks", help="only these of its tasks; others can follow in the same folder"
        ),
    ] = None,
    data: Annotated[str | None, typer.Option(help="folder with benchmark rows")] = None,
    list_: Annotated[bool, typer.Option("--list", help="list the experiments and stop")] = False,
) -> None:
    """Train and compare all arms of an experiment. Killed, the same command continues."""
    if name is not None and not list_:
        need("an experiment", *REPORT)
    from neuromas_env.experiments.load import list_experiments, load

    if list_:
        printing.print_names(
            (found, f"{title} ({', '.join(scales)})")
            for found, (title, scales) in list_experiments().items()
        )
        return
    if name is None:
        raise InputError(f"name an experiment: {', '.join(list_experiments())}")
    chosen = load(name, scale, seeds)
    given = {"scale": scale, "study": study, "seeds": seeds, "tasks": tasks, "data": data}
    options = [f"--{key}={value}" for key, value in given.items() if value is not None]
    command = shlex.join(["neuromas", "experiment", name, *options])
    if study is not None:
        kept = tuple(one for one in chosen.studies if one.name == study)
        if not kept:
            raise unknown("study", study, [one.name for one in chosen.studies])
        chosen = replace(chosen, studies=kept)
    folder = out or Path("runs") / "experiments" / f"{chosen.name}-{scale}"
    run(chosen, folder, command, data, split_names(tasks or ""))


def run(
    chosen: Experiment, folder: Path, command: str, data: str | None = None,
    tasks: Sequence[str] = (),
) -> None:  # fmt: skip
    """Run an experiment and print its report."""
    from neuromas_env.experiments.run import run_experiment
    from neuromas_env.progress import ConsoleReporter

    try:
        path = run_experiment(
            chosen, folder, data=data, tasks=tasks, report=ConsoleReporter(), command=command
        )
    except KeyboardInterrupt:
        printing.stop(_STOPPED)
    except Exception as error:
        if type(error).__name__ != "Interrupted":  # a class of the room that needs torch
            raise
        printing.stop(_STOPPED)
    else:
        print(visible(path.read_text(encoding="utf-8")))
        print(visible(f"written to {path.parent}"))
