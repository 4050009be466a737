"""The engines that hold a model in this process, from the options of a command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neuromas_env.agents.engines import distributed
from neuromas_env.agents.engines.devices import place_of, precision
from neuromas_env.agents.engines.models import load_base, resolve_model
from neuromas_env.agents.engines.transformers import TransformersEngine
from neuromas_env.agents.engines.two_devices import SplitEngine
from neuromas_env.agents.engines.vllm import VLLMEngine, vllm_version
from neuromas_env.errors import InputError


def transformers(
    model: str,
    dtype: str,
    device: str,
    rollout_device: str | None,
    rank: int,
    alpha: float,
    targets: str | Sequence[str],
    chunk_rows: int,
    token_budget: int,
    gradient_checkpointing: bool,
    packed_weights: bool | None,
) -> TransformersEngine:
    """Load a model; and once more for generation, where that has a device of its own.

    Raises:
        InputError: The model cannot be loaded or does not fit the options.
    """
    if rollout_device is not None and distributed.size() > 1:
        raise InputError(
            "rollout_device: each of several processes generates on its own device; leave it out, "
            "or start one process"
        )
    options: dict[str, Any] = {
        "rank": rank, "alpha": alpha, "targets": targets, "chunk_rows": chunk_rows,
        "token_budget": token_budget, "gradient_checkpointing": gradient_checkpointing,
        "packed_weights": packed_weights,
    }  # fmt: skip
    base = load_base(model, dtype, device)
    if rollout_device is None:
        engine = TransformersEngine(base, **options)
    else:
        engine = SplitEngine(base, load_base(model, dtype, rollout_device), **options)
    engine.settings = _settings(dtype, device, chunk_rows)
    return engine


def vllm(
    model: str,
    dtype: str,
    device: str,
    nodes: int,
    vllm_cache: float,
    rank: int,
    alpha: float,
    targets: str | Sequence[str],
    chunk_rows: int,
    token_budget: int,
    gradient_checkpointing: bool,
) -> VLLMEngine:
    """Load a model for training; vLLM starts with the first call.

    Raises:
        InputError: vLLM is missing or too old, or the model does not fit the options.
    """
    vllm_version()  # said before a model is loaded
    engine = VLLMEngine(
        load_base(model, dtype, device), resolve_model(model), nodes=nodes, cache_gib=vllm_cache,
        rank=rank, alpha=alpha, targets=targets, chunk_rows=chunk_rows, token_budget=token_budget,
        gradient_checkpointing=gradient_checkpointing,
    )  # fmt: skip
    engine.settings = _settings(dtype, device, chunk_rows)
    return engine


def _settings(dtype: str, device: str, chunk_rows: int) -> dict[str, Any]:
    """Settings that can change a reply; arithmetic depends on the batch."""
    place = place_of(device)
    return {"dtype": precision(dtype, place), "device": place, "chunk_rows": chunk_rows}
