"""AutoGen: an assistant, a proxy that runs what it writes, and the end of their chat."""

import pytest
from support.toy_tasks import Whole

from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.baselines import list_baselines, make_baseline
from neuromas_env.errors import InputError
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task

TASK = Whole()


def run(replies, name="autogen:tool=calculator"):
    method = make_baseline(name, TASK, MockEngine(replies))
    [trajectory] = run_episodes(method, TASK, TASK.rows[:1])
    return trajectory


def block(text):
    return f"Let me see.\n```\n{text}\n```"


def test_the_proxy_runs_programs_until_the_assistant_terminates():
    asked = []
    replies = iter([block("6 * 7"), "So it is 42.", "The answer is yes. TERMINATE"])
    trajectory = run(lambda request: asked.append(request.turns) or next(replies))
    assert [(turn.round, turn.node, turn.text) for turn in trajectory.turns] == [
        (0, "node_1", block("6 * 7")),
        (0, "node_2", block("6 * 7")),
        (1, "node_0", "42"),
        (1, "node_1", "So it is 42."),
        (1, "node_2", "So it is 42."),
        (2, "node_0", "There is no fenced block to run."),
        (2, "node_1", "The answer is yes. TERMINATE"),
        (2, "node_2", "The answer is yes."),
    ]
    assert trajectory.score.extracted == 1
    assert [role for role, _ in asked[2]] == ["system", "user", *["assistant", "user"] * 2]
    assert "TERMINATE" in asked[0][0][1]


def test_the_mark_alone_leaves_the_message_before_as_the_answer():
    replies = iter(["yes", "**TERMINATE**"])
    assert run(lambda request: next(replies)).answer == "yes"


def test_the_proxy_says_what_a_task_replies():
    task = make_task("games/guess")
    example = task.examples("test")[0]
    asked = []
    engine = MockEngine(lambda request: asked.append(request.turns) or "1")
    [trajectory] = run_episodes(make_baseline("autogen", task, engine), task, [example])
    assert asked[1][-1] == ("user", trajectory.replies[0].text)


@pytest.mark.parametrize(("name", "calls"), [("autogen", 11), ("autogen:replies=2", 3)])
def test_the_proxy_replies_so_many_times_at_most(name, calls):
    trajectory = run(["no"], name)
    assert sum(turn.node == "node_1" for turn in trajectory.turns) == calls
    assert make_baseline(name, TASK, None).calls == calls
    assert list_baselines()["autogen"].endswith("at most 11 calls")


def test_what_there_is_not_is_refused():
    with pytest.raises(InputError, match="'pythn'. Did you mean 'python'"):
        make_baseline("autogen:tool=pythn", TASK, None)
    with pytest.raises(InputError, match="has no role-free form|has no roles"):
        make_baseline("autogen:prompts=role_free", TASK, None)
