"""What to do when a device runs out of memory: find out what would have fitted, and say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from neuromas_env.errors import InputError

if TYPE_CHECKING:
    from neuromas_env.agents.transformers_engine import Row, TransformersEngine


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device has no memory left."""
    text = str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and ("out of memory" in text or "can't allocate memory" in text)
    )


def too_large(
    engine: TransformersEngine, rows: Sequence[Row], options: Mapping[str, bool] | None = None
) -> InputError:
    """Make the error for micro-batches that a device could not hold.

    Smaller budgets are tried, with their forward and backward passes; the gradients that
    this leaves behind mean nothing. Call it outside the handler of the first error, whose
    traceback holds on to the memory. `options` are those of `engine.training`.
    """
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    budget = fitting_budget(engine, rows, options)
    remedy = (
        f"token_budget {budget} fits and would be right"
        if budget
        else "not even one row fits: gradient_checkpointing, a smaller model or shorter "
        "replies would be right"
    )
    return InputError(
        f"{engine.model.device} ran out of memory in training, with micro-batches of up to "
        f"{engine.largest(rows)} tokens; {remedy}"
    )


def fitting_budget(
    engine: TransformersEngine, rows: Sequence[Row], options: Mapping[str, bool] | None = None
) -> int | None:
    """Halve the token budget until the largest micro-batch fits; None if no row does."""
    budget = engine.largest(rows)
    while budget > 1:
        budget //= 2
        batches = engine.micro_batches(rows, budget)
        chosen = max(([rows[i] for i in batch] for batch in batches), key=engine.padded)
        if _fits(engine, chosen, options or {}):
            return budget
        if len(batches) == len(rows):
            return None
    return None


def _fits(engine: TransformersEngine, rows: Sequence[Row], options: Mapping[str, bool]) -> bool:
    try:
        with engine.training(rows, **options) as scored:
            scored.logprobs.sum().backward()
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return False
    return True
