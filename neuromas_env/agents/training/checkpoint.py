"""Checkpoints: written whole or not at all, read only into the network they belong to.

A run folder holds `config.yaml`, `run.json`, `metrics.jsonl`, `transcripts.jsonl`,
`tensorboard/`, in the end `result.json`, and `checkpoints/step_000010/` with

    adapters/<node>/   in PEFT's own format, for `PeftModel.from_pretrained`
    learner.pt         what the learner's `state_dict` gave
    state.json         see `State`
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from neuromas_env.agents.engines.base import TrainableEngine
from neuromas_env.agents.learners.base import Learner
from neuromas_env.agents.training.log import FILES
from neuromas_env.agents.training.records import Result, Stand
from neuromas_env.checks import check
from neuromas_env.errors import InputError, placed
from neuromas_env.files import read, unwritable, writing
from neuromas_env.topology import Topology

KEEP = 2
_NAME = re.compile(r"step_(\d{6,})(?:_stage_(\d+))?")


@dataclass(frozen=True)
class State:
    """Where a run stands.

    Attributes:
        step: Training steps taken.
        stage: Number of the stage of growth.
        topology: The network.
        trained: The nodes whose adapters are trained in this stage.
        model: Name of the base model.
        weights_hash: Of the base model.
        adapters: Node to the hash of its adapter's weights.
        log: Lengths of the log files in bytes.
        cost: Rows `[phase, adapter, calls, prompt tokens, completion tokens, seconds]`.
    """

    step: int
    stage: int
    topology: Topology
    trained: tuple[str, ...]
    model: str
    weights_hash: str
    adapters: Mapping[str, str]
    log: Mapping[str, int]
    cost: list[list[Any]]


def save(
    run: Path,
    state: State,
    engine: TrainableEngine,
    learner: Mapping[str, Any],
    best: int | None = None,
) -> Path:
    """Write a checkpoint and remove all but the last two and that of the step `best`.

    Raises:
        InputError: It cannot be written; the earlier ones are unharmed then.
    """
    import torch

    folder = run / "checkpoints" / f"step_{state.step:06d}"
    if folder.exists() and read_state(folder).stage != state.stage:
        # Grown since, without a step in between.
        folder = folder.with_name(f"{folder.name}_stage_{state.stage}")
    if folder.exists():
        return folder
    part = folder.with_name(f".{folder.name}.part")
    try:
        for left in folder.parent.glob(".*.part"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        (part / "adapters").mkdir(parents=True)
        for node in state.adapters:
            engine.adapters.save(node, part / "adapters" / node)
        torch.save(dict(learner), part / "learner.pt")
        data = {**asdict(state), "topology": state.topology.to_json()}
        (part / "state.json").write_text(json.dumps(data, indent=1), encoding="utf-8")
        _sync(part)
        os.replace(part, folder)
        _sync_entry(folder.parent)
    except (OSError, RuntimeError, SafetensorError) as error:  # a full disk has many names
        shutil.rmtree(part, ignore_errors=True)
        raise unwritable(folder, error) from error
    for old in _checkpoints(run)[:-KEEP]:
        if _place(old)[0] != best:
            _remove(old)
    return folder


def latest(folder: str | Path) -> Path:
    """Return the last checkpoint of a run folder; a checkpoint's own folder passes through.

    Raises:
        InputError: There is none.
    """
    folder = Path(folder)
    if (folder / "state.json").is_file():
        return folder
    found = _checkpoints(folder)
    if not found:
        raise InputError(f"no checkpoint in {folder}; give a run folder, with checkpoints/ in it")
    return found[-1]


def kept(folder: str | Path) -> Path:
    """Return the checkpoint whose weights a finished run has kept, else the last one; see `latest`.

    Raises:
        InputError: There is none.
    """
    result = Path(folder) / "result.json"
    step = read(result, Result).get("kept") if result.is_file() else None
    found = [one for one in _checkpoints(Path(folder)) if _place(one)[0] == step]
    return found[-1] if found else latest(folder)


def find(run: Path, wanted: str | Path | int | None = None) -> Path | None:
    """Return the checkpoint from which a run folder resumes, None for its start.

    Args:
        run: The run folder.
        wanted: Step, name or path of the checkpoint, None for the last one, 0 for the start.

    Raises:
        InputError: There is no such checkpoint, or none although the logs hold steps.
    """
    found = _checkpoints(run)
    if wanted is None and not found:
        # The first checkpoint is older than any line of a log.
        if any((run / name).is_file() and (run / name).stat().st_size for name in FILES):
            raise InputError(
                f"{run} holds no checkpoint, but logs of steps; begin again at step 0, and lose "
                f"the logs, with {_command(run, '0')}"
            )
        return None
    if wanted is None:
        return found[-1]
    text = str(wanted)
    for folder in reversed(found):
        names = (str(int(folder.name.split("_")[1])), folder.name)
        if text in names or Path(text).resolve() == folder.resolve():
            return folder
    if text == "0":
        return None
    raise InputError(
        f"{run} holds no checkpoint {text!r}; there are "
        + ", ".join([*(folder.name for folder in found), "0 (the start)"])
    )


def steps(run: Path) -> set[int]:
    """Return the steps after which a run folder holds checkpoints."""
    return {_place(folder)[0] for folder in _checkpoints(run)}


@contextmanager
def naming_older(run: Path, folder: Path) -> Iterator[None]:
    """Let an error about a checkpoint say from which older one the run can resume.

    Raises:
        InputError: The one of the block, with the command.
    """
    try:
        yield
    except InputError as error:
        older = [old for old in _checkpoints(run) if _place(old) < _place(folder)]
        which = "the checkpoint before it" if older else "the start"
        command = _command(run, older[-1].name if older else "0")
        raise InputError(f"{error}. To go on from {which}: {command}") from error


def remove_after(run: Path, folder: Path | None) -> None:
    """Remove the checkpoints after one, None for all."""
    for newer in reversed(_checkpoints(run)):
        if folder is None or _place(newer) > _place(folder):
            with writing(newer):
                _remove(newer)


def read_state(folder: Path) -> State:
    """Read where the run of a checkpoint stood.

    Raises:
        InputError: The checkpoint is broken.
    """
    path = folder / "state.json"
    data = read(path, Stand)
    with placed(str(path)):
        topology = Topology.from_json(data["topology"])
        for node in data["trained"]:
            topology.layer_of(node)
    held = {one.name: data[one.name] for one in fields(State)}
    return State(**(held | {"topology": topology, "trained": tuple(data["trained"])}))


def load(folder: Path, engine: TrainableEngine, topology: Topology | None = None) -> State:
    """Give an engine the adapters of a checkpoint, one for each of its nodes.

    Args:
        folder: The checkpoint.
        engine: Must hold the base that the adapters were trained on.
        topology: What the checkpoint is expected to hold, None for anything.

    Raises:
        InputError: It holds another topology, belongs to another base, does not fit, or has other
            weights than were saved.
    """
    state = read_state(folder)
    check_base(folder, state, engine)
    if topology is not None and topology != state.topology:
        raise InputError(
            f"checkpoint {folder} holds the topology {state.topology.name!r}, but "
            f"{topology.name!r} is asked for; to grow it, train with grow_from"
        )
    # A node with a tool has none; one whose hash alone is missing is damaged.
    held = {path.name for path in (folder / "adapters").glob("*")} | state.adapters.keys()
    for node in filter(held.__contains__, state.topology.nodes):
        if node not in engine.adapters.names:
            engine.adapters.add(node, seed=0)
        engine.adapters.load(node, folder / "adapters" / node)
        if engine.adapters.digest(node) != state.adapters.get(node):
            raise InputError(
                f"the adapter in {folder / 'adapters' / node} is not the one that was saved: its "
                "weights have another hash than state.json says"
            )
    return state


def check_base(folder: Path, state: State, engine: TrainableEngine) -> None:
    """Refuse a checkpoint of another base model.

    Raises:
        InputError: It is one.
    """
    if state.weights_hash != engine.weights_hash:
        raise InputError(
            f"checkpoint {folder} was trained on the base {state.model!r} (weights "
            f"{state.weights_hash}), but {engine.name!r} (weights {engine.weights_hash}) is "
            f"loaded; give model {state.model!r}"
        )


def load_learner(folder: Path, learner: Learner | None = None) -> dict[str, Any]:
    """Read the learner's state of a checkpoint, and give it to the learner if there is one.

    Raises:
        InputError: It is missing or broken, or the learner cannot take it.
    """
    import torch

    path = folder / "learner.pt"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if learner is not None:
            learner.load_state_dict(state)
    except Exception as error:  # unpickling fails in many ways, and learners are of many kinds
        reason = " ".join(str(error).partition("\n")[0].split()) or type(error).__name__
        raise InputError(f"{path} is broken: {reason}") from error
    return check(f"{path}: what it holds", state, dict[str, Any])


def _checkpoints(run: Path) -> list[Path]:
    found = (run / "checkpoints").glob("step_*")
    return sorted((folder for folder in found if _NAME.fullmatch(folder.name)), key=_place)


def _place(folder: Path) -> tuple[int, int]:
    """Return step and stage of a checkpoint by its name, which order them."""
    match = _NAME.fullmatch(folder.name)
    assert match is not None
    return int(match[1]), int(match[2] or 0)


def _command(run: Path, checkpoint: str) -> str:
    return f"neuromas train --resume {shlex.quote(str(run))} --checkpoint {checkpoint}"


def _remove(folder: Path) -> None:
    """Remove a checkpoint so that it never stands there by halves."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    os.replace(folder, part)
    shutil.rmtree(part)


def _sync(folder: Path) -> None:
    """Force a folder's files to disk, so that its new name never stands for empty ones."""
    for path in [*folder.rglob("*"), folder]:
        _sync_entry(path)


def _sync_entry(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
