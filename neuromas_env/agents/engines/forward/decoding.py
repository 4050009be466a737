"""Drawing replies token by token, together for all that is the same.

Replies to one prompt begin alike more often than not: several rollouts of a question, the votes
of self-consistency. As long as what stands before the next token is the same, so are hidden state
and key-values, and they are computed once. A row of the computation forks where its replies go
apart, and ends with them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from neuromas_env.agents.engines.forward.adapters import AdapterSet
from neuromas_env.agents.engines.forward.kv_cache import cache_argument, make_room
from neuromas_env.agents.engines.forward.lm_head import draw
from neuromas_env.agents.engines.forward.prefix import Running
from neuromas_env.policy import Request

_ROOM = 256  # tokens of a reply for which the cache has room from the start

Drawn = tuple[list[int], list[float]]
"""The tokens of a reply and their log-probabilities."""


def decode(
    model: PreTrainedModel,
    adapters: AdapterSet,
    logits: Callable[[torch.Tensor], torch.Tensor],
    state: Running,
    requests: Sequence[Request],
    rows: Sequence[int],
    end_ids: Collection[int],
) -> list[Drawn]:
    """Draw a reply to each request; every draw uses the request's own random stream.

    Args:
        model: What computes hidden states.
        adapters: Its adapters; those of the requests are loaded.
        logits: Next-token logits `[rows, vocabulary]` of hidden states `[rows, d]`.
        state: Where the prompts' computation stands. Its cache is used up.
        requests: What is asked, in the order of their rows.
        rows: For each request, the row of `state` that has computed its prompt. Those that share
            a row have the same adapter and temperature.
        end_ids: Tokens that end a reply.
    """
    device = model.device
    limits = [request.sampling.max_new_tokens for request in requests]
    uniforms = np.stack(
        [np.random.default_rng(request.seed).random(max(limits)) for request in requests]
    )
    drawn: list[Drawn] = [([], []) for _ in requests]
    alive, rows = list(range(len(requests))), list(rows)
    hidden, cache, mask, lengths = state.hidden, state.cache, state.mask, state.lengths
    assert cache is not None  # `run` keeps one unless it is told otherwise
    make_room(cache, min(max(limits), _ROOM))
    one_of = dict(zip(rows, requests, strict=True))
    heads = [one_of[row] for row in range(len(lengths))]
    temperature = torch.tensor([head.sampling.temperature for head in heads], device=device)
    names = [head.adapter for head in heads]
    adapters.select(names)
    for step in range(max(limits)):
        tokens, logprobs = draw(
            logits(hidden[:, -1]),
            temperature,
            torch.from_numpy(uniforms[alive, step]).to(device),
            torch.tensor(rows, device=device),
        )
        forks: dict[tuple[int, int], int] = {}  # row and next token to the row that goes on
        going, places = [], []
        drawing = zip(alive, rows, tokens.tolist(), logprobs.tolist(), strict=True)
        for request, row, token, logprob in drawing:
            drawn[request][0].append(token)
            drawn[request][1].append(logprob)
            if token not in end_ids and len(drawn[request][0]) < limits[request]:
                going.append(request)
                places.append(forks.setdefault((row, token), len(forks)))
        if not going:
            break
        parents = [row for row, _ in forks]
        if parents != list(range(len(lengths))):
            index = torch.tensor(parents, device=device)
            cache.batch_select_indices(index)
            mask, lengths, temperature = mask[index], lengths[index], temperature[index]
            names = [names[row] for row in parents]
            adapters.select(names)
        alive, rows = going, places
        mask = torch.cat([mask, mask.new_ones(len(forks), 1)], dim=1)
        hidden = model.base_model(
            input_ids=torch.tensor([[token] for _, token in forks], device=device),
            attention_mask=mask,
            position_ids=lengths[:, None],
            **cache_argument(model, cache),
            use_cache=True,
        ).last_hidden_state
        lengths = lengths + 1
    return drawn
