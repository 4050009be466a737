"""As many threads as a model gains from.

Products of a tiny model take some microseconds, and threads that share them wait for one another:
longer than the products take, and hundreds of times as long beside other work on the same cores.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import psutil
import torch

_TINY = 1 << 20  # numbers in a model's linear layers: a pass of 24 rows takes about a millisecond
_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def chosen_threads(model: torch.nn.Module) -> int | None:
    """Return the threads for a model's passes on a CPU, None for as many as torch takes.

    A number that somebody has chosen, in the environment or with `torch.set_num_threads`, is
    theirs. A choice of as many as the machine has cores cannot be told from torch's own.
    """
    layers = (module for module in model.modules() if isinstance(module, torch.nn.Linear))
    if sum(layer.weight.numel() for layer in layers) > _TINY:
        return None
    usual = {os.cpu_count(), psutil.cpu_count(logical=False)}
    if hasattr(os, "sched_getaffinity"):
        usual.add(len(os.sched_getaffinity(0)))
    explicit = any(name in os.environ for name in _SETTINGS)
    return None if explicit or torch.get_num_threads() not in usual else 1


@contextlib.contextmanager
def using(threads: int | None) -> Iterator[None]:
    """Compute with so many threads inside; None changes nothing."""
    before = torch.get_num_threads()
    if threads in (None, before):
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
