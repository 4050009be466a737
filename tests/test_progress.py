"""Progress says how fast work is."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from neuromas_env import progress
from neuromas_env.progress import ConsoleReporter, duration


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
        "5/34  reward 0.5  2.5 s each  1 min 12 s left",
        "6/34  reward 0.5  2.5 s each  1 min 10 s left",
    ]


def test_who_knows_the_time_left_is_not_contradicted(clock):
    out = io.StringIO()
    reporter = ConsoleReporter(Console(file=out, width=100))
    reporter.begin("questions", 34, 4)
    clock[0] += 12
    reporter.advance(5, left=7380)
    assert out.getvalue().splitlines()[-1] == "5/34  12 s each  2 h 3 min left"


def test_the_bar_says_how_long_a_step_takes(clock):
    out = io.StringIO()
    reporter = ConsoleReporter(Console(file=out, width=120, force_terminal=True))
    shown(reporter, clock, reward=0.5)
    reporter.end()
    assert "reward 0.5  2.5 s each" in out.getvalue()


def test_the_bar_says_how_much_time_is_left(clock):
    out = io.StringIO()
    reporter = ConsoleReporter(Console(file=out, width=120, force_terminal=True))
    reporter.begin("questions", 34)
    reporter.advance(1, left=80)
    reporter.end()
    assert "1 min 20 s left" in out.getvalue()


def test_work_without_figures_prints_a_line_every_ten_seconds(clock):
    out = io.StringIO()
    reporter = ConsoleReporter(Console(file=out, width=100))
    reporter.begin("questions", 100)
    for done in range(1, 9):
        clock[0] += 3
        reporter.advance(done)
    assert [line.split()[0] for line in out.getvalue().splitlines()[1:]] == ["4/100", "8/100"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.000234 * 60, "0.014 s"),
        (0.0002, "under 0.01 s"),
        (2.5, "2.5 s"),
        (9.97, "10 s"),
        (45.3, "45 s"),
        (59.7, "1 min"),
        (80, "1 min 20 s"),
        (3599.8, "1 h"),
        (7500, "2 h 5 min"),
        (100 * 3600, "100 h"),
    ],
)
def test_durations_for_people(seconds, text):
    assert duration(seconds) == text


@given(st.floats(0.01, 1e7))
def test_a_duration_is_right_to_a_twentieth(seconds):
    words = duration(seconds).split()
    units = {"s": 1, "min": 60, "h": 3600}
    pairs = zip(words[::2], words[1::2], strict=True)
    assert sum(float(number) * units[unit] for number, unit in pairs) == pytest.approx(
        seconds, rel=0.051
    )
