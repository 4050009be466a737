import subprocess
import sys

import pytest

from neuromas_env.agents.engines.mock import END, MockEngine
from neuromas_env.policy import Request


def ask(engine, *texts, adapter=None, seed=0):
    return engine.generate([Request((("user", t),), engine, adapter, seed=seed) for t in texts])


def test_the_digest_depends_on_turns_adapter_and_seed_and_on_nothing_else():
    def text(turn="a", adapter=None, seed=0):
        engine = MockEngine()
        ask(engine, "something before")
        return ask(engine, turn, adapter=adapter, seed=seed)[0].text

    variants = [text(), text("b"), text(adapter="node_0"), text(seed=1)]
    assert len(set(variants)) == 4 and text() == variants[0] and all(variants)


def test_replies_come_from_a_function_a_mapping_or_a_sequence():
    assert ask(MockEngine(lambda r: r.turns[0][1] * 2), "ab")[0].text == "abab"
    by_adapter = MockEngine({"node_0": "x", "base": "y"})
    assert ask(by_adapter, "q", adapter="node_0")[0].text == "x"
    assert ask(by_adapter, "q")[0].text == "y"
    assert [c.text for c in ask(MockEngine(["1", "2"]), "a", "b", "c")] == ["1", "2", "1"]


def test_tokens_are_exact_and_counted():
    engine = MockEngine({"node_0": "né"})
    engine.cost.phase = "train"
    (reply,) = ask(engine, "qué", adapter="node_0")
    assert bytes(reply.ids[:-1].tolist()).decode() == "né" and reply.ids[-1] == END
    assert bytes(reply.prompt_ids.tolist()).decode() == "qué" and reply.finished
    usage = engine.cost.usage["train", "node_0"]
    assert (usage.calls, usage.prompt_tokens, usage.completion_tokens) == (1, 4, 4)


def test_chosen_requests_fail_and_cost_nothing():
    engine = MockEngine(fail={1, 3})
    replies = ask(engine, "a", "b") + ask(engine, "c", "d")
    assert [reply.error is not None for reply in replies] == [False, True, False, True]
    assert engine.batches == [2, 2] and engine.cost.total("eval").calls == 2
    assert "request 3" in replies[3].error


@pytest.mark.slow
@pytest.mark.parametrize("module", ["engines.mock", "learners.tabular", "learners.base"])
def test_needs_no_torch(module):
    code = f"import sys, neuromas_env.agents.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
