"""One episode's dynamics, and that the three ways of running it agree."""

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.toy_tasks import TOPOLOGIES, Dealt, Whole, graphs, messages, topologies

from neuromas_env import Topology, neuromas_v0
from neuromas_env.envs.episode import Episode
from neuromas_env.envs.spaces import observation_space, state_space
from neuromas_env.envs.text import TextChannel, deal
from neuromas_env.errors import InputError
from neuromas_env.tasks import make_task

WHOLE, DEALT = Whole(), Dealt()
EXAMPLE = WHOLE.rows[0]


def start(topology="2-1", **options):
    topology = Topology.parse(topology) if isinstance(topology, str) else topology
    return Episode(topology, TextChannel(WHOLE), EXAMPLE, **options)


def play(episode, speak=lambda node, observation: node):
    while not episode.done:
        seen = {node: episode.observe(node) for node in episode.active}
        episode.commit({node: speak(node, observation) for node, observation in seen.items()})
    return episode


def digest(node, observation):
    """Say something that depends on everything the node sees."""
    inbox = ",".join(message["text"] for message in observation["inbox"])
    places = observation["place"]["sources"].tolist(), observation["place"]["readers"].tolist()
    return f"{node}({observation['question']}|{places}|{inbox})"


@st.composite
def episodes(draw):
    """Draw a network, a question and the options of one episode that somebody acts in."""
    topology = draw(topologies(max_nodes=5))
    options = {}
    if draw(st.booleans()):
        options["graph"] = draw(graphs(len(topology)))
    if draw(st.booleans()):
        options["mask"] = draw(st.lists(st.booleans(), min_size=len(topology),
                                        max_size=len(topology)))  # fmt: skip
    chosen = draw(st.none() | st.sets(st.sampled_from(topology.nodes)))
    stop = draw(st.integers(1, 5))

    def schedule(said):
        if len(said) >= stop:
            return ()
        return chosen

    options["schedule"] = draw(st.sampled_from([None, schedule]))
    return topology, draw(st.sampled_from([WHOLE, DEALT])), options


def run_aec(task, topology, options, example, speak):
    schedule = options.pop("schedule")
    env = neuromas_v0.env(task, topology, schedule=schedule)
    env.reset(options={"id": example.id, **options})
    rewards = {}
    for node in env.agent_iter():
        observation, reward, terminated, _, _ = env.last()
        env.step(None if terminated else speak(node, observation))
        if terminated:
            rewards[node] = reward
    episode = env.unwrapped.episode
    return episode.messages, episode.answer, episode.score, rewards


def run_parallel(task, topology, options, example, speak):
    env = neuromas_v0.parallel_env(task, topology, schedule=options.pop("schedule"))
    seen, infos = env.reset(options={"id": example.id, **options})
    while env.agents:
        actions = {node: speak(node, seen[node]) for node in env.agents}
        seen, rewards, _, _, infos = env.step(actions)
    return env.episode.messages, env.episode.answer, env.episode.score, rewards


@pytest.mark.slow
@given(episodes(), st.data())
def test_aec_parallel_and_episode_agree(drawn, data):
    topology, task, options = drawn
    example = data.draw(st.sampled_from(task.rows))
    try:
        direct = play(Episode(topology, TextChannel(task), example, **options), digest)
    except InputError as error:
        assert "no node acts" in str(error)
        return
    expected = direct.messages, direct.answer, direct.score
    for run in (run_aec, run_parallel):
        *result, rewards = run(task, topology, dict(options), example, digest)
        assert tuple(result) == expected
        assert list(result[0]) == list(direct.messages)
        assert rewards == dict.fromkeys(topology.nodes, direct.reward)


@pytest.mark.slow
@given(topologies(max_nodes=5), st.data())
def test_who_acts_and_who_is_read_follow_from_the_graph_and_the_mask(topology, data):
    edges = data.draw(graphs(len(topology)))
    size, nodes = len(topology), topology.nodes
    mask = data.draw(st.lists(st.booleans(), min_size=size, max_size=size).filter(any))
    graph = networkx.DiGraph([(nodes[a], nodes[b]) for a, b in edges])
    graph.add_nodes_from(nodes)
    expected = {
        node
        for node, on in zip(nodes, mask, strict=True)
        if on and networkx.has_path(graph, node, topology.output)
    }
    try:
        episode = start(topology, graph=edges, mask=mask)
    except InputError:
        assert not expected
        return
    said = {}
    while not episode.done:
        for node in episode.active:
            inbox = [m["source"] for m in episode.observe(node)["inbox"]]
            assert inbox == [s for s in said if graph.has_edge(s, node)]
            # Everybody who can still be heard has spoken.
            assert networkx.ancestors(graph, node) & expected <= set(said)
        said |= dict.fromkeys(episode.active, "x")
        episode.commit(dict.fromkeys(episode.active, "x"))
    assert set(said) == expected


@pytest.mark.slow
@given(st.sampled_from(list(TOPOLOGIES)), st.lists(messages(), min_size=7, max_size=7))
def test_any_text_passes_through_unchanged_and_stays_in_the_spaces(name, texts):
    topology = TOPOLOGIES[name]
    space, state = observation_space(len(topology)), state_space(len(topology))
    env = neuromas_v0.env(WHOLE, topology)
    env.reset(seed=0)
    said = dict(zip(topology.nodes, texts, strict=False))
    for node in env.agent_iter():
        observation, _, terminated, _, _ = env.last()
        assert space.contains(observation)
        assert state.contains(env.state())
        for message in observation["inbox"]:
            assert message["text"] == said[message["source"]][:20_000]
        env.step(None if terminated else said[node])
    assert env.unwrapped.episode.answer == said[topology.output][:20_000]


@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=TOPOLOGIES)
def test_nobody_sees_a_message_of_its_own_layer(topology):
    episode = start(topology)
    while not episode.done:
        layer, node = set(topology.layers[episode.layer]), episode.active[0]
        for peer in layer:
            assert not {m["source"] for m in episode.observe(peer)["inbox"]} & layer
        episode.say(node, node)
    assert list(episode.messages) == [n for layer in topology.layers for n in layer]


def test_an_observation_is_fresh_and_cannot_be_used_to_change_the_episode():
    episode = start("2-1")
    episode.commit({"node_1": "b", "node_0": "a"})
    assert list(episode.messages) == ["node_0", "node_1"]
    seen = episode.observe("node_2")
    assert seen["inbox"] == ({"source": "node_0", "text": "a"}, {"source": "node_1", "text": "b"})
    place = {key: np.asarray(value).tolist() for key, value in seen["place"].items()}
    assert place == {"node": 2, "layer": 1, "index": 0, "sources": [1, 1, 0], "readers": [0, 0, 0]}
    seen["inbox"][0]["text"] = seen["place"]["layer"] = seen["question"] = "changed"
    with pytest.raises(ValueError, match="read-only"):
        seen["place"]["sources"][0] = 0
    again = episode.observe("node_2")
    assert again["inbox"][0]["text"] == "a"
    assert again["place"]["layer"] == 1
    assert again["question"] == EXAMPLE.question


def questions(topology, example, **options):
    episode = Episode(Topology.parse(topology), TextChannel(DEALT), example, **options)
    return [episode.observe(node)["question"] for node in episode.topology.nodes]


def test_parts_are_dealt_to_the_input_nodes_and_later_nodes_read_the_query():
    three, one = DEALT.rows
    assert questions("2-1", three) == ["q?\nx", "q?\ny\nz", "q?"]
    assert questions("4-1", three)[3] == "q?\nx"
    assert questions("2-1", one)[:2] == ["q?\nw"] * 2
    assert questions("1", three) == [three.question]
    graph = [("node_2", "node_0"), ("node_0", "node_3")]
    dealt = questions("2-1-1", three, graph=graph)
    assert dealt == ["q?", "q?", "q?\nx\ny\nz", "q?"]
    assert questions("2-1", three, graph=[])[2] == three.question
    # A masked input's part is lost: the mask must not leak it to the others.
    assert questions("2-1", three, mask=[False, True, True]) == questions("2-1", three)


@given(st.integers(1, 64), st.integers(1, 64))
def test_parts_are_dealt_in_blocks_as_equal_as_can_be(parts, inputs):
    blocks = [list(block) for block in deal(parts, inputs)]
    assert len(blocks) == inputs and all(blocks)
    if inputs <= parts:
        assert sum(blocks, []) == list(range(parts))
        assert max(map(len, blocks)) - min(map(len, blocks)) <= 1
    else:  # a wider network keeps what its first nodes read
        assert blocks == [[i % parts] for i in range(inputs)]
        assert blocks[: inputs - 1] == [list(block) for block in deal(parts, inputs - 1)]


@pytest.mark.parametrize("inputs", [2, 4, 8])
def test_a_small_network_gets_whole_subtrees(inputs):
    example = make_task("hierarchy/minimax:depth=4,leaves=16,parts=8").examples("test")[0]
    size = len(example.parts) // inputs
    dealt = questions(f"{inputs}-1", example)[:inputs]
    assert dealt == [
        "\n".join([example.query, *example.parts[size * i : size * (i + 1)]]) for i in range(inputs)
    ]


def test_masked_nodes_are_silent_and_the_answer_falls_back_to_the_last_message():
    episode = start("2-1", mask={"node_0": False})
    assert episode.active == ("node_1",)
    assert list(play(episode).messages) == ["node_1", "node_2"]
    episode = play(start("2-1", mask=np.array([True, True, False])))
    assert episode.answer == "node_1"
    with pytest.raises(InputError, match="no node acts"):
        start("2-1", mask=[False] * 3)


def test_a_schedule_is_asked_at_every_boundary_and_may_route_and_stop():
    asked = []

    def route(said):
        asked.append(dict(said))
        if "node_4" in said:
            return ()
        return {"node_4", "node_1"}

    episode = play(start("2-2-2-1", schedule=route))
    assert list(episode.messages) == ["node_1", "node_4"]
    assert episode.answer == "node_4"
    assert [list(said) for said in asked] == [[], ["node_1"], ["node_1"], ["node_1", "node_4"]]
    assert play(start("2-1", schedule=lambda said: None)).answer == "node_2"
    with pytest.raises(InputError, match="no node acts"):
        start("2-1", schedule=lambda said: [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": {"node_9": True}}, "unknown node in the mask 'node_9'"),
        ({"mask": [True]}, "one truth value for each of the 3 nodes"),
        ({"mask": "110"}, "one truth value for each"),
        ({"mask": 3}, "one truth value for each"),
        ({"graph": [(0, 9)]}, "unknown node in the graph 'node_9'"),
        ({"graph": [(0, 1), (1, 0)]}, "cycle: node_. -> node_. -> node_."),
        ({"graph": ["01"]}, "not an edge"),
        ({"schedule": lambda said: ["node_x"]}, "unknown node in the schedule 'node_x'"),
        ({"schedule": lambda said: "node_0"}, "a collection of node names, not 'node_0'"),
        ({"schedule": lambda said: True}, "a collection of node names, not True"),
        ({"prefix": {"node_9": ""}}, "unknown node in the prefix 'node_9'"),
        ({"prefix": {"node_1": ""}}, "node_1, but node_0, whose turn is next, is missing"),
        ({"prefix": {"node_0": "", "node_2": ""}}, "node_2, but node_1, whose turn is next"),
        ({"prefix": {"node_0": 5}}, "message of node_0 must be a text, not int"),
        ({"prefix": {"node_0": ""}, "mask": [0, 1, 1]}, "node_0, but node_1, whose turn"),
        (
            {"prefix": dict.fromkeys(("node_0", "node_1", "node_2"), ""), "mask": [1, 1, 0]},
            "node_2, but no other node acts",
        ),
    ],
)
def test_wrong_options_are_refused_with_the_reason(options, message):
    with pytest.raises(InputError, match=message):
        start("2-1", **options)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda e: e.say("node_1", "x"), "node_1 cannot speak now: it is node_0's turn"),
        (lambda e: e.say("node_0", None), "must be a text, not NoneType"),
        (lambda e: e.say("node_0", "a\ud800"), "lone surrogate at 1"),
        (lambda e: e.commit({"node_0": "x"}), "expected from: node_0, node_1"),
        (lambda e: e.commit({}), "expected from: node_0, node_1"),
        (lambda e: e.commit({"node_0": "x", "node_1": 1}), "node_1 must be a text"),
        (lambda e: e.observe("node_3"), "unknown node 'node_3'"),
        (lambda e: e.score, "no answer yet: node_0, node_1 must act"),
        (lambda e: e.reward, "no answer yet"),
    ],
)
def test_wrong_moves_are_refused_and_change_nothing(act, message):
    episode = start("2-1")
    with pytest.raises(InputError, match=message):
        act(episode)
    assert episode.messages == {}
    assert episode.active == ("node_0", "node_1")


def test_an_ended_episode_takes_no_more_messages():
    episode = play(start("2-1"))
    with pytest.raises(InputError, match="the episode has ended"):
        episode.say("node_2", "again")
    with pytest.raises(InputError, match="the episode has ended"):
        episode.commit({})


def test_a_question_that_is_too_long_is_refused():
    class Long(Whole):
        rows = (type(EXAMPLE)("long", "x" * 1_000_001, "x"),)

    with pytest.raises(InputError, match="'long': the question has 1000001 characters"):
        Episode(Topology.parse("1"), TextChannel(Long()), Long.rows[0])


@pytest.mark.slow
@given(topologies(), st.data())
def test_any_prefix_continues_to_the_same_end(topology, data):
    whole = play(start(topology), digest)
    kept = data.draw(st.integers(0, len(whole.messages)))
    prefix = dict(list(whole.messages.items())[:kept])
    shuffled = {node: prefix[node] for node in data.draw(st.permutations(list(prefix)))}
    resumed = play(start(topology, prefix=shuffled), digest)
    assert list(resumed.messages.items()) == list(whole.messages.items())


def test_a_fork_and_its_origin_do_not_touch_each_other():
    episode = start("2-1")
    episode.say("node_0", "shared")
    twin = episode.fork()
    episode.say("node_1", "mine")
    episode.say("node_2", "yes")
    assert twin.messages == {"node_0": "shared"}
    assert twin.active == ("node_1",)
    play(twin, lambda node, _: "no")
    assert (episode.reward, twin.reward) == (1.0, 0.0)
    assert episode.messages["node_1"] == "mine"


def test_the_answer_is_scored_once_and_the_reward_can_be_either_score():
    class Counting(Whole):
        calls = 0

        def score(self, example, reply):
            self.calls += 1
            return super().score(example, reply)

    for reward, expected in (("strict", 0.0), ("extracted", 1.0)):
        task = Counting()
        episode = Episode(Topology.parse("1"), TextChannel(task, reward=reward), EXAMPLE)
        episode.say("node_0", "yes!")
        assert (episode.reward, episode.reward, episode.score.reason) == (expected, expected, "ok")
        assert task.calls == 1
