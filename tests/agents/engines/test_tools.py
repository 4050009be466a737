"""Tools as engines: what they answer, how they are limited, and that they are no models."""

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.timing import seconds
from support.toy_tasks import Counts, Whole

from neuromas_env import Method, Topology, TrainConfig
from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.agents.engines.toolbox import calculate, each
from neuromas_env.agents.engines.tools import (
    MOST_CHARACTERS,
    Tool,
    ToolEngine,
    list_tools,
    make_tool,
    register_tool,
)
from neuromas_env.agents.learners.base import learner_class
from neuromas_env.agents.llm import LLMPolicy
from neuromas_env.agents.training.evaluate import evaluate
from neuromas_env.bench.worker import answer_of
from neuromas_env.errors import InputError
from neuromas_env.policy import Request, Sampling
from neuromas_env.rollout import opening, run_episodes
from neuromas_env.testing import check_policy


def answers(engine, *texts):
    return [done.text for done in engine.generate([Request((("user", t),), engine) for t in texts])]


@pytest.fixture(scope="module")
def python():
    return make_tool("python")


def test_python_returns_what_is_printed_and_a_last_value(python):
    program = "import math\nprint('a')\nx = 3\nmath.factorial(x)"
    told = ["a\n6\n", "'é'\n", "It printed nothing.", "It printed nothing."]
    assert answers(python, program, "'é'", "x = 1", "raise SystemExit(3)") == told


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("x = 1\nx / 0", "line 2: ZeroDivisionError: division by zero"),
        ("print('before')\nif x", "line 2: SyntaxError: expected ':'"),
        ("print('before'); [][0]", "before\nline 1: IndexError: list index out of range"),
        ("import os\nos.fork()", "line 2: PermissionError"),
        ("open('/etc/passwd')", "line 1: "),
        pytest.param("while True: pass", "out of time: 3 s", marks=pytest.mark.slow),
        pytest.param("'x' * 10**10", "MemoryError", marks=pytest.mark.slow),
    ],
)
def test_what_goes_wrong_is_the_answer_of_the_call(python, program, said):
    assert said in answers(python, program)[0]


def test_calls_know_nothing_of_one_another_and_long_output_is_cut(python):
    first, second = answers(python, "x = 5\nprint('y' * 9999)", "x")
    assert first == "y" * MOST_CHARACTERS and "NameError" in second


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", "7"),
        ("2^10 - -4 ** 2", "1040"),
        ("0.1 + 0.2", "0.3"),
        ("7 // 2 + 7 % 4", "6"),
        ("round(sqrt(2), 3)", "1.414"),
        ("max(1, 2) + abs(-3)", "5"),
        ("1 / 0", "DivisionByZero: it has no value"),
        ("9 ** 9 ** 9", "Overflow: it has no value"),
        ("1e400", "ValueError: it has no value"),
        ("sqrt(1, 2, 3)", "TypeError: it has no value"),
        ("__import__('os')", "This is no arithmetic expression: __import__('os')"),
        ("True + 1", "This is no arithmetic expression: True + 1"),
        ("", "This is no arithmetic expression: "),
        ("(" * 2000, "An expression has at most 1000 characters."),
    ],
)
def test_the_calculator_evaluates_arithmetic_and_nothing_else(text, value):
    assert answers(make_tool("calculator"), text) == [value]


@given(st.recursive(
    st.integers(0, 99).map(str),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda x: f"({' '.join(x)})"),
    max_leaves=9,
))  # fmt: skip
def test_sums_and_products_are_exact(text):
    assert Fraction(calculate(text)) == eval(text)


@given(st.text(st.sampled_from("0123456789+-*/%^()., esqrtinflogE_")))
def test_any_text_has_an_answer_soon(text):
    assert isinstance(calculate(text), str) and seconds(calculate, text, bound=1) < 1


def test_a_function_that_hangs_or_raises_answers_its_own_call_alone():
    def function(text):
        if text == "hang":
            time.sleep(60)
        return {"a": "b"}[text]

    engine = ToolEngine("table", each(function, seconds=0.2))
    assert answers(engine, "a", "hang", "c") == ["b", "out of time: 0.2 s", "KeyError: 'c'"]
    usage = engine.cost.usage["eval", "tool:table"]
    assert (usage.calls, usage.prompt_tokens) == (3, 0) and 0.2 <= usage.seconds < 10


def seen(*inbox, node=0):
    items = tuple({"source": f"node_{at}", "text": text} for at, text in inbox)
    return {"question": "```\nno\n```", "inbox": items, "place": {"node": node}}


def test_a_tool_runs_the_last_block_that_it_has_heard():
    tool = Tool(make_tool("calculator"))
    request = tool.request(
        seen((1, "```\n1\n```"), (2, "x\n```py\n2\n```\n~~~\n3\n~~~"), (3, "")), 0
    )
    assert request.turns == (("user", "3"),) and request.adapter is None
    for nothing in (seen(), seen((1, "print(1)")), seen((1, "```\n \n```"))):
        assert tool.request(nothing, 0) == "There is no fenced block to run."
    check_policy(tool)


def test_a_tool_with_memory_makes_no_more_calls_than_it_may():
    tool, call = Tool(make_tool("calculator"), most=1), (1, "```\n1\n```")
    assert isinstance(tool.request(seen(call), 0), Request)
    assert tool.request(seen(call, (0, "1"), call), 0) == "No call is left of 1."
    idle = tool.request(seen((1, "no block")), 0)
    assert isinstance(tool.request(seen((1, "no block"), (0, idle), call), 0), Request)
    assert Tool(tool.engine, most=0).request(seen(call), 0) == "No call is left of 0."


@pytest.fixture
def network():
    """A model, a tool that runs what it says, a model that reads the tool."""
    model = MockEngine(lambda request: "```\n6 * 7\n```" if request.seed % 2 else "yes")
    tool = Tool(make_tool("calculator"))
    ask = LLMPolicy(model, lambda observation: (("user", str(observation["inbox"])),))
    team = {"node_0": ask, "node_1": tool, "node_2": ask}
    return Method(Topology.parse("1-1-1"), team), model, tool.engine


def test_calls_of_a_layer_are_one_batch_and_no_model_calls(network):
    method, model, tool = network
    assert method.calls == 2 and method.adapter_of == {}
    runs = run_episodes(method, Whole(), Whole.rows, rollouts=4)
    said = {run.turns[0].text: run.turns[1].text for run in runs}
    assert said == {"```\n6 * 7\n```": "42", "yes": "There is no fenced block to run."}
    assert model.batches == [12, 12]
    called = sum("6" in run.turns[0].text for run in runs)
    assert tool.cost.usage["eval", "tool:calculator"].calls == called
    assert {turn.completion for run in runs for turn in run.by_node("node_1")} == {None}
    assert [r.engine for r in opening(method, Whole(), Whole.rows[0])] == [model]
    assert answer_of(0, runs[0], 0.0, method).calls == 2


def test_a_game_goes_on_without_a_call_of_a_tool():
    """In ReAct a message without a call is the last; in a task that replies it is a move."""
    config, task = TrainConfig(topology="1-1:rounds=3", tools="node_0=calculator"), Counts()
    made = learner_class("joint").method(
        config, config.stages()[0][0], task, MockEngine(["yes"]), Sampling(0.0, 4)
    )
    run = run_episodes(made, task, Counts.rows[:1])[0]
    assert [(turn.node, turn.round) for turn in run.turns] == [("node_1", at) for at in range(3)]
    other = learner_class("joint").method(
        config, config.stages()[0][0], Whole(), MockEngine(["yes"]), Sampling(0.0, 4)
    )
    assert len(run_episodes(other, Whole(), Whole.rows[:1])[0].turns) == 1


def test_an_evaluation_counts_the_calls_of_models(network):
    method, _, tool = network
    tool.cost.phase = "train"
    assert evaluate(method, Whole(), Whole.rows).cost["calls"] == 6
    assert {phase for phase, _ in tool.cost.usage} <= {"eval"} and tool.cost.phase == "train"


def test_tools_have_names_and_can_be_added():
    assert {"python", "calculator"} <= set(list_tools())
    with pytest.raises(InputError, match="unknown tool 'calculater'. Did you mean 'calculator'"):
        make_tool("calculater")
    register_tool("shout", lambda: ToolEngine("shout", each(str.upper)), about="louder")
    assert answers(make_tool("shout"), "a") == ["A"] and list_tools()["shout"] == "louder"
