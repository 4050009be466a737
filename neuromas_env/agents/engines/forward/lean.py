"""A decoding pass of few operations, for the families of `families`.

transformers' modules are written to be read and to compute anything; in a decoding step of a few
rows, what they spend between the products is as much as the products. Here a layer is about twenty
operations: queries, keys and values in one product, gate and up in another, residual sums in the
products themselves, all adapters of a product in two batched ones, and keys and values written
into one buffer that is allocated once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import Module

from neuromas_env.agents.engines.forward.adapters import AdapterSet
from neuromas_env.agents.engines.forward.families import Frozen, Layer
from neuromas_env.agents.engines.forward.prefix import Running
from neuromas_env.agents.engines.forward.products import Product

_COPIED = {torch.bfloat16}  # precisions in which a batched product copies what has gaps
_BLOCK = 32  # tokens by which the buffers grow there

Joined = tuple[torch.Tensor, torch.Tensor] | None
"""Low-rank matrices: down `[adapters, inputs, ranks]`, up `[adapters, ranks, width]`."""


class LeanPass:
    """Decoding that goes on from computed prompts.

    A row's key-values stay in one place of the buffers, whatever the order of the rows: where a row
    ends, the last place moves into its, and where one forks, the copy is put behind the others.

    oneDNN, which multiplies in bfloat16, copies what has gaps before each product: all keys, if
    there is room behind those of a row. So there the whole buffer takes part, with what is not
    written yet hidden, and grows by a block at a time.
    """

    def __init__(
        self,
        frozen: Frozen,
        adapters: AdapterSet,
        state: Running,
        names: Sequence[str | None],
        rows: int,
        room: int,
    ) -> None:
        """Take over what is computed.

        Args:
            frozen: The base.
            adapters: Those of the rows are loaded.
            state: Of the prompts, one row each.
            names: The adapter of each row.
            rows: The most that there will be at once.
            room: Tokens for which there is room from the start.
        """
        self._frozen = frozen
        assert state.cache is not None
        cached: list[Any] = state.cache.layers
        first: torch.Tensor = cached[0].keys
        count, self._length = len(first), first.shape[2]
        self._most = max(rows, count)
        self._whole = first.dtype in _COPIED
        self._room = _BLOCK if self._whole else room
        self._kv = [self._roomier((layer.keys, layer.values)) for layer in cached]
        self._places = list(range(count))
        self._names = list(names)
        self._positions = state.lengths.clone()
        self._starts = self._length - state.lengths
        self._used = list(dict.fromkeys(names))
        self._joined: list[list[Joined]] = [
            [adapters.joined(modules, self._used) for _, modules in _products(layer)]
            for layer in frozen.layers
        ]
        self._none = first.new_zeros(1, 1, 1)
        self._arrange()

    def step(self, parents: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
        """Compute one more token of each row.

        Args:
            parents: For each row from now on, the row before this step that it goes on from.
            tokens: The token of each.

        Returns:
            Last layer's hidden states `[rows, d]`.
        """
        if list(parents) != list(range(len(self._places))):
            self._take(parents)
        if self._length == self._kv[0].shape[3]:
            self._kv = [self._roomier(tuple(kv[:, : len(tokens)])) for kv in self._kv]
        in_order = self._places == list(range(len(tokens)))
        device = self._starts.device
        ids = torch.tensor(tokens, device=device)
        places = torch.tensor(self._places, device=device)
        if not in_order:
            ids = torch.empty_like(ids).index_copy_(0, places, ids)
        x = self._frozen.embed(ids)
        turns = {layer.kind: self._turn(layer.kind) for layer in self._frozen.layers}
        biases = {layer.window: self._bias(layer.window) for layer in self._frozen.layers}
        for layer, kv, joined in zip(self._frozen.layers, self._kv, self._joined, strict=True):
            x = self._layer(layer, joined, x, kv, turns[layer.kind], biases[layer.window])
        self._positions = self._positions + 1
        self._length += 1
        x = self._frozen.norm(x)
        return x if in_order else x[places]

    def _layer(
        self,
        layer: Layer,
        joined: list[Joined],
        x: torch.Tensor,
        kv: torch.Tensor,
        turn: tuple[torch.Tensor, torch.Tensor],
        bias: torch.Tensor | None,
    ) -> torch.Tensor:
        rows, at, frozen = len(x), self._length, self._frozen
        width, groups = frozen.width, frozen.key_heads
        asking = frozen.query_heads * width
        qkv = self._product(layer.qkv[0], joined[0], layer.before_attention(x))
        heads = qkv[:, : asking + groups * width].view(rows, -1, width)
        plain = heads if layer.heads is None else layer.heads(heads)
        cosines, sines = turn
        torch.addcmul(plain.roll(width // 2, -1).mul_(sines), plain, cosines, out=heads)
        kv[:, :rows, :, at] = qkv[:, asking:].view(rows, 2, groups, width).transpose(0, 1)
        keys, values = (part[:rows, :, : self._shown()].flatten(0, 1) for part in kv)
        queries = qkv[:, :asking].reshape(rows * groups, -1, width)
        scores = torch.baddbmm(
            self._none if bias is None else bias,
            queries,
            keys.transpose(1, 2),
            beta=0 if bias is None else 1,
            alpha=layer.scaling,
        )
        seen = torch.bmm(scores.softmax(-1), values).view(rows, asking)
        x = self._added(layer.out[0], joined[1], seen, x, layer.after_attention)
        gates = self._product(layer.gate_up[0], joined[2], layer.before_feed(x))
        gate, up = gates.chunk(2, 1)
        fed = layer.activation(gate).mul_(up)
        return self._added(layer.down[0], joined[3], fed, x, layer.after_feed)

    def _added(
        self, product: Product, joined: Joined, x: torch.Tensor, before: torch.Tensor, norm: object
    ) -> torch.Tensor:
        """Add a product, behind a norm if there is one, to what was before."""
        if norm is None:
            return self._product(product, joined, x, before)
        assert callable(norm)
        return norm(self._product(product, joined, x)).add_(before)

    def _product(
        self, product: Product, joined: Joined, x: torch.Tensor, plus: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Multiply with a frozen weight and each row's adapter."""
        out = product(x, plus)
        if joined is None:
            return out
        down, up = joined
        count = len(self._used)
        if self._gather is None:
            low = torch.bmm(x.view(count, -1, x.shape[1]), down)
            out.view(count, -1, out.shape[1]).baddbmm_(low, up)
            return out
        rows = x.index_select(0, self._gather).view(count, -1, x.shape[1])
        delta = torch.bmm(torch.bmm(rows, down), up).flatten(0, 1)
        return out.add_(delta.index_select(0, self._back))

    def _turn(self, kind: str | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines `[rows, 1, d]`, the sines signed for halves that change places."""
        cosines, sines = self._frozen.rotations(self._positions[:, None], kind)
        half = sines.shape[-1] // 2
        return cosines, torch.cat([-sines[..., :half], sines[..., half:]], -1)

    def _bias(self, window: int | None) -> torch.Tensor | None:
        """What is added to scores `[rows * key heads, 1, tokens]`, None where all is seen."""
        tokens, shown = self._length + 1, self._shown()
        if not self._padded and (window is None or window >= tokens) and shown == tokens:
            return None
        first = self._starts if window is None else self._starts.clamp(min=tokens - window)
        places = torch.arange(shown, device=first.device)
        hidden = (places < first[:, None]) | (places >= tokens)
        bias = torch.zeros(hidden.shape, dtype=self._none.dtype, device=first.device)
        bias.masked_fill_(hidden, torch.finfo(bias.dtype).min)
        return bias.repeat_interleave(self._frozen.key_heads, 0)[:, None]

    def _shown(self) -> int:
        """Return how many tokens scores are computed for, this one among them."""
        return self._kv[0].shape[3] if self._whole else self._length + 1

    def _roomier(self, states: Sequence[torch.Tensor]) -> torch.Tensor:
        """Copy keys and values `[rows, heads, tokens, d]` into a buffer with more room.

        Pages of it that nothing is written to take no memory.
        """
        rows, heads, tokens, width = states[0].shape
        room = self._room - tokens % _BLOCK if self._whole else self._room
        buffer = states[0].new_empty(2, self._most, heads, tokens + room, width)
        for part, known in zip(buffer, states, strict=True):
            part[:rows, :, :tokens] = known
            if self._whole:  # hidden, but a product with what is no number is none either
                part[:rows, :, tokens:] = 0
        return buffer

    def _take(self, parents: Sequence[int]) -> None:
        """Keep, copy and drop rows."""
        count = len(parents)
        sources = [self._places[row] for row in parents]
        free = iter(sorted(set(range(count)) - set(sources)))
        places: list[int] = []
        for source in sources:
            stays = source < count and source not in places
            places.append(source if stays else next(free))
        moves = [(s, p) for s, p in zip(sources, places, strict=True) if s != p]
        if 2 * len(moves) > count:  # then all move, so that those of an adapter stand together
            places, moves = list(range(count)), list(zip(sources, range(count), strict=True))
        if moves:
            taken, put = (torch.tensor(side, device=self._starts.device)
                          for side in zip(*moves, strict=True))  # fmt: skip
            written = self._kv[0].shape[3] if self._whole else self._length
            for kv in self._kv:
                kv[:, put, :, :written] = kv[:, taken, :, :written]
        into = dict(zip(places, sources, strict=True))
        order = torch.tensor([into[place] for place in range(count)], device=self._starts.device)
        self._positions, self._starts = self._positions[order], self._starts[order]
        self._names = [self._names[into[place]] for place in range(count)]
        self._places = places
        self._arrange()

    def _arrange(self) -> None:
        """Say how the rows of an adapter are put together, and whether there is padding."""
        self._padded = bool(self._starts.any())
        own = [[i for i, name in enumerate(self._names) if name == used] for used in self._used]
        widest = max(map(len, own))
        self._gather: torch.Tensor | None = None
        if [i for rows in own for i in rows] == list(range(widest * len(own))):
            return
        device = self._starts.device
        self._gather = torch.tensor(
            [i for rows in own for i in rows + [0] * (widest - len(rows))], device=device
        )
        back = {i: k * widest + j for k, rows in enumerate(own) for j, i in enumerate(rows)}
        self._back = torch.tensor([back[i] for i in range(len(self._names))], device=device)


def _products(layer: Layer) -> tuple[tuple[Product, list[Module]], ...]:
    return layer.qkv, layer.out, layer.gate_up, layer.down
