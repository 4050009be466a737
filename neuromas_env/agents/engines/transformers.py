"""The engine over transformers and PEFT: batched generation and training passes.

Generation continues from computed prompts (`decoding`), training takes the log-probabilities of
given completions; both compute once what rows share, packed where the model can take that
(`packing`), else padded (`prefix`). Nothing is tokenised twice.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch.nn.functional import embedding
from torch.utils.checkpoint import checkpoint

from neuromas_env.agents.engines.base import Row, Scored
from neuromas_env.agents.engines.chat import ChatEncoder
from neuromas_env.agents.engines.forward import batches, packing, prefix
from neuromas_env.agents.engines.forward.adapters import AdapterSet
from neuromas_env.agents.engines.forward.attention import use_own_attention
from neuromas_env.agents.engines.forward.decoder import Decoder
from neuromas_env.agents.engines.forward.decoding import ROOM, decode
from neuromas_env.agents.engines.forward.lm_head import Head, chosen_logprobs
from neuromas_env.agents.engines.forward.oom import out_of_memory
from neuromas_env.agents.engines.forward.products import pack_layers
from neuromas_env.agents.engines.forward.recomputing import enable_recomputing, recomputing
from neuromas_env.agents.engines.forward.threads import chosen_threads, using
from neuromas_env.agents.engines.handover import ROUNDING, one_token
from neuromas_env.agents.engines.models import LoadedModel, end_ids
from neuromas_env.checks import Count, Positive, arguments
from neuromas_env.errors import InputError
from neuromas_env.policy import Completion, Cost, Engine, Request, Usage

_LIKE_LENGTH = 64  # tokens: prompts that are padded to one another differ by less
HEAD_TOKENS = 1024
"""Training computes logits for so many tokens at once, to bound the memory they take."""


@arguments
class TransformersEngine(Engine):
    """One frozen base model, an adapter per node.

    Attributes:
        model: The base model with its LoRA layers.
        adapters: The adapters.
        chat: Writes prompts and reads replies; `encode` is its.
        cost: What calls have cost so far.
        hands_over, rounding: See `TrainableEngine`.
    """

    hands_over = False

    def __init__(
        self,
        base: LoadedModel,
        *,
        rank: Count = 16,
        alpha: Positive = 32.0,
        targets: str | Sequence[str] = "all-linear",
        chunk_rows: Count = 128,
        token_budget: Count = 4096,
        gradient_checkpointing: bool = False,
        share_prefixes: bool = True,
        packed_weights: bool | None = None,
    ) -> None:
        """Prepare a loaded model.

        Args:
            base: The model; changed in place.
            rank: Of the adapters.
            alpha: Scale of the adapters is `alpha / rank`.
            targets: Linear layers that get an adapter.
            chunk_rows: Requests are answered in chunks of this size. Low-precision
                arithmetic depends on the batch, so it belongs to the configuration.
            token_budget: Tokens that one training micro-batch computes.
            gradient_checkpointing: Recompute activations in the backward pass; less
                memory, more time.
            share_prefixes: Compute what prompts have in common once.
            packed_weights: On a CPU, hold the base's weights three more times, packed for
                decoding, for prompts and for the gradient, if that takes at most half of the
                memory that is free. By default in bfloat16: in float32 packed products move
                log-probabilities by more than the rest of the pass does.
        """
        self.name, self.weights_hash = base.name, base.weights_hash
        self.model = base.model
        self._packs = use_own_attention(self.model)
        self._size = prefix.distinct_tokens if self._packs else prefix.padded_tokens
        self.adapters = AdapterSet(
            self.model, base_name=base.name, rank=rank, alpha=alpha, targets=targets
        )
        if packed_weights is None:
            packed_weights = self.model.dtype == torch.bfloat16
        packed_weights = packed_weights and self.device.type == "cpu"
        self._head = Head(self.model, packed_weights)
        if packed_weights:
            pack_layers(self.model.base_model)
        self._decoder = Decoder(self.model, self.adapters, packed_weights, self._packs)
        self.chat = ChatEncoder(
            base.tokenizer,
            base.name,
            end_ids=end_ids(self.model),
            context_length=getattr(self.model.config, "max_position_embeddings", None),
        )
        self.encode, self.encode_reply = self.chat.encode, self.chat.encode_reply
        self.cost = Cost()
        self.rounding = ROUNDING[self.model.dtype]
        self.versions = {name: version(name) for name in ("torch", "transformers", "peft")}
        self._chunk_rows, self._token_budget = chunk_rows, token_budget
        # Padding between levels costs training more than it saves, and would shift a sliding
        # window, which counts cache slots.
        sliding = "sliding_attention" in (getattr(self.model.config, "layer_types", None) or ())
        self._share = share_prefixes and (self._packs or not sliding)
        self._share_training = share_prefixes and self._packs
        self._recomputed = self.model.base_model.layers if gradient_checkpointing else ()
        if gradient_checkpointing:
            enable_recomputing(self.model)
        self._threads = chosen_threads(self.model) if self.device.type == "cpu" else None

    @property
    def device(self) -> torch.device:
        """Where it trains."""
        return self.model.device

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states."""
        return self.model.get_input_embeddings().weight.shape[1]

    @property
    def context_length(self) -> int | None:
        """Most tokens of a prompt with its reply."""
        return self.chat.context_length

    # --- generation -------------------------------------------------------------------

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests; the draws of each depend on its own seed alone.

        A prompt that leaves no room for the reply in the context is an error of that
        completion; the others are answered.

        Raises:
            InputError: The device has too little memory for so many requests at once.
        """
        results: list[Completion | None] = [None] * len(requests)
        prompts: dict[int, list[int]] = {}
        for index, request in enumerate(requests):
            ids = self.chat.encode(request.turns, request.replies)
            results[index] = self.chat.too_long(ids, request.sampling.max_new_tokens)
            if results[index] is None:
                prompts[index] = ids
        accepted = list(prompts)
        with torch.inference_mode(), self._loaded([r.adapter for r in requests]):
            for first in range(0, len(accepted), self._chunk_rows):
                chunk = accepted[first : first + self._chunk_rows]
                try:
                    replies = self._chunk([requests[i] for i in chunk], [prompts[i] for i in chunk])
                except (RuntimeError, MemoryError) as error:
                    if not out_of_memory(error):
                        raise
                    raise InputError(
                        f"{self.model.device} ran out of memory in generating {len(chunk)} replies "
                        f"at once; take chunk_rows {max(1, len(chunk) // 2)} or less"
                    ) from error
                for index, reply in zip(chunk, replies, strict=True):
                    results[index] = reply
        return [result for result in results if result is not None]

    def draw(
        self, adapters: Sequence[str | None], prompts: Sequence[Sequence[int]]
    ) -> list[Completion]:
        """Draw a token at temperature 1 after each prompt, the way that replies are drawn."""
        requests = one_token(self, adapters)
        with torch.inference_mode(), self._loaded(adapters):
            return self._chunk(requests, list(map(list, prompts)))

    def _chunk(self, requests: list[Request], prompts: list[list[int]]) -> list[Completion]:
        started = time.perf_counter()
        asked = [
            (request.adapter, request.sampling.temperature, tuple(ids))
            for request, ids in zip(requests, prompts, strict=True)
        ]
        distinct = list(dict.fromkeys(asked))  # several rollouts of a question: computed once
        names, _, texts = zip(*distinct, strict=True)
        self._decoder.prepare(names)
        state, places = self._compute(texts, names)
        place = dict(zip(distinct, places, strict=True))
        order = sorted(range(len(requests)), key=lambda i: place[asked[i]])
        rows = [name for name, *_ in sorted(distinct, key=place.__getitem__)]
        room = min(ROOM, max(request.sampling.max_new_tokens for request in requests))
        drawn = decode(
            lambda: self._decoder.begin(state, rows, len(requests), room),
            self._head,
            state.hidden[:, -1],
            [requests[i] for i in order],
            [place[asked[i]] for i in order],
            self.chat.end_ids,
        )
        seconds = (time.perf_counter() - started) / len(requests)
        replies: list[Completion | None] = [None] * len(requests)
        for index, (ids, logprobs) in zip(order, drawn, strict=True):
            finished = bool(ids) and ids[-1] in self.chat.end_ids
            replies[index] = Completion(
                self.chat.decode(ids),
                np.asarray(prompts[index]),
                np.asarray(ids, dtype=np.int64),
                np.asarray(logprobs, dtype=np.float32),
                finished,
            )
            usage = Usage(1, len(prompts[index]), len(ids), seconds)
            self.cost.book(requests[index].adapter, usage)
        return [reply for reply in replies if reply is not None]

    def _compute(
        self, prompts: Sequence[tuple[int, ...]], adapters: Sequence[str | None]
    ) -> tuple[prefix.Running, list[int]]:
        """Compute prompts; return where that stands, and the row of each prompt in it."""
        levels, order = prefix.plan(prompts, adapters, [1] * len(prompts), self._share, self._size)
        compute = packing.prefill if self._packs else prefix.run
        return compute(self.model, self.adapters, levels), np.argsort(order).tolist()

    # --- training ---------------------------------------------------------------------

    def micro_batches(self, rows: Sequence[Row], budget: int | None = None) -> list[list[int]]:
        """Cut rows into micro-batches within a token budget, by default the engine's.

        Like rows stand together: those of an adapter, of about the same length if they will be
        padded, and with a prefix to share. The turns of a conversation are never parted.

        Returns:
            Indices into `rows`. What alone exceeds the budget is a batch of its own.
        """
        budget = self._token_budget if budget is None else budget
        chains = self._chains(rows)

        def likeness(index: int) -> tuple:
            prompt = rows[index].prompt_ids
            length = 0 if self._packs else len(prompt) // _LIKE_LENGTH
            return rows[index].adapter or "", length, tuple(prompt)

        runs = batches.cut(
            sorted(chains, key=likeness),
            lambda heads: self._size(self._plan([rows[i] for i in heads])[0]),
            budget,
        )
        return [[index for head in run for index in chains[head]] for run in runs]

    def _chains(self, rows: Sequence[Row]) -> dict[int, list[int]]:
        return batches.chains(rows) if self._share_training else {i: [i] for i in range(len(rows))}

    def _plan(self, rows: Sequence[Row]) -> tuple[list[prefix.Level], list[int]]:
        tokens = [batches.row_tokens(row) for row in rows]
        adapters = [row.adapter for row in rows]
        return prefix.plan(tokens, adapters, [1] * len(rows), self._share_training, self._size)

    def largest(self, rows: Sequence[Row]) -> int:
        """Return the tokens that the largest micro-batch of some rows computes."""
        return max(self.computed([rows[i] for i in batch]) for batch in self.micro_batches(rows))

    def computed(self, rows: Sequence[Row]) -> int:
        """Return the tokens that one micro-batch of these rows computes.

        Shared ones count once. There is padding among them only if the model cannot take packed
        batches.
        """
        return self._size(self._plan([rows[i] for i in self._chains(rows)])[0])

    @contextlib.contextmanager
    def training(
        self,
        rows: Sequence[Row],
        *,
        temperature: float = 1.0,
        with_kl: bool = False,
        kl_gradient: bool = True,
        entropy_gradient: bool = False,
    ) -> Iterator[Scored]:
        """Compute the log-probabilities of the rows' completions, ready for `backward`.

        All of them, entropy and divergence too, are of softmax(logits / temperature).
        Call `backward` inside the block: gradient checkpointing computes again there,
        with the adapters of this batch.
        """
        with self._loaded([row.adapter for row in rows]), recomputing(self._recomputed):
            reference = None
            if with_kl:
                with torch.no_grad():
                    bare = [Row(None, row.prompt_ids, row.ids) for row in rows]
                    reference = self._completion_hidden(bare)[0]
            hidden, row_of, targets = self._completion_hidden(rows)
            if self._head.plain and not entropy_gradient and not (with_kl and kl_gradient):
                logprobs, entropy = chosen_logprobs(
                    hidden, self._head.product, targets, temperature
                )
                kl = None
                if with_kl:
                    with torch.no_grad():
                        kl = self._terms(hidden, targets, reference, temperature)[2]
            else:
                logprobs, entropy, kl = self._terms(
                    hidden, targets, reference, temperature, entropy_gradient, kl_gradient
                )
            yield Scored(logprobs, entropy, kl if with_kl else None, row_of)

    def read(
        self, adapter: str, prompts: Sequence[np.ndarray]
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Compute what an adapter makes of prompts, in micro-batches, each ready for `backward`.

        Yields:
            Indices into `prompts`, and the hidden states `[prompts, d]` at their last tokens.
        """
        rows = [Row(adapter, ids, ids[-1:]) for ids in prompts]
        for batch in self.micro_batches(rows):
            with self._loaded([adapter]), recomputing(self._recomputed):
                yield batch, self._completion_hidden([rows[i] for i in batch])[0]

    def _terms(
        self,
        hidden: torch.Tensor,
        targets: torch.Tensor,
        reference: torch.Tensor | None,
        *options: Any,
    ) -> tuple[torch.Tensor, ...]:
        """Compute `_token_terms` piece by piece; the backward pass computes them again."""
        terms: Any = self._token_terms
        if len(targets) > HEAD_TOKENS:
            terms = functools.partial(checkpoint, terms, use_reentrant=False)
        cuts = [slice(i, i + HEAD_TOKENS) for i in range(0, len(targets), HEAD_TOKENS)]
        parts = [
            terms(
                hidden[cut], targets[cut], None if reference is None else reference[cut], *options
            )
            for cut in cuts
        ]
        return tuple(torch.cat(column) for column in zip(*parts, strict=True))

    def _completion_hidden(
        self, rows: Sequence[Row]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Hidden states that predict the completions' tokens, their rows and the tokens."""
        chains = list(self._chains(rows).items())
        levels, order = self._plan([rows[head] for head, _ in chains])
        if self._packs:
            packed = packing.pack(levels, self.model.device)
            hidden = packing.run(self.model, self.adapters, packed)
            paths = packed.paths
        else:  # a single level, each row of it padded on the left
            padded = prefix.run(self.model, self.adapters, levels, use_cache=False).hidden
            hidden = padded.flatten(0, 1)
            ends = padded.shape[1] * np.arange(1, len(chains) + 1)
            paths = [
                np.arange(end - len(ids), end) for end, ids in zip(ends, levels[0].ids, strict=True)
            ]
        path = {row: p for i, p in zip(order, paths, strict=True) for row in chains[i][1]}
        own = [path[i][len(row.prompt_ids) - 1 :][: len(row.ids)] for i, row in enumerate(rows)]
        device = hidden.device
        picked = embedding(torch.from_numpy(np.concatenate(own)).to(device), hidden)
        lengths = torch.tensor([len(row.ids) for row in rows])
        row_of = torch.arange(len(rows)).repeat_interleave(lengths).to(device)
        targets = torch.from_numpy(np.concatenate([row.ids for row in rows])).to(device)
        return picked, row_of, targets

    def _token_terms(
        self,
        hidden: torch.Tensor,
        targets: torch.Tensor,
        reference: torch.Tensor | None,
        temperature: float,
        entropy_gradient: bool = False,
        kl_gradient: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        logp = (self._head(hidden) / temperature).log_softmax(-1)
        chosen = logp.gather(1, targets[:, None])[:, 0]
        with torch.set_grad_enabled(entropy_gradient and torch.is_grad_enabled()):
            entropy = -(logp.exp() * logp).sum(-1)
        if reference is None:
            return chosen, entropy, torch.zeros_like(chosen)
        with torch.set_grad_enabled(kl_gradient and torch.is_grad_enabled()):
            base = (self._head(reference) / temperature).log_softmax(-1)
            return chosen, entropy, (logp.exp() * (logp - base)).sum(-1)

    @contextlib.contextmanager
    def _loaded(self, names: Sequence[str | None]) -> Iterator[None]:
        """Make ready for passes with these adapters."""
        with using(self._threads), self.adapters.loaded(names):
            yield
