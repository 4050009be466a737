"""The commands `neuromas bench` and `neuromas report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from neuromas_env.baselines import split_names
from neuromas_env.bench.config import BenchConfig
from neuromas_env.cli.options import config_options
from neuromas_env.errors import InputError
from neuromas_env.tasks.readers import READERS

_GIVEN = ("data", "skip_bad_rows", "model", "dtype", "device", "max_new_tokens", "chunk_rows")
FORMATS = ("terminal", "markdown", "csv", "latex")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(
        epilog="Examples:\n\n"
        "neuromas bench --methods direct,sc:k=5 --tasks hierarchy/max --limit 50 --out DIR\n\n"
        "neuromas bench --methods direct,debate,neuromas@runs/NAME --tasks arc/easy --data ROWS "
        "--seeds 0,1,2 --out DIR\n\n"
        "neuromas bench --methods direct,sc --tasks hierarchy/max --engine openai "
        "--base-url http://localhost:8000/v1 --model NAME --out DIR"
    )(bench)
    app.command(
        epilog="Examples:\n\n"
        "neuromas report DIR\n\n"
        "neuromas report DIR --against sc:k=5 --score strict --format markdown\n\n"
        "neuromas report DIR --reader lm_eval --data ROWS"
    )(report)


@config_options(*_GIVEN)
def bench(
    methods: Annotated[
        str,
        typer.Option(help="frozen ones, and NAME@RUN for trained ones: neuromas list baselines"),
    ],
    tasks: Annotated[str, typer.Option(help="tasks, comma separated")],
    out: Annotated[str, typer.Option(help="benchmark directory; goes on with what it holds")],
    seeds: Annotated[str, typer.Option(help="of the methods that sample")] = "0",
    limit: Annotated[int | None, typer.Option(help="only so many questions of each task")] = None,
    split: Annotated[str, typer.Option(help="train, validation or test")] = "test",
    matched: Annotated[
        bool,
        typer.Option(
            "--matched",
            help="also self-consistency with the completion tokens of every method of several "
            "calls",
        ),
    ] = False,
    temperature: Annotated[
        float | None, typer.Option(help="of all nodes; by default what is usual for a method")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="transformers, vllm, openai, mock or module:function of your own")
    ] = "transformers",
    chunk: Annotated[int, typer.Option(help="questions that run and are stored together")] = 64,
    cache: Annotated[
        str | None, typer.Option(help="file that keeps replies, so that no call is made twice")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="of an OpenAI-compatible server; key: OPENAI_API_KEY")
    ] = None,
    concurrency: Annotated[int, typer.Option(help="calls to the server at once")] = 8,
    retries: Annotated[int, typer.Option(help="how often a failed call is tried again")] = 6,
    requests_per_minute: Annotated[float | None, typer.Option(help="to the server")] = None,
    tokens_per_minute: Annotated[float | None, typer.Option(help="to the server")] = None,
    prices: Annotated[
        str | None,
        typer.Option(help="of a million prompt and completion tokens, such as 0.15,0.60"),
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
    config = BenchConfig(
        out=out,
        methods=tuple(split_names(methods)),
        tasks=tuple(split_names(tasks)),
        seeds=_whole_numbers("--seeds", seeds),
        limit=limit,
        split=split,
        matched=matched,
        temperature=temperature,
        engine=engine,
        chunk=chunk,
        cache=cache,
        base_url=base_url,
        concurrency=concurrency,
        retries=retries,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        prices=_prices(prices),
        **{name: value for name, value in given.items() if value is not None},
    )
    if workers is not None and ray is None:
        raise InputError("--workers is for --ray; with --ray local it works on this machine")
    config.validate()
    from neuromas_env.bench.runner import run_benchmark
    from neuromas_env.progress import ConsoleReporter

    team = None
    if ray is not None:
        from neuromas_env.bench.cluster import Cluster

        team = Cluster(config, ray, workers)
    try:
        run_benchmark(config, team=team, report=ConsoleReporter())
    except KeyboardInterrupt:
        text = "stopped; what is done is stored, and the same command goes on"
        Console(stderr=True).print(text, highlight=False)
        raise typer.Exit(130) from None
    finally:
        if team is not None:
            team.close()
    report(Path(out))


def report(
    folder: Annotated[Path, typer.Argument(help="benchmark directory")],
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


def _whole_numbers(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise InputError(f"{option}: {text!r} are no whole numbers; 0,1,2 would be right") from None


def _prices(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        prompt, completion = map(float, text.split(","))
    except ValueError:
        raise InputError(
            f"--prices: {text!r} are not two numbers; 0.15,0.60 would be right"
        ) from None
    return prompt, completion
