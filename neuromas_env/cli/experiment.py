"""The command `neuromas experiment`."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from neuromas_env.cli.options import path
from neuromas_env.cli.printing import print_names
from neuromas_env.errors import InputError, unknown
from neuromas_env.experiments.load import list_experiments, load
from neuromas_env.experiments.spec import Experiment
from neuromas_env.progress import ConsoleReporter


def experiment(
    name: Annotated[
        str | None, typer.Argument(help="an experiment, or a folder with experiment.yaml")
    ] = None,
    scale: Annotated[
        str, typer.Option(help="tiny, small, paper or another of its scales")
    ] = "tiny",
    out: Annotated[
        Path | None,
        typer.Option(parser=path, help="folder of the results; goes on with what it holds"),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="instead of the scale's")] = None,
    study: Annotated[
        str | None, typer.Option(help="only this part of the scale, such as coded")
    ] = None,
    data: Annotated[str | None, typer.Option(help="folder with benchmark rows")] = None,
    list_: Annotated[bool, typer.Option("--list", help="list the experiments and stop")] = False,
) -> None:
    """Train and compare all arms of an experiment. Killed or stopped, the same command goes on."""
    if list_:
        print_names(
            (found, f"{title} ({', '.join(scales)})")
            for found, (title, scales) in list_experiments().items()
        )
        return
    if name is None:
        raise InputError(f"name an experiment: {', '.join(list_experiments())}")
    chosen = load(name, scale, seeds)
    given = {"scale": scale, "study": study, "seeds": seeds, "data": data}
    options = [f"--{key}={value}" for key, value in given.items() if value is not None]
    command = shlex.join(["neuromas", "experiment", name, *options])
    if study is not None:
        kept = tuple(one for one in chosen.studies if one.name == study)
        if not kept:
            raise unknown("study", study, [one.name for one in chosen.studies])
        chosen = replace(chosen, studies=kept)
    folder = out or Path("runs") / "experiments" / f"{chosen.name}-{scale}"
    run(chosen, folder, command, data)


def run(chosen: Experiment, folder: Path, command: str, data: str | None = None) -> None:
    """Run an experiment and print its report."""
    from neuromas_env.experiments.run import run_experiment

    try:
        path = run_experiment(chosen, folder, data=data, report=ConsoleReporter(), command=command)
    except KeyboardInterrupt:
        _stop()
    except Exception as error:
        if type(error).__name__ != "Interrupted":  # a class of the room that needs torch
            raise
        _stop()
    else:
        print(path.read_text(encoding="utf-8"))
        print(f"written to {path.parent}")


def _stop() -> None:
    text = "stopped; what is done is kept, and the same command goes on"
    Console(stderr=True).print(text, highlight=False)
    raise typer.Exit(130)
