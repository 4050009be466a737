"""ReAct: a recurrent network of a tool and a model."""

import pytest
from support.toy_tasks import Whole

from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.baselines import list_baselines, make_baseline
from neuromas_env.errors import InputError
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task

TASK = Whole()


def run(replies, name="react:tool=calculator"):
    engine = MockEngine(replies)
    return run_episodes(make_baseline(name, TASK, engine), TASK, TASK.rows[:1])[0], engine


def block(text):
    return f"Let me see.\n```\n{text}\n```"


def test_a_model_calls_the_tool_until_it_answers_without_a_block():
    asked = []
    replies = iter([block("6 * 7"), block("42 - 1"), "The answer is yes"])
    trajectory, engine = run(lambda request: asked.append(request.turns) or next(replies))
    assert [(turn.round, turn.node, turn.text) for turn in trajectory.turns] == [
        (0, "node_1", block("6 * 7")),
        (1, "node_0", "42"),
        (1, "node_1", block("42 - 1")),
        (2, "node_0", "41"),
        (2, "node_1", "The answer is yes"),
    ]
    assert trajectory.score.extracted == 1 and engine.batches == [1, 1, 1]
    roles = [[role for role, _ in turns] for turns in asked]
    assert roles == [["system", "user", *["assistant", "user"] * at] for at in range(3)]
    assert asked[2][:4] == asked[1] and asked[2][-1] == ("user", "41")


def test_the_last_round_says_that_it_is_the_last():
    asked = []
    trajectory, _ = run(
        lambda request: asked.append(request.turns[-1][1]) or block("1"),
        "react:rounds=2,tool=calculator",
    )
    assert asked == ["say yes", "1\nThis is your last turn: answer without a block."]
    assert trajectory.answer == block("1") and len(trajectory.turns) == 3


def test_a_task_that_replies_is_refused():
    with pytest.raises(InputError, match="react must have a task that does not reply"):
        make_baseline("react", make_task("games/guess"), None)


def test_one_round_is_an_answer_without_a_tool():
    trajectory, _ = run(["yes"], "react:rounds=1")
    assert [turn.node for turn in trajectory.turns] == ["node_1"] and trajectory.score.strict == 1


def test_python_runs_in_the_sandbox():
    trajectory, _ = run([block("print(sum(range(9)))"), "yes"], "react")
    assert trajectory.turns[1].text == "36"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("react:tool=spoon", "unknown value of tool of baseline 'react:tool=spoon': 'spoon'"),
        ("react:rounds=0", "rounds must be from 1 to 32, not 0"),
        ("react:prompts=role_free", "baseline 'react:prompts=role_free' has no role-free form"),
    ],
)
def test_options_are_checked(name, said):
    with pytest.raises(InputError, match=said):
        make_baseline(name, TASK, MockEngine())


def test_calls_are_those_of_the_model():
    assert list_baselines()["react"].endswith("; at most 5 calls")
    assert make_baseline("react:rounds=3", TASK, None).calls == 3
