"""The `openai` client, held to limits that it does not have itself."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import threading
import weakref
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from typing import Any

import httpx2
import openai

from neuromas_env.agents.engines.servers.address import Address, is_secret
from neuromas_env.agents.engines.servers.secrets import LogFilter, cutter
from neuromas_env.errors import InputError

MOST_BYTES = 16 * 2**20
"""More than this is not read of any response."""

CONNECT_SECONDS = 30.0


class Refused(openai.OpenAIError):
    """A response that is not read any further; the client does not ask again."""


class Client:
    """Sends requests in an event loop of its own, in one thread beside the program's.

    Attributes:
        loop: The loop; it ends with the client.
        url: The server's address, without what is secret.
        cut: Replaces the key and all else that is secret in a text.
        close: Ends the loop and its thread; a second time does nothing.
    """

    def __init__(
        self, address: Address | None, api_key: str | None, retries: int, timeout: float
    ) -> None:
        """Prepare the client; nothing is sent.

        Args:
            address: Of the server, None for the client's own default.
            api_key: By default OPENAI_API_KEY.
            retries: How often a request that failed in passing is sent again.
            timeout: Seconds for every single step of a request.

        Raises:
            InputError: The key cannot be sent, or nothing to the address.
            openai.OpenAIError: There is no key.
        """
        user = address.user if address else None
        key = api_key or os.environ.get("OPENAI_API_KEY", "")
        if not re.fullmatch(r"[!-~]*", key):
            raise InputError("the key must be printable ASCII without spaces and line breaks")
        steps = openai.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS))
        try:
            self._openai = openai.AsyncOpenAI(
                api_key=api_key,
                base_url=address.url if address else None,
                default_query=address.query if address else None,
                default_headers={"Accept-Encoding": "identity"},
                max_retries=retries,
                timeout=steps,
                http_client=openai.DefaultAsyncHttpxClient(
                    auth=user,
                    verify=_trusted(),
                    timeout=steps,
                    follow_redirects=False,  # prompts and key go to the given address alone
                    event_hooks={"response": [_limit]},
                ),
            )
        except httpx2.InvalidURL as error:
            raise InputError(f"base_url must be http:// or https:// with a host: {error}") from None
        headers = self._openai.default_headers.items()
        values = [v for name, v in headers if isinstance(v, str) and is_secret(name)]
        tokens = [value.split()[-1] for value in values if value.split()]  # without `Bearer`
        self.cut = cutter(
            [self._openai.api_key, *tokens, *(address.secrets if address else ())],
            [user] if user else [],
        )
        self.url = self.cut(str(self._openai.base_url))
        self.loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_serve, args=(self.loop,), daemon=True)
        thread.start()
        self.close = weakref.finalize(
            self, _close, self.loop, thread, self._openai, LogFilter(self.cut)
        )

    async def ask(self, options: Mapping[str, Any]) -> bytes:
        """Send a request for a chat completion and return the body of the response.

        Raises:
            openai.OpenAIError: There is none, or its status is that of an error.
        """
        completions = self._openai.chat.completions
        response = await completions.with_raw_response.create(**options)
        return response.content


@lru_cache
def _trusted() -> ssl.SSLContext:
    """Load the trusted certificates, which takes longer than all the rest, once."""
    return httpx2.create_ssl_context()


async def _limit(response: httpx2.Response) -> None:
    """Refuse what is not to be read, and limit how much is."""
    if response.has_redirect_location:
        place = response.headers["location"]
        raise Refused(
            f"the server redirects to {place!r}, and a request goes nowhere but to base_url; give "
            "the right address there"
        )
    if response.headers.get("content-encoding", "identity") != "identity":
        raise Refused("the server compresses its reply, though it was asked not to")
    response.encoding = "utf-8"  # not what the server names: some decoders take forever
    response.stream = _Limited(response.stream)


class _Limited(httpx2.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MOST_BYTES
        async for piece in self._stream:
            left -= len(piece)
            if left < 0:
                raise Refused(f"the server's response is longer than {MOST_BYTES // 2**20} MiB")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    loop.close()


def _close(
    loop: asyncio.AbstractEventLoop,
    thread: threading.Thread,
    client: openai.AsyncOpenAI,
    log: LogFilter,
) -> None:
    async def end() -> None:
        try:
            await client.close()
        finally:
            loop.stop()

    log.remove()
    if thread.is_alive():
        asyncio.run_coroutine_threadsafe(end(), loop)
        if thread is not threading.current_thread():
            thread.join(1.0)
