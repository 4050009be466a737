"""Attention that can take packed batches apart; on CPU as two batched matrix products.

There the query heads of a group stand side by side: in bfloat16, torch's fused kernel is several
times slower than this for the short queries of decoding (4.3 against 0.5 ms a layer for 64 rows
and 80 keys) and for the short rows of joint training. Long prompts are the fused kernel's, as it
does not write all scores down; `benchmarks/attention.py` prints the ratios. On a GPU the fused
kernel stays for all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import embedding
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask, sdpa_mask

if TYPE_CHECKING:
    from neuromas_env.agents.engines.forward.packing import Packed

NAME, FUSED = "neuromas_grouped", "neuromas_fused"
_LONG = 128  # queries of a row from which on the fused kernel takes them


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
    if length >= _LONG and attention_mask is not None:
        mask = attention_mask[..., : key.shape[2]]
        return sdpa_attention_forward(module, query, key, value, mask, scaling=scaling)
    groups = key.shape[1]
    scores = query.reshape(rows, groups, -1, width) @ key.transpose(-1, -2)
    scores = scores.view(rows, groups, heads // groups, length, -1).float()
    scores = scores * (width**-0.5 if scaling is None else scaling)
    if attention_mask is not None:
        scores = scores + attention_mask[:, :, None, :, : key.shape[2]]
    weights = scores.softmax(-1).to(value.dtype).view(rows, groups, -1, key.shape[2])
    return (weights @ value).view(rows, heads, length, width).transpose(1, 2).contiguous(), None


def packable(attend: Callable[..., tuple[torch.Tensor, None]]) -> Callable[..., Any]:
    """Let an attention function compute packed batches, too: those with the argument `packed`."""

    def attention(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        packed: Packed | None = None,
        sliding_window: int | None = None,
        **options: Any,
    ) -> tuple[torch.Tensor, None]:
        if packed is None:
            return attend(module, query, key, value, attention_mask, **options)
        # Tables of tokens: to look them up is the one way of picking whose gradient is fast.
        tables = [states[0].transpose(0, 1).flatten(1) for states in (query, key, value)]
        widths = [states.shape[-1] for states in (query, key, value)]
        parts = []
        for group in packed.groups:
            places = (group.queries, group.keys, group.keys)
            picked = [
                embedding(place, table).unflatten(-1, (-1, width)).transpose(1, 2)
                for place, table, width in zip(places, tables, widths, strict=True)
            ]
            mask = group.mask(sliding_window, query.dtype)
            parts.append(attend(module, *picked, mask, **options)[0].flatten(0, 1).flatten(1))
        return embedding(packed.back, torch.cat(parts))[None], None

    return attention


AttentionInterface.register(NAME, packable(grouped_attention))
AttentionMaskInterface.register(NAME, eager_mask)
AttentionInterface.register(FUSED, packable(sdpa_attention_forward))
AttentionMaskInterface.register(FUSED, sdpa_mask)


def use_own_attention(model: PreTrainedModel) -> bool:
    """Switch a model to the attention of this module where it computes the same.

    Returns:
        Whether the model can take packed batches: nothing else in it looks at other tokens.
    """
    config = model.config
    if getattr(config, "attn_logit_softcapping", None):
        return False
    if model.device.type == "cpu":
        model.set_attn_implementation(NAME)
    elif config._attn_implementation == "sdpa":
        model.set_attn_implementation(FUSED)
    else:
        return False
    layers = set(getattr(config, "layer_types", None) or ())
    return model._supports_attention_backend and layers <= {"full_attention", "sliding_attention"}
