"""Runs an experiment, or goes on with it."""

from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from neuromas_env.bench.machine import commit, machine
from neuromas_env.bench.store import FILE
from neuromas_env.checks import check
from neuromas_env.errors import InputError, unknown
from neuromas_env.experiments.spec import HOME, SCALES, Experiment, Study, digest
from neuromas_env.experiments.study import Backend, Running
from neuromas_env.extras import MODEL, REPORT, need
from neuromas_env.files import lock, read, write
from neuromas_env.progress import Reporter

HEAD, LOCK = "experiment.json", "experiment.lock"


def run_experiment(
    experiment: Experiment,
    out: str | Path,
    *,
    data: str | None = None,
    tasks: Collection[str] = (),
    report: Reporter | None = None,
    command: str | None = None,
) -> Path:
    """Train, tune and compare all arms; killed at any moment, the same call goes on.

    Args:
        experiment: What to do.
        out: Folder of the results.
        data: Folder with benchmark rows.
        tasks: Run these alone, all by default; others can follow in the same folder.
        report: Told how far it is.
        command: What the user has typed, for the report.

    Returns:
        The path of the report.

    Raises:
        InputError: Something is wrong with a task, a model or a file, the folder holds
            another experiment, or needs all tasks.
        Interrupted: The user stopped a run.
    """
    # Asked for before hours of work, not after.
    language = any(study.kind != "discrete" for study in experiment.studies)
    need(f"the experiment {experiment.name}", *REPORT, *(MODEL if language else ()))
    if any(study.table for study in experiment.studies) and not language:
        from neuromas_env.experiments.table_report import write_report
    elif any(study.table for study in experiment.studies):
        from neuromas_env.experiments.language_table import write_report
    else:
        from neuromas_env.experiments.report import write_report

    out, report = Path(out), report or Reporter()
    if (out / FILE).is_file():
        raise InputError(f"{out} holds a benchmark; give another folder with --out")
    with lock(out / LOCK, out):
        held = _checked(out / HEAD, experiment, data)
        experiment = on_tasks(experiment, tasks) if tasks else experiment
        studies = open_studies(experiment, out, data, report)
        # Written when nothing is wrong with the studies: else another --data would be refused.
        write(out / HEAD, json.dumps(held | {"tasks": list(tasks)}, indent=1))
        made = _note_start(out / HEAD, command or _command(experiment, tasks))
        for running in studies:
            running.go()
        return write_report(experiment, studies, out, made)


def open_studies(
    experiment: Experiment, out: Path, data: str | None, report: Reporter
) -> list[Running]:
    """Return the studies of an experiment in their folders; nothing is run yet.

    Raises:
        InputError: Something is wrong with a task or a model.
    """
    return [
        Running(study, _backend(study, experiment, data), out / study.name, report)
        for study in experiment.studies
    ]


def on_tasks(experiment: Experiment, tasks: Collection[str]) -> Experiment:
    """Return an experiment on some of its tasks.

    Raises:
        InputError: One is none of its tasks, or it needs all of them.
    """
    known = dict.fromkeys(task for study in experiment.studies for task in study.tasks)
    for task in tasks:
        if task not in known:
            raise unknown(f"task of experiment {experiment.name!r}:", task, known)
    parts = [study for study in experiment.studies if not set(tasks).isdisjoint(study.tasks)]
    return replace(experiment, studies=tuple(study.on(tasks) for study in parts))


def _backend(study: Study, experiment: Experiment, data: str | None) -> Backend:
    if study.kind == "discrete":
        from neuromas_env.experiments.backends.discrete import Discrete

        return Discrete(study)
    from neuromas_env.experiments.backends.language import Language

    return Language(study, _home(experiment), data)


def _home(experiment: Experiment) -> Path:
    """The folder of the scales, where scripts are."""
    places = (experiment.folder, experiment.folder.parent, HOME)
    return next((place for place in places if (place / SCALES).is_file()), HOME)


def _checked(head: Path, experiment: Experiment, data: str | None) -> dict[str, Any]:
    """Return what a folder holds, and refuse to mix it with something else; seeds may be added."""
    wanted: dict[str, Any] = {"name": experiment.name, "data": data}
    if not all(study.table for study in experiment.studies):
        wanted["scale"] = experiment.scale
    for study in experiment.studies:
        if study.script:  # another script makes another model
            wanted[f"script of {study.name}"] = digest(_home(experiment) / study.script)
        if study.table:  # whose folders of runs are named by all options, but not by the model
            wanted |= {f"model of {study.name}": study.model} if study.model else {}
            continue
        held = asdict(study)
        # Neither a claim nor a heading changes a run.
        del held["seeds"], held["claims"], held["title"]
        # As folders have it that were made when these had other names, or were not there yet.
        del held["table"], held["note"]
        held["kind"] = "coded" if study.kind == "discrete" else study.kind
        complexity = held.pop("sample_complexity")
        if complexity is not None:
            held["need"] = complexity
        for name, arm in study.arms.items():
            if arm.tasks == study.tasks:
                del held["arms"][name]["tasks"]
            if arm.partner is None:
                del held["arms"][name]["partner"]
        wanted[f"study {study.name}"] = json.loads(json.dumps(held))
    known = read(head) if head.is_file() else {}
    for key, value in wanted.items():
        if known.get(key, value) != value:
            raise InputError(
                f"{head.parent} holds results of another experiment: its {key} is another; "
                "give another folder with --out"
            )
    # A table may be continued at another scale, and everything with other seeds: the report is
    # then of these.
    seeds = {study.name: study.seeds for study in experiment.studies}
    asked = {"scale": experiment.scale, "seeds": seeds, "chosen": experiment.chosen}
    return known | wanted | asked


def _command(experiment: Experiment, tasks: Collection[str]) -> str:
    part = ["--tasks", ",".join(tasks)] if tasks else []
    return shlex.join(
        ["neuromas", "experiment", experiment.name, "--scale", experiment.scale, *part]
    )


def _note_start(head: Path, command: str) -> list[dict[str, str]]:
    """Note by which command, code and machine results are made; return all that were noted."""
    now = {
        "command": command,
        "commit": commit(),
        "machine": f"{machine()}, Python {platform.python_version()}",
    }
    held = read(head)
    made = check("made", held.get("made", []), list[dict[str, str]])
    if now not in made:
        made.append(now)
        write(head, json.dumps(held | {"made": made}, indent=1))
    return made
