"""Ours against the rules of the authors' code, written down again from it, on the same input."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.asking import Sums, Told, ask_one

from neuromas_env.baselines.dylan import importance, ratings
from neuromas_env.baselines.gptswarm import candidates, draw
from neuromas_env.baselines.self_check import weight
from neuromas_env.baselines.similarity import similarities
from neuromas_env.baselines.tot import rating
from neuromas_env.baselines.vote import most_similar, vote


@pytest.mark.slow
@given(st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_debate_votes_on_the_same_transcripts_as_theirs(said):
    """Theirs: of the last round's answers the first that no other is more frequent than."""
    engine = Told(lambda _, number: f"The answer is {said[number]}.")
    _, trajectory, _ = ask_one("debate", engine)
    last = said[3:]
    theirs = max(last, key=last.count)  # the first of equals
    assert Sums().extract("", trajectory.answer) == str(theirs)


@given(st.lists(st.sampled_from("abc"), min_size=1))
def test_any_number_of_answers_is_counted_as_in_debate(answers):
    assert answers[vote(answers).winner] == max(answers, key=answers.count)


@pytest.mark.parametrize("seed", range(8))
def test_gptswarm_has_their_gradient_on_a_graph_of_three_nodes(seed):
    """Theirs: the slope of the mean of -u log p(G), edges in order, cycles passed over."""
    rng, edges = np.random.default_rng(seed), candidates(2)
    start, rewards = rng.normal(size=len(edges)), rng.integers(0, 2, 4)
    graphs = [draw(start, edges, rng) for _ in rewards]

    def loss(theta):
        logs = np.zeros(len(graphs))
        for number, (taken, _) in enumerate(graphs):
            kept = set()
            for edge, logit in zip(edges, theta, strict=True):
                if edge[::-1] in kept:
                    continue  # no longer cycle can close among three nodes of which one is the end
                chance = 1 / (1 + math.exp(-logit))
                logs[number] += math.log(chance if edge in taken else 1 - chance)
                kept |= {edge} & set(taken)
        return float(np.mean(-rewards * logs))

    h = 1e-6
    slope = [(loss(start + h * e) - loss(start - h * e)) / (2 * h) for e in np.eye(len(edges))]
    ours = np.mean([u * slope for u, (_, slope) in zip(rewards, graphs, strict=True)], axis=0)
    assert np.allclose(slope, -ours, atol=1e-8)


@given(st.lists(st.sampled_from(["sure", "likely", "impossible", "unclear"]), max_size=5))
def test_states_of_thought_are_worth_what_they_are_in_theirs(words):
    """Theirs: 20, 1 and 0.001 times how many replies end in a line that is the word."""
    values = {"sure": 20, "likely": 1, "impossible": 0.001}
    theirs = sum(value * words.count(word) for word, value in values.items())
    assert rating([f"It may be so.\n{word}" for word in words]) == pytest.approx(theirs)


@given(st.lists(st.sampled_from([-1, 0, 1])), st.floats(0, 2), st.floats(0, 2))
def test_self_check_weighs_a_solution_as_theirs(verdicts, failed, unsure):
    s = -verdicts.count(-1) * failed - verdicts.count(0) * unsure
    assert weight(verdicts, failed, unsure) == pytest.approx(2 * math.exp(s) / (math.exp(s) + 1))


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 10_000))
def test_dylan_hands_importance_back_as_theirs(agents, rounds, seed):
    """Theirs, edge by edge: a node's importance is that of its readers times their ratings."""
    rng = np.random.default_rng(seed)
    rated = [rng.integers(1, 6, (agents, agents)) for _ in range(rounds - 1)]
    right = rng.random(agents) < 0.6
    last = [float(one) / max(right.sum(), 1) for one in right]

    layers = [last]
    for scores in reversed(rated):
        before = [0.0] * agents
        for reader in range(agents):
            total = sum(score / 5 for score in scores[reader])
            for source in range(agents):
                before[source] += scores[reader][source] / 5 / total * layers[-1][reader]
        layers.append(before)

    replies = [
        [f"Ratings: {', '.join(map(str, row))}" for row in scores.tolist()] for scores in rated
    ]
    weights = [np.array([ratings(reply, agents) for reply in layer]) for layer in replies]
    assert importance(last, weights) == pytest.approx(np.sum(layers, axis=0))


@given(st.lists(st.sampled_from(["a = 1", "a = 2", "b + c", "return b + c"]), min_size=1))
def test_more_agents_take_the_most_similar_of_all_others(codes):
    """Theirs: of all samples the first whose BLEU to every other one, summed, is largest."""
    rows = similarities(codes)
    sums = [
        round(sum(row[j] for j in range(len(codes)) if j != i), 9) for i, row in enumerate(rows)
    ]
    assert codes[most_similar(codes).winner] in {
        code for code, total in zip(codes, sums, strict=True) if total == max(sums)
    }


@pytest.mark.slow
@settings(max_examples=25)
@given(st.lists(st.integers(0, 2), min_size=3, max_size=3), st.lists(st.booleans(), min_size=12))
def test_self_verification_takes_the_answer_that_theirs_takes(answers, found):
    """Theirs: of different answers, in order, the first with the most right derivations."""
    distinct = list(dict.fromkeys(answers))
    rights = dict.fromkeys(distinct, 0)

    def say(request, number):
        if number < 3:
            return f"The answer is {answers[number]}."
        user = request.turns[1][1]
        value, good = int(user.rpartition("Answer: ")[2]), found.pop()
        rights[value] += good
        wanted = "7000" if "\nX\n" in user else "1000"
        return f"The answer is {wanted if good else 5}."

    name = "self_verification:k=3,derivations=2"
    _, trajectory, _ = ask_one(name, Told(say))
    theirs = distinct[int(np.argmax([rights[answer] for answer in distinct]))]
    assert Sums().extract("", trajectory.answer) == str(theirs)
