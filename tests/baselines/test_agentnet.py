"""AgentNet: the rule counted out, walks, what is remembered and told on."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.agentnet_runs import (
    EXECUTE,
    FORWARD,
    SPLIT,
    learn,
    me,
    number_in,
    questions,
    replies,
    run,
    save,
)
from support.asking import Sums, Told, text_of

from neuromas_env.baselines.adapted import FILE
from neuromas_env.baselines.agentnet.method import AgentNetLearning
from neuromas_env.baselines.agentnet.pool import Lesson, Pool, Rule, fresh
from neuromas_env.baselines.agentnet.walk import (
    RESULT,
    Walks,
    decided,
    named,
    read_field,
    result,
)
from neuromas_env.baselines.net import Setup
from neuromas_env.errors import InputError


@pytest.mark.slow
def test_the_rule_counted_out_by_hand():
    """w and c of two episodes: one that succeeds and one that fails."""
    state = fresh(3, "tfidf", questions())
    for agent in state["agents"]:
        agent["ability"] = [0.6, 0.8]
    rule, before = Rule(alpha=0.75, beta=0.75, theta=0.3, memory=40), json.dumps(state)
    won = Lesson(np.array([1.0, 0.0]), 1.0, frozenset({(0, 1)}), frozenset({1}))
    state_1 = rule.update(state, won)
    assert json.dumps(state) == before
    # w stays 1; c n = 0.6, so d = (0.6 + 0.4, 0.8) and c = 3/4 (0.6, 0.8) + 1/4 (1, 0.8).
    assert state_1["weights"] == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    assert state_1["agents"][1]["ability"] == pytest.approx([0.7, 0.8])
    assert [agent["ability"] for agent in state_1["agents"][::2]] == [[0.6, 0.8]] * 2
    lost = Lesson(np.array([0.6, 0.8]), 0.0, frozenset({(0, 1), (1, 2)}), frozenset({1, 2}))
    state_2 = rule.update(state_1, lost)
    # c n = 0.42 + 0.64 = 1.06, so c = c - 1.06/4 (0.6, 0.8); for agent 2 c n = 1.
    assert state_2["weights"] == [[0, 0.75, 1], [1, 0, 0.75], [1, 1, 0]]
    assert state_2["agents"][1]["ability"] == pytest.approx([0.541, 0.588])
    assert state_2["agents"][2]["ability"] == pytest.approx([0.45, 0.6])
    assert [(a["tried"], a["solved"]) for a in state_2["agents"]] == [(0, 0), (2, 1), (1, 0)]
    # 0.75 ** 4 = 0.316 is above theta, 0.75 ** 5 = 0.237 is not, and then the edge is gone.
    for _ in range(3):
        state_2 = rule.update(state_2, lost)
    assert state_2["weights"][0][1] == 0.75**4 and state_2["weights"][1][2] == 0.75**4
    assert rule.update(state_2, lost)["weights"][0][1] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("is_right", "weight", "ability"), [(True, 1.0, 0.64), (False, 0.9, 0.54)])
def test_one_question_changes_its_edges_and_abilities(is_right, weight, ability):
    """With alpha = beta = 0.9 the ability for the very question is 0.9 times 0.6, and 0.1 S."""
    first, called = [], Sums().examples("train")[5]

    def route(request):
        first.append(me(request))
        return (
            "Decision: forward\nNext: " + str((me(request) + 1) % 3) if not first[1:] else EXECUTE
        )

    engine = Told(replies(route, right=lambda request: is_right))
    learning = AgentNetLearning(Setup("agentnet", Sums(), engine))
    metrics = learning.iterate([called], seed=0)
    assert metrics == {"reward": float(is_right), "hops": 1.0, "edges": 6.0}
    i, j = first
    weights = np.ones((3, 3)) - np.eye(3)
    weights[i, j] = weight
    assert learning.state["weights"] == weights.tolist()
    pool = Pool(learning.state, 3, 0.3)
    found = [pool.ability(k, called.question) for k in range(3)]
    assert found == pytest.approx([ability if k == j else 0.6 for k in range(3)])
    memories = [(len(a["router"]), len(a["executor"])) for a in learning.state["agents"]]
    expected = [(int(k in first), int(k == j)) if is_right else (0, 0) for k in range(3)]
    assert memories == expected


def test_memories_forget_the_least_recently_used():
    state, rule = fresh(1, "tfidf", questions()), Rule(0.9, 0.9, 0.3, memory=2)
    entries = [{"question": str(n), "progress": "", "action": "x"} for n in range(4)]
    need = np.zeros(len(state["agents"][0]["ability"]))

    def episode(reward, act, *used):
        acts = [(0, kind, entries[act]) for kind in ("router", "executor")]
        recalled = [(0, "executor", entries[n]) for n in used]
        return Lesson(need, reward, frozenset(), frozenset({0}), acts, recalled)

    def held(kind="executor"):
        return [int(entry["question"]) for entry in state["agents"][0][kind]]

    for lesson, expected in [
        (episode(1, 0), [0]),
        (episode(1, 1), [0, 1]),
        (episode(0, 2, 0), [1, 0]),  # not solved, but 0 was used
        (episode(1, 3), [0, 3]),  # so that 1 goes
        (episode(1, 0), [3, 0]),  # known already
        (episode(1, 2, 1), [0, 2]),  # 1 is not there any more
    ]:
        state = rule.update(state, lesson)
        assert held() == expected
    assert held("router") == [1, 3, 0, 2]  # without a limit


def test_all_agents_start_alike_on_a_complete_graph():
    state = fresh(4, "tfidf", questions())
    pool = Pool(state, 3, 0.3)
    abilities = [pool.ability(i, q) for i in range(4) for q in questions("test")[:3]]
    assert abilities == pytest.approx([0.6] * 12)
    assert [pool.neighbours(i) for i in range(4)] == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]
    firsts = {json.loads(pool.entry(q))["first"] for q in questions()}
    assert firsts == {0, 1, 2, 3}  # equals share the questions


@pytest.mark.slow
def test_it_learns_who_is_able(tmp_path):
    """Only agent 2 can add, and no router forwards."""
    able = set()

    def route(request):
        able.clear()
        able.add(me(request))
        return EXECUTE

    engine = Told(replies(route, right=lambda request: able == {2}))
    done = learn(40, tmp_path, engine=engine)
    agents = done.state["agents"]
    assert np.mean(done.rewards[-10:]) > np.mean(done.rewards[:10])
    assert agents[2]["solved"] == agents[2]["tried"] == sum(done.rewards) > 20
    assert not (agents[0]["executor"] or agents[1]["executor"])
    known = [entry["question"] for entry in agents[2]["executor"]]
    assert 10 < len(known) == len(set(known)) <= agents[2]["solved"]  # some came up again
    assert done.cost["questions"] == 40 and done.cost["calls"] == 160 == len(engine.requests)
    _, trajectories = run(tmp_path, Told(replies(route, right=lambda r: able == {2})), count=5)
    assert all(trajectory.reward == 1 for trajectory in trajectories)


# Walks


def reply_texts():
    decisions = ["forward", "split", "execute", "continue", "done", "other"]
    fields = st.tuples(st.sampled_from(decisions), st.sampled_from(["", "0", "1", "2", "3", "9"]))
    return st.one_of(
        fields.map(lambda d: f"Decision: {d[0]}\nPart: p\nNext: {d[1]}"), st.text(max_size=30)
    )


@pytest.mark.slow
@given(st.data(), st.integers(1, 4), st.integers(1, 4), st.integers(0, 4))
def test_walks_are_acyclic_and_end_within_their_caps(data, agents, splits, forwards):
    edges = data.draw(st.sets(st.tuples(*[st.integers(0, agents - 1)] * 2)))
    edges = {(i, j) for i, j in edges if i != j}
    walks = Walks(agents, splits, forwards, lambda i: [j for j in range(agents) if (i, j) in edges])
    layer = {spot: n for n, spots in enumerate(walks.layers()) for spot in spots}
    start = {"first": data.draw(st.integers(0, agents - 1)), "order": list(range(agents))}
    said = {}
    while (spot := walks.follow(said)[1]) != RESULT:
        assert spot not in said and all(layer[spot] > layer[earlier] for earlier in said)
        said[spot] = data.draw(reply_texts()) if said else json.dumps(start)
    hops, _ = walks.follow(said)
    assert len(said) - 1 <= walks.calls and len(hops) <= splits
    assert len(said) - 1 == sum(len(hop.path) - 1 + 4 for hop in hops)
    for hop in hops:
        assert len(set(hop.path)) == len(hop.path) <= forwards + 1
        assert set(pairwise(hop.path)) <= edges
    for hop, after in pairwise(hops):
        assert hop.decision == "split" and hop.heir == after.path[0]
        assert hop.heir == hop.path[-1] or (hop.path[-1], hop.heir) in edges


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "route", "on", "calls", "most"),
    [
        ("", EXECUTE, "", 4, 30),
        ("", "no idea", "", 4, 30),
        ("", FORWARD, "", 6, 30),  # two forwards reach everybody
        ("agents=6", FORWARD, "", 7, 35),
        ("agents=6,forwards=1", FORWARD, "", 5, 25),
        ("forwards=0", FORWARD, "", 4, 20),
        ("agents=1", FORWARD, "", 4, 20),
        ("", SPLIT, "Decision: done", 4, 30),
        ("", SPLIT, "Decision: continue\nNext: 2", 20, 30),
        ("splits=2", SPLIT, "Decision: continue\nNext: 99", 8, 12),
    ],
)
def test_calls_are_one_for_each_forward_and_four_for_each_hop(
    tmp_path, options, route, on, calls, most
):
    agents = re.search(r"agents=(\d)", options)
    name = f"agentnet:{options}" if options else "agentnet"
    save(tmp_path, fresh(int(agents[1]) if agents else 3, "tfidf", questions()), name)
    engine = Told(replies(route, on))
    method, [trajectory] = run(tmp_path, engine, name)
    assert len(engine.requests) == calls and method.calls == most
    assert trajectory.reward == 1 and trajectory.answer == "8000"
    assert all(r.sampling.temperature == 0 and r.adapter is None for r in engine.requests)
    assert not method.sampled


def test_edges_that_are_gone_carry_no_question(tmp_path):
    state = fresh(3, "tfidf", questions())
    state["weights"] = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.5, 0.0]]
    state["agents"][2]["ability"][-1] += 0.01
    save(tmp_path, state)
    engine = Told(replies("Decision: forward\nNext: 7"))
    method, [trajectory] = run(tmp_path, engine)
    routers = [
        method.labels[n] for n in [t.node for t in trajectory.turns] if "router" in method.labels[n]
    ]
    # From 2 to the fitter of its two neighbours, which has an edge to nobody.
    assert routers == ["router of agent 2, hop 0 step 0", "router of agent 0, hop 0 step 1"]
    first, second = (text_of(request) for request in engine.requests[:2])
    assert "Agent 0: ability 0.60" in first and "Agent 1:" in first and "or forward" in first
    assert "Agent 1" not in second and "forward" not in second and "Agent 0 (you)" in second


def test_order_of_agents_does_not_matter(tmp_path):
    """Without numbers in replies and without ties, renumbered agents take the same walk."""
    new = [2, 0, 1]
    state = fresh(3, "tfidf", questions())
    for i, agent in enumerate(state["agents"]):
        agent["ability"] = [*agent["ability"][:-1], 0.1 * (i + 1)]
    state["weights"] = [[0.0, 1.0, 1.0], [0.4, 0.0, 0.0], [1.0, 0.0, 0.0]]
    other = state | {"agents": [state["agents"][new.index(i)] for i in range(3)]}
    w = np.zeros((3, 3))
    w[np.ix_(new, new)] = state["weights"]
    other["weights"] = w.tolist()
    walked = []
    for number, held in enumerate((state, other)):
        (tmp_path / str(number)).mkdir()
        save(tmp_path / str(number), held)
        engine = Told(replies(lambda r: FORWARD.replace("1", ""), "Decision: continue"))
        method, [trajectory] = run(tmp_path / str(number), engine)
        labels = [method.labels[node] for node in [t.node for t in trajectory.turns]][1:-1]
        numbers = [int(re.search(r"agent (\d)", label)[1]) for label in labels]
        walked.append(([re.sub(r"agent \d", "", label) for label in labels], numbers))
    assert walked[1][0] == walked[0][0] and walked[1][1] == [new[i] for i in walked[0][1]]
    assert set(walked[0][1]) == {0, 1, 2}


def test_replies_without_an_answer_earn_nothing(tmp_path):
    save(tmp_path, fresh(3, "tfidf", questions()))
    _, [trajectory] = run(tmp_path, Told(""))
    assert trajectory.answer == "" and trajectory.reward == 0 and trajectory.error is None


def test_a_call_that_fails_is_reported(tmp_path):
    save(tmp_path, fresh(3, "tfidf", questions()))
    _, [trajectory] = run(tmp_path, Told(replies(), fail=[1]))
    assert "request 1 was told to fail" in trajectory.error and trajectory.score is None
    with pytest.raises(InputError, match="train/7.*told to fail"):
        learn(3, tmp_path / "x", engine=Told(replies(), fail=[5]))
    assert json.loads((tmp_path / "x" / FILE).read_text())["iterations"] == 1


@pytest.mark.parametrize(
    ("reply", "name", "value"),
    [
        ("**Decision:** Split\nPart: a\nb\nNext: 2", "decision", "Split"),
        ("Decision: x\n- Part: a\nb\nNext: 2", "part", "a\nb"),
        ("I say\nRESULT: 4\n", "result", "4"),
        ("the decision: x", "decision", ""),
        ("Result:", "result", ""),
        ("", "part", ""),
    ],
)
def test_fields(reply, name, value):
    assert read_field(reply, name) == value


def test_decisions_and_names():
    assert decided("Decision: I FORWARD it") == "forward" and decided("split it") == "execute"
    assert named("Next: agent 2", [0, 2], [1, 0, 2]) == 2
    assert named("Next: 1", [0, 2], [1, 0, 2]) == 0 == named("no", [0, 2], [1, 0, 2])
    assert result("so\nResult: 7\nPart: x") == "7" and result(" 7 ") == "7"


# What is remembered


def route(request):
    """Odd questions go round all agents, even ones stay where they are."""
    return FORWARD[:-1] if number_in(request) % 2 else EXECUTE


def test_prompts_show_what_solved_similar_questions(tmp_path):
    learn(12, tmp_path, engine=Told(replies(route)))
    engine = Told(replies(route))
    run(tmp_path, engine)
    router, *work = (request.turns for request in engine.requests)
    routed = r"Decision: (execute(\nPart: add them)?|forward\nNext: \d)"
    assert len(router) == 8 and all(re.fullmatch(routed, text) for _, text in router[2::2])
    assert "It solved:\n- What is the sum?" in router[-1][1]
    assert "success rate 1.00" in router[-1][1] and len(work) == 3
    for turns in work:
        roles, texts = zip(*turns, strict=True)
        assert roles == ("system", *["user", "assistant"] * 3, "user")
        past = [int(text.splitlines()[1]) for text in texts[1:-1:2]]
        assert list(texts[2::2]) == [f"Result: {number + 1000}" for number in past]
    assert "Your thought:\na thought" in texts[-1] and "Your reasoning:" in texts[-1]


def test_the_most_similar_question_stands_last(tmp_path):
    done = learn(5, tmp_path, "agentnet:agents=1")
    [agent] = done.state["agents"]
    known = [entry["question"] for entry in agent["executor"]]
    engine = Told(replies())
    run(tmp_path, engine, "agentnet:agents=1", count=40)
    seen = [request for request in engine.requests if request.turns[-1][1].startswith(tuple(known))]
    assert len(engine.requests) == 160 and len(seen) == 4 * len(known) == 20
    for request in seen:
        *_, (_, nearest), _, (_, asked) = request.turns
        assert asked.startswith(nearest)


@pytest.mark.slow
def test_what_is_not_similar_is_not_shown(tmp_path):
    for options in ("retrieve=0", "threshold=1"):
        engine, name = Told(replies()), f"agentnet:{options}"
        learn(12, tmp_path / options, name, Told(replies(route)))
        run(tmp_path / options, engine, name)
        assert {len(request.turns) for request in engine.requests} == {2}


def test_parts_are_told_on_and_remembered_where_they_were_done(tmp_path):
    engine = Told(replies(SPLIT, "Decision: continue\nNext: 1"))
    done = learn(1, tmp_path, "agentnet:splits=2", engine)
    last = text_of(engine.requests[-2])
    first = me(engine.requests[0])
    assert f"Progress so far:\nAgent {first} was to do: half\nIt found: 80" in last
    assert "Your part:\nhalf" in last and "Do your part" in last
    router = [entry for agent in done.state["agents"] for entry in agent["router"]]
    actions = [
        (e["action"], e["progress"].count("It found")) for e in done.state["agents"][1]["router"]
    ]
    on = "Decision: continue\nNext: 1"
    assert actions[-2:] == [("Decision: split\nPart: half", 1), (on, 2)] and len(router) == 4
    assert done.state["agents"][1]["executor"][-1]["action"].startswith("Result: 80")


# Adapting and testing
