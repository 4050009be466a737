"""Self-Verification: masked conditions, true or false, and the answer that passes most."""

import pytest
from support.asking import Sums, Told, ask_one, by_label, text_of

from neuromas_env.baselines.self_verification import conditions
from neuromas_env.tasks.base import Example, Task
from neuromas_env.tasks.readers.form import Form


class Letters(Task):
    """A question of words, whose answer is no number."""

    name = "letters"
    answer_format = "Answer with one word."
    answer_form = Form("text")

    def examples(self, split):
        return [Example(f"{split}/0", "In 1990 who came first, 2 lions or a hare?", "lions")]

    def majority(self, split):
        return 1.0


def said(solutions, derive):
    """Give the solutions in turn, then what `derive` makes of the text of a derivation."""
    left = list(solutions)

    def say(request, number):
        return left.pop(0) if left else derive(request.turns[1][1])

    return Told(say)


def run(name, engine, task=None):
    method, trajectory, requests = ask_one(name, engine, task)
    return method, trajectory, {k: text_of(r) for k, r in by_label(method, requests).items()}


SOLUTIONS = ["The answer is 8001.", "no idea", "The answer is 8000.", "It is 8,001. So 8001."]


def test_each_different_answer_is_tested_and_the_one_that_passes_most_wins():
    def derive(text):
        if "Answer: 8000" not in text:
            return "It is 3."
        return "The answer is 7000." if "X\n" in text else "The answer is 1000."

    name = "self_verification:k=4,derivations=5"
    method, trajectory, asked = run(name, said(SOLUTIONS, derive))
    assert trajectory.answer == SOLUTIONS[2]  # although two of three say 8001
    derived = [label for label in asked if label.startswith("derivation")]
    assert derived == [f"derivation {i}.{p}" for i in (0, 2) for p in range(5)]
    assert method.calls == 4 * 6 and len(asked) == 4 + 10
    texts = [asked[f"derivation 2.{p}"].partition("\n")[2] for p in range(5)]
    assert texts[0] == "What is the sum?\nX\n+ 1000\n\nAnswer: 8000"
    assert texts[1] == "What is the sum?\n7000\n+ X\n\nAnswer: 8000"
    assert texts == [texts[p % 2] for p in range(5)]


def test_answers_that_are_no_numbers_are_true_or_false():
    def derive(text):
        return "Hm, false?\nTrue" if text.endswith("Proposed answer: hare") else "True or\nfalse."

    solutions = ["The answer is lions.", "The answer is hare."]
    _, trajectory, asked = run(
        "self_verification:k=2,derivations=2", said(solutions, derive), Letters()
    )
    assert trajectory.answer == solutions[1]
    assert "In 1990 who came first" in asked["derivation 0.1"]
    _, trajectory, asked = run(
        "self_verification:k=4,derivations=1,masked=false", said(SOLUTIONS, lambda text: "True")
    )
    assert "X" not in asked["derivation 0.0"] and trajectory.answer == SOLUTIONS[0]


@pytest.mark.parametrize("solutions", [["no idea"] * 5, ["The answer is 8001."] * 5])
def test_if_all_abstain_nothing_is_tested_and_if_all_agree_one_is(solutions):
    method, trajectory, asked = run("self_verification", said(solutions, lambda text: "Hm."))
    agreed = solutions[0] != "no idea"
    assert len(asked) == 5 + 10 * agreed and method.calls == 55
    assert trajectory.answer == solutions[0] * agreed and method.tied(trajectory) is False


def test_numbers_are_masked_one_by_one():
    found = conditions("He has 3 apples, 1,200 pears, 0.5 m3 and 3.")
    assert [n for n, _ in found] == ["3", "1,200", "0.5", "3"]
    assert found[3][1] == "He has 3 apples, 1,200 pears, 0.5 m3 and X."
    assert conditions("none") == []


def test_it_reads_what_the_task_reads():
    assert Sums().extract("", SOLUTIONS[3]) == "8001"
