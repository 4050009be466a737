"""Which micro-batches fit a device: estimated before training, found out where memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch

from neuromas_env.agents.engines.base import Row, TrainableEngine
from neuromas_env.agents.engines.forward.oom import out_of_memory
from neuromas_env.errors import InputError

T = TypeVar("T")
_TOKENS = 512
"""Of the larger of two passes by which memory is estimated; the other has a quarter of them."""
_SPARE = 0.2
"""Share of a device's memory that an estimate leaves free, for what batches have beside tokens."""


def room(engine: TrainableEngine, budget: int) -> str:
    """Return a line that says which micro-batch would fit the GPU of an engine.

    The peak of a training pass grows linearly with its tokens: attention is computed in blocks,
    and what does not depend on them is there already. So two small passes, forward and backward
    through the first adapter, tell the bytes of a token.

    Args:
        engine: Has at least one adapter, and trains on a GPU.
        budget: The token budget that is asked for.

    Raises:
        InputError: Not even the small passes fit.
    """
    high = min(_TOKENS, engine.context_length or _TOKENS)
    low = high // 4
    each = (_peak(engine, high) - _peak(engine, low)) / (high - low)
    free, _ = torch.cuda.mem_get_info(engine.device)
    # torch keeps what it has freed, and takes it for the next pass.
    free += torch.cuda.memory_reserved(engine.device) - torch.cuda.memory_allocated(engine.device)
    fits = int((1 - _SPARE) * free / each)
    return (
        f"token_budget {budget}: of the {free / 2**30:.1f} GiB that are free a micro-batch takes "
        f"about {budget * each / 2**30:.1f}, and up to token_budget {fits} would fit"
    )


def _peak(engine: TrainableEngine, tokens: int) -> int:
    """Return the most bytes that a training pass over one row of so many tokens takes."""
    ids = np.zeros(tokens // 2, dtype=np.int64)
    rows = [Row(engine.adapters.names[0], ids, ids)]
    before = torch.cuda.memory_allocated(engine.device)
    torch.cuda.reset_peak_memory_stats(engine.device)
    within_memory(engine, rows, lambda: _pass(engine, rows, {}))
    peak = torch.cuda.max_memory_allocated(engine.device) - before
    _forget_gradients(engine, rows)
    return peak


def _pass(engine: TrainableEngine, rows: Sequence[Row], options: Mapping[str, bool]) -> None:
    with engine.training(rows, **options) as scored:
        scored.logprobs.sum().backward()


def _forget_gradients(engine: TrainableEngine, rows: Sequence[Row]) -> None:
    """Drop what passes have left behind that train nothing."""
    for name in {row.adapter for row in rows if row.adapter is not None}:
        for parameter in engine.adapters.parameters(name).values():
            parameter.grad = None


def within_memory(
    engine: TrainableEngine,
    rows: Sequence[Row],
    work: Callable[[], T],
    options: Mapping[str, bool] | None = None,
) -> T:
    """Do some work on micro-batches of rows.

    Args:
        engine: Computes them.
        rows: All that the work is about.
        work: Does it; what it returns is returned.
        options: Those of `engine.training`.

    Raises:
        InputError: The device has too little memory for it; says what would fit.
    """
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
    # Only here, where the error and its traceback are gone, is the memory free that they held.
    raise _too_large(engine, rows, options)


def _too_large(
    engine: TrainableEngine, rows: Sequence[Row], options: Mapping[str, bool] | None
) -> InputError:
    """Try smaller budgets, with their forward and backward passes, and say which one fits."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    budget = fitting_budget(engine, rows, options)
    _forget_gradients(engine, rows)
    remedy = (
        f"token_budget {budget} fits"
        if budget
        else "not even one row fits: turn gradient_checkpointing on, or take a smaller model or "
        "shorter replies"
    )
    return InputError(
        f"{engine.device} ran out of memory in training, with micro-batches of up to "
        f"{engine.largest(rows)} tokens; {remedy}"
    )


def fitting_budget(
    engine: TrainableEngine, rows: Sequence[Row], options: Mapping[str, bool] | None = None
) -> int | None:
    """Halve the token budget until the largest micro-batch fits; None if no row does."""
    budget = engine.largest(rows)
    while budget > 1:
        budget //= 2
        batches = engine.micro_batches(rows, budget)
        chosen = max(([rows[i] for i in batch] for batch in batches), key=engine.computed)
        if _fits(engine, chosen, options or {}):
            return budget
        if len(batches) == len(rows):
            return None
    return None


def _fits(engine: TrainableEngine, rows: Sequence[Row], options: Mapping[str, bool]) -> bool:
    try:
        _pass(engine, rows, options)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return False
    return True
