"""From hidden states to tokens and their log-probabilities.

The vocabulary is by far the widest dimension of a small model. What is computed over it
is kept short-lived: fresh memory costs more here than arithmetic.

Logits are in float32 whatever the precision of the model. In bfloat16 those of the likeliest
tokens, at 20 or so, are multiples of an eighth: tokens tie, and answers become worse. Of 128 test
questions of `hierarchy/max` the untrained `2-1` of `smollm2-135m` has 52 right then, and 63 this
way, as in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import Linear
from torch.nn.functional import pad
from transformers import PreTrainedModel

from neuromas_env.agents.engines.forward.products import TwoWay, has_room

_PIECE = 128  # tokens: their logits stay in a CPU's cache
_BLOCK = 256  # tokens of the vocabulary


class Head:
    """The frozen head of a model.

    Attributes:
        plain: Whether logits are one product with a matrix.
    """

    def __init__(self, model: PreTrainedModel, packed: bool) -> None:
        """Read a model's head; hold its weight packed where asked to."""
        layer: Any = model.get_output_embeddings()
        self._cap = getattr(model.config, "final_logit_softcapping", None)
        self.product, self.plain = layer, False
        if type(layer) is Linear:
            # At most its float32 copy, twice as large as bfloat16, and its transpose.
            packed = packed and has_room(3 * layer.weight.nbytes, "the head")
            self.product = TwoWay(layer, packed, wide=True)
            self.plain = layer.bias is None and not self._cap

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """Compute logits `[tokens, vocabulary]` in float32 of hidden states `[tokens, d]`."""
        logits = self.product(hidden).float()
        return torch.tanh(logits / self._cap) * self._cap if self._cap else logits


class _ChosenLogprobs(torch.autograd.Function):
    """Log-probability of each token's target, and the entropy, which gets no gradient.

    The gradient with respect to the hidden state, (onehot - p) W / temperature, is taken in
    the forward pass, where the probabilities of the piece are known, so no logits are kept.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        head: TwoWay,
        targets: torch.Tensor,
        temperature: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        size = _PIECE if hidden.device.type == "cpu" else 8 * _PIECE
        slope = torch.empty_like(hidden)
        chosen = torch.empty(len(hidden), device=hidden.device)
        entropy = torch.empty_like(chosen)
        room = chosen.new_empty(min(size, len(hidden)), head.width)  # the memory of all pieces
        for first in range(0, len(hidden), size):
            cut = slice(first, first + size)
            target = targets[cut, None]
            p, logp = head.there(hidden[cut]), room[: len(target)]
            if temperature != 1:
                p.div_(temperature)
            torch.log_softmax(p, -1, out=logp)
            chosen[cut] = logp.gather(1, target)[:, 0]
            torch.exp(logp, out=p)
            entropy[cut] = -logp.mul_(p).sum(-1)
            rest = p.neg_().scatter_add_(1, target, torch.ones_like(p[:, :1]))
            torch.div(head.back(rest), temperature, out=slope[cut])
        ctx.save_for_backward(slope)
        ctx.mark_non_differentiable(entropy)
        return chosen, entropy

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor, _: torch.Tensor) -> Any:
        (slope,) = ctx.saved_tensors
        return gradient[:, None].to(slope.dtype) * slope, None, None, None


def chosen_logprobs(
    hidden: torch.Tensor, head: TwoWay, targets: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute log softmax(hidden @ weight.T / temperature) of given tokens.

    Args:
        hidden: `[tokens, d]`; gets a gradient from the log-probabilities.
        head: The frozen weight `[vocabulary, d]`.
        targets: `[tokens]`.
        temperature: Above 0.

    Returns:
        Log-probabilities of the targets `[tokens]`, and the entropy of each distribution
        in nats `[tokens]`, without gradient; both in float32.
    """
    return _ChosenLogprobs.apply(hidden, head, targets, temperature)  # type: ignore[return-value]


def draw(
    logits: torch.Tensor, temperature: torch.Tensor, uniform: torch.Tensor, rows: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw tokens by inverting the cumulative distributions; greedily at temperature 0.

    Args:
        logits: `[rows, vocabulary]` in float32.
        temperature: `[rows]`.
        uniform: `[draws]`, in `[0, 1)`, float64.
        rows: `[draws]`, the row that each is drawn from.

    Returns:
        Tokens `[draws]` and the logarithm of the probability of drawing them; of the
        unscaled distribution where decoding is greedy.
    """
    greedy = temperature == 0
    scale = torch.where(greedy, 1.0, temperature)
    p = (logits if bool((scale == 1).all()) else logits / scale[:, None]).softmax(-1)
    tokens = _invert(p, uniform, rows) if not bool(greedy.all()) else None
    if bool(greedy.any()):
        best = logits.argmax(-1)[rows]
        tokens = best if tokens is None else torch.where(greedy[rows], best, tokens)
    assert tokens is not None
    return tokens, p[rows, tokens].clamp(min=torch.finfo(p.dtype).tiny).log()


def _invert(p: torch.Tensor, uniform: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Find the token in which the cumulative distribution passes `uniform`.

    First the block of the vocabulary, then the token in it: a cumulative sum in float64
    over all of it would take longer than the head's matrix product.
    """
    blocks = pad(p, (0, -p.shape[1] % _BLOCK)).view(len(p), -1, _BLOCK)
    passed, inside = _locate(blocks.sum(-1).double()[rows], uniform[:, None])
    place, _ = _locate(blocks[rows, passed[:, 0]].double(), inside)
    return (passed * _BLOCK + place)[:, 0].clamp(max=p.shape[1] - 1)


def _locate(mass: torch.Tensor, fraction: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the place where a fraction of a row's mass is passed, and the fraction of it."""
    cumulative = mass.cumsum(-1)
    # Scaled by the sum, so that rounding can never lead beyond the last place.
    target = fraction * cumulative[:, -1:]
    place = torch.searchsorted(cumulative, target, right=True).clamp(max=mass.shape[1] - 1)
    own = mass.gather(1, place)
    return place, ((target - cumulative.gather(1, place) + own) / own).clamp(0, 1)
