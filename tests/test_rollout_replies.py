"""Which tokens of a node's own the requests of later rounds hold."""

from dataclasses import replace

import pytest
from support.toy_tasks import TOPOLOGIES, Whole

from neuromas_env import Topology
from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.agents.llm import llm_network
from neuromas_env.policy import Sampling
from neuromas_env.rollout import run_episodes


class Recorder(MockEngine):
    """Keeps what it is asked."""

    def __init__(self, *args):
        super().__init__(*args)
        self.asked = []

    def generate(self, requests):
        self.asked += requests
        return super().generate(requests)


def asked(topology, replies=None, intervene=None, change=lambda method: method):
    """Return the requests of an episode by node and round, and the episode."""
    engine, task = Recorder(replies), Whole()
    method = change(llm_network(topology, task, engine, Sampling()))
    [run] = run_episodes(method, task, task.rows[:1], intervene=intervene)
    places = [(turn.node, turn.round) for turn in run.turns]
    return dict(zip(places, engine.asked, strict=True)), run


def test_a_request_holds_what_the_node_sampled_before():
    requests, run = asked(Topology.parse("2-1:rounds=3"))
    for (node, round), request in requests.items():
        sampled = [turn.completion.ids for turn in run.by_node(node)[:round]]
        assert [ids.tolist() for ids in request.replies] == [ids.tolist() for ids in sampled]
        texts = [text for role, text in request.turns if role == "assistant"]
        assert texts == [turn.text for turn in run.by_node(node)[:round]]


@pytest.mark.parametrize("topology", ["2-1:rounds=2:memory=none", *TOPOLOGIES])
def test_without_memory_or_rounds_there_are_none(topology):
    shape = TOPOLOGIES.get(topology) or Topology.parse(topology)
    requests, _ = asked(shape)
    assert not any(request.replies for request in requests.values())


def test_a_reply_is_the_text_that_was_read_without_its_white_space():
    requests, _ = asked(Topology.parse("1:rounds=2"), [" yes \n", "no"])
    last = requests["node_0", 1]
    assert ("assistant", "yes") in last.turns
    assert bytes(last.replies[0][:-1].tolist()) == b" yes \n"


def test_a_message_that_was_replaced_stays_a_text():
    def intervene(layer):
        return [dict.fromkeys(m, "swapped") if layer.round == 0 else m for m in layer]

    requests, run = asked(Topology.parse("1:rounds=3"), intervene=intervene)
    assert requests["node_0", 1].replies == ()
    last = requests["node_0", 2]
    assert [text for role, text in last.turns if role == "assistant"] == [
        "swapped",
        run.turns[1].text,
    ]
    assert [len(ids) for ids in last.replies] == [0, len(run.turns[1].completion.ids)]


def test_a_message_made_of_a_reply_stays_a_text():
    def change(method):
        class Shouting(type(method.team["node_0"])):
            def read(self, completion):
                return completion.text.upper() + "!"

        loud = Shouting(**vars(method.team["node_0"]))
        return replace(method, team={"node_0": loud})

    requests, run = asked(Topology.parse("1:rounds=2"), change=change)
    assert run.turns[0].text.endswith("!") and requests["node_0", 1].replies == ()


def test_assistant_turns_of_others_are_no_replies():
    def change(method):
        def prompt(observation):
            return (("user", "?"), ("assistant", "somebody said"), ("user", "go on"))

        return replace(method, team={"node_0": replace(method.team["node_0"], prompt=prompt)})

    requests, _ = asked(Topology.parse("1:rounds=2"), change=change)
    assert not any(request.replies for request in requests.values())
