"""Any server that speaks OpenAI's chat completions: hosted, vLLM, llama.cpp, Ollama, ...

Needs the extra `bench`. The `openai` client tries failed calls again (after what the
server asks for, or with exponential back-off and jitter); concurrency, rates and the time of a
whole call are kept here. A server is not trusted: `neuromas_env.agents.engines.servers` reads
its replies and cuts secrets out of all that it says. It tells how many tokens a call took, but
not which: ids are -1 and log-probabilities NaN, so that nothing can be trained on them.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from queue import SimpleQueue
from typing import Any

from neuromas_env.agents.engines.servers.address import read_address
from neuromas_env.agents.engines.servers.pace import Pace
from neuromas_env.checks import Count, Natural, Positive, arguments
from neuromas_env.errors import InputError
from neuromas_env.extras import need
from neuromas_env.policy import Completion, Cost, Engine, Request, Usage
from neuromas_env.text import visible

GIVE_UP = 5
"""So many failed calls in a row, with none answered in between, end the run."""

_NO_KEY = "none"
_REFUSED = (400, 422)
_QUESTIONS_OWN = (*_REFUSED, 413)
"""What a server finds wrong with a request says nothing about the next one."""


class OpenAIEngine(Engine):
    """Asks a server, with many calls at once.

    What a server refuses by name (`seed`, `temperature`, `top_p`, `max_tokens`, the system role)
    is left out from then on: completions and `settings` say so.

    Attributes:
        name: The model's name.
        base_url: Of the server, without what is secret in it.
        cost: What calls have cost so far; seconds are those of the clock on the wall.
        paid: True.
        settings: The server's address, and under `left_out` what it has refused so far.
    """

    paid = True

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
                is OPENAI_BASE_URL or OpenAI. Name and password, and a query, are sent along.
            api_key: By default OPENAI_API_KEY; a server of one's own usually needs none.
            adapters: Adapter name to the model's name under which the server has it.
            concurrency: Calls at once.
            retries: How often a call that failed in passing is tried again.
            timeout: Seconds for a whole call, from its start to the last byte of the reply,
                further tries and the waits between them included.
            requests_per_minute: At most so many calls are started.
            tokens_per_minute: Calls wait while more tokens than this were used.
            prices: Of a million prompt and of a million completion tokens.

        Raises:
            InputError: The `openai` package is missing, the address is none, or there is no key
                for OpenAI.
        """
        url = base_url if base_url is not None else os.environ.get("OPENAI_BASE_URL") or None
        address = None if url is None else read_address(url)
        need("the engine 'openai'", "openai", "httpx2", "pydantic")
        import openai

        from neuromas_env.agents.engines.servers.client import Client

        if address and not api_key and not os.environ.get("OPENAI_API_KEY"):
            api_key = _NO_KEY
        try:
            self._client = Client(address, api_key, retries, timeout)
        except openai.OpenAIError as error:
            raise InputError(
                f"engine 'openai': {error} A server of your own, with --base-url, needs no key."
            ) from None
        self.name, self.base_url, self.cost = model, self._client.url, Cost()
        self.versions = {"openai": version("openai")}
        self.settings: dict[str, Any] = {"server": self.base_url}
        self._models: dict[str | None, str] = {None: model}
        self._models.update(adapters or {})
        self._concurrency, self._timeout, self._prices = concurrency, timeout, prices
        self._calls_pace = Pace(requests_per_minute)
        self._tokens_pace = Pace(tokens_per_minute)
        self._without: frozenset[str] = frozenset()
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
        replies = dict(self.as_completed(requests))
        return [replies[place] for place in range(len(requests))]

    def as_completed(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """Yield the place of each request and its completion, as soon as it is there.

        Raises:
            InputError: Several calls in a row failed for good, with none answered between; all
                completions have been yielded before.
        """
        booked, first = time.perf_counter(), None
        done: SimpleQueue[tuple[int, Completion] | None] = SimpleQueue()
        work = asyncio.run_coroutine_threadsafe(self._answer_all(requests, done), self._client.loop)
        work.add_done_callback(lambda _: done.put(None))
        try:
            while (answered := done.get()) is not None:
                place, reply = answered
                if reply.error is None:
                    now = time.perf_counter()
                    usage = Usage(1, len(reply.prompt_ids), len(reply.ids), now - booked)
                    self.cost.book(requests[place].adapter, usage)
                    booked = now
                first = first or reply.error
                yield place, reply
            work.result()
        finally:
            work.cancel()
        if self._failed_in_a_row >= GIVE_UP:
            raise InputError(
                f"{self.name} at {self.base_url}: {GIVE_UP} calls in a row failed. First: {first}"
            )

    def close(self) -> None:
        """End the client's thread; there are no calls after this."""
        self._client.close()

    async def _answer_all(self, requests: Sequence[Request], done: SimpleQueue[Any]) -> None:
        free = asyncio.Semaphore(self._concurrency)

        async def answer(place: int, request: Request) -> None:
            async with free:
                done.put((place, await self._answer(request)))

        await asyncio.gather(*(answer(i, request) for i, request in enumerate(requests)))

    async def _answer(self, request: Request) -> Completion:
        if self._failed_in_a_row >= GIVE_UP:
            return Completion("", error="not asked, because the calls before it failed")
        await self._calls_pace.wait(1)
        await self._tokens_pace.wait()
        try:
            async with asyncio.timeout(self._timeout):
                completion = await self._ask(request)
        except Exception as error:  # of many kinds; one call's failure is that call's alone
            completion = Completion("", error=self._reason(error))
            self._failed_in_a_row += _down(error)
        else:
            self._failed_in_a_row = 0
        self._tokens_pace.use(len(completion.prompt_ids) + len(completion.ids))
        return completion

    async def _ask(self, request: Request) -> Completion:
        """Ask, and ask again without what the server refuses."""
        from openai import APIStatusError

        from neuromas_env.agents.engines.servers.refusals import left_out, options, refused
        from neuromas_env.agents.engines.servers.replies import read_reply

        if request.adapter not in self._models:
            raise InputError(f"the server has no model for adapter {request.adapter!r}")
        model, without, body = self._models[request.adapter], self._without, None
        while body is None:
            try:
                body = await self._client.ask(options(request, model, without))
            except APIStatusError as error:
                named = error.status_code in _REFUSED and refused(
                    error.response.text, request, without
                )
                if not named:
                    raise
                without |= named
        if without - self._without:  # refused and then answered, so that was what it was about
            self._without |= without
            self.settings["left_out"] = list(left_out(self._without))
        return replace(read_reply(body, self._client.cut), left_out=left_out(without, request))

    def _reason(self, error: Exception) -> str:
        """Return what went wrong, with the server's own words, in one line without secrets."""
        from openai import APIStatusError

        from neuromas_env.agents.engines.servers.client import Refused
        from neuromas_env.agents.engines.servers.replies import Unusable, short

        if isinstance(error, TimeoutError):
            return f"no whole reply within {self._timeout:g} s"
        named = isinstance(error, (Unusable, Refused, InputError))
        said = str(error) if named else f"{type(error).__name__}: {error}"
        # The client tells of the body no more than a message in the one place where it expects it.
        if not isinstance(error, APIStatusError):
            said += "" if (root := _root(error)) is error else f" ({type(root).__name__}: {root})"
        elif " - " not in str(error):
            said += f" - {error.response.text}"
        # Shortened last: half a key would not be found.
        return short(visible(" ".join(self._client.cut(said).split())))


def _root(error: BaseException) -> BaseException:
    """Return what an error goes back to, such as the refused connection."""
    inner = error.__cause__ or error.__context__  # also where the libraries raise from None
    if isinstance(error, BaseExceptionGroup):
        inner = error.exceptions[0]
    return error if inner is None else _root(inner)


def _down(error: Exception) -> bool:
    """Say whether an error speaks against the server, and not about a question alone."""
    from neuromas_env.agents.engines.servers.replies import Unusable

    if isinstance(error, Unusable):
        return error.down
    return getattr(error, "status_code", None) not in _QUESTIONS_OWN
