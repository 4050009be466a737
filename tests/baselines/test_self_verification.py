"""Self-Verification: masked conditions, true or false, and the answer that passes most."""

import pytest
from support.asking import Told, ask_one, by_label, text_of

from neuromas_env.baselines.self_verification import masks
from neuromas_env.tasks.base import Example, Task, listed_options
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
        return "The answer is 7000." if "\nX\n" in text else "The answer is 1000."

    name = "self_verification:k=4,derivations=2"
    method, trajectory, asked = run(name, said(SOLUTIONS, derive))
    assert trajectory.answer == SOLUTIONS[2]  # although two of three say 8001
    derived = [label for label in asked if label.startswith("derivation")]
    # two conditions stand in the question, so the third has nothing to derive
    assert derived == [f"derivation {i}.{c}.{n}" for i in (0, 2) for c in (0, 1) for n in (0, 1)]
    assert method.calls == 4 * (1 + 3 * 2) and len(asked) == 4 + 8
    texts = [asked[label].partition("\n")[2] for label in derived[4:]]
    assert texts[0] == texts[1] == "What is the sum?\nX\n+ 1000\n\nAnswer: 8000"
    assert texts[2] == texts[3] == "What is the sum?\n7000\n+ X\n\nAnswer: 8000"
    _, _, asked = run(f"{name},conditions=1", said(SOLUTIONS, derive))
    assert len(asked) == 4 + 4


class Numbered(Task):
    """A choice whose labels are numbers."""

    name = "numbered"
    answer_format = "Answer with the number of the option."
    answer_form = Form("choice")

    def examples(self, split):
        question = "Which colour is a leaf?\n1. red\n2. green"
        return [Example("0", question, "2", options=listed_options(question))]


def test_a_label_is_no_number_to_be_masked():
    replies = said(["The answer is 1.", "The answer is 2."], lambda text: str("answer: 2" in text))
    _, trajectory, asked = run("self_verification:k=2,derivations=1", replies, Numbered())
    assert trajectory.answer == "The answer is 2."
    assert "Proposed answer: 1" in asked["derivation 0.0.0"]


def test_it_decodes_as_the_authors_do():
    method, _, _ = run("self_verification", said(SOLUTIONS * 2, lambda text: "3"))
    heat = {method.labels[n].split()[0]: p.sampling.temperature
            for n, p in method.team.items() if not p.scripted}  # fmt: skip
    assert heat == {"solution": 0.3, "derivation": 0.2} and method.calls == 5 + 5 * 3 * 10


def test_answers_that_are_no_numbers_are_true_or_false():
    def derive(text):
        return "Hm, false?\nTrue" if text.endswith("Proposed answer: hare") else "True or\nfalse."

    solutions = ["The answer is lions.", "The answer is hare."]
    name = "self_verification:k=2,derivations=2"
    _, trajectory, asked = run(name, said(solutions, derive), Letters())
    assert trajectory.answer == solutions[1] and len(asked) == 2 + 2 * 2
    assert "In 1990 who came first" in asked["derivation 0.0.1"]
    name = "self_verification:k=4,derivations=1,masked=false"
    _, trajectory, asked = run(name, said(SOLUTIONS, lambda text: "True"))
    assert "X" not in asked["derivation 0.0.0"] and trajectory.answer == SOLUTIONS[0]


@pytest.mark.parametrize("solutions", [["no idea"] * 5, ["The answer is 8001."] * 5])
def test_a_lone_answer_is_not_tested(solutions):
    method, trajectory, asked = run("self_verification", said(solutions, lambda text: "Hm."))
    agreed = solutions[0] != "no idea"
    assert len(asked) == 5
    assert trajectory.answer == solutions[0] * agreed and method.tied(trajectory) is False


def test_numbers_are_masked_one_by_one():
    found = masks("He has 3 apples, 1,200 pears, 0.5 m3 and 3.")
    assert [n for n, _ in found] == ["3", "1,200", "0.5", "3"]
    assert found[3][1] == "He has 3 apples, 1,200 pears, 0.5 m3 and X."
    assert masks("none") == []
