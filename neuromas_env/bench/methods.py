"""Methods by name: baselines, and `NAME@RUN`, what a training run has made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import blake2b
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from neuromas_env.agents.engines.base import LOADED
from neuromas_env.agents.engines.models import check_model_name
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.agents.training.records import Metrics
from neuromas_env.baselines import make_baseline
from neuromas_env.baselines.adapted import FILE, read_adapted
from neuromas_env.baselines.trained import OWN_FORM, Trained, list_trained, trained_row
from neuromas_env.checks import Natural
from neuromas_env.config import read_config
from neuromas_env.errors import InputError, unknown
from neuromas_env.files import parse, read_lines
from neuromas_env.method import Method
from neuromas_env.policy import Engine, Sampling
from neuromas_env.tasks import Task, make_task

if TYPE_CHECKING:
    from neuromas_env.agents.training.checkpoint import State
    from neuromas_env.bench.config import BenchConfig

_SHAPE = ("rank", "alpha", "targets")
_SPENT = ("calls", "prompt_tokens", "completion_tokens")
Training = dict[str, int]
"""What learning took: `questions`, `steps`, `calls`, `prompt_tokens`, `completion_tokens`, with a
gradient `trained_tokens`, and `critic_tokens` that critics read beside all these."""


@dataclass(frozen=True)
class TrainedRun:
    """What is known of a run before its weights are loaded.

    Attributes:
        checkpoint: Folder of the checkpoint whose weights the run has kept.
        state: Where the run stood.
        shape: Options that say which shape the adapters have.
        hashes: Node to a hash of its adapter's weights.
        trainable: Parameters of all adapters.
        saved: The options of the run.
        training: What it took, None where that is not known.
    """

    checkpoint: Path
    state: State
    shape: dict[str, Any]
    hashes: dict[str, str] = field(repr=False)
    trainable: int
    saved: TrainConfig = field(repr=False)
    training: Training | None


def is_trained(name: str) -> bool:
    """Whether a method is `NAME@RUN`, with the name of a trained row."""
    row, at, _ = name.partition("@")
    return bool(at) and trained_row(row) is not None


def read_run(name: str, task: str = "TASK") -> TrainedRun:
    """Read the run of a method `NAME@RUN`.

    Args:
        name: The method.
        task: Named in messages.

    Raises:
        InputError: There is no such row or run, its checkpoint is broken, or another method's.
    """
    from neuromas_env.agents.training import checkpoint
    from neuromas_env.agents.training.publish import run_folder

    family, _, where = name.partition("@")
    row = trained_row(family)
    if row is None:
        raise unknown("method", name, list_trained())
    right = f"`{row.command(task)}` makes one"
    try:
        run = run_folder(where)
        folder, last = checkpoint.kept(run), checkpoint.latest(run)
    except InputError as error:
        raise InputError(f"method {name!r}: {error}; {right}") from None
    saved = TrainConfig.from_mapping(read_config(folder.parent.parent / "config.yaml"))
    state = checkpoint.read_state(folder)
    _check_row(name, row, saved.learner, len(state.topology), right)
    try:
        contents = {
            node: (folder / "adapters" / node / "adapter_model.safetensors").read_bytes()
            for node in state.adapters
        }
        trainable = sum(map(_count_parameters, contents.values()))
    except (OSError, ValueError) as error:
        raise InputError(
            f"method {name!r}: an adapter of {folder} cannot be read: {error}"
        ) from None
    return TrainedRun(
        folder,
        state,
        # vLLM reserves room for as many adapters as a topology has nodes, whatever its edges.
        {key: getattr(saved, key) for key in _SHAPE} | {"topology": "-".join("1" * len(contents))},
        {node: blake2b(data, digest_size=8).hexdigest() for node, data in contents.items()},
        trainable,
        saved,
        # Also of the steps after it, which were taken to know that it is the best.
        _training(last, checkpoint.read_state(last), saved),
    )


def _check_row(name: str, row: Trained, learner: str, nodes: int, right: str) -> None:
    if row.learner is None and learner in OWN_FORM:
        raise InputError(
            f"method {name!r}: learner {learner!r} trained this run, and its network has a form of "
            f"its own at test time; write {learner}@RUN"
        )
    if row.learner not in (None, learner) or row.nodes not in (0, nodes):
        found = f"learner {learner!r} trained a network of {nodes}"
        raise InputError(f"method {name!r}: in this run {found}; {right}")


def _training(folder: Path, state: State, saved: TrainConfig) -> Training | None:
    """Count what led to a checkpoint, a run that it was grown from included."""
    before: Training | None = {}
    if source := saved.grow_from:
        if not Path(source).exists():
            return None
        try:
            before = read_run(f"neuromas@{source}").training
        except InputError:
            return None
    file = folder.parent.parent / "metrics.jsonl"
    if not file.is_file():
        return None
    log = read_lines(file, Metrics)
    steps = [row for row in log if "event" not in row]
    trained: list[Any] = [row.get("train_tokens") for row in steps if row["step"] <= state.step]
    if before is None or len(trained) < state.step or None in trained:
        return None
    found = {"questions": state.step * saved.questions, "steps": state.step}
    spent = [row[2:5] for row in state.cost if row[0] == "train"]
    found |= {key: sum(row[i] for row in spent) for i, key in enumerate(_SPENT)}
    found["trained_tokens"] = int(sum(trained))
    read = [row.get("critic_tokens", 0) for row in steps if row["step"] <= state.step]
    found["critic_tokens"] = int(sum(read))
    return {key: value + before.get(key, 0) for key, value in found.items()}


def check_names(config: BenchConfig) -> None:
    """Check all names of a benchmark, with no model loaded.

    Raises:
        InputError: A task, a method, an option of one or the model is unknown, or a method does
            not fit the temperature.
    """
    if config.engine in LOADED:
        check_model_name(config.model)
    tasks = [
        make_task(name, config.data, skip_bad_rows=config.skip_bad_rows) for name in config.tasks
    ]
    for name in config.methods:
        for task in tasks if not is_trained(name) else ():
            _frozen(name, task, None, config)


def _frozen(name: str, task: Task, engine: Engine | None, config: BenchConfig) -> Method:
    if "@" in name:
        raise unknown("method", name, list_trained())
    return make_baseline(name, task, engine, config.max_new_tokens, config.temperature)


def make_method(name: str, task: Task, engine: Engine, config: BenchConfig) -> Method:
    """Build a method; of a trained one, the network without loading its weights.

    Raises:
        InputError: There is no such method or option, or it does not fit the temperature.
    """
    if not is_trained(name):
        return _frozen(name, task, engine, config)
    from neuromas_env.agents.learners.base import learner_class

    run = read_run(name, task.name)
    length = config.max_new_tokens or task.max_new_tokens
    if name.startswith("malt@"):
        from neuromas_env.baselines.malt import malt

        usual = run.saved.temperature
        drawn = Sampling(usual if config.temperature is None else config.temperature, length)
        return replace(malt(task, engine, drawn), name=name)
    sampling = Sampling(config.temperature or 0.0, length)
    learner = learner_class(run.saved.learner)
    return replace(learner.method(run.saved, run.state.topology, task, engine, sampling), name=name)


def learned_files(name: str) -> dict[str, str]:
    """Return a hash of what a baseline has learned: of the files that its option `state` names."""
    found = {}
    for folder in _states(name):
        digest = blake2b(digest_size=8)
        for file in sorted(Path(folder).rglob("*")):
            if file.is_file():
                digest.update(f"{file.relative_to(folder)}\n".encode() + file.read_bytes())
        found[folder] = digest.hexdigest()
    return found


def training_of(name: str) -> Training | None:
    """Return what a method's learning took, nothing for a frozen one, None if it is not known."""
    if is_trained(name):
        return read_run(name).training
    for folder in _states(name):
        if not (Path(folder) / FILE).is_file():
            return None
        adapted = read_adapted(Path(folder))
        none = {"trained_tokens": 0, "critic_tokens": 0}
        return {**adapted.cost, "steps": adapted.iterations, **none}
    return {}


def _states(name: str) -> list[str]:
    options = (option.partition("=") for option in name.partition(":")[2].split(","))
    return [folder for key, _, folder in options if key == "state"]


class _Entry(TypedDict, total=False):
    shape: list[Natural]  # there is none in that of the file's own facts


def _count_parameters(file: bytes) -> int:
    """Count the numbers in a safetensors file: a length, a JSON header, then data."""
    header = parse(file[8 : 8 + int.from_bytes(file[:8], "little")].decode(), dict[str, _Entry])
    return sum(prod(entry["shape"]) for entry in header.values() if "shape" in entry)
