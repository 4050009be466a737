"""Self-Check and its cheap variant: steps, weights, and who sees what."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.asking import Told, ask_one, by_label, text_of

from neuromas_env.baselines.self_check import relied_on, split_steps, verdict, weight

SOLUTIONS = (
    "Step 1: take tag-a.\nStep 2: add tag-b.\nThe answer is 5.",
    "Step 1: take tag-c.\nThe answer is 6.",
    "Step 1: take tag-d.\nand go on\nStep 2: more\nStep 3: tag-e\nThe answer is 6.",
)


def reply(labels):
    """Answer each kind of call; `labels` says what the label calls reply, in turn."""
    left, solved = list(labels), list(SOLUTIONS)

    def say(request, number):
        system = request.turns[0][1]
        if system.startswith("Copy the text"):
            return "Fact one.\nFact two."
        if "Begin every step" in system:
            return solved.pop(0)
        if system.startswith("Which of the numbered"):
            return "facts 2; steps 1 and 9"
        if system.startswith("Sum the comparison up"):
            return left.pop(0)
        return f"said{number}."

    return Told(say)


def run(name, labels):
    method, trajectory, requests = ask_one(name, reply(labels))
    texts = by_label(method, {node: text_of(request) for node, request in requests.items()})
    return method, trajectory, texts, by_label(method, requests)


def test_calls_are_the_closed_form_and_idle_columns_stay_idle():
    method, trajectory, texts, requests = run("self_check:n=3", ["Support"] * 6)
    steps = 2 + 1 + 3
    assert len(texts) == 1 + 3 * 2 + 5 * steps and method.calls == 1 + 3 * (2 + 5 * 8)
    assert "target 1.1" not in texts and "label 2.2" in texts
    assert trajectory.answer == SOLUTIONS[1]
    heat = {label.split()[0]: r.sampling.temperature for label, r in requests.items()}
    assert heat.pop("variables") == 0 and set(heat.values()) == {1.0}


def test_a_step_is_derived_anew_without_sight_of_it():
    _, trajectory, texts, _ = run("self_check:n=3", ["Support"] * 6)
    said = {label: text for label, text in by_label_texts(trajectory)}
    anew = texts["anew 0.1"]
    assert "tag-b" not in anew and "The answer" not in anew
    assert "1. Fact two.\n2. Step 1: take tag-a." in anew and "Fact one" not in anew
    assert "Step 1" not in texts["anew 0.0"] and "tag-" not in texts["anew 0.0"]
    assert said["target 0.1"] in anew and said["variables 0"] in anew
    assert "tag-b" in texts["target 0.1"] and "tag-b" not in texts["target 0.0"]
    assert said["anew 0.1"] in texts["comparison 0.1"] and "tag-b" in texts["comparison 0.1"]
    assert texts["label 0.1"].endswith(said["comparison 0.1"])


def by_label_texts(trajectory):
    method, again, _ = ask_one("self_check:n=3", reply(["Support"] * 6))
    assert again.answer == trajectory.answer
    return [(method.labels[step.node], step.text) for step in again.turns]


@pytest.mark.parametrize(
    ("labels", "options", "winner"),
    [
        (["Support"] * 6, "", 1),  # two against one
        (["Support", "Support", "Contradict", "Support", "Contradict", "Contradict"], "", 0),
        (["Support", "Support", "Contradict"] + ["Contradict"] * 3, ",lam_neg=0", 1),
        (["Unrelated"] * 6, ",lam_zero=3", 1),
        (["Support", "Contradict", "Unrelated", "Contradict", "Contradict", "Contradict"], "", 1),
    ],
)
def test_weights_decide(labels, options, winner):
    _, trajectory, _, _ = run(f"self_check:n=3{options}", labels)
    assert trajectory.answer == SOLUTIONS[winner]


def test_more_steps_than_columns_become_one():
    _, _, texts, _ = run("self_check:n=3,max_steps=2", ["Support"] * 5)
    assert "tag-e" in texts["target 2.1"] and "target 2.2" not in texts


def test_two_stage_variant():
    checks = [
        "Step 1: Support\nStep 2: Contradict",
        "- Step 1: contradict",
        "Step 1: Contradict\n" * 3,
    ]

    def say(request, number):
        return ("Fact.", *SOLUTIONS, *checks)[number]

    method, trajectory, requests = ask_one("self_check_two_stage:n=3", Told(say))
    assert len(requests) == method.calls == 7
    # 2/(1+e) against 2/(1+e) + 2/(1+e^3)
    assert trajectory.answer == SOLUTIONS[1] and method.tied(trajectory) is False
    assert SOLUTIONS[2] in text_of(by_label(method, requests)["check 2"])


@pytest.mark.parametrize("check", ["1. Contradict", "All of it contradicts the fact."])
def test_a_check_without_the_word_step_is_read(check):
    said = ("Fact.", *SOLUTIONS[:2], check, "Step 1: Unrelated")
    _, trajectory, _ = ask_one("self_check_two_stage:n=2", Told(lambda _, number: said[number]))
    assert trajectory.answer == SOLUTIONS[1]


def test_weight_by_hand():
    assert weight([], 1, 0.3) == weight([1, 1, 1], 1, 0.3) == 1
    assert weight([-1, 0, 0, 1], 1, 0.3) == pytest.approx(2 / (1 + math.exp(1.6)))
    assert weight([-1, 0], 0, 0) == 1
    assert weight([-1] * 5000, 100, 0) < 1e-300


@given(st.lists(st.sampled_from([-1, 0, 1])), st.floats(0, 100), st.floats(0, 100))
def test_an_objection_never_adds_weight(verdicts, lam_neg, lam_zero):
    before = weight(verdicts, lam_neg, lam_zero)
    assert 0 < before <= 1
    assert weight([*verdicts, 1], lam_neg, lam_zero) == before
    assert weight([*verdicts, -1], lam_neg, lam_zero) <= before


@pytest.mark.parametrize(
    ("reply", "value"),
    [("Support", 1), ("It supports or contradicts", -1), ("CONTRADICT.", -1), ("Unrelated", 0),
     ("", 0)],
)  # fmt: skip
def test_verdicts(reply, value):
    assert verdict(reply) == value


@given(st.text(alphabet="ab\n Step:1"), st.integers(1, 5))
def test_splitting_loses_no_line(solution, most):
    steps = split_steps(solution, most)
    lines = [line.strip() for line in solution.splitlines() if line.strip()]
    assert "\n".join(steps).split("\n") == (lines or [""]) and len(steps) <= most


def test_steps_and_facts_that_are_named():
    assert split_steps("intro\nStep 1: a\nb\n**Step 2** c", 8) == [
        "intro",
        "Step 1: a\nb",
        "**Step 2** c",
    ]
    assert split_steps("a\n\nb\nc", 2) == ["a", "b\nc"]
    assert relied_on("facts 1, 3; steps 2", "fact") == [1, 3]
    assert relied_on("Facts: 1 and 2, step 4 or 5", "step") == [4, 5]
    assert relied_on("none of them", "fact") == []
