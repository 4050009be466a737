"""Passes without padding: a batch as one row of tokens, shared ones once.

All parts of a transformer but attention look at one token at a time. So the segments into which
`prefix.plan` cuts the rows of a batch lie behind one another, in one row, and go through the
model in one pass. Attention alone takes them apart (`attention.packable`): it lays segments of
like sizes side by side, each with all that stands before it, and pads them there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from neuromas_env.agents.engines.forward.adapters import AdapterSet
from neuromas_env.agents.engines.forward.kv_cache import cache_argument
from neuromas_env.agents.engines.forward.prefix import Level, Running


@dataclass(frozen=True)
class Group:
    """Segments of like sizes, padded on the right.

    Attributes:
        queries: Where their tokens stand in the row, `[segments, T]`.
        keys: Where all that they may look at stands, themselves included, in order of
            position, `[segments, L]`.
        positions: Of the queries, `[segments, T]`.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    positions: torch.Tensor
    _masks: dict[int | None, torch.Tensor] = field(default_factory=dict)

    def mask(self, window: int | None, dtype: torch.dtype) -> torch.Tensor:
        """Return the additive mask `[segments, 1, T, L]`: no later tokens, none out of the window.

        Every layer of a pass asks for it, so it is kept.
        """
        if window not in self._masks:
            places = torch.arange(self.keys.shape[1], device=self.keys.device)
            distance = self.positions[:, None, :, None] - places
            hidden = distance < 0 if window is None else (distance < 0) | (distance >= window)
            zeros = torch.zeros(distance.shape, dtype=dtype, device=distance.device)
            self._masks[window] = zeros.masked_fill_(hidden, torch.finfo(dtype).min)
        return self._masks[window]


@dataclass(frozen=True)
class Packed:
    """A batch as one row of tokens.

    Attributes:
        ids: `[1, tokens]`.
        positions: `[1, tokens]`.
        adapters: The adapter of each token; those of an adapter stand together.
        groups: How attention takes the row apart.
        back: Where each token stands in the queries of all groups, group by group, `[tokens]`.
        paths: For each entry of the last level, where it and all that stands before it stand.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    adapters: list[str | None]
    groups: list[Group]
    back: torch.Tensor
    paths: list[np.ndarray]


def pack(levels: Sequence[Level], device: torch.device) -> Packed:
    """Lay the segments of a tree behind one another."""
    order = sorted(
        (name or "", depth, entry)
        for depth, level in enumerate(levels)
        for entry, name in enumerate(level.adapters)
    )
    paths: dict[tuple[int, int], np.ndarray] = {}  # places of a segment and of what is before it
    alike: dict[tuple[int, int], list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
    ids: list[int] = []
    adapters: list[str | None] = []
    for _, depth, entry in order:
        level, start = levels[depth], len(ids)
        ids.extend(level.ids[entry])
        own = np.arange(start, len(ids))
        before = paths[depth - 1, level.parents[entry]] if depth else own[:0]
        path = paths[depth, entry] = np.concatenate([before, own])
        adapters.extend([level.adapters[entry]] * len(own))
        if len(own):
            # Within a factor of two in both sizes, padding in attention stays small.
            alike[len(own).bit_length(), len(path).bit_length()].append((own, path))
    positions, back, groups, total = np.zeros(len(ids), int), np.zeros(len(ids), int), [], 0
    for segments in alike.values():
        width = max(len(own) for own, _ in segments)
        first = [len(path) - len(own) for own, path in segments]
        for start, (own, _) in zip(first, segments, strict=True):
            positions[own] = np.arange(start, start + len(own))
            back[own] = np.arange(total, total + len(own))
            total += width
        queries, keys = (
            pad_sequence([torch.from_numpy(places) for places in side], batch_first=True)
            for side in zip(*segments, strict=True)
        )
        place = torch.tensor(first)[:, None] + torch.arange(width)
        groups.append(Group(queries.to(device), keys.to(device), place.to(device)))
    last = len(levels) - 1
    return Packed(
        torch.tensor(ids, device=device)[None],
        torch.from_numpy(positions).to(device)[None],
        adapters,
        groups,
        torch.from_numpy(back).to(device),
        [paths[last, entry] for entry in range(len(levels[last].ids))],
    )


def run(
    model: PreTrainedModel,
    adapters: AdapterSet,
    packed: Packed,
    cache: DynamicCache | None = None,
) -> torch.Tensor:
    """Compute the last layer's hidden states `[tokens, d]` of a batch; fill an empty cache."""
    adapters.select(packed.adapters)
    return model.base_model(
        input_ids=packed.ids,
        position_ids=packed.positions,
        # A mask of four dimensions is passed on as it is; attention takes that of the groups.
        attention_mask=packed.ids.new_zeros(1, 1, 1, 1),
        **cache_argument(model, cache),
        use_cache=cache is not None,
        packed=packed,
    ).last_hidden_state[0]


def prefill(model: PreTrainedModel, adapters: AdapterSet, levels: Sequence[Level]) -> Running:
    """Compute prompts, so that decoding can go on from them.

    Returns:
        Hidden states of the last tokens alone, `[prompts, 1, d]`, and a cache with a row for
        each prompt, padded on the left.
    """
    device = model.device
    packed, cache = pack(levels, device), DynamicCache()
    hidden = run(model, adapters, packed, cache)
    paths = [torch.from_numpy(path) for path in packed.paths]
    places = pad_sequence(paths, batch_first=True, padding_side="left").to(device)
    lengths = torch.tensor([len(path) for path in paths], device=device)
    backwards = torch.arange(places.shape[1] - 1, -1, -1, device=device)
    for layer in cache.layers:
        assert isinstance(layer, DynamicLayer)  # as in every cache without a configuration
        assert layer.keys is not None and layer.values is not None
        layer.keys, layer.values = (
            states[0].transpose(0, 1)[places].transpose(1, 2)
            for states in (layer.keys, layer.values)
        )
    mask = (backwards < lengths[:, None]).long()
    return Running(hidden[places[:, -1:]], cache, mask, lengths)
