"""An engine with adapters that trains in milliseconds: logits of a few words, moved by a vector."""

from __future__ import annotations

import contextlib
import hashlib

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from neuromas_env.agents.engines.base import Scored
from neuromas_env.errors import InputError
from neuromas_env.policy import Completion, Cost, Engine, Usage

WORDS = "abcdefgh"


class ToyAdapters:
    """A vector of logits under each name."""

    def __init__(self):
        self.names, self._held = [], {}

    def add(self, name, seed):
        self.names.append(name)
        self._held[name] = torch.nn.Parameter(_fresh(seed))

    def remove(self, name):
        self.names.remove(name)
        del self._held[name]

    def copy(self, source, target):
        self._held[target].data.copy_(self._held[source].data)

    def add_noise(self, name, scale, seed):
        self._held[name].data.add_(_fresh(seed) * scale)

    def parameters(self, name):
        return {"logits": self._held[name]}

    def digest(self, name):
        return _hash(self._held[name].detach())

    def initial(self, seed):
        return _hash(_fresh(seed))

    def save(self, name, folder):
        folder.mkdir()
        save_file({"logits": self._held[name].detach()}, folder / "adapter_model.safetensors")

    def load(self, name, folder):
        try:
            weights = load_file(folder / "adapter_model.safetensors")["logits"]
        except (OSError, KeyError, SafetensorError) as error:
            raise InputError(f"no adapter can be read from {folder}: {error}") from None
        self._held[name].data.copy_(weights)


class ToyEngine(Engine):
    """Replies with one of eight letters."""

    name, weights_hash = "toy", "toy"
    hands_over, rounding, hidden_size, context_length = False, 0.01, 1, None
    device = torch.device("cpu")

    def __init__(self):
        self.adapters, self.cost = ToyAdapters(), Cost()

    def _logp(self, adapter, prompt, temperature):
        logits = torch.cos(torch.arange(1.0, 9.0) * float(prompt.sum() % 7 + 1))
        if adapter is not None:
            logits = logits + self.adapters.parameters(adapter)["logits"]
        return (logits / temperature).log_softmax(0)

    def generate(self, requests):
        replies = []
        for request in requests:
            prompt = np.array(self.encode(request.turns))
            temperature = request.sampling.temperature
            replies.append(self._reply(request.adapter, prompt, temperature, request.seed))
        return replies

    def _reply(self, adapter, prompt, temperature, seed):
        logp = self._logp(adapter, prompt, temperature or 1.0).detach().double().numpy()
        word = int(logp.argmax())
        if temperature:
            uniform = np.random.default_rng(seed).random()
            word = min(int(np.searchsorted(np.exp(logp).cumsum(), uniform)), len(WORDS) - 1)
        self.cost.book(adapter, Usage(1, len(prompt), 1))
        return Completion(WORDS[word], prompt, np.array([word]), logp[[word]])

    def encode(self, turns):
        return list("\n".join(text for _, text in turns).encode())

    def encode_reply(self, text):
        return [WORDS.index(text.lower())]

    def draw(self, adapters, prompts):
        return [
            self._reply(adapter, np.array(prompt), 1.0, seed)
            for seed, (adapter, prompt) in enumerate(zip(adapters, prompts, strict=True))
        ]

    def micro_batches(self, rows, budget=None):
        return [list(range(len(rows)))] if rows else []

    def computed(self, rows):
        return len(rows)

    largest = computed

    @contextlib.contextmanager
    def training(
        self, rows, *, temperature=1.0, with_kl=False, kl_gradient=True, entropy_gradient=False
    ):
        logp = torch.stack([self._logp(r.adapter, r.prompt_ids, temperature) for r in rows])
        bare = torch.stack([self._logp(None, r.prompt_ids, temperature) for r in rows])
        chosen = logp[torch.arange(len(rows)), torch.tensor([int(r.ids[0]) for r in rows])]
        kl = (logp.exp() * (logp - bare)).sum(1) if with_kl else None
        yield Scored(chosen, -(logp.exp() * logp).sum(1), kl, torch.arange(len(rows)))

    def read(self, adapter, prompts):
        yield list(range(len(prompts))), torch.zeros(len(prompts), 1)


def _fresh(seed):
    return torch.randn(len(WORDS), generator=torch.Generator().manual_seed(seed)) / 10


def _hash(values):
    return hashlib.blake2b(values.numpy().tobytes(), digest_size=16).hexdigest()
