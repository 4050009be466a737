"""Key-values with room for the tokens to come.

transformers' own layers join the old tensors and the new one at every token, which copies all
key-values of all layers each time. While replies are decoded they stand in buffers here, and a
token is written behind the last one. Training keeps transformers' layers: what is written in
place has no gradient.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache as memo
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer


def cache_argument(model: PreTrainedModel, cache: DynamicCache | None) -> dict[str, Any]:
    """Return a cache as the argument of `model.base_model`, by the name that it has there.

    transformers 5.24 renames `past_key_values` to `cache`; models from the hub keep the old name.
    """
    return {_name(type(model.base_model).forward): cache}


@memo
def _name(forward: Callable[..., Any]) -> str:
    return "cache" if "cache" in inspect.signature(forward).parameters else "past_key_values"


class RoomyLayer(DynamicLayer):
    """A layer's keys and values `[rows, heads, tokens, d]`, in buffers with more tokens."""

    def __init__(self, layer: DynamicLayer, room: int) -> None:
        """Take over a layer's tensors, with room for so many more tokens."""
        super().__init__()
        assert layer.keys is not None and layer.values is not None  # there is a prompt
        self.lazy_initialization(layer.keys, layer.values)
        self._room = room
        self._buffers: list[torch.Tensor] = []
        self._fill([layer.keys, layer.values])

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write behind what is there; return all keys and values so far."""
        length = self.get_seq_length()
        end = length + key_states.shape[-2]
        if end > self._buffers[0].shape[-2]:
            self._fill([buffer[:, :, :length] for buffer in self._buffers])
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, length:end] = states
        return self._show(end)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows alone."""
        length = self.get_seq_length()
        self._buffers = [buffer[indices] for buffer in self._buffers]
        self._show(length)

    def _fill(self, tensors: list[torch.Tensor]) -> None:
        """Copy tensors into new buffers."""
        length = tensors[0].shape[-2]
        self._buffers = [
            tensor.new_empty(*tensor.shape[:-2], length + self._room, tensor.shape[-1])
            for tensor in tensors
        ]
        for buffer, tensor in zip(self._buffers, tensors, strict=True):
            buffer[:, :, :length] = tensor
        self._show(length)

    def _show(self, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = (buffer[:, :, :length] for buffer in self._buffers)
        self.keys, self.values = keys, values
        return keys, values


def make_room(cache: DynamicCache, tokens: int) -> None:
    """Let a cache take so many more tokens without copying; sliding windows stay as they are."""
    cache.layers = [
        RoomyLayer(layer, tokens) if type(layer) is DynamicLayer else layer
        for layer in cache.layers
    ]
