"""Compute shared prompt prefixes once.

The rows of a batch (token lists) share long beginnings: every prompt of a node
starts with the same words, every rollout of a question repeats the question.
`plan` cuts the rows into levels of a tree: what all rows of an adapter share,
what clusters of rows share beyond that, and the rest of each row. `run` computes
level by level, repeating the key-values of a parent for its children with the
graph kept, so the gradient is that of the plain computation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel

from neuromas_env.agents.engines.forward.adapters import AdapterSet
from neuromas_env.agents.engines.forward.kv_cache import cache_argument

Ids = Sequence[int]


@dataclass(frozen=True)
class Level:
    """One level of the tree.

    Attributes:
        ids: Token lists, possibly empty, one for each entry of this level.
        parents: For each entry, the index of its parent in the level before.
        adapters: For each entry, its adapter.
    """

    ids: list[Ids]
    parents: list[int]
    adapters: list[str | None]

    @property
    def width(self) -> int:
        """Length of the longest entry: what the others are padded to."""
        return max(map(len, self.ids))


def common_prefix(first: Ids, second: Ids) -> int:
    """Count the leading tokens that two lists share."""
    length = min(len(first), len(second))
    differs = np.not_equal(first[:length], second[:length])
    return int(differs.argmax()) if differs.any() else length


def clusters(shared: Sequence[int], base: int) -> list[int]:
    """Cut sorted rows into runs so that sharing each run's prefix saves the most tokens.

    Args:
        shared: `shared[i]` is the common prefix of sorted rows `i` and `i + 1`.
        base: Tokens that all rows share already.

    Returns:
        The start of each run. A run's prefix is the least of its `shared`; the
        best cut is found by dynamic programming over the end of the last run.
    """
    n = len(shared) + 1
    best = [0] + [-1] * n
    start = [0] * (n + 1)
    for end in range(1, n + 1):
        prefix = 1 << 30
        for first in range(end - 1, -1, -1):
            if first < end - 1:
                prefix = min(prefix, shared[first])
                if prefix <= base and best[end] >= 0:
                    break  # longer runs share nothing more
            saved = best[first] + ((end - first - 1) * (prefix - base) if first < end - 1 else 0)
            if saved > best[end]:
                best[end], start[end] = saved, first
    starts = []
    while n:
        n = start[n]
        starts.append(n)
    return starts[::-1]


def padded_tokens(levels: Sequence[Level]) -> int:
    """Count the tokens that `run` computes for these levels, padding included."""
    return sum(len(level.ids) * level.width for level in levels)


def distinct_tokens(levels: Sequence[Level]) -> int:
    """Count the tokens of these levels."""
    return sum(len(ids) for level in levels for ids in level.ids)


def plan(
    rows: Sequence[Ids],
    adapters: Sequence[str | None],
    keep: Sequence[int],
    share: bool = True,
    size: Callable[[Sequence[Level]], int] = padded_tokens,
) -> tuple[list[Level], list[int]]:
    """Cut rows into levels.

    Args:
        rows: Token lists.
        adapters: The adapter of each row.
        keep: How many tokens at the end of each row must stay in its own last level.
        share: False puts whole rows into a single level, as does a batch in which sharing
            saves nothing.
        size: What is to be saved.

    Returns:
        The levels, and the order: entry `i` of the last level is row `order[i]`.
    """
    order = sorted(range(len(rows)), key=lambda i: (adapters[i] or "", tuple(rows[i])))
    entries = [rows[i] for i in order]
    plain = [Level(entries, [0] * len(order), [adapters[i] for i in order])]
    if not share:
        return plain, order
    head = [rows[i][: len(rows[i]) - keep[i]] for i in order]
    names = [adapters[i] for i in order]
    blocks = []  # the rows of an adapter: where they begin and end, and how they share
    for name in dict.fromkeys(names):
        first, last = names.index(name), names.index(name) + names.count(name)
        block = head[first:last]
        shared = [common_prefix(a, b) for a, b in zip(block, block[1:], strict=False)]
        base = min(shared, default=len(block[0]))
        starts = clusters(shared, base) if max(shared, default=0) > base else [0]
        blocks.append((first, last, shared, base, starts))
    # What only one cluster has would lengthen the trunk, and so the padding, of all adapters.
    longest = max((base for *_, base, starts in blocks if len(starts) > 1), default=1 << 30)
    trunk, branch, leaf = (Level([], [], []) for _ in range(3))
    for first, last, shared, own, starts in blocks:
        base, block = min(own, longest), head[first:last]
        for begin, end in zip(starts, [*starts[1:], last - first], strict=True):
            until = min(shared[begin : end - 1], default=own)
            leaf.ids.extend(rows[i][until:] for i in order[first + begin : first + end])
            leaf.parents.extend([len(branch.ids)] * (end - begin))
            branch.ids.append(block[begin][base:until])
            branch.parents.append(len(trunk.ids))
            branch.adapters.append(names[first])
        trunk.ids.append(block[0][:base])
        trunk.parents.append(0)
        trunk.adapters.append(names[first])
    leaf.adapters.extend(names)
    tree = [trunk, branch, leaf]
    return (tree if size(tree) < size(plain) else plain), order


@dataclass
class Running:
    """Where a computation stands, so that decoding can go on from it.

    Attributes:
        hidden: Last layer's output for the last level, `[rows, width, d]`.
        cache: Key-values of all levels, None without sharing in training.
        mask: Attention mask `[rows, tokens]` over the cache, 0 on padding.
        lengths: Tokens of each row without padding, `[rows]`.
    """

    hidden: torch.Tensor
    cache: DynamicCache | None
    mask: torch.Tensor
    lengths: torch.Tensor


def run(
    model: PreTrainedModel, adapters: AdapterSet, levels: Sequence[Level], use_cache: bool = True
) -> Running:
    """Compute the hidden states of the last level, level by level.

    Padding stands on the left of each level, so that the last tokens of all rows
    are aligned; positions count real tokens only.
    """
    device = model.device
    cache = DynamicCache(config=model.config) if use_cache else None
    mask = torch.zeros(1, 0, dtype=torch.long, device=device)
    lengths = torch.zeros(1, dtype=torch.long, device=device)
    hidden = torch.zeros(0)
    for level in levels:
        parents = torch.tensor(level.parents, device=device)
        if cache is not None and mask.shape[1]:
            cache.batch_select_indices(parents)
        mask, lengths = mask[parents], lengths[parents]
        width = level.width
        if not width:
            continue
        ids = torch.zeros(len(level.ids), width, dtype=torch.long)
        own = torch.zeros(len(level.ids), width, dtype=torch.long)
        for row, entry in enumerate(level.ids):
            if len(entry):
                ids[row, width - len(entry) :] = torch.as_tensor(entry)
                own[row, width - len(entry) :] = 1
        own = own.to(device)
        mask = torch.cat([mask, own], dim=1)
        positions = lengths[:, None] + (own.cumsum(1) - 1).clamp(min=0)
        lengths = lengths + own.sum(1)
        adapters.select(level.adapters)
        hidden = model.base_model(
            input_ids=ids.to(device),
            attention_mask=mask,
            position_ids=positions,
            **cache_argument(model, cache),
            use_cache=use_cache,
        ).last_hidden_state
    return Running(hidden, cache, mask, lengths)
