"""Scores, intervals, cost and the ablation of messages, with scripted nodes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromas_env.agents.training.evaluate import (
    CHUNK,
    Evaluation,
    communication_ablation,
    evaluate,
    shuffle,
    wilson,
)
from neuromas_env.errors import InputError
from neuromas_env.method import Method
from neuromas_env.policy import Completion, Cost, Engine, Policy, Request, Usage
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task
from neuromas_env.topology import Topology

CHAIN = Topology.parse("1-1")


class Echo(Policy):
    """A scripted node: a sender says its part, a receiver repeats its first message."""

    def request(self, observation, seed):
        inbox = observation["inbox"]
        return inbox[0]["text"] if inbox else observation["question"].splitlines()[-1]


class Answering(Engine):
    """An engine that answers every request alike, or fails on some."""

    def __init__(self, text="A", error=None):
        self.cost, self._text, self._error = Cost(), text, error

    def generate(self, requests):
        replies = []
        for request in requests:
            self.cost.book(request.adapter, Usage(1, 7, 2, 0.5))
            error = self._error if request.turns[0][1].endswith("B") else None
            replies.append(Completion(self._text, error=error))
        return replies


class Caller(Echo):
    def __init__(self, engine):
        self.engine = engine

    def request(self, observation, seed):
        return Request((("user", observation["question"]),), self.engine, "node_0")


def signal(symbols=4):
    task = make_task(f"signal:symbols={symbols}")
    return task, task.examples("test")


def echo_team(topology=CHAIN):
    return Method(topology, {node: Echo() for node in topology.nodes})


def test_a_perfect_team_scores_one_and_needs_its_messages():
    task, examples = signal()
    result = evaluate(echo_team(), task, examples)
    assert (result.n, result.strict, result.extracted, result.parse_rate) == (4, 1.0, 1.0, 1.0)
    assert (result.majority, result.blind, result.reasons) == (0.25, 0.25, {"ok": 4})
    ablation = communication_ablation(echo_team(), task, examples)
    assert ablation["blanked"].extracted == 0 and ablation["blanked"].reasons == {"no_answer": 4}
    # Every question gets another symbol's message, so nothing is right and all is readable.
    assert ablation["shuffled"].extracted == 0 and ablation["shuffled"].parse_rate == 1


def test_the_ablation_leaves_a_deaf_output_node_alone():
    class Deaf(Echo):
        def request(self, observation, seed):
            return "A"

    task, examples = signal()
    team = Method(CHAIN, {"node_0": Echo(), "node_1": Deaf()})
    for result in communication_ablation(team, task, examples).values():
        assert result.extracted == 0.25


def test_cost_is_counted_for_this_evaluation_alone():
    task, examples = signal(3)
    engine = Answering()
    engine.cost.phase = "train"
    team = {"node_0": Caller(engine)}
    for _ in range(2):
        result = evaluate(Method(Topology.parse("1"), team), task, examples)
        assert result.cost == {
            "calls": 3, "prompt_tokens": 21, "completion_tokens": 6, "seconds": 1.5
        }  # fmt: skip
    assert engine.cost.phase == "train"
    assert engine.cost.total("train").calls == 0


def test_failed_episodes_count_as_wrong_and_are_reported():
    task, examples = signal(2)
    engine = Answering("A", error="too long")
    result = evaluate(Method(Topology.parse("1"), {"node_0": Caller(engine)}), task, examples)
    assert (result.extracted, result.errors, result.first_error) == (0.5, 1, "node_0: too long")
    with pytest.raises(InputError, match="every episode failed; the first: node_0: too long"):
        evaluate(Method(Topology.parse("1"), {"node_0": Caller(engine)}), task, examples[1:])


def test_progress_can_stop_an_evaluation():
    task, examples = signal()
    seen = []

    def progress(done, total):
        seen.append((done, total))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(echo_team(), task, examples * 40, progress=progress)
    assert seen[0][1] == 160 and 0 < seen[0][0] <= CHUNK


class Noting(Echo):
    """Says its part, and keeps the seeds that it is given."""

    def __init__(self):
        self.seeds = []

    def request(self, observation, seed):
        self.seeds.append(seed)
        return super().request(observation, seed)


def test_no_seed_of_an_evaluation_is_drawn_twice_nor_by_another_ones_seed():
    task, examples = signal()
    questions, single = examples * 33, Topology.parse("1")  # 132 of them, in chunks of 44
    first, other, whole = Noting(), Noting(), Noting()
    evaluate(Method(single, {"node_0": first}), task, questions, seed=0)
    evaluate(Method(single, {"node_0": other}), task, questions, seed=44)
    assert len({*first.seeds, *other.seeds}) == 2 * len(questions)
    # They are those of each question's own number, however many run at once.
    run_episodes(Method(single, {"node_0": whole}), task, questions, seed=0)
    assert first.seeds == whole.seeds


def test_an_evaluation_survives_json():
    task, examples = signal()
    result = evaluate(echo_team(), task, examples)
    assert Evaluation.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_too_little_for_an_evaluation_is_refused():
    task, examples = signal()
    with pytest.raises(InputError, match="at least one question"):
        evaluate(echo_team(), task, [])
    with pytest.raises(InputError, match="two questions and two nodes"):
        communication_ablation(echo_team(), task, examples[:1])


@given(st.integers(2, 40), st.integers(0, 2**32))
def test_shuffling_moves_every_message_and_loses_none(n, seed):
    layer = [{"node_0": f"{i}", "node_9": f"{i}"} for i in range(n)]
    mixed = shuffle("node_9", seed)(layer)
    assert sorted(m["node_0"] for m in mixed) == sorted(m["node_0"] for m in layer)
    assert all(new["node_0"] != old["node_0"] for new, old in zip(mixed, layer, strict=True))
    assert all(new["node_9"] == old["node_9"] for new, old in zip(mixed, layer, strict=True))


def test_shuffling_leaves_failed_episodes_out():
    layer = [{"node_0": "a", "node_1": "b"}, {"node_0": "c"}, {"node_0": "d", "node_1": "e"}]
    mixed = shuffle("node_2", 0)(layer)
    assert mixed == [layer[2], layer[1], layer[0]]


def test_taking_messages_away_goes_on_after_a_chunk_in_which_every_episode_failed():
    task, examples = signal(2)
    bad, good = sorted(examples, key=lambda e: e.target == "A")
    engine = Answering("A", error="too long")
    team = Method(CHAIN, {"node_0": Caller(engine), "node_1": Echo()})
    questions = [bad] * CHUNK + [good] * CHUNK
    found = communication_ablation(team, task, questions)
    assert {name: row.errors for name, row in found.items()} == {
        "blanked": CHUNK,
        "shuffled": CHUNK,
    }
    assert found["shuffled"].first_error == "node_0: too long"


def test_the_interval_equals_published_values():
    # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for successes, n, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        assert wilson(successes, n) == pytest.approx((low, high), abs=6e-5)
