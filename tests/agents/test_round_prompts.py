"""Prompts over rounds: what is said of them, and that each begins with the one before."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromas_env.agents.llm import llm_network
from neuromas_env.agents.prompts import PROMPTS, build_prompt
from neuromas_env.policy import Engine
from neuromas_env.tasks import make_task

FORMAT = "Answer with the number only."


def item(source, text, round):
    return {"source": source, "text": text, "round": round}


def observed(inbox, round=0, rounds=3, memory=1, **place):
    """What node_1 of a network `2-1` sees, which here also reads node_0 and the world."""
    own = {"node": 1, "layer": 0, "index": 1, "sources": [0, 0, 0], "readers": [0, 0, 1]}
    clock = {"round": round, "rounds": rounds, "memory": memory}
    return {"question": "2 + 3?", "inbox": tuple(inbox), "place": own | clock | place}


HISTORY = [
    item("node_1", "4", 0),
    item("node_2", "6", 0),
    item("world", "too high", 0),
    item("node_1", "5", 1),
    item("node_2", "5", 1),
]
SYSTEM = ("system", f"[node_1 | layer 0 | index 1 | reads question | read by node_2]\n{FORMAT}")


def test_a_conversation_of_three_rounds():
    assert build_prompt(observed(HISTORY, 2), FORMAT) == (
        SYSTEM,
        ("user", "2 + 3?"),
        ("assistant", "4"),
        ("user", "[round 2 of 3]\nnode_2: 6\nworld: too high"),
        ("assistant", "5"),
        ("user", "[round 3 of 3]\nnode_2: 5"),
    )


def test_without_memory_the_round_stands_last():
    news = [item("node_1", "5", 1), item("node_2", "5", 1), item("world", "right", 1)]
    assert build_prompt(observed(news, 2, memory=0), FORMAT) == (
        SYSTEM,
        ("user", "2 + 3?\nnode_1: 5\nnode_2: 5\nworld: right\n[round 3 of 3]"),
    )
    assert build_prompt(observed([], 2, memory=0), FORMAT)[1] == ("user", "2 + 3?\n[round 3 of 3]")


@pytest.mark.parametrize("memory", [0, 1])
@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_round_0_is_the_prompt_of_a_network_without_rounds(prompt, memory):
    now = observed([item("node_0", "7", 0)], memory=memory, sources=[1, 0, 0])
    place = {k: v for k, v in now["place"].items() if k not in ("round", "rounds", "memory")}
    plain = now | {"place": place, "inbox": ({"source": "node_0", "text": "7"},)}
    assert prompt(now, FORMAT) == prompt(plain, FORMAT)


def test_a_round_without_news_is_named_alone():
    assert build_prompt(observed([item("node_1", "4", 0)], 1), FORMAT)[2:] == (
        ("assistant", "4"),
        ("user", "[round 2 of 3]"),
    )


def test_news_of_silent_rounds_join_the_next_turn():
    news = [item("node_1", "4", 0), item("node_2", "6", 0), item("node_2", "5", 1)]
    assert build_prompt(observed(news, 2), FORMAT)[3] == (
        "user",
        "[round 3 of 3]\nnode_2: 6\nnode_2: 5",
    )
    late = [item("node_2", "6", 0), item("node_2", "5", 1)]
    assert build_prompt(observed(late, 2), FORMAT)[1:] == (
        ("user", "2 + 3?\nnode_2: 6\nnode_2: 5\n[round 3 of 3]"),
    )


def test_the_controls_change_the_system_turn_alone():
    turns = {name: prompt(observed(HISTORY, 2), FORMAT) for name, prompt in PROMPTS.items()}
    assert turns["none"][0] == ("system", FORMAT)
    assert turns["roles"][0][1].startswith("You are a specialist")
    assert turns["none"][1:] == turns["roles"][1:] == turns["place"][1:]


@st.composite
def histories(draw):
    """The inbox at each turn of a node with memory, and the round of the turn."""
    acts = draw(st.lists(st.integers(0, 5), min_size=1, max_size=4, unique=True).map(sorted))
    inbox, seen, round = [], [], 0
    for act in acts:
        while round < act:
            said = draw(st.lists(st.sampled_from(["node_0", "node_2", "world"]), max_size=2))
            inbox += [item(source, draw(st.text(max_size=5)), round) for source in said]
            round += 1
        seen.append((act, tuple(inbox)))
        inbox.append(item("node_1", draw(st.text(max_size=5)), act))
    return seen


@settings(max_examples=30)
@given(histories(), st.sampled_from(sorted(PROMPTS)), st.sampled_from([None, 1, 3]))
def test_a_prompt_goes_on_from_the_one_before(history, name, max_news):
    task = make_task("hierarchy/max")
    network = llm_network("2-1", task, _Silent(), prompt=PROMPTS[name], max_news=max_news)
    before = ()
    for round, inbox in history:
        turns = network.team["node_1"].request(observed(inbox, round, 6), 0).turns
        assert turns[: len(before)] == before
        assert [role for role, _ in turns] == ["system", "user"] + ["assistant", "user"] * (
            len(turns) // 2 - 1
        )
        before = turns


def test_long_news_are_shortened_and_own_messages_are_not():
    network = llm_network("2-1", make_task("hierarchy/max"), _Silent(), max_news=3)
    turns = (
        network.team["node_1"]
        .request(observed([item("node_1", "12345", 0), item("node_2", "67890", 0)], 1), 0)
        .turns
    )
    assert turns[2:] == (("assistant", "12345"), ("user", "[round 2 of 3]\nnode_2: 678"))


class _Silent(Engine):
    """Is never asked."""
