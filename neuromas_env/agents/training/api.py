"""Start a training run, resume one, read its result."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from neuromas_env import __version__
from neuromas_env.agents.engines import distributed, handover
from neuromas_env.agents.engines.base import TrainableEngine
from neuromas_env.agents.engines.base import make_engine as make_by_name
from neuromas_env.agents.engines.budget import room
from neuromas_env.agents.engines.devices import described, place_of, precision
from neuromas_env.agents.learners.base import Learner, learner_class
from neuromas_env.agents.learners.make import make_learner
from neuromas_env.agents.training import checkpoint as checkpoints
from neuromas_env.agents.training.config import TrainConfig, saved_config
from neuromas_env.agents.training.evaluate import Evaluation
from neuromas_env.agents.training.folder import check_free, locked, make
from neuromas_env.agents.training.lengths import lengths_note
from neuromas_env.agents.training.log import check_lengths
from neuromas_env.agents.training.loop import Run
from neuromas_env.agents.training.records import Head, Result
from neuromas_env.agents.training.result import Interrupted, RunResult
from neuromas_env.agents.training.trackers import check_trackers
from neuromas_env.checks import arguments
from neuromas_env.config import read_config
from neuromas_env.envs.channel import rounds_note
from neuromas_env.errors import InputError, placed
from neuromas_env.files import read, write
from neuromas_env.progress import Reporter, usual_reporter
from neuromas_env.seeds import Stream, derive_seed
from neuromas_env.tasks import SPLITS, Task, make_task
from neuromas_env.tasks.ready import check_origins, check_ready
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
        report: Shows how far the run is; by default a progress bar in a terminal or notebook.

    Raises:
        InputError: An option is wrong, an episode or a file failed, another process writes into
            the folder, or the loss is not finite.
        Interrupted: The user stopped the run.
    """
    learner_class(config.learner).check(config)
    check_trackers(config.report_to)
    distributed.start(config.device)
    config = _resolved(config)
    distributed.check_same(config.to_mapping())
    report = _reporter(report)
    if config.out is not None:  # said before a model is loaded
        check_free(Path(config.out))
    parts = _prepare(config, report)
    name = f"{parts.task.name}-{parts.stages[-1][0].name}-s{config.seed}"
    folder = distributed.from_main(lambda: make(config.out, name))
    with locked(folder):
        distributed.from_main(lambda: check_free(folder))
        return _begin(folder, config, parts, report)


@dataclass
class _Parts:
    """What a new run consists of."""

    task: Task
    engine: TrainableEngine
    stages: list[tuple[Topology, int]]
    learner: Learner
    trained: tuple[str, ...]


def _prepare(config: TrainConfig, report: Reporter) -> _Parts:
    """Make all that a run begins with; it follows from the options alone."""
    report.note(described(config.device, config.dtype, config.rollout_device))
    task = make_task(config.task, config.data, skip_bad_rows=config.skip_bad_rows)
    stages = config.stages()
    source = None
    if config.grow_from is not None:
        source = checkpoints.kept(config.grow_from)
        old = checkpoints.read_state(source).topology
        _check_source(config, source)
        config.check_stage(old, stages[0][0])
        stages = [(old, 0), *stages]  # growth is what happens between two stages
    _check_splits(config, task)
    for shape, steps in stages:
        if steps and (note := rounds_note(task, shape)):
            report.note(note)
    engine = make_engine(config)
    for shape, steps in stages:
        if steps and (note := lengths_note(config, shape, task, engine)):
            report.note(note)
    distributed.check_same({"of the base model": engine.weights_hash}, "hash")
    models = config.model_nodes(stages[0][0])
    nodes = config.node_names(stages[0][0]) if source is None else models
    for node in models:
        number = int(node.removeprefix("node_"))
        handover.add(engine, node, derive_seed(config.seed, Stream.ADAPTERS, number))
    if engine.device.type == "cuda" and not distributed.number():
        report.note(room(engine, config.token_budget))
    learner = make_learner(config.learner, engine, nodes, config, task.extract)
    if source is not None:
        checkpoints.load(source, engine)
        checkpoints.load_learner(source, learner)
        learner.restart()
    return _Parts(task, engine, stages, learner, nodes)


def _begin(folder: Path, config: TrainConfig, parts: _Parts, report: Reporter) -> RunResult:
    """Do a run from step 0 in a folder that is locked."""
    distributed.from_main(lambda: _write_head(folder, config, parts))
    run = Run(folder, config, parts.task, parts.engine, parts.stages, report)
    return _go(run, lambda: run.start(parts.learner, parts.trained))


@arguments
def resume(
    folder: str | Path,
    *,
    checkpoint: str | Path | int | None = None,
    report: Reporter | None = None,
) -> RunResult:
    """Continue a run from a checkpoint; a finished run is only read.

    Args:
        folder: The run folder. One without checkpoints and logs was stopped before the first
            step, and begins.
        checkpoint: Step, name or path of the checkpoint, by default the last one; 0 begins
            again. Logs and checkpoints after it are removed.
        report: As in `train`.

    Raises:
        InputError: The folder is no run, another process writes into it, its checkpoint is broken,
            or its base model has changed; else as `train`.
        Interrupted: The user stopped the run.
    """
    folder = Path(folder)
    config = saved_config(folder)
    if (folder / "result.json").is_file():
        if checkpoint is not None:
            raise InputError(f"{folder} is a finished run; leave checkpoint out to read its result")
        return read_result(folder)
    check_trackers(config.report_to)
    distributed.start(config.device)
    distributed.check_same(config.to_mapping())
    report = _reporter(report)
    with locked(folder):
        source = distributed.from_main(lambda: checkpoints.find(folder, checkpoint))
        if source is None:
            distributed.from_main(lambda: checkpoints.remove_after(folder, None))
            return _begin(folder, config, _prepare(config, report), report)
        return _go_on(folder, config, source, report)


def _go_on(folder: Path, config: TrainConfig, source: Path, report: Reporter) -> RunResult:
    """Do the rest of a run after a checkpoint, in a folder that is locked."""
    with checkpoints.naming_older(folder, source):
        state = checkpoints.read_state(source)
        distributed.from_main(lambda: check_lengths(folder, state.log))
    head = read(folder / "run.json", Head)
    stages = [(Topology.from_json(data), steps) for data, steps in head["stages"]]
    task = make_task(config.task, config.data, skip_bad_rows=config.skip_bad_rows)
    task.split_sizes()  # the origins of rows are known once these are loaded
    check_origins(task.name, task.origins, head.get("origins", {}), folder)
    with placed(str(folder / "config.yaml")):
        report.note(described(config.device, config.dtype, config.rollout_device))
    engine = make_engine(config)
    checkpoints.check_base(source, state, engine)
    with checkpoints.naming_older(folder, source):
        checkpoints.load(source, engine)
        learner = make_learner(config.learner, engine, state.trained, config, task.extract)
        checkpoints.load_learner(source, learner)
    distributed.from_main(lambda: checkpoints.remove_after(folder, source))
    run = Run(folder, config, task, engine, stages, report)
    return _go(run, lambda: run.restore(learner, state))


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


def _go(run: Run, begin: Callable[[], None]) -> RunResult:
    try:
        begin()
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


def _resolved(config: TrainConfig) -> TrainConfig:
    """Return the options with what `auto` stands for here, so that a run continues with it."""
    rollout = config.rollout_device
    return replace(
        config,
        device=place_of(config.device),
        rollout_device=None if rollout is None else place_of(rollout),
        dtype=precision(config.dtype, config.device),
    )


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


def _check_source(config: TrainConfig, source: Path) -> None:
    """Refuse to hand one learner's state to another, which would misread it or lose some of it.

    A run's tools are not another's either.
    """
    path = source.resolve().parent.parent / "config.yaml"
    saved = TrainConfig.from_mapping(read_config(path), str(path))
    learner = saved.learner
    if saved.tool_names() != config.tool_names():
        raise InputError(
            f"grow_from: {path.parent} was trained with tools {saved.tools!r}, but "
            f"{config.tools!r} is asked for"
        )
    if learner != config.learner:
        raise InputError(
            f"grow_from: learner {learner!r} trained {path.parent}, but {config.learner!r} is "
            f"asked for; give --learner {learner}"
        )


def _write_head(folder: Path, config: TrainConfig, parts: _Parts) -> None:
    # The options first: from then on the run goes on with --resume, however it ends.
    saved = replace(config, out=str(folder)).to_mapping()
    write(folder / "config.yaml", yaml.safe_dump(saved, sort_keys=False))
    task, engine, stages = parts.task, parts.engine, parts.stages
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
        "origins": dict(task.origins),
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
    write(folder / "run.json", json.dumps(head, indent=1))
