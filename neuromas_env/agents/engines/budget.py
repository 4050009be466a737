"""What to do when a device runs out of memory: find out what would have fitted, and say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch

from neuromas_env.agents.engines.base import Row, TrainableEngine
from neuromas_env.agents.engines.forward.oom import out_of_memory
from neuromas_env.errors import InputError

T = TypeVar("T")


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
    for name in {row.adapter for row in rows if row.adapter is not None}:
        for parameter in engine.adapters.parameters(name).values():
            parameter.grad = None  # what the attempts left behind means nothing
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
        with engine.training(rows, **options) as scored:
            scored.logprobs.sum().backward()
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return False
    return True
