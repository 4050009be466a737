"""The commands `neuromas assets list | pull`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console

from neuromas_env import downloads
from neuromas_env.cli import printing
from neuromas_env.errors import unknown
from neuromas_env.tasks import list_tasks, task_tables
from neuromas_env.tasks.sources import DATASETS, cached, fetch

app = typer.Typer(help="Model weights and benchmark rows, to run offline.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """List what can be fetched: size, licence, and whether it has been."""
    printing.print_names([*_packages(), *_benchmarks()])


def _packages() -> Iterator[tuple[str, str]]:
    for asset in downloads.list_assets():
        state = f"in {asset.path}" if asset.present else "not fetched"
        size = downloads.megabytes(asset.size)
        yield asset.name, f"package {asset.version}: {asset.what}; {size}, {asset.licence}; {state}"


def _benchmarks() -> Iterator[tuple[str, str]]:
    for name, dataset in DATASETS.items():
        tables = task_tables(name)
        there = sum(cached(table).is_dir() for table in tables)
        state = f"{there} of {len(tables)} tables fetched"
        size = downloads.megabytes(dataset.size)
        yield name, f"rows of {dataset.hub}; {size}, {dataset.licence}; {state}"


@app.command(
    "pull", epilog="Examples:\n\nneuromas assets pull mmlu\n\nneuromas assets pull bbh/navigate"
)
def pull(
    name: Annotated[
        str, typer.Argument(help="a task, a benchmark, a model or a package (see: assets list)")
    ],
) -> None:
    """Fetch what is needed, unless it is there already, so that runs work offline."""
    package = downloads.ALIASES.get(name, name)
    if package in downloads.ASSETS:
        typer.echo(downloads.fetch_package(package))
        return
    known = {*downloads.ASSETS, *downloads.ALIASES, *DATASETS, *list_tasks()}
    if name.partition(":")[0] not in known:
        raise unknown("asset or task", name, known)
    tables = task_tables(name)
    if not tables:
        typer.echo(f"{name} needs no data")
    elif folder := os.environ.get("NEUROMAS_DATA"):
        note = f"runs read the folder {folder} while NEUROMAS_DATA names it, not what is fetched"
        Console(stderr=True).print(note, markup=False, highlight=False, soft_wrap=True)
    for table in tables:
        typer.echo(fetch(table))
