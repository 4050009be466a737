"""What a run writes down can be read again."""

from __future__ import annotations

import pytest

from neuromas_env.agents.training.log import RunLog


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\u0085", "\n", "\r", "\x0b", "\x1c"])
def test_a_text_may_hold_what_some_take_for_the_end_of_a_line(tmp_path, mark):
    log = RunLog(tmp_path)
    rows = [{"event": "before", "step": 0, "text": f"one{mark}two"}, {"step": 1}]
    for row in rows:
        log.metrics(row)
    assert log.events("before") == rows[:1]
    log.close()
