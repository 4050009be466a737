"""More Agents: the vote that the kind of answer asks for."""

import pytest
from support.asking import Told, ask_one
from support.code_replies import BAD, fenced
from support.paths import ROWS

from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.tasks import make_task

ALIKE = [
    fenced("def total(numbers):\n    result = 0\n    for n in numbers:\n        result -= n\n"
           f"    return result + {extra}") for extra in (1, 2, 3)
]  # fmt: skip
RIGHT = [fenced("total = sum"), "    return sum(numbers)"]


def test_answers_that_can_be_equal_are_counted():
    said = ["The answer is 5.", "The answer is 66.", "I say 5"]
    _, trajectory, requests = ask_one("more_agents:n=3", Told(lambda _, n: said[n]))
    assert trajectory.answer == said[0] and len(requests) == 3


def test_on_questions_with_one_answer_it_is_self_consistency():
    ours, theirs = (
        ask_one(name, MockEngine())[1] for name in ("more_agents:n=4", "sc:k=4,temperature=1")
    )
    assert [turn.text for turn in ours.turns] == [turn.text for turn in theirs.turns]


@pytest.mark.parametrize(("vote", "winner"), [("paper", 1), ("similarity", 1), ("agreement", 3)])
def test_open_answers_win_by_likeness(vote, winner):
    task = make_task("humaneval", data=ROWS)
    said = [fenced(BAD), *ALIKE[:2], *RIGHT]
    engine = Told(lambda _, number: said[number])
    method, trajectory, _ = ask_one(f"more_agents:n=5,vote={vote}", engine, task)
    assert trajectory.answer in {said[winner].strip(), said[winner]} and method.calls == 5
