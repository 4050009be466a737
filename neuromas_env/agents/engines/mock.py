"""An engine without a model, for tests and dry runs: deterministic and free of torch."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from neuromas_env.checks import arguments
from neuromas_env.policy import Completion, Cost, Engine, Request, Usage

Replies = Callable[[Request], str] | Mapping[str, str] | Sequence[str]
END = 256
"""The end-of-turn token; the other tokens are the bytes of a text in UTF-8."""


class MockEngine(Engine):
    """Answers with given texts, or with a text that the request alone determines.

    Attributes:
        cost: What calls have cost so far; a token is a byte.
        batches: How many requests each call of `generate` held.
    """

    @arguments
    def __init__(self, replies: Replies | None = None, fail: Collection[int] = ()) -> None:
        """Prepare the replies.

        Args:
            replies: A function of the request, a mapping from adapter to text (`base` for
                requests without adapter), or texts that are given out in turn, over and
                over. None answers with a digest of turns, adapter and seed.
            fail: Numbers of the requests, counted from 0, that fail.
        """
        self.cost = Cost()
        self.batches: list[int] = []
        self._reply = _reply_function(replies)
        self._fail = fail

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, in their order; replies are not cut to any length."""
        first = sum(self.batches)
        self.batches.append(len(requests))
        return [self._answer(first + i, request) for i, request in enumerate(requests)]

    def _answer(self, number: int, request: Request) -> Completion:
        started = time.perf_counter()
        prompt = _tokens("\n".join(text for _, text in request.turns))
        if number in self._fail:
            return Completion("", prompt, error=f"request {number} was told to fail")
        text = self._reply(request)
        ids = np.append(_tokens(text), END)
        usage = Usage(1, len(prompt), len(ids), time.perf_counter() - started)
        self.cost.book(request.adapter, usage)
        return Completion(text, prompt, ids, np.zeros(len(ids), dtype=np.float32))


def mock() -> MockEngine:
    """Make the engine of `--engine mock`."""
    engine = MockEngine()
    engine.name = "mock"
    return engine


def _reply_function(replies: Replies | None) -> Callable[[Request], str]:
    if replies is None:
        return _digest
    if isinstance(replies, Mapping):
        return lambda request: replies[request.adapter or "base"]
    if callable(replies):
        return replies
    texts = itertools.cycle(replies)
    return lambda request: next(texts)


def _digest(request: Request) -> str:
    key = repr((request.turns, request.adapter, request.seed))
    return hashlib.sha256(key.encode("utf-8", "backslashreplace")).hexdigest()[:8]


def _tokens(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8).astype(np.int64)
