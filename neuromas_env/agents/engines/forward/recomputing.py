"""Gradient checkpointing: activations are computed again in the backward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import torch
from transformers import PreTrainedModel


def enable_recomputing(model: PreTrainedModel) -> None:
    """Let a model checkpoint those of its layers that are in training mode."""
    enable = getattr(model, "activation_checkpointing_enable", None)
    # Older transformers know it by another name, newer ones warn of that.
    enable = enable or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


@contextlib.contextmanager
def recomputing(layers: Iterable[torch.nn.Module]) -> Iterator[None]:
    """Checkpoint these layers inside.

    They alone are in training mode; the modules in them stay in evaluation mode, so that nothing
    is dropped out.
    """
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False
