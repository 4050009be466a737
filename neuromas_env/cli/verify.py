"""The command `neuromas verify`."""

from __future__ import annotations

from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from neuromas_env.progress import ConsoleReporter
from neuromas_env.text import say

EXAMPLES = (
    "neuromas verify DIR --data ROWS",
    "neuromas verify docs/results/marl.tar.xz --page docs/results/marl.md",
)
_NAMED = 20


def verify_(
    place: Annotated[
        Path, typer.Argument(help="folder of a benchmark or an experiment, or an archive of one")
    ],
    data: Annotated[str | None, typer.Option(help="folder with benchmark rows")] = None,
    page: Annotated[
        Path | None, typer.Option(help="page whose tables the stored answers must give")
    ] = None,
    experiment: Annotated[
        Path | None,
        typer.Option(help="with --page: folder of an experiment of your own"),
    ] = None,
    reader: Annotated[
        str | None, typer.Option(help="whose scores the page has; by default the stored ones")
    ] = None,
) -> None:
    """Audit results: score every stored answer again, and make the tables of a page again."""
    from neuromas_env.experiments.verify import verify

    found = verify(
        place, data=data, page=page, experiment=experiment, reader=reader,
        report=ConsoleReporter(),
    )  # fmt: skip
    tell = partial(say, Console())
    tell(
        f"{found.stores} {'store' if found.stores == 1 else 'stores'}, {found.cells:,} cells: "
        f"{found.same:,} answers have the score that is stored, {found.failed:,} failed calls"
    )
    for former, count in sorted(found.moved.items()):
        tell(f"{count:,} answers that {former} read have another score by the present reader")
    for task, why in sorted(found.skipped.items()):
        tell(f"not scored again: {task}: {why}")
    if page is not None:
        tell(f"{found.rows:,} rows of tables stand in {page} as the answers give them")
    for fault in islice(found.faults, _NAMED):
        tell(f"fault: {fault}")
    if len(found.faults) > _NAMED:
        tell(f"and {len(found.faults) - _NAMED:,} more")
    if found.faults:
        tell(f"{len(found.faults):,} faults")
    elif found.skipped or not found.checked:
        tell("not verified: " + ("not all" if found.checked else "nothing") + " could be checked")
    else:
        tell("verified")
    raise typer.Exit(int(bool(found.faults or found.skipped or not found.checked)))
