import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.toy_tasks import TOPOLOGIES, Dealt, Whole, topologies

from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.agents.llm import llm_network
from neuromas_env.method import Method
from neuromas_env.neuromas_v0 import env
from neuromas_env.policy import Policy, Sampling
from neuromas_env.rollout import run_episodes
from neuromas_env.seeds import derive_seed
from neuromas_env.topology import Topology


class Scripted(Policy):
    """Says a text that depends on its observation, without a model."""

    def __init__(self, text="yes"):
        self.text = text

    def request(self, observation, seed):
        return f"{self.text}{len(observation['inbox'])}"


def texts(run):
    return {step.node: step.text for step in run.turns}


def play(topology, task, network, number, seed, **options):
    """Play one episode through the AEC environment with the same policies and seeds."""
    world = env(task, topology, **options)
    world.reset(options={"index": number})
    said = {}
    for node in world.agent_iter():
        observation, reward, ended, _, info = world.last()
        if ended:
            world.step(None)
            continue
        request = network.team[node].request(observation, derive_seed(seed, int(node[5:])))
        if not isinstance(request, str):
            request = network.team[node].read(request.engine.generate([request])[0])
        said[node] = request
        world.step(request)
    return said, reward, info["answer"]


@pytest.mark.parametrize("name", TOPOLOGIES)
@pytest.mark.parametrize("task", [Whole(), Dealt()])
def test_a_rollout_is_what_the_environment_plays(name, task):
    topology = TOPOLOGIES[name]
    network = llm_network(topology, task, MockEngine(), Sampling())
    runs = run_episodes(network, task, task.rows, seed=3, rollouts=2)
    assert [run.group for run in runs] == [g for g in range(len(task.rows)) for _ in range(2)]
    for run in runs:
        said, reward, answer = play(topology, task, network, run.group, run.seed)
        assert (texts(run), run.reward, run.answer) == (said, reward, answer)
        assert list(texts(run)) == list(said) and run.example == task.rows[run.group]
        assert run.error is None and run.score.strict == run.reward


@given(topologies(), st.integers(0, 2**40))
@settings(max_examples=30, deadline=None)
def test_so_it_is_for_any_network(topology, seed):
    task = Whole()
    network = llm_network(topology, task, MockEngine(), Sampling())
    for run in run_episodes(network, task, task.rows[:1], seed=seed):
        assert texts(run) == play(topology, task, network, 0, run.seed)[0]


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_one_engine_call_per_layer(name):
    topology, engine = TOPOLOGIES[name], MockEngine()
    network = llm_network(topology, Whole(), engine, Sampling())
    run_episodes(network, Whole(), Whole.rows, rollouts=4)
    assert engine.batches == [12 * len(layer) for layer in topology.layers]
    assert engine.cost.total("eval").calls == 12 * len(topology)


def test_several_engines_serve_one_team():
    topology = Topology.parse("2-1")
    one, two = MockEngine({"node_0": "one"}), MockEngine({"node_1": "two", "node_2": "yes"})
    network = llm_network(topology, Whole(), two, Sampling())
    other = dataclasses.replace(network.team["node_0"], engine=one)
    network = dataclasses.replace(network, team={**network.team, "node_0": other})
    (run,) = run_episodes(network, Whole(), Whole.rows[:1])
    assert texts(run) == {"node_0": "one", "node_1": "two", "node_2": "yes"}
    assert one.batches == [1] and two.batches == [1, 1] and run.reward == 1.0


def test_scripted_nodes_cost_no_call():
    topology, engine = Topology.parse("2-1"), MockEngine()
    network = llm_network(topology, Whole(), engine, Sampling())
    network = dataclasses.replace(network, team={**network.team, "node_2": Scripted()})
    (run,) = run_episodes(network, Whole(), Whole.rows[:1])
    assert run.answer == "yes2" and engine.cost.total("eval").calls == 2
    assert run.last("node_2").completion is None and run.last("node_0").completion is not None
    only = Method(topology, dict.fromkeys(topology.nodes, Scripted()))
    assert run_episodes(only, Whole(), Whole.rows[:1])[0].answer == "yes2"
    assert len(engine.batches) == 1


def test_a_failed_call_is_an_error_of_its_episode_and_no_empty_message():
    topology = Topology.parse("2-1")
    engine = MockEngine(fail={1})
    network = llm_network(topology, Whole(), engine, Sampling())
    failed, *others = run_episodes(network, Whole(), Whole.rows)
    assert failed.error == "node_1: request 1 was told to fail"
    assert failed.score is None and failed.reward == 0.0 and failed.answer == ""
    assert not failed.by_node("node_1") and not failed.by_node("node_2")
    assert all(run.error is None and len(run.turns) == 3 for run in others)
    assert engine.batches == [6, 2]


def test_the_seeds_of_an_episode_do_not_depend_on_its_neighbours():
    topology, task = Topology.parse("2-1"), Whole()
    network = llm_network(topology, task, MockEngine(), Sampling())
    many = run_episodes(network, task, task.rows, seed=1, rollouts=3)
    few = run_episodes(network, task, task.rows[:2], seed=1, rollouts=2)
    assert [texts(many[i]) for i in (0, 1, 3, 4)] == [texts(run) for run in few]
    assert len({run.seed for run in many}) == 9
    assert len({str(texts(run)) for run in many}) == 9
    other = run_episodes(network, task, task.rows[:1], seed=2)
    assert texts(other[0]) != texts(many[0])


def test_a_schedule_decides_who_acts():
    topology = Topology.parse("2-2-1")

    def schedule(said):
        return {"node_0", "node_3", "node_4"} if "stop" not in said.values() else {"node_4"}

    engine = MockEngine(lambda r: "stop" if "b" in r.turns[1][1].split() else "go")
    network = llm_network(topology, Whole(), engine, Sampling())
    rows = [dataclasses.replace(Whole.rows[0], question=q) for q in ("a", "b", "a")]
    runs = run_episodes(dataclasses.replace(network, schedule=schedule), Whole(), rows)
    assert [[t.node for t in run.turns] for run in runs] == [
        ["node_0", "node_3", "node_4"], ["node_0", "node_4"], ["node_0", "node_3", "node_4"],
    ]  # fmt: skip
    assert engine.batches == [3, 2, 3]


def test_messages_can_be_replaced_between_layers():
    topology = Topology.parse("2-1")
    seen = []

    def blank(layer):
        seen.append([dict(messages) for messages in layer])
        return [{n: t if n == "node_2" else "" for n, t in said.items()} for said in layer]

    engine = MockEngine(lambda r: r.turns[1][1])
    network = llm_network(topology, Whole(), engine, Sampling())
    runs = run_episodes(network, Whole(), Whole.rows[:2], intervene=blank)
    assert runs[0].answer == "say yes\nnode_0: \nnode_1:"
    assert runs[0].last("node_0").text == "say yes"  # what the node itself said
    assert [len(layer) for layer in seen] == [2, 2] and set(seen[0][0]) == {"node_0", "node_1"}


def test_an_intervention_passes_over_failed_episodes():
    engine = MockEngine(fail={0})
    network = llm_network(TOPOLOGIES["2-1"], Whole(), engine, Sampling())
    runs = run_episodes(network, Whole(), Whole.rows[:2], intervene=lambda layer: layer[::-1])
    assert runs[0].error and not runs[1].error


def test_the_reward_can_be_extracted_or_both():
    network = Method(TOPOLOGIES["1"], {"node_0": Scripted("yes ")})
    rewards = {
        reward: run_episodes(network, Whole(), Whole.rows[:1], reward=reward)[0].reward
        for reward in ("strict", "extracted", "both")
    }
    assert rewards == {"strict": 0.0, "extracted": 1.0, "both": 0.5}


def test_no_examples_no_episodes():
    assert run_episodes(Method(TOPOLOGIES["1"], {"node_0": Scripted()}), Whole(), []) == []


def test_answers_are_scored_together_and_only_those_that_there_are():
    class Together(Whole):
        def score_many(self, examples, replies):
            scored.append(list(zip(examples, replies, strict=True)))
            return super().score_many(examples, replies)

    scored, task = [], Together()
    network = llm_network(
        Topology.parse("1"), task, MockEngine(["yes", "obey"], fail=[2]), Sampling()
    )
    runs = run_episodes(network, task, task.rows, rollouts=2)
    assert scored == [[(run.example, run.answer) for run in runs if run.error is None]]
    assert [run.error is None for run in runs] == [True, True, False, True, True, True]
    assert [run.reward for run in runs] == [float(run.answer == run.example.target) for run in runs]
    assert sum(run.reward for run in runs) == 2
