"""The commands `neuromas bench` and `neuromas report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from neuromas_env.agents.engines.base import LOADED
from neuromas_env.bench.config import BenchConfig
from neuromas_env.cli import printing
from neuromas_env.cli.names import offering
from neuromas_env.cli.options import Score, config_options, filed, path
from neuromas_env.errors import InputError
from neuromas_env.extras import MODEL, REPORT, need
from neuromas_env.tasks.readers import READERS

FORMATS = ("terminal", "markdown", "csv", "latex")
EXAMPLES = (
    "neuromas bench --methods direct,sc:k=5 --tasks hierarchy/max --limit 50 --out DIR",
    "neuromas bench --methods direct,debate,neuromas@runs/NAME --tasks arc/easy --data ROWS "
    "--seeds 0,1,2 --out DIR",
    "neuromas bench --methods direct,sc --tasks hierarchy/max --engine openai "
    "--base-url http://localhost:8000/v1 --model NAME --out DIR",
    "neuromas bench --config bench.yaml --seeds 0,1,2",
)
REPORT_EXAMPLES = (
    "neuromas report DIR",
    "neuromas report DIR --against sc:k=5 --score strict --format markdown",
    "neuromas report DIR --reader lm_eval --data ROWS",
)


@config_options(BenchConfig)
def bench(
    config: Annotated[
        Path | None,
        typer.Option(parser=path, help="YAML file with these options; the command line wins"),
    ] = None,
    ray: Annotated[
        str | None, typer.Option(help="address of a Ray cluster, or local: many workers")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="of --ray; by default one for each GPU or core")
    ] = None,
    **given: Any,
) -> None:
    """Run methods × tasks × seeds. Killed or stopped, the same command continues."""
    asked = BenchConfig.from_mapping(filed(config, given))
    if workers is not None and ray is None:
        raise InputError("--workers is for --ray; with --ray local it works on this machine")
    need("a benchmark", *REPORT, *(MODEL if asked.engine == "transformers" else ()))
    from neuromas_env.bench.methods import check_names, is_trained, read_run

    check_names(asked)
    for name in asked.methods if ray is None else ():  # the workers of a cluster have other disks
        if is_trained(name):
            read_run(name)  # a wrong folder is told before torch is loaded
    from neuromas_env.bench.runner import run_benchmark
    from neuromas_env.progress import ConsoleReporter

    reporter = ConsoleReporter()
    if ray is None and asked.engine in LOADED:
        from neuromas_env.agents.engines.devices import described

        reporter.note(described(asked.device, asked.dtype))
    team = None
    if ray is not None:
        from neuromas_env.bench.cluster import Cluster

        team = Cluster(asked, ray, workers)
    try:
        run_benchmark(asked, team=team, report=reporter)
    except KeyboardInterrupt:
        printing.stop("stopped; what is done is stored, and the same command goes on")
    finally:
        if team is not None:
            team.close()
    report(Path(asked.out))


def report(
    folder: Annotated[Path, typer.Argument(parser=path, help="benchmark directory")],
    against: Annotated[
        str | None, typer.Option(help="method to compare with; by default the first one run")
    ] = None,
    score: Score = "extracted",
    format: Annotated[
        str,
        typer.Option(
            help="of what is printed: " + ", ".join(FORMATS),
            autocompletion=offering(lambda: dict.fromkeys(FORMATS, "")),
        ),
    ] = "terminal",
    transcripts: Annotated[
        int | None,
        typer.Option(min=0, help="questions of each task with transcripts in the page; all"),
    ] = None,
    reader: Annotated[
        str | None,
        typer.Option(
            help=f"read the stored answers again by its rules: {', '.join(READERS)}",
            autocompletion=offering(lambda: dict.fromkeys(READERS, "")),
        ),
    ] = None,
    data: Annotated[str | None, typer.Option(help="folder with benchmark rows for it")] = None,
) -> None:
    """Print tables and write them, plots and a page with all transcripts into the directory."""
    need("a report", *REPORT)
    from neuromas_env.bench.report import write_report

    write_report(Console(), folder, against, score, format, transcripts, reader, data)
