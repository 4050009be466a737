"""Errors that say that a device has no memory left."""

from __future__ import annotations


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device has no memory left."""
    text = str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and ("out of memory" in text or "can't allocate memory" in text)
    )
