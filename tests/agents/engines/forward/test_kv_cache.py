"""A cache with room holds what transformers' own does."""

import pytest
import torch
from transformers import DynamicCache

from neuromas_env.agents.engines.forward.kv_cache import RoomyLayer, make_room

ROWS, HEADS, WIDTH = 4, 2, 8


def states(seed, tokens, rows=ROWS):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(rows, HEADS, tokens, WIDTH, generator=generator) for _ in "kv"]


@pytest.mark.parametrize("room", [1, 3, 100])
def test_it_holds_what_a_joined_cache_does(room):
    caches = [DynamicCache(), DynamicCache()]
    rows = ROWS
    for cache in caches:
        cache.update(*states(0, 5), 0)
    make_room(caches[1], room)
    assert type(caches[1].layers[0]) is RoomyLayer
    for step in range(1, 8):
        if step == 4:  # rows that are done leave
            for cache in caches:
                cache.batch_select_indices(torch.tensor([3, 1]))
            rows = 2
        plain, roomy = (cache.update(*states(step, 1, rows), 0) for cache in caches)
        assert all(torch.equal(a, b) for a, b in zip(plain, roomy, strict=True))
        assert caches[0].get_seq_length() == caches[1].get_seq_length() == 5 + step
