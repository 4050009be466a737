"""Graph-of-Agents: selection, scores, the graph that follows from them, and its messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.asking import Told, ask_one, by_label, text_of

from neuromas_env.baselines.cards import CARDS
from neuromas_env.baselines.goa import chosen, confidence, rank

# Column 1 is best, then 2, then 0; each judge leaves itself out.
SCORES = ("0.8, 0.2", "0.3, 0.7", "0.1, 0.9")


def reply(scores=SCORES, selection="2, 0, 1", sure=("0.9",) * 3):
    """Reply as the call asks: the selection, the answers, the scores, then refined answers."""
    state = {"answers": 0, "scores": 0}

    def say(request, number):
        text = text_of(request)
        if "Choose the 3 agents" in text:
            return selection
        if "Score these 2 answers" in text:
            state["scores"] += 1
            return scores[state["scores"] - 1]
        if "'Confidence:'" in text and state["answers"] < 3:
            state["answers"] += 1
            return f"tag{number}x The answer is {number}.\nConfidence: {sure[state['answers'] - 1]}"
        return f"tag{number}x The answer is {number}."

    return Told(say)


def run(name="goa", **options):
    engine = reply(**options)
    method, trajectory, requests = ask_one(name, engine)
    texts = by_label(method, {node: text_of(request) for node, request in requests.items()})
    return method, trajectory, texts, list(requests)


def test_twelve_calls_and_who_reads_whom():
    method, trajectory, texts, _ = run()
    assert len(texts) == 12 and method.calls == 15  # three more if all answers are redone
    order = list(texts)
    assert order[:7] == ["selection", *(f"answer {i}" for i in range(3)),
                         *(f"scores by {i}" for i in range(3))]  # fmt: skip
    assert CARDS[2][1] in texts["answer 0"] and CARDS[0][1] in texts["answer 1"]
    assert "tag1x" not in texts["scores by 0"] and "tag2x" in texts["scores by 0"]
    # Downwards the worse answers are rewritten in view of the better ones as they were.
    assert "answer 1 downward round 0" not in texts
    down2, down0 = texts["answer 2 downward round 0"], texts["answer 0 downward round 0"]
    assert "Your answer:\ntag3x" in down2 and "tag2x" in down2 and "tag1x" not in down2
    assert down0.index("tag2x") < down0.index("Other answers:") + 60 and "tag3x" in down0
    # Upwards the better ones in view of the rewritten worse ones.
    assert "answer 0 upward round 0" not in texts
    up1, up2 = texts["answer 1 upward round 0"], texts["answer 2 upward round 0"]
    rewritten = {i: order.index(f"answer {i} downward round 0") for i in (0, 2)}
    assert all(f"tag{number}x" in up1 for number in rewritten.values()) and "tag3x" not in up1
    assert f"tag{rewritten[0]}x" in up2 and "tag1x" not in up2
    pool = texts["pool"]
    assert all(f"tag{order.index(f'answer {i} upward round 0')}x" in pool for i in (1, 2))
    assert "(relevance moderate)" in pool and "(relevance low)" in pool
    assert trajectory.answer.startswith("tag11x")


def test_max_pooling_raises_the_best_answer_alone():
    method, trajectory, texts, _ = run("goa:pool=max")
    assert len(texts) == 10 and method.calls == 13
    assert [label for label in texts if "upward" in label] == ["answer 1 upward round 0"]
    assert "pool" not in texts and trajectory.answer.startswith("tag9x")
    method, _, texts, _ = run("goa:pool=max,rounds=2")
    assert len(texts) == 13 == method.calls - 3


def test_unsure_answers_are_given_again_by_the_generalist():
    _, _, texts, _ = run(sure=("0.05", "0.01", "0.1"))
    redone = [label for label in texts if label.startswith("redone")]
    assert redone == ["redone answer 0"]  # answer 1 is the generalist's, 0.1 is not below 0.1
    assert CARDS[0][1] in texts["redone answer 0"]
    assert "tag4x" in texts["scores by 1"] and "tag1x" not in texts["scores by 1"]
    method, _, texts, _ = run("goa:redo=0", sure=("0.0",) * 3)
    assert len(texts) == 12 == method.calls


@pytest.mark.parametrize(
    ("scores", "calls", "answer"),
    [
        (("nothing", "0.9", "1, 2, 3"), 8, "tag7x"),  # all judges dropped: pool the answers
        (("0.96, 0.04", "0.02, 0.98", "0.0, 1.0"), 10, "tag9x"),  # column 0 drops out
        (("1.0, 0.0", "0.5, 0.5", "0.0, 1.0"), 12, "tag11x"),
        (("1, 0", "", "0, 1"), 7, "tag2x"),  # one answer is left, so it is the answer
    ],
)
def test_what_the_scores_drop_takes_no_part(scores, calls, answer):
    _, trajectory, texts, _ = run(scores=scores)
    assert len(texts) == calls and trajectory.answer.startswith(answer)


@pytest.mark.parametrize("selection", ["", "0, 1", "7, 0, 1", "0, 1, 2, 3", "6, 6, 6", "no"])
def test_invalid_selection_takes_the_first_cards(selection):
    _, _, texts, _ = run(selection=selection)
    assert all(CARDS[i][1] in texts[f"answer {i}"] for i in range(3))


def test_selection_may_repeat_a_card():
    assert chosen("I choose 5, 5 and 0", 3, 6) == [5, 5, 0]
    assert chosen("5, 5, 0", 3, 5) == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "value"),
    [("Confidence: 0.3", 0.3), ("**confidence**: .05\nConfidence = 1", 1.0), ("none", 1.0),
     ("Confidence: 1.0.", 1.0), ("Confidence: 0.05.", 0.05), ("confidence 12", 1.0)],
)  # fmt: skip
def test_confidence(text, value):
    assert confidence(text) == value


@pytest.mark.parametrize(
    "form", ["{}, {}.", "1. {}\n2. {}", "1: {}, 2: {}", "- {}\n- {}", "1) {}; 2) {}"]
)
def test_scores_may_be_numbered(form):
    given = [form.format(*pair) for pair in (("0.6", "0.4"), ("0.5", "0.5"), ("0.3", ".7"))]
    assert rank(given, 3, 0.05) == rank(["0.6, 0.4", "0.5, 0.5", "0.3, 0.7"], 3, 0.05) != []


@pytest.mark.slow
@given(st.integers(2, 5), st.data(), st.sampled_from([0.0, 0.05, 0.4]))
def test_ranking(k, data, keep):
    some = st.lists(st.integers(0, 9), min_size=k - 1, max_size=k - 1).filter(any)
    judges = data.draw(st.lists(some, min_size=k, max_size=k))
    replies = [", ".join(f"{s / sum(row):.17f}"[:12] for s in row) for row in judges]
    ranking = rank(replies, k, keep)
    weights = [weight for _, weight in ranking]
    assert weights == sorted(weights, reverse=True) and all(weight > keep for weight in weights)
    assert len({column for column, _ in ranking}) == len(ranking)
    assert sum(weights) <= 1 + 1e-9
    mean = [sum(row[i - (i > j)] / sum(row) for j, row in enumerate(judges) if j != i) / (k - 1)
            for i in range(k)]  # fmt: skip
    assert all(abs(weight - mean[i] / sum(mean)) < 1e-6 for i, weight in ranking)


@given(st.lists(st.text(max_size=20), min_size=3, max_size=3))
def test_any_replies_can_be_ranked(replies):
    assert len(rank(replies, 3, 0.05)) <= 3
