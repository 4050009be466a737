"""Runs an experiment, or goes on with it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from neuromas_env.agents.runlog import Reporter, read_json, write, writing
from neuromas_env.errors import InputError
from neuromas_env.experiments.spec import HOME, SCALES, Experiment, Study
from neuromas_env.experiments.study import Backend, Running

HEAD, LOCK = "experiment.json", "experiment.lock"


def run_experiment(
    experiment: Experiment,
    out: str | Path,
    *,
    data: str | None = None,
    report: Reporter | None = None,
) -> Path:
    """Train, tune and compare all arms; killed at any moment, the same call goes on.

    Args:
        experiment: What to do.
        out: Folder of the results.
        data: Folder with benchmark rows.
        report: Told how far it is.

    Returns:
        The path of the report.

    Raises:
        InputError: Something is wrong with a task, a model or a file, or the folder holds
            another experiment.
        Interrupted: The user stopped a run.
    """
    from neuromas_env.experiments.report import write_report

    out, report = Path(out), report or Reporter()
    with _held(out):
        _check_same(out / HEAD, experiment, data)
        studies = []
        for study in experiment.studies:
            running = Running(study, _backend(study, experiment, data), out / study.name, report)
            running.go()
            studies.append(running)
        return write_report(experiment, studies, out)


def _backend(study: Study, experiment: Experiment, data: str | None) -> Backend:
    if study.kind == "coded":
        from neuromas_env.experiments.network import Coded

        return Coded(study)
    from neuromas_env.experiments.language import Language

    places = (experiment.folder, experiment.folder.parent, HOME)
    home = next((place for place in places if (place / SCALES).is_file()), HOME)
    return Language(study, home, data)


def _check_same(head: Path, experiment: Experiment, data: str | None) -> None:
    """Note what a folder holds, and refuse to mix it with something else; seeds may be added."""
    wanted: dict[str, Any] = {"name": experiment.name, "scale": experiment.scale, "data": data}
    for study in experiment.studies:
        held = asdict(study)
        # What is claimed changes no run.
        del held["seeds"], held["claims"]
        wanted[f"study {study.name}"] = json.loads(json.dumps(held))
    known = read_json(head) if head.is_file() else {}
    for key, value in wanted.items():
        if known.get(key, value) != value:
            raise InputError(
                f"{head.parent} holds results of another experiment: its {key} is another; "
                "another folder with --out would be right"
            )
    write(head, json.dumps(known | wanted, indent=1))


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"{folder} is being written by another process; wait for it, or give another "
            "directory with --out"
        ) from None
    else:
        yield
    finally:
        os.close(lock)
