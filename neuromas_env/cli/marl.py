"""The command `neuromas bench-marl`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuromas_env.experiments.marl import FILE, jobs, run, store

FULL, QUICK = (10, 30, 400), (2, 2, 60)
"""Seeds of the levels, seeds of growth, updates. Growth's paired differences need more seeds."""


def bench_marl(
    quick: Annotated[
        bool, typer.Option("--quick", help=f"{QUICK[0]} seeds, {QUICK[2]} updates a run")
    ] = False,
    out: Annotated[Path, typer.Option(help="folder of the results")] = Path("runs/marl"),
    seeds: Annotated[
        int | None, typer.Option(min=1, help=f"instead of {FULL[0]}, {FULL[1]} for growth")
    ] = None,
    growth_seeds: Annotated[int | None, typer.Option(min=1, help="of growth alone")] = None,
) -> None:
    """Compare MARL algorithms on all levels of discrete networks, and growth with training anew.

    Stopped or killed, it goes on from the last finished run when given again.
    """
    from rich.progress import Progress

    from neuromas_env.agents.tables import critic

    # The report's packages are asked for before hours of work, not after.
    from neuromas_env.experiments import marl_report

    critic.torch.set_num_threads(1)
    count, grown, updates = QUICK if quick else FULL
    todo = jobs(seeds or count, growth_seeds or seeds or grown, updates)
    command = "neuromas bench-marl" + " --quick" * quick
    command += f" --seeds {seeds}" * bool(seeds)
    command += f" --growth-seeds {growth_seeds}" * bool(growth_seeds)
    try:
        with store(out) as (done, add), Progress() as progress:
            for job in progress.track(todo, description="training"):
                if job.key() not in done:
                    add(run(job))
            records = [done[job.key()] for job in todo]
    except KeyboardInterrupt:
        typer.echo(f"stopped; {out / FILE} keeps what is done, give the command again", err=True)
        raise typer.Exit(130) from None
    typer.echo(marl_report.write(out, records, command).read_text())
