"""Attention as two batched matrix products, with the query heads of a group side by side.

On CPU in bfloat16, torch's fused kernel is several times slower than this for
the short queries of decoding (4.3 against 0.5 ms a layer for 64 rows and 80
keys) and for the short rows of joint training; `benchmarks/attention.py` prints
the ratio. On a GPU the model keeps its own attention.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

NAME = "neuromas_grouped"


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend with grouped query heads.

    Args:
        module: The attention module (unused, part of the interface).
        query: `[rows, heads, T, d]`.
        key: `[rows, kv_heads, L, d]`.
        value: `[rows, kv_heads, L, d]`.
        attention_mask: Additive mask `[rows, 1, T, L]`, or None.
        scaling: Factor of the scores; `1/sqrt(d)` if None.

    Returns:
        `[rows, T, heads, d]`, and None for the weights.
    """
    rows, heads, length, width = query.shape
    groups = key.shape[1]
    scores = query.reshape(rows, groups, -1, width) @ key.transpose(-1, -2)
    scores = scores.view(rows, groups, heads // groups, length, -1).float()
    scores = scores * (width**-0.5 if scaling is None else scaling)
    if attention_mask is not None:
        scores = scores + attention_mask[:, :, None, :, : key.shape[2]]
    weights = scores.softmax(-1).to(value.dtype).view(rows, groups, -1, key.shape[2])
    return (weights @ value).view(rows, heads, length, width).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, grouped_attention)
AttentionMaskInterface.register(NAME, eager_mask)


def use_grouped_attention(model: PreTrainedModel) -> None:
    """Switch a model on CPU to the grouped attention where it computes the same."""
    caps = getattr(model.config, "attn_logit_softcapping", None)
    if model.device.type == "cpu" and not caps:
        model.set_attn_implementation(NAME)
