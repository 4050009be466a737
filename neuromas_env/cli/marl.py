"""The command `neuromas bench-marl`: the experiment `marl` with what a user chooses."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from neuromas_env.cli.experiment import run
from neuromas_env.cli.names import offering_names
from neuromas_env.cli.options import path
from neuromas_env.errors import InputError
from neuromas_env.extras import REPORT, need

EXAMPLES = ("neuromas bench-marl --quick --out runs/marl",)


def bench_marl(
    quick: Annotated[
        bool, typer.Option("--quick", help="2 seeds, 60 updates a run, in a folder of its own")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(parser=path, help="folder of the results; runs/marl, or runs/marl-quick"),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="instead of 10, and 30 for growth")
    ] = None,
    growth_seeds: Annotated[int | None, typer.Option(min=1, help="of growth alone")] = None,
    algorithms: Annotated[
        str | None,
        typer.Option(
            help="names, as in IQL,VDN or IQL:rate=0.2; see: neuromas list algorithms",
            autocompletion=offering_names("algorithms"),
        ),
    ] = None,
    levels: Annotated[
        str | None,
        typer.Option(
            help="names, as in xor-easy-v0,relay-easy-v0; by default the twelve of one round",
            autocompletion=offering_names("levels"),
        ),
    ] = None,
    updates: Annotated[
        int | None, typer.Option(min=1, help="of a run; growth has half as many again")
    ] = None,
) -> None:
    """Compare MARL algorithms on levels of discrete networks, and growth with a start from scratch.

    With --algorithms or --levels growth is left out, unless it is given --growth-seeds. Stopped or
    killed, the same command continues after the last finished run.
    """
    need("neuromas bench-marl", *REPORT)
    from neuromas_env.experiments.marl import marl_experiment

    scale = "quick" if quick else "tiny"
    chosen = marl_experiment(
        scale, algorithms=_names("algorithms", algorithms), levels=_names("levels", levels),
        updates=updates, seeds=seeds,
        growth_seeds=growth_seeds,
    )  # fmt: skip
    given = {
        "seeds": seeds, "growth-seeds": growth_seeds, "algorithms": algorithms, "levels": levels,
        "updates": updates,
    }  # fmt: skip
    options = [f"--{key}={value}" for key, value in given.items() if value is not None]
    command = shlex.join(["neuromas", "bench-marl", *["--quick"] * quick, *options])
    run(chosen, out or Path("runs", "marl-quick" if quick else "marl"), command)


def _names(option: str, text: str | None) -> list[str]:
    """Split at commas, but for those in a name (`REINFORCE, batch mean`) and between options."""
    names = [name for name in re.split(r",(?!\s|\w+=)", text or "") if name.strip()]
    if text is not None and not names:
        raise InputError(f"--{option} must have at least one name, got {text!r}")
    return names
