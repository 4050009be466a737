"""What the layers of known model families compute with, read out of transformers' modules.

Llama, Qwen3 and Gemma 3 differ in few things: norms of queries and keys, norms behind attention
and behind the feed-forward part, the activation, windows, and how a norm's weight is meant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import Linear, Module
from transformers import PreTrainedModel

from neuromas_env.agents.engines.forward.products import Product, has_room

FAMILIES = {"LlamaModel": "Llama", "Qwen3Model": "Qwen3", "Gemma3TextModel": "Gemma 3"}
"""Classes of transformers whose decoding is known, and the families that they are of."""


@dataclass(frozen=True)
class Norm:
    """Division by the root mean square over the last dimension, and factors.

    Attributes:
        factors: In float32, of the last dimensions; what a family adds to its weights is in it.
        eps: Added to the mean square.
    """

    factors: torch.Tensor
    eps: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Compute in float32; return in the precision of `x`."""
        wide = x.float()
        # In the order of transformers' modules, so that both round alike.
        scale = wide.square().mean(-1, keepdim=True).add_(self.eps).rsqrt_()
        return (wide * scale).mul_(self.factors).to(x.dtype)


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        qkv, out, gate_up, down: Its products, and for each the modules that it joins, in which
            adapters are.
        before_attention, before_feed: Norms of what goes in.
        after_attention, after_feed: Norms of what comes out, None where there are none.
        heads: Norm of queries and keys, `[query and key heads, d]`, None where there is none.
        scaling: Factor of the scores.
        window: Tokens that a query sees, itself included, None for all.
        kind: Which of the model's rotations it takes.
        activation: Of the gate.
    """

    qkv: tuple[Product, list[Module]]
    out: tuple[Product, list[Module]]
    gate_up: tuple[Product, list[Module]]
    down: tuple[Product, list[Module]]
    before_attention: Norm
    after_attention: Norm | None
    before_feed: Norm
    after_feed: Norm | None
    heads: Norm | None
    scaling: float
    window: int | None
    kind: str | None
    activation: Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Frozen:
    """All that decoding computes with, but the adapters.

    Attributes:
        layers: The layers.
        embed: Token ids `[rows]` to hidden states `[rows, d]`.
        rotations: Positions `[rows, 1]` and a layer's kind to cosines and sines `[rows, 1, d]`.
        norm: The last one.
        query_heads, key_heads, width: Heads, and the numbers in one.
    """

    layers: list[Layer]
    embed: Module
    rotations: Callable[[torch.Tensor, str | None], tuple[torch.Tensor, torch.Tensor]]
    norm: Norm
    query_heads: int
    key_heads: int
    width: int


class UnknownFamilyError(Exception):
    """A model that only its own code can compute; says why."""


def freeze(model: PreTrainedModel, packed: bool) -> Frozen:
    """Read a model.

    Args:
        model: With or without adapters in its linear layers.
        packed: Hold its weights once more, packed, if there is memory for that.

    Raises:
        UnknownFamilyError: The model is of no family that is known here.
    """
    inner: Any = model.base_model
    config = model.config
    family = FAMILIES.get(type(inner).__name__)
    if family is None or type(inner).__module__.split(".")[0] != "transformers":
        raise UnknownFamilyError(
            f"{type(inner).__name__} is none of {', '.join(FAMILIES.values())}"
        )
    if getattr(config, "use_bidirectional_attention", False):
        raise UnknownFamilyError(f"this {family} looks at later tokens")
    size = sum(m.weight.nbytes for m in inner.layers.modules() if type(m) is Linear)
    packed = packed and has_room(size, "decoding")
    try:
        layers = [_layer(layer, family, packed) for layer in inner.layers]
        first = inner.layers[0].self_attn
        return Frozen(
            layers,
            inner.embed_tokens,
            _rotations(inner),
            _norm(inner.norm, family),
            config.num_attention_heads,
            config.num_key_value_heads,
            first.head_dim,
        )
    except (AttributeError, TypeError) as error:  # a version of transformers with other names
        raise UnknownFamilyError(f"this {family} has other parts than known: {error}") from error


def _layer(layer: Any, family: str, packed: bool) -> Layer:
    attention, feed = layer.self_attn, layer.mlp
    gemma = family == "Gemma 3"
    heads = None
    if family != "Llama":
        norms = [_norm(norm, family) for norm in (attention.q_norm, attention.k_norm)]
        counts = [module.weight.shape[0] // attention.head_dim
                  for module in (attention.q_proj, attention.k_proj)]  # fmt: skip
        rows = [n.factors.expand(count, -1) for n, count in zip(norms, counts, strict=True)]
        heads = Norm(torch.cat(rows), norms[0].eps)
    return Layer(
        _product([attention.q_proj, attention.k_proj, attention.v_proj], packed),
        _product([attention.o_proj], packed),
        _product([feed.gate_proj, feed.up_proj], packed),
        _product([feed.down_proj], packed),
        _norm(layer.input_layernorm, family),
        _norm(layer.post_attention_layernorm, family) if gemma else None,
        _norm(layer.pre_feedforward_layernorm if gemma else layer.post_attention_layernorm, family),
        _norm(layer.post_feedforward_layernorm, family) if gemma else None,
        heads,
        attention.scaling,
        getattr(attention, "sliding_window", None),
        attention.layer_type if gemma else None,
        feed.act_fn,
    )


def _product(modules: list[Module], packed: bool) -> tuple[Product, list[Module]]:
    bare: list[Any] = [getattr(module, "base_layer", module) for module in modules]
    for layer in bare:
        if type(layer) is not Linear:
            raise UnknownFamilyError(f"a layer is {type(layer).__name__}, not a plain product")
    return Product(bare, packed), modules


def _norm(module: Any, family: str) -> Norm:
    weight = module.weight.detach().float()
    if family == "Gemma 3":
        return Norm(1.0 + weight, module.eps)
    return Norm(weight, module.variance_epsilon)


def _rotations(inner: Any) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    like = inner.embed_tokens.weight  # says the precision

    def rotations(positions: torch.Tensor, kind: str | None) -> tuple[torch.Tensor, torch.Tensor]:
        return inner.rotary_emb(like, positions, *(() if kind is None else (kind,)))

    return rotations
