"""A server that writes any bytes at any pace, in one thread.

What it does to a call is a script: a function of the call that yields bytes to write and seconds to
wait, after which the connection ends. The first part of a URL's path names the script.
"""

import asyncio
import json
import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class Call:
    """A request: its head as it came, its body, and how many of its script came before it."""

    head: str
    raw: str
    number: int

    @property
    def body(self):
        return json.loads(self.raw)

    @property
    def question(self):
        return self.body["messages"][-1]["content"]


class OddServer:
    """Serves scripts by name; `calls` holds by name what was asked."""

    def __init__(self, scripts):
        self._scripts, self.calls = scripts, {}
        self._loop, self._ready = asyncio.new_event_loop(), threading.Event()
        self._thread = threading.Thread(target=self._run)

    def url(self, name):
        return f"http://127.0.0.1:{self.port}/{name}/v1"

    def __enter__(self):
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *error):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self):
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self):
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _answer(self, reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = next(
                int(line.partition(":")[2])
                for line in head.splitlines()
                if line.lower().startswith("content-length")
            )
            raw = (await reader.readexactly(length)).decode()
            name = head.split("/")[1]
            before = self.calls.setdefault(name, [])
            before.append(call := Call(head, raw, len(before)))
            for step in self._scripts[name](call):
                if isinstance(step, bytes):
                    writer.write(step)
                    await writer.drain()
                else:
                    await asyncio.sleep(step)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
