"""Drawing replies token by token, together for all that is the same.

Replies to one prompt begin alike more often than not: several rollouts of a question, the votes
of self-consistency. As long as what stands before the next token is the same, so are hidden state
and key-values, and they are computed once. A row of the computation forks where its replies go
apart, and ends with them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import numpy as np
import torch
from transformers import PreTrainedModel

from neuromas_env.agents.engines.forward.adapters import AdapterSet
from neuromas_env.agents.engines.forward.kv_cache import cache_argument, make_room
from neuromas_env.agents.engines.forward.lm_head import draw
from neuromas_env.agents.engines.forward.prefix import Running
from neuromas_env.policy import Request

ROOM = 256  # tokens of a reply for which the cache has room from the start

Drawn = tuple[list[int], list[float]]
"""The tokens of a reply and their log-probabilities."""


class Pass(Protocol):
    """A computation that goes on from computed prompts, a token of each row at a time."""

    def step(self, parents: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
        """Compute one more token of each row.

        Args:
            parents: For each row from now on, the row before this step that it goes on from.
            tokens: The token of each.

        Returns:
            Last layer's hidden states `[rows, d]`.
        """
        ...


class LibraryPass:
    """Decoding by transformers' own model: the reference, for every family and device."""

    def __init__(
        self,
        model: PreTrainedModel,
        adapters: AdapterSet,
        state: Running,
        names: Sequence[str | None],
        room: int,
    ) -> None:
        """Take over what is computed, with room for so many more tokens."""
        assert state.cache is not None  # `run` keeps one unless it is told otherwise
        self._model, self._adapters, self._cache = model, adapters, state.cache
        self._mask, self._lengths, self._names = state.mask, state.lengths, list(names)
        make_room(self._cache, room)
        adapters.select(self._names)

    def step(self, parents: Sequence[int], tokens: Sequence[int]) -> torch.Tensor:
        """Compute one more token of each row; see `Pass`."""
        device = self._model.device
        if list(parents) != list(range(len(self._names))):
            index = torch.tensor(parents, device=device)
            self._cache.batch_select_indices(index)
            self._mask, self._lengths = self._mask[index], self._lengths[index]
            self._names = [self._names[row] for row in parents]
            self._adapters.select(self._names)
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)
        hidden = self._model.base_model(
            input_ids=torch.tensor(tokens, device=device)[:, None],
            attention_mask=self._mask,
            position_ids=self._lengths[:, None],
            **cache_argument(self._model, self._cache),
            use_cache=True,
        ).last_hidden_state
        self._lengths = self._lengths + 1
        return hidden[:, -1]


def decode(
    begin: Callable[[], Pass],
    logits: Callable[[torch.Tensor], torch.Tensor],
    hidden: torch.Tensor,
    requests: Sequence[Request],
    rows: Sequence[int],
    end_ids: Collection[int],
) -> list[Drawn]:
    """Draw a reply to each request; every draw uses the request's own random stream.

    Args:
        begin: Makes what computes what follows the prompts, if anything does.
        logits: Next-token logits `[rows, vocabulary]` of hidden states `[rows, d]`.
        hidden: Those at the prompts' last tokens.
        requests: What is asked, in the order of their rows.
        rows: For each request, the row of `hidden` that has computed its prompt. Those that share
            a row have the same adapter and temperature.
        end_ids: Tokens that end a reply.
    """
    device = hidden.device
    limits = [request.sampling.max_new_tokens for request in requests]
    uniforms = np.stack(
        [np.random.default_rng(request.seed).random(max(limits)) for request in requests]
    )
    drawn: list[Drawn] = [([], []) for _ in requests]
    alive, rows = list(range(len(requests))), list(rows)
    one_of = dict(zip(rows, requests, strict=True))
    heat = [one_of[row].sampling.temperature for row in range(len(hidden))]
    going_on: Pass | None = None
    for step in range(max(limits)):
        tokens, logprobs = draw(
            logits(hidden),
            torch.tensor(heat, device=device),
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
        parents, nexts = zip(*forks, strict=True)
        heat = [heat[row] for row in parents]
        alive, rows = going, places
        going_on = going_on or begin()
        hidden = going_on.step(parents, nexts)
    return drawn
