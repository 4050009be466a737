"""Any server that speaks OpenAI's chat completions: hosted, vLLM, llama.cpp, Ollama, ...

Needs the extra `bench`. The `openai` client tries failed calls again (after what the
server asks for, or with exponential back-off and jitter); concurrency and rates are kept
here. A server tells how many tokens a call took, but not which: ids are -1 and
log-probabilities NaN, so that nothing can be trained on them.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from neuromas_env.checks import Count, Natural, Positive, arguments
from neuromas_env.errors import InputError
from neuromas_env.policy import Completion, Cost, Engine, Request, Usage

GIVE_UP = 5
"""So many failed calls in a row, with none answered in between, end the run."""

_WORDS = 500
_NO_KEY = "none"
# Many servers tokenise control markup inside a text as control tokens, which would let a
# message open or close a turn. A zero-width space after its first character prevents that.
_MARKUP = re.compile(r"(<|\[)(?=[|｜]|/?s>|/?(?:start|end)_of_turn>|/?INST\]|/?SYS)")


class OpenAIEngine(Engine):
    """Asks a server, with many calls at once.

    Attributes:
        name: The model's name.
        base_url: Of the server.
        cost: What calls have cost so far; seconds are those of the clock on the wall.
    """

    @arguments
    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        adapters: Mapping[str, str] | None = None,
        concurrency: Count = 8,
        retries: Natural = 6,
        timeout: Positive = 600.0,
        requests_per_minute: Positive | None = None,
        tokens_per_minute: Positive | None = None,
        prices: tuple[float, float] | None = None,
    ) -> None:
        """Prepare the client; nothing is asked yet.

        Args:
            model: Name of the model at the server.
            base_url: Such as `http://localhost:8000/v1`; by default the client's own, which
                is OPENAI_BASE_URL or OpenAI.
            api_key: By default OPENAI_API_KEY; a server of one's own usually needs none.
            adapters: Adapter name to the model's name under which the server has it.
            concurrency: Calls at once.
            retries: How often a call that failed in passing is tried again.
            timeout: Seconds for a call.
            requests_per_minute: At most so many calls are started.
            tokens_per_minute: Calls wait while more tokens than this were used.
            prices: Of a million prompt and of a million completion tokens.

        Raises:
            InputError: The `openai` package is missing, or there is no key for OpenAI.
        """
        try:
            import openai
        except ImportError:
            raise InputError(
                "the engine 'openai' needs a package: pip install 'neuromas-env[bench]'"
            ) from None
        if base_url and not api_key and not os.environ.get("OPENAI_API_KEY"):
            api_key = _NO_KEY
        try:
            self._client: Any = openai.OpenAI(
                base_url=base_url, api_key=api_key, max_retries=retries, timeout=timeout
            )
        except openai.OpenAIError as error:
            raise InputError(
                f"engine 'openai': {error} A server of your own, with --base-url, needs no key."
            ) from None
        self.name, self.base_url, self.cost = model, str(self._client.base_url), Cost()
        self.versions = {"openai": version("openai")}
        # A user name and password in the address are nobody's business in a result.
        address = urlsplit(self.base_url)
        shown = f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"
        self.settings = {"server": shown}
        self._models: dict[str | None, str] = {None: model}
        self._models.update(adapters or {})
        self._threads = ThreadPoolExecutor(concurrency)
        self._prices = prices
        self._calls_pace = Pace(requests_per_minute)
        self._tokens_pace = Pace(tokens_per_minute)
        self._limit_name = "max_tokens"
        self._lock = threading.Lock()
        self._failed_in_a_row = 0

    @property
    def spent(self) -> float | None:
        """What all calls so far have cost in money, None without prices."""
        if self._prices is None:
            return None
        prompt, completion = self._prices
        usages = self.cost.usage.values()
        return (
            sum(u.prompt_tokens * prompt + u.completion_tokens * completion for u in usages) / 1e6
        )

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, in their order.

        Raises:
            InputError: Several calls in a row failed for good, with none answered between.
        """
        started = time.perf_counter()
        replies = list(self._threads.map(self._answer, requests))
        share = (time.perf_counter() - started) / max(1, len(requests))
        for request, reply in zip(requests, replies, strict=True):
            if reply.error is None:
                usage = Usage(1, len(reply.prompt_ids), len(reply.ids), share)
                self.cost.book(request.adapter, usage)
        if self._failed_in_a_row >= GIVE_UP:
            first = next(reply.error for reply in replies if reply.error)
            raise InputError(
                f"{self.name} at {self.base_url}: {GIVE_UP} calls in a row failed. First: {first}"
            )
        return replies

    def _answer(self, request: Request) -> Completion:
        if self._failed_in_a_row >= GIVE_UP:
            return Completion("", error="not asked, because the calls before it failed")
        import openai

        self._calls_pace.wait(1)
        self._tokens_pace.wait()
        down = True
        try:
            completion = _read(self._ask(request))
        except Exception as error:  # of many kinds; one call's failure is that call's alone
            completion = Completion("", error=_reason(error, self._client.api_key))
            # What the server finds wrong with a request says nothing about the next one.
            asked_wrongly = (openai.BadRequestError, openai.UnprocessableEntityError)
            down = not isinstance(error, asked_wrongly)
        with self._lock:
            if completion.error is None:
                self._failed_in_a_row = 0
            elif down:
                self._failed_in_a_row += 1
        self._tokens_pace.use(len(completion.prompt_ids) + len(completion.ids))
        return completion

    def _ask(self, request: Request) -> Any:
        import openai

        if request.adapter not in self._models:
            raise InputError(f"the server has no model for adapter {request.adapter!r}")
        options: dict[str, Any] = {
            "model": self._models[request.adapter],
            "messages": [{"role": role, "content": plain(text)} for role, text in request.turns],
            "temperature": request.sampling.temperature,
            "top_p": 1.0,
            "seed": request.seed % 2**31,  # what servers accept
        }
        limit = self._limit_name
        try:
            return self._create(options, limit, request)
        except openai.BadRequestError as error:
            # OpenAI's newer models know the option by another name, other servers by this one.
            if limit != "max_tokens" or "max_completion_tokens" not in str(error):
                raise
        self._limit_name = "max_completion_tokens"
        return self._create(options, self._limit_name, request)

    def _create(self, options: dict[str, Any], limit: str, request: Request) -> Any:
        length = {limit: request.sampling.max_new_tokens}
        return self._client.chat.completions.create(**options, **length)


class Pace:
    """Lets so much pass in a minute: what is used beyond it has to be waited for."""

    def __init__(self, per_minute: float | None) -> None:
        """Start with a second's worth in hand, one at least; None lets everything pass."""
        self._rate = None if per_minute is None else per_minute / 60
        self._most = max(1.0, self._rate or 0.0)
        self._left, self._since = self._most, time.monotonic()
        self._lock = threading.Lock()

    def wait(self, amount: float = 0.0) -> None:
        """Wait until something is left, and take an amount of it."""
        while (pause := self._take(amount)) > 0:
            time.sleep(pause)

    def use(self, amount: float) -> None:
        """Take something away, also more than is left."""
        with self._lock:
            self._left -= amount

    def _take(self, amount: float) -> float:
        """Return how long to wait, or take the amount."""
        if self._rate is None:
            return 0.0
        with self._lock:
            now = time.monotonic()
            self._left = min(self._left + (now - self._since) * self._rate, self._most)
            self._since = now
            if self._left >= min(amount, 1.0) and self._left > 0:
                self._left -= amount
                return 0.0
            return max(1e-3, (min(amount, 1.0) - self._left) / self._rate)


def plain(text: str) -> str:
    """Break control markup of common chat templates, so that it stays plain text."""
    return _MARKUP.sub("\\1\u200b", text)


def _read(response: Any) -> Completion:
    if not response.choices:
        return Completion("", error="the server answered without a choice")
    choice, usage = response.choices[0], response.usage
    if choice.finish_reason == "content_filter":
        return Completion("", error="the server's content filter kept the reply back")
    if usage is None:
        return Completion(
            "", error="the server does not say how many tokens it used, so cost cannot be counted"
        )
    message = choice.message
    if message.refusal:
        return Completion("", error=f"the server refused: {message.refusal}")
    text = _text(message.content)
    if text is None or not usage.completion_tokens:
        return Completion("", error="the server answered without any text")
    return Completion(
        text,
        np.full(usage.prompt_tokens, -1, dtype=np.int64),
        np.full(usage.completion_tokens, -1, dtype=np.int64),
        np.full(usage.completion_tokens, np.nan, dtype=np.float32),
        choice.finish_reason != "length",
    )


def _text(content: Any) -> str | None:
    """Return the text of a message whose content may come in parts, None if it has none.

    Parts that are no text, such as a thought, are no answer.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    kinds = ("text", "output_text")
    texts = [p["text"] for p in content if isinstance(p, dict) and p.get("type") in kinds]
    return "".join(texts) if texts else None


def _reason(error: Exception, key: str) -> str:
    """Return what went wrong, with the server's own words, but never the key."""
    import openai

    said = f"{type(error).__name__}: {error}"
    if error.__cause__:
        said += f" ({error.__cause__})"
    # The client tells of the body no more than a message in the one place where it expects it.
    if isinstance(error, openai.APIStatusError) and " - " not in str(error):
        said += f" - {error.response.text[:_WORDS]}"
    # A server may repeat what it was sent, and move the cursor of a terminal.
    said = "".join(c if c.isprintable() else " " for c in said)
    return said if key == _NO_KEY else said.replace(key, "***")
