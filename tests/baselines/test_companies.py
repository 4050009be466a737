"""MetaGPT and ChatDev: who reads which document, when talks and reviews end, what is answered."""

import pytest
from support.asking import Sums, Told, ask_one, by_label, text_of

from neuromas_env.baselines import make_baseline


def run(name, says=None):
    """Say `tagN`, or what is said under a number of a call."""

    def say(request, number):
        return (says or {}).get(number) or f"tag{number}x The answer is {number}."

    method, trajectory, requests = ask_one(name, Told(say))
    asked = {label: text_of(request) for label, request in by_label(method, requests).items()}
    numbers = {f"tag{n}x": label for n, label in enumerate(asked)}
    read = {k: {v for tag, v in numbers.items() if tag in text} for k, text in asked.items()}
    return trajectory, asked, read


def test_documents_go_from_role_to_role():
    trajectory, asked, read = run("metagpt")
    assert list(asked) == [
        "requirements", "design", "tasks", "solution 0", "review 1", "solution 1", "review 2",
        "solution 2",
    ]  # fmt: skip
    assert read["design"] == {"requirements"} and read["tasks"] == {"design"}
    assert read["solution 0"] == {"design", "tasks"}
    assert read["review 2"] == {"design", "tasks", "solution 1"}
    assert read["solution 2"] == {"design", "tasks", "solution 1", "review 2"}
    assert "Solution:\ntag5x" in asked["review 2"] and "Review:\ntag6x" in asked["solution 2"]
    assert trajectory.answer.startswith("tag7x")


@pytest.mark.parametrize(
    ("says", "calls", "answer"),
    [
        ({4: "Fine.\nLGTM"}, 5, "tag3x"),
        ({6: "LGTM"}, 7, "tag5x"),
        ({6: "LBTM"}, 8, "tag7x"),
        ({4: "I cannot write LGTM yet: a case is missing.\nLBTM"}, 8, "tag7x"),
    ],
)
def test_reviews_end_when_the_solution_passes(says, calls, answer):
    trajectory, asked, _ = run("metagpt", says)
    assert len(asked) == calls and trajectory.answer.startswith(answer)


def test_two_roles_talk_in_turn_and_the_counselor_concludes():
    trajectory, asked, read = run("chatdev:cycles=0")
    first = [label for label in asked if label.startswith("demand")]
    assert first == [
        "demand chief product officer 0", "demand chief executive officer 0",
        "demand chief product officer 1", "demand chief executive officer 1", "demand counselor",
    ]  # fmt: skip
    assert read["demand counselor"] == set(first[:4]) and read[first[2]] == set(first[:2])
    # The next phase reads the conclusion alone.
    assert read["approach chief technology officer 0"] == {"demand counselor"}
    assert read["solution"] == {"demand counselor", "approach counselor"}
    assert "Demand:\ntag4x" in asked["solution"] and trajectory.answer.startswith("tag10x")


def test_a_talk_ends_when_one_of_both_concludes():
    _, asked, _ = run("chatdev:cycles=0", {1: "Well.\n<INFO> a number", 3: "<INFO> by adding"})
    assert list(asked) == [
        "demand chief product officer 0", "demand chief executive officer 0",
        "approach chief technology officer 0", "approach chief executive officer 0", "solution",
    ]  # fmt: skip
    assert "Demand:\na number\n\nApproach:\nby adding" in asked["solution"]


AGREED = {0: "<INFO> a number", 1: "<INFO> by adding"}


def test_a_change_is_what_the_programmer_said_last():
    # 2 is the solution, 3 to 6 talk about a comment, 7 to 10 about a change
    trajectory, asked, read = run("chatdev:turns=2,cycles=1", AGREED)
    assert read["change 0 programmer 0"] == {"solution", "comment 0 code reviewer 1"}
    assert "Comment 0:\ntag5x" in asked["change 0 programmer 0"] and len(asked) == 11
    assert trajectory.answer.startswith("tag9x")
    trajectory, asked, _ = run("chatdev:turns=2,cycles=2", AGREED | {8: "<INFO> Good."})
    assert "Change 0:\ntag7x" in asked["comment 1 code reviewer 0"]
    trajectory, _, _ = run("chatdev:turns=2,cycles=1", AGREED | {7: "It is 8000.\n<INFO>"})
    assert trajectory.answer.startswith("tag2x"), "an empty conclusion replaces no solution"


@pytest.mark.parametrize(
    ("says", "calls", "answer"),
    [
        ({3: "<INFO> Finished", 4: "<INFO> Finished"}, 5, "tag2x"),
        ({4: "<INFO> Finished."}, 5, "tag2x"),
        ({6: "<INFO> Finished"}, 7, "tag4x"),
        ({3: "<INFO> Finished"}, 23, "tag22x"),  # the programmer decides
    ],
)
def test_reviews_end_when_nothing_is_to_be_changed(says, calls, answer):
    trajectory, asked, _ = run("chatdev:turns=1", AGREED | says)
    assert len(asked) == calls and trajectory.answer.startswith(answer)


def test_calls_of_a_company_that_never_agrees_are_the_closed_form():
    trajectory, asked, _ = run("chatdev:turns=3,cycles=3")
    assert len(asked) == 2 * 5 + 1 + 3 * 2 * 2 * 3
    assert trajectory.answer.startswith("tag45x")
    assert make_baseline("chatdev", Sums(), None).calls == 2 * 5 + 1 + 10 * 2 * 2 * 10


def test_a_solution_that_reads_as_the_end_of_reviews_is_an_answer():
    said = dict.fromkeys(range(40), "Finished.")
    trajectory, _, _ = run("chatdev:turns=1,cycles=1", said)
    assert trajectory.error is None and trajectory.answer == "Finished."
