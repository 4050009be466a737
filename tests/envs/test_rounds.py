"""Nodes that act more than once: who hears what when, and that all ways of running agree."""

import copy
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rounds import WHOLE, heard, play, start
from support.toy_tasks import RECURRENT, Counts, Dealt, Whole, graphs, recurrent

from neuromas_env import Topology, neuromas_v0
from neuromas_env.envs.episode import Episode
from neuromas_env.envs.schedules import Messages, Said, output_last, until
from neuromas_env.envs.spaces import observation_space, state_space
from neuromas_env.errors import InputError
from neuromas_env.method import Method
from neuromas_env.policy import Policy
from neuromas_env.rollout import run_episodes

TASKS = WHOLE, Dealt(), Counts()


def inboxes(topology, task=WHOLE, **options):
    """What each turn reads, source and text, by node and round; a text is node and round."""
    read = play(start(topology, task, **options))
    return {f"{node[5:]}@{o['place']['round']}": heard(o["inbox"]) for node, o in read}


def test_edges_carry_this_round_feedback_the_one_before_and_nothing_older():
    assert inboxes("2-1:rounds=3:feedback=2>0+1>0:memory=none") == {
        "0@0": [], "1@0": [], "2@0": ["0:00", "1:10"],
        "0@1": ["1:10", "2:20"], "1@1": [], "2@1": ["0:01", "1:11"],
        "0@2": ["1:11", "2:21"], "1@2": [], "2@2": ["0:02", "1:12"],
    }  # fmt: skip


def test_with_memory_a_node_reads_again_what_it_read_and_said():
    assert inboxes("2-1:rounds=3") == {
        "0@0": [], "1@0": [], "2@0": ["0:00", "1:10"],
        "0@1": ["0:00", "2:20"], "1@1": ["1:10", "2:20"],
        "2@1": ["0:00", "1:10", "2:20", "0:01", "1:11"],
        "0@2": ["0:00", "2:20", "0:01", "2:21"], "1@2": ["1:10", "2:20", "1:11", "2:21"],
        "2@2": ["0:00", "1:10", "2:20", "0:01", "1:11", "2:21", "0:02", "1:12"],
    }  # fmt: skip


def test_messages_tell_the_round_in_which_they_were_said():
    last = play(start("1-1:rounds=2"))[-1][1]
    assert [item["round"] for item in last["inbox"]] == [0, 0, 1]
    assert (last["place"]["round"], last["place"]["rounds"]) == (1, 2)


def test_a_node_with_memory_that_was_silent_reads_later_what_it_was_sent():
    def schedule(said):
        return ("node_0", "node_1") if said.round < 2 else None

    assert inboxes("2-1:rounds=3", schedule=schedule)["2@2"] == [
        "0:00", "1:10", "0:01", "1:11", "0:02", "1:12",
    ]  # fmt: skip
    without = inboxes("2-1:rounds=3:memory=none", schedule=schedule)
    assert without["2@2"] == ["0:02", "1:12"] and without["0@2"] == []


def test_nodes_of_a_layer_do_not_hear_one_another_before_the_next_round():
    episode = start("2-1:rounds=2:feedback=0>1+1>0:memory=none")
    episode.say("node_0", "first")
    assert episode.observe("node_1")["inbox"] == ()
    episode.say("node_1", "second")
    episode.say("node_2", "x")
    episode.say("node_0", "late")
    assert heard(episode.observe("node_1")["inbox"]) == ["0:first"]


@settings(max_examples=30)
@given(recurrent(), st.sampled_from(TASKS))
def test_a_later_inbox_extends_an_earlier_one_where_there_is_memory(topology, task):
    episode, latest = start(topology, task), {}
    channel, size = episode.channel, len(topology)
    spaces = channel.spaces(topology)
    assert spaces.action == channel.spaces(topology).action
    while not episode.done:
        for node in topology.nodes:
            seen = episode.observe(node)
            assert spaces.observation.contains(seen) and spaces.state.contains(
                channel.state(episode)
            )
            if topology.memory:
                before = latest.get(node, ())
                assert seen["inbox"][: len(before)] == before
                latest[node] = seen["inbox"]
            else:
                sources = topology.sources(node) + topology.feedback_sources(node)
                assert {item["source"] for item in seen["inbox"]} <= {*sources, "world"}
        episode.say(episode.active[0], f"{episode.active[0]}/{episode.round}")
    assert len(episode.turns) == size * episode.horizon
    assert observation_space(size, 20_000, 2) != observation_space(size, 20_000, 3)
    assert state_space(size, 20_000, 2) != state_space(size, 20_000)


@settings(max_examples=30)
@given(recurrent(), st.data())
def test_who_is_cut_off_acts_as_long_as_feedback_can_still_carry_its_message(topology, data):
    edges = data.draw(graphs(len(topology)))
    episode = start(topology, graph=edges)
    reach, nodes = {(topology.output, t) for t in range(topology.rounds)}, topology.nodes
    links = [((nodes[a], t), (nodes[b], t)) for a, b in edges for t in range(topology.rounds)]
    links += [((a, t), (b, t + 1)) for a, b in topology.feedback for t in range(topology.rounds)]
    while more := {a for a, b in links if b in reach} - reach:
        reach |= more
    play(episode)
    assert {(node, at) for node, at, _ in episode.turns} == reach


def digest(node, seen):
    """Say something that depends on all that the node sees."""
    items = ",".join(f"{item['source']}{item['round']}{item['text']}" for item in seen["inbox"])
    said = f"{node}{seen['place']['round']}{seen['question']}{items}"
    chosen = sum(said.encode()) % 11
    return {0: "yes", 1: "stop"}.get(chosen, f"{hash_of(said)}")


def hash_of(text):
    total = 0
    for byte in text.encode():
        total = (total * 31 + byte) % 1_000_003
    return total


@st.composite
def episodes(draw):
    """Draw a network, a task, a question and the options of an episode."""
    topology, task = draw(recurrent()), draw(st.sampled_from(TASKS))
    size, options = len(topology), {}
    if draw(st.booleans()):
        options["graph"] = draw(graphs(size))
    if draw(st.booleans()):
        options["mask"] = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    chosen = draw(st.lists(st.none() | st.sets(st.sampled_from(topology.nodes)), min_size=4,
                           max_size=4))  # fmt: skip
    schedules = [None, lambda said: chosen[said.round], until(lambda text: "7" in text)]
    schedules += [output_last(topology)] if size > 1 else []
    return topology, task, draw(st.sampled_from(schedules)), options


class Digests(Policy):
    """A node that says its digest."""

    sampled, scripted = False, True

    def __init__(self, node):
        self.node = node

    def request(self, observation, seed):
        return digest(self.node, observation)


@pytest.mark.slow
@settings(max_examples=60)
@given(episodes(), st.data())
def test_aec_parallel_episode_and_rollout_agree(drawn, data):
    topology, task, schedule, options = drawn
    row = data.draw(st.integers(0, len(task.rows) - 1))
    direct = {"schedule": schedule, **options}
    aec = neuromas_v0.env(task, topology, schedule=schedule)
    parallel = neuromas_v0.parallel_env(task, topology, schedule=schedule)
    try:
        episode = start(topology, task, row, **direct)
    except InputError as error:
        assert "no node acts" in str(error)
        for env in (aec, parallel):
            with pytest.raises(InputError, match="no node acts"):
                env.reset(options={"index": row, **options})
        return
    play(episode, digest)
    expected = episode.turns, episode.answer, episode.score, episode.replies, episode.truncated
    nodes = topology.nodes

    aec.reset(options={"index": row, **options})
    got, ends = dict.fromkeys(nodes, 0.0), set()
    for node in aec.agent_iter():
        seen, reward, terminated, truncated, info = aec.last()
        got[node] += reward
        over = terminated or truncated
        ends |= {(terminated, truncated, info["truncated"], info["rounds"])} if over else set()
        aec.step(None if over else digest(node, seen))
    played = aec.unwrapped.episode
    assert expected == (played.turns, played.answer, played.score, played.replies, played.truncated)
    assert got == dict.fromkeys(nodes, pytest.approx(episode.reward)) and len(ends) == 1
    cut = episode.truncated
    assert ends == {(not cut, cut, cut, episode.round + 1)}

    seen, infos = parallel.reset(options={"index": row, **options})
    got, rounds = dict.fromkeys(nodes, 0.0), []
    while parallel.agents:
        rounds.append(infos[nodes[0]]["round"])
        seen, rewards, *ends, infos = parallel.step({n: digest(n, seen[n]) for n in nodes})
        got = {node: got[node] + rewards[node] for node in nodes}
    played = parallel.episode
    assert expected == (played.turns, played.answer, played.score, played.replies, played.truncated)
    assert got == dict.fromkeys(nodes, pytest.approx(episode.reward))
    assert ends == [dict.fromkeys(nodes, not cut), dict.fromkeys(nodes, cut)]
    assert rounds == sorted(rounds)

    team = {node: Digests(node) for node in nodes}
    method = Method(topology, team, schedule=schedule, options=lambda question: options)
    [run] = run_episodes(method, task, [task.rows[row]])
    assert [(t.node, t.round, t.text) for t in run.turns] == list(episode.turns)
    assert (run.answer, run.score, run.truncated) == (episode.answer, episode.score, cut)
    assert (run.rewards, run.reward) == (episode.rewards, episode.reward)


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_turn_can_be_copied_and_replayed(name, task):
    topology = Topology.parse(name)
    whole = start(topology, task)
    play(whole, digest)
    copies = [Episode.fork, copy.deepcopy, lambda episode: pickle.loads(pickle.dumps(episode))]
    episode = start(topology, task)
    for count, (node, _, message) in enumerate(whole.turns):
        for way in copies:
            twin = way(episode)
            assert (twin.turns, twin.active, twin.tick) == (
                episode.turns, episode.active, episode.tick,
            )  # fmt: skip
            twin.say(node, "other")
            assert len(episode.turns) == count
        replayed = start(topology, task, prefix=whole.turns[:count])
        assert replayed.turns == whole.turns[:count] and replayed.active == episode.active
        assert replayed.observe(node)["inbox"] == episode.observe(node)["inbox"]
        pairs = [(said.node, said.message) for said in whole.turns[:count]]
        assert start(topology, task, prefix=pairs).turns == replayed.turns
        episode.say(node, message)
    assert episode.turns == whole.turns and episode.done and episode.reward == whole.reward


def test_a_mapping_replays_the_first_round():
    said = {"node_0": "a", "node_1": "b", "node_2": "c"}
    episode = start("2-1:rounds=2", prefix=said)
    assert (episode.round, episode.active, dict(episode.before)) == (1, ("node_0", "node_1"), said)
    env = neuromas_v0.env(Whole(), "2-1:rounds=2")
    env.reset(options={"prefix": [("node_0", "a"), ("node_1", "b"), ("node_2", "c"),
                                  ("node_0", "d")]})  # fmt: skip
    assert env.agent_selection == "node_1" and env.unwrapped.episode.round == 1


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ([("node_1", "x")], "prefix[0] is of 'node_1', but it is node_0's turn"),
        ([("node_0", "x"), ("node_9", "x")], "prefix[1] is of 'node_9', but it is node_1's turn"),
        (["node_0"], "prefix[0] must be (node, message), not 'node_0'"),
        ("node_0", "must map nodes to messages or list (node, message), not 'node_0'"),
        ([("node_0", "x"), ("node_1", "x"), ("node_2", "x")] * 3,
         "prefix[6] is of 'node_0', but nobody acts then"),
        ({"node_0": "x", "node_2": "x"}, "node_2, but node_1, whose turn is next, is missing"),
    ],
)  # fmt: skip
def test_a_wrong_prefix_is_refused(prefix, message):
    with pytest.raises(InputError) as error:
        start("2-1:rounds=2", prefix=prefix)
    assert message in str(error.value)


def test_a_mapping_cannot_hold_who_is_silent_in_the_first_round():
    topology = Topology.parse("2-1:rounds=2")
    with pytest.raises(InputError, match="node_2, but no other acts in the first round"):
        start(topology, schedule=output_last(topology), prefix=dict.fromkeys(topology.nodes, "x"))


def test_the_output_may_speak_last_alone():
    topology = Topology.parse("3-1:rounds=3:feedback=all")
    episode = start(topology, schedule=output_last(topology))
    play(episode)
    spoke = [[n[5:] for n, at, _ in episode.turns if at == r] for r in range(3)]
    assert spoke == [["0", "1", "2"], ["0", "1", "2"], ["0", "1", "2", "3"]]
    assert episode.answer == "32" and episode.actions == ("20", "21", "32")
    with pytest.raises(InputError, match="needs a node beside the output node"):
        output_last(Topology.parse("1:rounds=2"))


def test_an_episode_may_end_when_the_output_has_said_so():
    episode = start("2-1:rounds=9", schedule=until(lambda text: text == "23"))
    play(episode)
    assert (episode.round, episode.answer, episode.truncated) == (3, "23", False)
    assert len(episode.turns) == 12
    env = neuromas_v0.raw_env(Whole(), "2-1:rounds=9", schedule=until(str.isupper))
    env.reset(seed=0)
    twin = pickle.loads(pickle.dumps(env))
    for _ in range(3):
        twin.step("END")
    assert all(twin.terminations.values()) and not any(env.terminations.values())


def test_the_answer_is_the_outputs_last_message_or_else_the_last():
    def schedule(said):
        return {0: None, 1: ["node_0"], 2: ()}[said.round]

    episode = start("2-1:rounds=3", schedule=schedule)
    play(episode)
    assert (episode.answer, episode.round, episode.actions) == ("20", 1, ("20", "01"))
    assert list(episode.messages.items()) == [("node_1", "10"), ("node_2", "20"), ("node_0", "01")]
    masked = start("2-1:rounds=2", mask=[True, True, False])
    play(masked)
    assert masked.answer == "11"


def test_a_schedule_is_asked_with_this_round_and_knows_the_rest():
    asked = []

    def schedule(said):
        asked.append((dict(said), said.round, said.turns))

    play(start("1-1:rounds=2:feedback=none", schedule=schedule))
    first, second = Said("node_0", 0, "00"), Said("node_1", 0, "10")
    assert asked == [
        ({}, 0, ()), ({"node_0": "00"}, 0, (first,)), ({}, 1, (first, second)),
        ({"node_0": "01"}, 1, (first, second, Said("node_0", 1, "01"))),
    ]  # fmt: skip
    assert Messages({"node_0": "x"}).turns == (Said("node_0", 0, "x"),)


@pytest.mark.parametrize(
    "options", [{"mask": [False] * 3}, {"schedule": lambda said: ()}], ids=["mask", "schedule"]
)
def test_leaving_nobody_in_any_round_is_refused(options):
    with pytest.raises(InputError, match="no node acts: mask, graph and schedule together"):
        start("2-1:rounds=3", **options)


def test_a_picture_tells_the_rounds():
    env = neuromas_v0.env(Counts(), "2-1:rounds=2", render_mode="ansi")
    env.reset(options={"index": 0})
    for text in ("a", "b", "c", "d"):
        env.step(text)
    text = env.render()
    assert "[round 1 of 2]\nnode_0:\n  a\nnode_1:\n  b\nnode_2:\n  c\nworld:\n  a1 b1 c\n" in text
    assert text.endswith("[round 2 of 2]\nnode_0:\n  d\nto act: node_1")
