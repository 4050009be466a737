"""Least-to-Most: the chain of sub-questions, and what each of them reads."""

import pytest
from support.asking import Sums, Told, ask_one, by_label, text_of

from neuromas_env.baselines import make_baseline


def run(plan, options=""):
    said = Told(lambda _, number: plan if number == 0 else f"tag{number}x The answer is {number}.")
    method, trajectory, requests = ask_one(f"least_to_most{options}", said)
    return method, trajectory, {k: text_of(r) for k, r in by_label(method, requests).items()}


def test_every_sub_question_sees_all_earlier_answers():
    method, trajectory, asked = run("1. What is a?\n2. What is b?\n\n2. What is b?\n3) And c?")
    assert list(asked) == ["decomposition", *(f"sub-question {s}" for s in range(3)), "answer"]
    assert asked["sub-question 0"].endswith("\n\nSub-question: What is a?")
    assert "tag2x" not in asked["sub-question 1"]
    earlier = asked["sub-question 2"].partition("+ 1000\n\n")[2]
    assert earlier == (
        "Sub-question: What is a?\nAnswer: tag1x The answer is 1.\n\n"
        "Sub-question: What is b?\nAnswer: tag2x The answer is 2.\n\nSub-question: And c?"
    )
    assert asked["answer"].count("Answer: tag") == 3
    assert trajectory.answer == "tag4x The answer is 4." and not method.sampled


@pytest.mark.parametrize(
    ("lines", "options", "calls"),
    [(0, "", 2), (1, "", 3), (8, "", 10), (20, "", 10), (20, ":questions=2", 4)],
)
def test_calls_are_the_closed_form(lines, options, calls):
    plan = "\n".join(f"What is {i}?" for i in range(lines))
    method, _, asked = run(plan, options)
    assert len(asked) == calls <= method.calls
    assert make_baseline(f"least_to_most{options}", Sums(), None).calls == method.calls
    assert ("What is 0?" in asked["answer"]) == (lines > 0)
