"""The commands `neuromas bench` and `neuromas report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from neuromas_env.bench.config import BenchConfig
from neuromas_env.cli.options import config_options, filed, path
from neuromas_env.errors import InputError
from neuromas_env.tasks.readers import READERS

FORMATS = ("terminal", "markdown", "csv", "latex")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(
        epilog="Examples:\n\n"
        "neuromas bench --methods direct,sc:k=5 --tasks hierarchy/max --limit 50 --out DIR\n\n"
        "neuromas bench --methods direct,debate,neuromas@runs/NAME --tasks arc/easy --data ROWS "
        "--seeds 0,1,2 --out DIR\n\n"
        "neuromas bench --methods direct,sc --tasks hierarchy/max --engine openai "
        "--base-url http://localhost:8000/v1 --model NAME --out DIR\n\n"
        "neuromas bench --config bench.yaml --seeds 0,1,2"
    )(bench)
    app.command(
        epilog="Examples:\n\n"
        "neuromas report DIR\n\n"
        "neuromas report DIR --against sc:k=5 --score strict --format markdown\n\n"
        "neuromas report DIR --reader lm_eval --data ROWS"
    )(report)


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
    """Run methods × tasks × seeds. Killed or stopped, the same command goes on."""
    asked = BenchConfig.from_mapping(filed(config, given))
    if workers is not None and ray is None:
        raise InputError("--workers is for --ray; with --ray local it works on this machine")
    from neuromas_env.bench.runner import run_benchmark
    from neuromas_env.progress import ConsoleReporter

    team = None
    if ray is not None:
        from neuromas_env.bench.cluster import Cluster

        team = Cluster(asked, ray, workers)
    try:
        run_benchmark(asked, team=team, report=ConsoleReporter())
    except KeyboardInterrupt:
        text = "stopped; what is done is stored, and the same command goes on"
        Console(stderr=True).print(text, highlight=False)
        raise typer.Exit(130) from None
    finally:
        if team is not None:
            team.close()
    report(Path(asked.out))


def report(
    folder: Annotated[Path, typer.Argument(parser=path, help="benchmark directory")],
    against: Annotated[
        str | None, typer.Option(help="method to compare with; by default the first one run")
    ] = None,
    score: Annotated[
        str, typer.Option(help="extracted (the answer found in a reply) or strict (exact match)")
    ] = "extracted",
    format: Annotated[
        str, typer.Option(help="of what is printed: " + ", ".join(FORMATS))
    ] = "terminal",
    transcripts: Annotated[
        int | None,
        typer.Option(min=0, help="questions of each task with transcripts in the page; all"),
    ] = None,
    reader: Annotated[
        str | None,
        typer.Option(help=f"read the stored answers again by its rules: {', '.join(READERS)}"),
    ] = None,
    data: Annotated[str | None, typer.Option(help="folder with benchmark rows for it")] = None,
) -> None:
    """Print tables and write them, plots and a page with all transcripts into the directory."""
    from neuromas_env.bench.report import write_report

    write_report(Console(), folder, against, score, format, transcripts, reader, data)
