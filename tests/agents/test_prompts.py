import copy
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.toy_tasks import TOPOLOGIES, Whole, messages

from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.agents.llm import LLMPolicy, llm_network
from neuromas_env.agents.prompts import build_prompt
from neuromas_env.envs.episode import Episode
from neuromas_env.envs.spaces import MAX_MESSAGE
from neuromas_env.envs.text import TextChannel
from neuromas_env.policy import Completion, Sampling
from neuromas_env.tasks.base import Example

FORMAT = "Answer with the letter only."
ROLES = """planner critic expert judge reviewer solver manager worker coder programmer teacher
student assistant leader coordinator verifier debater aggregator summarizer researcher doctor
mathematician role persona act""".split()


def observe(node="node_2", question="say yes", said=("one", "two"), topology="2-2-1", **extra):
    example = Example("id", question, "yes", **extra)
    episode = Episode(TOPOLOGIES[topology], TextChannel(Whole()), example)
    episode.commit({"node_0": said[0], "node_1": said[1]})
    return episode.observe(node)


def joined(turns):
    return "\n".join(text for _, text in turns)


def test_equal_structure_question_messages_and_format_give_equal_prompts():
    plain = build_prompt(observe(), FORMAT)
    other = observe(options=(("A", "yes"),), extra={"gold": "yes"})
    assert build_prompt(other, FORMAT) == plain
    assert build_prompt(dict(reversed(other.items())) | {"target": "yes"}, FORMAT) == plain


@pytest.mark.parametrize(
    "change",
    [
        {"node": "node_3"},
        {"question": "say no"},
        {"said": ("one", "2")},
        {"said": ("two", "one")},
        {"topology": "2-2-2-1"},
    ],
)
def test_each_of_them_changes_the_prompt(change):
    assert build_prompt(observe(**change), FORMAT) != build_prompt(observe(), FORMAT)


def test_every_number_of_the_place_and_the_format_count():
    observation = observe()
    plain = build_prompt(observation, FORMAT)
    assert build_prompt(observation, "Answer yes or no.") != plain
    for key in ("node", "layer", "index"):
        other = copy.deepcopy(observation)
        other["place"][key] += 5
        assert build_prompt(other, FORMAT) != plain
    for key in ("sources", "readers"):
        other = copy.deepcopy(observation)
        other["place"][key] = 1 - other["place"][key]
        assert build_prompt(other, FORMAT) != plain


def test_nodes_are_given_no_role():
    for name, topology in TOPOLOGIES.items():
        episode = Episode(topology, TextChannel(Whole()), Example("id", "", "yes"))
        while not episode.done:
            for node in episode.active:
                words = re.findall(
                    "[a-z]+", joined(build_prompt(episode.observe(node), "")).lower()
                )
                assert not set(words) & set(ROLES), (name, node)
            episode.commit(dict.fromkeys(episode.active, ""))


def test_what_is_shared_comes_first():
    turns = build_prompt(observe(), FORMAT)
    assert [role for role, _ in turns] == ["system", "user"]
    text = joined(turns)
    order = ["node_2", FORMAT, "say yes", "node_0: one", "node_1: two"]
    assert [text.rindex(part) for part in order] == sorted(text.rindex(part) for part in order)
    other = joined(build_prompt(observe(said=("1", "2")), FORMAT))
    shared = text.index("node_0: one") + len("node_0: ")
    assert text[:shared] == other[:shared]


def test_readers_and_sources_are_named():
    system = build_prompt(observe("node_3"), FORMAT)[0][1]
    assert "reads question, node_0, node_1" in system and "read by node_4" in system
    assert "gives the answer" in build_prompt(observe("node_4"), FORMAT)[0][1]


@given(st.text(max_size=30), messages())
def test_any_text_arrives_whole(question, text):
    turns = build_prompt(observe(question=question, said=(text, "two")), FORMAT)
    # The episode cuts a message that is too long; the prompt cuts nothing.
    assert question in turns[1][1] and f"node_0: {text[:MAX_MESSAGE]}\n" in turns[1][1]


def test_a_policy_asks_its_engine_with_its_adapter_and_sends_the_stripped_reply():
    engine = MockEngine()
    network = llm_network(TOPOLOGIES["2-1"], Whole(), engine, Sampling(0.0, 7))
    assert {name: policy.adapter for name, policy in network.team.items()} == {
        name: name for name in TOPOLOGIES["2-1"].nodes
    }
    bare = llm_network(TOPOLOGIES["2-1"], Whole(), engine, Sampling(), adapter_of={})
    assert {policy.adapter for policy in bare.team.values()} == {None}
    request = network.team["node_1"].request(observe(), 5)
    assert request.engine is engine and request.seed == 5 and request.sampling == Sampling(0.0, 7)
    assert request.turns == build_prompt(observe(), Whole.answer_format)
    assert LLMPolicy(engine, build_prompt).read(Completion(" a b\n")) == "a b"
