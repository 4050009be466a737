"""Engines by name, each with what identifies it: everything about it that can change a reply."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

from neuromas_env import __version__
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.bench.config import BenchConfig
from neuromas_env.errors import InputError, unknown
from neuromas_env.policy import Engine

Identity = dict[str, Any]
LOCAL = ("transformers", "vllm")
"""The engines that hold adapters."""
Adapters = Mapping[str, Any]
"""Options of `TrainConfig` that say which shape the adapters of a network have."""


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
    if config.engine not in ENGINES and ":" not in config.engine:
        raise unknown("engine", config.engine, (*ENGINES, "module:function"))
    if config.engine in LOCAL:
        return _local(config, adapters or {})
    if adapters is not None:
        raise InputError(
            f"engine {config.engine!r} holds no adapters, so it cannot run neuromas@RUN; "
            "engine 'transformers' or 'vllm' would be right"
        )
    if config.engine in ENGINES:
        return ENGINES[config.engine](config, {})
    return _foreign(config)


def _local(config: BenchConfig, adapters: Adapters) -> tuple[Engine, Identity]:
    from neuromas_env.agents.engines.models import precision
    from neuromas_env.agents.training.api import make_engine as make_local

    options = {key: getattr(config, key) for key in ("model", "dtype", "device", "chunk_rows")}
    engine = make_local(TrainConfig.from_mapping({**options, "engine": config.engine, **adapters}))
    identity = {**options, "model": engine.name, "weights_hash": engine.weights_hash}
    identity["dtype"] = precision(config.dtype, config.device)
    identity |= _versions("torch", "transformers", "peft")
    if config.engine == "vllm":
        from neuromas_env.agents.engines.vllm import vllm_version

        identity["versions"]["vllm"] = vllm_version()
    return engine, identity


def _openai(config: BenchConfig, adapters: Adapters) -> tuple[Engine, Identity]:
    from neuromas_env.agents.engines.openai import OpenAIEngine

    engine = OpenAIEngine(
        config.model,
        base_url=config.base_url,
        concurrency=config.concurrency,
        retries=config.retries,
        requests_per_minute=config.requests_per_minute,
        tokens_per_minute=config.tokens_per_minute,
        prices=config.prices,
    )
    # A user name and password in the address are nobody's business in a result.
    address = urlsplit(engine.base_url)
    shown = f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"
    return engine, {"model": config.model, "server": shown} | _versions("openai")


def _mock(config: BenchConfig, adapters: Adapters) -> tuple[Engine, Identity]:
    from neuromas_env.agents.engines.mock import MockEngine

    return MockEngine(), {"model": "mock"} | _versions()


def _foreign(config: BenchConfig) -> tuple[Engine, Identity]:
    name, _, function = config.engine.partition(":")
    if "" not in sys.path:  # where the user stands, as with `python -m`
        sys.path.insert(0, "")
    try:
        engine = getattr(import_module(name), function)(config)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"engine {config.engine!r} cannot be loaded: {error}; module:function of something "
            "that takes a BenchConfig and returns an engine would be right"
        ) from error
    identity = {"model": getattr(engine, "name", config.model), "engine": config.engine}
    if weights := getattr(engine, "weights_hash", None):
        identity["weights_hash"] = weights
    return engine, identity | _versions()


def _versions(*packages: str) -> dict[str, dict[str, str]]:
    found = {"neuromas-env": __version__}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"versions": found}


ENGINES: dict[str, Callable[[BenchConfig, Adapters], tuple[Engine, Identity]]] = {
    "transformers": _local,
    "vllm": _local,
    "openai": _openai,
    "mock": _mock,
}
"""Built-in engines; `mock` answers nonsense, for a dry run of everything else."""
