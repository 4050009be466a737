import asyncio

import pytest

from neuromas_env.agents.engines.servers.pace import Pace


class Clock:
    """Time that passes only where someone sleeps."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("neuromas_env.agents.engines.servers.pace.time", clock)
    monkeypatch.setattr("asyncio.sleep", clock.sleep)
    return clock


def wait(pace, amount=0.0):
    asyncio.run(pace.wait(amount))


def test_requests_are_paced(clock):
    pace = Pace(60 * 32)  # of which every sum of pauses is exact
    for _ in range(32):
        wait(pace, 1)
    assert clock.now == 0  # a second's worth was in hand
    for passed in range(1, 65):
        wait(pace, 1)
        assert clock.now == passed / 32
    clock.now = 60.0
    for _ in range(32):
        wait(pace, 1)
    assert clock.now == 60  # a rest saves up no more than a second
    wait(pace, 1)
    assert clock.now == 60 + 1 / 32


def test_tokens_are_paced_after_they_were_used(clock):
    pace = Pace(60 * 100)
    wait(pace)
    pace.use(130)  # 100 were in hand
    wait(pace)
    assert clock.now == pytest.approx(0.3, abs=2e-3)
    wait(pace)
    assert clock.now == pytest.approx(0.3, abs=2e-3)


def test_without_a_rate_nothing_waits(clock):
    pace = Pace(None)

    async def use():
        for _ in range(1000):
            await pace.wait(1)
            pace.use(1e6)

    asyncio.run(use())
    assert clock.now == 0
