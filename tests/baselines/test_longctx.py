"""The long-document Graph of Agents: its graph, its walk through the chunks, short questions."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.asking import Told, ask_one, by_label, text_of

from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.baselines import make_baseline
from neuromas_env.baselines.goa_longctx import make_plan
from neuromas_env.tasks.base import Example, Score, Task

ANIMALS = "The cat sat with another cat and a dog. "
PLANETS = "Mars and Venus are planets of this sun. "
QUERY = "Which of the planets is red?"


class Documents(Task):
    name = "documents"
    answer_format = "Answer with one word."

    def __init__(self, text):
        self.text = text

    def examples(self, split):
        return [Example("d", self.text, "GOLD")]

    def score(self, example, reply):
        return Score(0.0, 0.0, "wrong", reply)


LONG = (
    ANIMALS * 6 + PLANETS * 6 + ANIMALS * 6 + PLANETS * 5 + "Mars is a red planet." + f"\n\n{QUERY}"
)


def tagged(request, number):
    return f"tag{number}x"


@pytest.mark.slow
def test_one_worker_per_chunk_and_the_manager_reads_each_group():
    task = Documents(LONG)
    plan = make_plan(LONG, 240, 2, 32)
    method, trajectory, requests = ask_one("goa_longctx:chunk=240,groups=2", Told(tagged), task)
    assert len(requests) == len(plan.chunks) + 1 and method.calls == 33
    assert trajectory.answer == f"tag{len(plan.chunks)}x"
    topics = [{("cat" in plan.chunks[i]) for i in group} for group in plan.members[:2]]
    assert topics == [{True}, {False}]
    asked = by_label(method, requests)
    passages = [
        text_of(r).partition("Passage:\n")[2] for label, r in asked.items() if "work" in label
    ]
    assert sorted(passages) == sorted(plan.chunks)
    manager = text_of(asked["manager"])
    assert QUERY in manager and "sat with" not in manager
    order = {node: f"tag{number}x" for number, node in enumerate(requests)}
    for chain in plan.chains:
        assert order[f"node_{chain[-1]}"] in manager
        for before, after in zip(chain, chain[1:], strict=False):
            assert f"Summary so far:\n{order[f'node_{before}']}\n" in text_of(
                requests[f"node_{after}"]
            )
        assert "Summary so far:\n(none)" in text_of(requests[f"node_{chain[0]}"])


def passages_read(reply):
    task = Documents(LONG)
    _, _, requests = ask_one("goa_longctx:chunk=240,groups=1", Told(reply), task)
    return [text_of(r).partition("Passage:\n")[2] for r in list(requests.values())[:-1]]


@pytest.mark.slow
def test_the_way_through_a_group_follows_query_and_summary():
    plain = passages_read("nothing")
    assert "red planet" in plain[0]  # the query alone
    drawn = passages_read("cat dog cat dog cat sat")
    assert "cat" in drawn[1] and "cat" not in plain[1]
    assert sorted(plain) == sorted(drawn)


def test_short_questions_are_direct_prompting():
    task = Documents("Short text.\n\n" + QUERY)
    engines = Told("a"), Told("a")
    ask_one("goa_longctx", engines[0], task)
    ask_one("direct", engines[1], task)
    [mine], [direct] = (engine.requests for engine in engines)
    assert mine.turns == direct.turns and mine.sampling == direct.sampling
    assert not make_baseline("goa_longctx", task, None).sampled


@settings(max_examples=40, deadline=None)
@given(
    st.text(alphabet="abc .\n", min_size=1, max_size=600), st.integers(20, 80), st.integers(1, 4),
    st.integers(2, 6),
)  # fmt: skip
def test_any_text_is_cut_without_loss(text, size, groups, most):
    plan = make_plan(text, size, groups, most)
    assert plan == make_plan(text, size, groups, most) and len(plan.chunks) <= most
    if len(text) <= size:
        assert plan.chunks == () and plan.query == text
        return
    members = [i for group in plan.members for i in group]
    assert sorted(members) == list(range(len(plan.chunks)))
    assert [i for chain in plan.chains for i in chain] == list(range(len(plan.chunks)))
    words = re.sub(r"\s", "", "".join(plan.chunks) + plan.query)
    kept = re.sub(r"\s", "", text)
    assert words in (kept, kept * 2) or len(kept) - len(words) <= 1  # a period between the two


@pytest.mark.parametrize("text", [" " * 9000, "x" * 9000, "\n" * 9000 + "why?", "é\u2028" * 5000])
def test_odd_texts_get_an_answer(text):
    _, trajectory, _ = ask_one("goa_longctx", Told("yes"), Documents(text))
    assert trajectory.error is None and trajectory.answer == "yes"


def test_a_walk_follows_from_its_seed_and_any_failing_call_ends_it():
    task, name = Documents(LONG), "goa_longctx:chunk=400,groups=2"

    def walk(engine):
        _, trajectory, requests = ask_one(name, engine, task, seed=5)
        return trajectory, [(s.node, s.text) for s in trajectory.turns], requests

    _, said, requests = walk(MockEngine())
    assert said == walk(MockEngine())[1] and len(requests) > 2
    for number, node in enumerate(requests):
        failed = walk(MockEngine(fail={number}))[0]
        assert failed.error.startswith(f"{node}:") and failed.score is None
        assert failed.reward == 0 and not failed.by_node(node)
