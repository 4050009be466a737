"""The command `neuromas train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from neuromas_env.agents.training.config import TrainConfig, saved_config
from neuromas_env.agents.training.trackers import check_trackers
from neuromas_env.cli import printing
from neuromas_env.cli.options import config_options, filed, named_task
from neuromas_env.errors import InputError
from neuromas_env.extras import MODEL, need

EXAMPLES = (
    "neuromas train",
    "neuromas train --task bbh/navigate --data DIR --topology 1-1-1 --steps 4",
    "neuromas train --config run.yaml --seed 1",
    "neuromas train --resume runs/NAME",
    "neuromas train --grow-from runs/NAME --topology 2-2-1",
)


@config_options(TrainConfig)
def train(
    config: Annotated[
        Path | None, typer.Option(help="YAML file with these options; the command line wins")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="continue a run that was stopped or killed")
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="with --resume: step or folder of an older checkpoint; 0 for the start"),
    ] = None,
    **given: Any,
) -> None:
    """Train all nodes of a network from one shared reward, and evaluate it before and after."""
    options = {name: value for name, value in given.items() if value is not None}
    if resume is not None and (options or config):
        extra = "config" if config else min(options)
        raise InputError(
            f"--resume goes on with the options of the run, so --{extra.replace('_', '-')} "
            "cannot be given with it; leave it out, or start a new run"
        )
    if checkpoint is not None and resume is None:
        raise InputError("--checkpoint goes with --resume; give the run folder there")
    chosen = TrainConfig.from_mapping(filed(config, options))
    check_trackers(chosen.report_to)
    need("training", *MODEL)  # said before rows are fetched
    from neuromas_env.agents.learners.base import learner_class
    from neuromas_env.agents.training import checkpoint as checkpoints

    named_task(chosen if resume is None else saved_config(resume))
    # Errors are raised before torch is loaded, unless the learner itself needs it.
    if chosen.grow_from is not None:
        checkpoints.kept(chosen.grow_from)
    if resume is None:
        learner_class(chosen.learner).check(chosen)
    from neuromas_env.agents.training import api as training
    from neuromas_env.progress import ConsoleReporter

    try:
        if resume is not None:
            result = training.resume(resume, checkpoint=checkpoint, report=ConsoleReporter())
        else:
            result = training.train(chosen, report=ConsoleReporter())
    except training.Interrupted as stopped:
        printing.stop(str(stopped))
    except KeyboardInterrupt:
        printing.stop("stopped before training began; give the same command again")
    if training.is_main():
        printing.print_training(Console(), result.to_dict())
