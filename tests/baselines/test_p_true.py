"""P(True): the probability that a reply gives to A, and the vote weighted by it."""

import math

import numpy as np
import pytest
from support.asking import Sums, Told, ask_one, by_label, text_of

from neuromas_env.baselines import make_baseline
from neuromas_env.baselines.p_true import probability
from neuromas_env.policy import Completion

SOLUTIONS = ["The answer is 5.", "The answer is 5.", "The answer is 6.", "no idea"]


class Sure(Told):
    """Says A or B with a probability."""

    def __init__(self, replies):
        self.logs = {}
        super().__init__(lambda request, number: ([*SOLUTIONS, *(r for r, _ in replies)])[number])
        self.probabilities = [1.0] * len(SOLUTIONS) + [p for _, p in replies]

    def _answer(self, number, request):
        done = super()._answer(number, request)
        logs = np.full(len(done.ids), math.log(self.probabilities[number]), dtype=np.float32)
        return Completion(done.text, done.prompt_ids, done.ids, logs)


@pytest.mark.parametrize(
    ("replies", "winner"),
    [
        ([("A", 0.4), ("A", 0.4), ("A", 0.9), ("A", 1.0)], 2),
        ([("A", 0.4), ("B", 0.4), ("A", 0.9), ("A", 1.0)], 0),
        ([("B", 0.9), ("B", 0.9), ("B", 0.7), ("B", 0.1)], 2),
        ([("Maybe", 0.9), ("A", 0.2), ("B", 0.9), ("A", 1.0)], 0),
    ],
)
def test_the_summed_probabilities_decide(replies, winner):
    engine = Sure(replies)
    method, trajectory, requests = ask_one("p_true:k=4", engine)
    assert trajectory.answer == SOLUTIONS[winner] and method.tied(trajectory) is False
    assert method.calls == 8 == len(requests)
    said = [turn.text for turn in trajectory.turns][4:8]
    expected = [{"A": p, "B": 1 - p}.get(reply, 0) for reply, p in replies]
    assert [float(text) for text in said] == pytest.approx(expected, abs=1e-5)


def test_who_reads_what():
    method, _, requests = ask_one("p_true:k=4", Sure([("A", 0.5)] * 4))
    asked = by_label(method, requests)
    text = text_of(asked["score 2.0"])
    assert text.endswith("Possible answers:\n1. 5\n2. 5\n3. 6\n4. no idea\n\nProposed answer: 6")
    sampling = asked["score 2.0"].sampling
    assert (sampling.temperature, sampling.max_new_tokens) == (1.0, 1)
    method, _, requests = ask_one("p_true:k=4,max_new_tokens=32", Sure([("A", 0.5)] * 4))
    lengths = [request.sampling.max_new_tokens for request in requests.values()]
    assert lengths == [32] * 4 + [1] * 4
    method, _, requests = ask_one("p_true:k=4,show=false", Sure([("A", 0.5)] * 4))
    assert "Possible answers" not in text_of(by_label(method, requests)["score 2.0"])


def test_several_scores_are_averaged():
    replies = [("A", 0.9), ("B", 0.9)] * 2 + [("A", 0.6)] * 2 + [("A", 1.0)] * 2
    method, trajectory, _ = ask_one("p_true:k=4,scores=2", Sure(replies))
    assert method.calls == 12 and trajectory.answer == SOLUTIONS[0]  # 0.5 + 0.5 against 0.6
    method, trajectory, _ = ask_one("p_true:k=4,scores=2,show=false", Sure(replies))
    assert trajectory.answer == SOLUTIONS[0]


def test_without_log_probabilities_a_word_is_all_or_nothing():
    assert [probability(Completion(text)) for text in ("A", " b", "True", "")] == [1, 0, 0, 0]


def test_alike_scores_need_sampling():
    assert not make_baseline("p_true:k=1,temperature=0", Sums(), None).sampled
