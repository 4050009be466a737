"""The engine of a benchmark, with what identifies it: all about it that can change a reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from neuromas_env import __version__
from neuromas_env.agents.engines.base import ENGINES, TrainableEngine
from neuromas_env.agents.engines.base import make_engine as make_by_name
from neuromas_env.agents.engines.cached import CachedEngine
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.bench.config import BenchConfig
from neuromas_env.errors import InputError
from neuromas_env.policy import Engine

Identity = dict[str, Any]
Adapters = Mapping[str, Any]
"""Options of `TrainConfig` that say which shape the adapters of a network have."""


def check_trainable(engine: Engine, name: str) -> None:
    """Check that an engine holds adapters.

    Raises:
        InputError: It does not.
    """
    inner = engine.engine if isinstance(engine, CachedEngine) else engine
    if not isinstance(inner, TrainableEngine):
        raise InputError(
            f"engine {name!r} holds no adapters, so it cannot run neuromas@RUN; "
            "engine 'transformers' or 'vllm' does"
        )


def make_engine(config: BenchConfig, adapters: Adapters | None = None) -> tuple[Engine, Identity]:
    """Make the engine of a benchmark.

    Args:
        config: Says which.
        adapters: Shape of the adapters it is to hold, None where no node has any.

    Returns:
        The engine and its identity, for JSON: equal identities give equal replies.

    Raises:
        InputError: The engine is unknown, cannot be made, or cannot hold adapters.
    """
    shared = {key: getattr(config, key) for key in ("model", "dtype", "device", "chunk_rows")}
    options = TrainConfig.from_mapping(shared | dict(adapters or {})).engine_options()
    engine = make_by_name(config.engine, options | asdict(config) | {"config": config})
    if adapters is not None:
        check_trainable(engine, config.engine)
    foreign = config.engine not in ENGINES.built_in
    # An engine that says nothing of its model need not have looked at the option's default.
    unknown = foreign and config.model == BenchConfig.model
    model = engine.name or ("not stated" if unknown else config.model)
    identity: Identity = {"model": model, **engine.settings}
    if foreign:
        identity["engine"] = config.engine
    if engine.weights_hash:
        identity["weights_hash"] = engine.weights_hash
    return engine, identity | {"versions": {"neuromas-env": __version__, **engine.versions}}
