"""Start a training run, go on with one, read what one came to."""

from __future__ import annotations

import itertools
import json
import os
import platform
import re
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from neuromas_env import __version__
from neuromas_env.agents.engines import distributed
from neuromas_env.agents.engines.base import TrainableEngine
from neuromas_env.agents.engines.base import make_engine as make_by_name
from neuromas_env.agents.engines.models import precision
from neuromas_env.agents.learners.base import learner_class
from neuromas_env.agents.learners.make import make_learner
from neuromas_env.agents.training import checkpoint
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.agents.training.evaluate import Evaluation
from neuromas_env.agents.training.loop import Interrupted, Run, RunResult
from neuromas_env.agents.training.records import Head, Result
from neuromas_env.checks import arguments
from neuromas_env.config import read_config
from neuromas_env.errors import InputError
from neuromas_env.files import read, write, writing
from neuromas_env.progress import Reporter, usual_reporter
from neuromas_env.seeds import Stream, derive_seed
from neuromas_env.tasks import SPLITS, Task, make_task
from neuromas_env.tasks.ready import check_ready
from neuromas_env.topology import Topology

__all__ = [
    "Interrupted",
    "RunResult",
    "grow",
    "is_main",
    "make_engine",
    "read_result",
    "resume",
    "train",
]


@arguments
def train(config: TrainConfig, *, report: Reporter | None = None) -> RunResult:
    """Train a network and evaluate it before and after.

    Args:
        config: The options.
        report: Told how the run goes on; by default a progress bar in a terminal or notebook.

    Raises:
        InputError: An option is wrong, an episode or a file failed, or the loss is not finite.
        Interrupted: The user stopped the run.
    """
    learner_class(config.learner).check(config)
    distributed.start(config.device)
    # The run keeps what `auto` came to, so that it goes on with it on any machine.
    config = replace(config, dtype=precision(config.dtype, config.device))
    distributed.check_same(config.to_mapping())
    task = make_task(config.task, config.data, skip_bad_rows=config.skip_bad_rows)
    stages = config.stages()
    source = None
    if config.grow_from is not None:
        source = checkpoint.latest(config.grow_from)
        old = checkpoint.read_state(source).topology
        old.grow_to(stages[0][0])
        _check_learner(config, source)
        stages = [(old, 0), *stages]  # growth is what happens between two stages
    _check_splits(config, task)
    engine = make_engine(config)
    distributed.check_same({"of the base model": engine.weights_hash}, "hash")
    nodes = config.node_names(stages[0][0]) if source is None else stages[0][0].nodes
    for node in stages[0][0].nodes:
        number = int(node.removeprefix("node_"))
        engine.adapters.add(node, derive_seed(config.seed, Stream.ADAPTERS, number))
    learner = make_learner(config.learner, engine, nodes, config)
    if source is not None:
        checkpoint.load(source, engine)
        learner.load_state_dict(checkpoint.load_learner(source))
        learner.restart()

    def head() -> Path:
        folder = _new_folder(config, task, stages[-1][0])
        _write_head(folder, config, task, engine, stages)
        return folder

    folder = distributed.from_main(head)
    run = Run(folder, config, task, engine, stages, _reporter(report))
    run.start(learner, nodes)
    return _finish(run)


@arguments
def resume(folder: str | Path, *, report: Reporter | None = None) -> RunResult:
    """Go on with a run from its last checkpoint; a finished run is only read.

    Raises:
        InputError: The folder is no run, or its base model has changed; else as `train`.
        Interrupted: The user stopped the run.
    """
    folder = Path(folder)
    if not (folder / "config.yaml").is_file():
        raise InputError(f"{folder} is no run folder: it holds no config.yaml")
    config = TrainConfig.from_mapping(read_config(folder / "config.yaml"))
    if (folder / "result.json").is_file():
        return read_result(folder)
    distributed.start(config.device)
    source = distributed.from_main(lambda: checkpoint.latest(folder))
    distributed.check_same(config.to_mapping())
    head = read(folder / "run.json", Head)
    stages = [(Topology.from_json(data), steps) for data, steps in head["stages"]]
    task = make_task(config.task, config.data, skip_bad_rows=config.skip_bad_rows)
    engine = make_engine(config)
    state = checkpoint.load(source, engine)
    learner = make_learner(config.learner, engine, state.trained, config)
    learner.load_state_dict(checkpoint.load_learner(source))
    run = Run(folder, config, task, engine, stages, _reporter(report))
    run.restore(learner, state)
    return _finish(run)


@arguments
def grow(
    run: str | Path | RunResult, topology: str, *, report: Reporter | None = None, **options: Any
) -> RunResult:
    """Train a larger network that keeps the adapters of a trained one.

    Args:
        run: The trained network: its run folder or result.
        topology: The larger network, such as `2-2-1`.
        report: As in `train`.
        **options: Those of `TrainConfig` that differ from the run's, `out` and `grow_init` among
            them.

    Raises:
        InputError: The topologies or the options do not fit; else as `train`.
        Interrupted: The user stopped the run.
    """
    folder = run.folder if isinstance(run, RunResult) else Path(run)
    saved = read_config(folder / "config.yaml")
    kept = {key: value for key, value in saved.items() if key not in ("out", "schedule")}
    given = {"grow_from": str(folder), "topology": topology, **options}
    return train(TrainConfig.from_mapping(kept | given), report=report)


def _finish(run: Run) -> RunResult:
    try:
        return run.finish()
    except KeyboardInterrupt:  # a second one, which did not wait for the step to end
        raise Interrupted(run.folder, run.step) from None
    finally:
        run.engine.close()


@arguments
def read_result(folder: str | Path) -> RunResult:
    """Read the result of a finished run.

    Raises:
        InputError: There is none.
    """
    data = read(Path(folder) / "result.json", Result)
    for key in ("before", "after"):
        data[key] = data[key] and Evaluation.from_dict(data[key])
    data["ablation"] = {k: Evaluation.from_dict(v) for k, v in data["ablation"].items()}
    names = {one.name for one in fields(RunResult)}
    held = {key: value for key, value in data.items() if key in names}
    return RunResult(**(held | {"folder": Path(folder)}))


def is_main() -> bool:
    """Whether this is the process that writes and reports; always, unless there are several."""
    return distributed.number() == 0


def make_engine(config: TrainConfig) -> TrainableEngine:
    """Make the engine of a run, ready for adapters.

    Raises:
        InputError: It is unknown, cannot be made, or holds no adapters.
    """
    engine = make_by_name(config.engine, config.engine_options())
    if not isinstance(engine, TrainableEngine):
        raise InputError(
            f"engine {config.engine!r} holds no adapters, so nothing can be trained; "
            "engine 'transformers' or 'vllm' does"
        )
    return engine


def _reporter(report: Reporter | None) -> Reporter:
    if distributed.number():
        return Reporter()
    return usual_reporter() if report is None else report


def _check_splits(config: TrainConfig, task: Task) -> None:
    if not len(task.examples("train")):
        raise InputError(f"task {task.name!r} has no training questions; take another")
    if config.eval_questions and not len(task.examples(config.eval_split)):
        raise InputError(
            f"task {task.name!r} has no questions in its {config.eval_split} split; "
            "take another eval_split, or eval_questions 0"
        )
    check_ready(task)


def _check_learner(config: TrainConfig, source: Path) -> None:
    """Refuse to hand one learner's state to another, which would misread it or lose some of it."""
    path = source.resolve().parent.parent / "config.yaml"
    learner = TrainConfig.from_mapping(read_config(path), str(path)).learner
    if learner != config.learner:
        raise InputError(
            f"grow_from: learner {learner!r} trained {path.parent}, but {config.learner!r} is "
            f"asked for; give --learner {learner}"
        )


def _new_folder(config: TrainConfig, task: Task, topology: Topology) -> Path:
    if config.out is not None:
        folder = Path(config.out)
        if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise InputError(
                f"out: {folder} holds files already; give a new folder, or resume the run"
            )
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder
    slug = re.sub(r"[^\w-]+", "-", f"{task.name}-{topology.name}-s{config.seed}")
    with writing(Path("runs") / slug):
        for number in itertools.count(1):
            folder = Path("runs") / (slug if number == 1 else f"{slug}-{number}")
            try:
                folder.mkdir(parents=True)
                break
            except FileExistsError:
                continue
    return folder


def _write_head(
    folder: Path,
    config: TrainConfig,
    task: Task,
    engine: TrainableEngine,
    stages: list[tuple[Topology, int]],
) -> None:
    head = {
        "model": engine.name,
        "weights_hash": engine.weights_hash,
        "topology": stages[-1][0].to_json(),
        "stages": [[topology.to_json(), steps] for topology, steps in stages],
        "task": task.name,
        "reward": f"{config.reward} with {config.shaping}" if config.shaping else config.reward,
        "seed": config.seed,
        "splits": {split: len(task.examples(split)) for split in SPLITS},
        "skipped_rows": list(task.skipped),
        "sandbox": task.tier,
        "versions": {
            "python": sys.version.split()[0],
            "neuromas-env": __version__,
            **engine.versions,
        },  # fmt: skip
        "machine": {
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "device": str(engine.device),
            "rollout_device": config.rollout_device,
            "threads": torch.get_num_threads(),
        },
    }
    saved = replace(config, out=str(folder)).to_mapping()
    write(folder / "run.json", json.dumps(head, indent=1))
    write(folder / "config.yaml", yaml.safe_dump(saved, sort_keys=False))
