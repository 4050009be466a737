"""Progress says how fast work is."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from neuromas_env import progress
from neuromas_env.progress import ConsoleReporter


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    now = [100.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def shown(reporter, clock, **figures):
    """What a reporter prints of a run that goes on after step 4 and takes 2.5 s for each step."""
    reporter.begin("training", 34, 4)
    reporter.advance(4, figures)
    for done in (5, 6):
        clock[0] += 2.5
        reporter.advance(done, figures)


def test_plain_lines_say_how_long_a_step_takes_and_how_much_is_left(clock):
    out = io.StringIO()
    shown(ConsoleReporter(Console(file=out, width=100)), clock, reward=0.5)
    assert out.getvalue().splitlines() == [
        "training: 30 to do",
        "4/34  reward 0.5",
        "5/34  reward 0.5  2.50 s each  0:01:12 left",
        "6/34  reward 0.5  2.50 s each  0:01:10 left",
    ]


def test_who_knows_the_time_left_is_not_contradicted(clock):
    out = io.StringIO()
    shown(ConsoleReporter(Console(file=out, width=100)), clock, **{"minutes left": 3})
    assert out.getvalue().splitlines()[-1] == "6/34  minutes left 3  2.50 s each"


def test_the_bar_says_how_long_a_step_takes(clock):
    out = io.StringIO()
    reporter = ConsoleReporter(Console(file=out, width=120, force_terminal=True))
    shown(reporter, clock, reward=0.5)
    reporter.end()
    assert "reward 0.5  2.50 s each" in out.getvalue()
