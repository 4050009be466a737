"""Methods by name: frozen baselines, and `neuromas@RUN`, the trained network of a run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import blake2b
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuromas_env.agents.config import read_config
from neuromas_env.baselines import Method, make_baseline
from neuromas_env.errors import InputError, unknown
from neuromas_env.policy import Engine, Sampling
from neuromas_env.tasks.base import Task

if TYPE_CHECKING:
    from neuromas_env.agents.checkpoint import State
    from neuromas_env.bench.config import BenchConfig

TRAINED = "neuromas@"
_SHAPE = ("rank", "alpha", "targets")


@dataclass(frozen=True)
class TrainedRun:
    """What is known of a run before its weights are loaded.

    Attributes:
        checkpoint: Folder of its last checkpoint.
        state: Where the run stood.
        shape: Options that say which shape the adapters have.
        hashes: Node to a hash of its adapter's weights.
        trainable: Parameters of all adapters.
    """

    checkpoint: Path
    state: State
    shape: dict[str, Any]
    hashes: dict[str, str] = field(repr=False)
    trainable: int


def read_run(name: str) -> TrainedRun:
    """Read the run of a method `neuromas@RUN`.

    Raises:
        InputError: There is no such run, or its checkpoint is broken.
    """
    from neuromas_env.agents import checkpoint

    folder = checkpoint.latest(name.removeprefix(TRAINED))
    saved = read_config(folder.parent.parent / "config.yaml")
    state = checkpoint.read_state(folder)
    try:
        contents = {
            node: (folder / "adapters" / node / "adapter_model.safetensors").read_bytes()
            for node in state.topology.nodes
        }
        trainable = sum(map(_count_parameters, contents.values()))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"method {name!r}: an adapter of {folder} cannot be read: {error}"
        ) from None
    return TrainedRun(
        folder,
        state,
        # vLLM reserves room for as many adapters as a topology has nodes, whatever its edges.
        {key: saved[key] for key in _SHAPE if key in saved}
        | {"topology": "-".join("1" * len(contents))},
        {node: blake2b(data, digest_size=8).hexdigest() for node, data in contents.items()},
        trainable,
    )


def make_method(name: str, task: Task, engine: Engine, config: BenchConfig) -> Method:
    """Build a method; of a trained one, the network without loading its weights.

    Raises:
        InputError: There is no such method or option, or it does not fit the temperature.
    """
    if not name.startswith(TRAINED):
        if "@" in name:
            raise unknown("method", name, ["neuromas@RUN"])
        return make_baseline(name, task, engine, config.max_new_tokens, config.temperature)
    from neuromas_env.agents.llm import llm_team

    topology = read_run(name).state.topology
    sampling = Sampling(config.temperature or 0.0, config.max_new_tokens or task.max_new_tokens)
    return Method(topology, llm_team(topology, task, engine, sampling), name=name)


def learned_files(name: str) -> dict[str, str]:
    """Return a hash of what a baseline has learned: of the files that its option `state` names."""
    found = {}
    for option in name.partition(":")[2].split(","):
        key, _, folder = option.partition("=")
        if key == "state":
            digest = blake2b(digest_size=8)
            for file in sorted(Path(folder).rglob("*")):
                if file.is_file():
                    digest.update(f"{file.relative_to(folder)}\n".encode() + file.read_bytes())
            found[folder] = digest.hexdigest()
    return found


def _count_parameters(file: bytes) -> int:
    """Count the numbers in a safetensors file: a length, a JSON header, then data."""
    header = json.loads(file[8 : 8 + int.from_bytes(file[:8], "little")])
    return sum(prod(entry["shape"]) for key, entry in header.items() if key != "__metadata__")
