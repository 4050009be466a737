"""How many calls and tokens a minute a server is asked for."""

from __future__ import annotations

import asyncio
import time


class Pace:
    """Lets so much pass in a minute: what is used beyond it has to be waited for.

    All who share one run in one event loop.
    """

    def __init__(self, per_minute: float | None) -> None:
        """Start with a second's worth in hand, one at least; None lets everything pass."""
        self._rate = None if per_minute is None else per_minute / 60
        self._most = max(1.0, self._rate or 0.0)
        self._left, self._since = self._most, time.monotonic()

    async def wait(self, amount: float = 0.0) -> None:
        """Wait until something is left, and take an amount of it."""
        while (pause := self._take(amount)) > 0:
            await asyncio.sleep(pause)

    def use(self, amount: float) -> None:
        """Take something away, also more than is left."""
        self._left -= amount

    def _take(self, amount: float) -> float:
        """Return how long to wait, or take the amount."""
        if self._rate is None:
            return 0.0
        now = time.monotonic()
        self._left = min(self._left + (now - self._since) * self._rate, self._most)
        self._since = now
        if self._left >= min(amount, 1.0) and self._left > 0:
            self._left -= amount
            return 0.0
        return max(1e-3, (min(amount, 1.0) - self._left) / self._rate)
