"""A task that replies: what nodes hear of it, what rounds earn, and how it ends an episode."""

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env
from support.rounds import heard, play, start
from support.toy_tasks import Counts, Whole

from neuromas_env import Topology, neuromas_v0
from neuromas_env.envs.episode import Episode, ask_worlds
from neuromas_env.envs.text import TextChannel
from neuromas_env.errors import InputError
from neuromas_env.tasks.interactive import Response


@pytest.mark.parametrize("way", [None, lambda episode: ask_worlds([episode])])
def test_a_round_that_is_over_awaits_the_task(way):
    episode = start("2-1:rounds=3:feedback=none:memory=none", Counts(), row=1)
    for node in ("node_0", "node_1", "node_2"):
        episode.say(node, "yes")
    assert episode.waiting and episode.round == 0
    if way:
        assert way(episode) == [None]
    assert episode.active == ("node_0", "node_1") and not episode.waiting
    assert heard(episode.observe("node_0")["inbox"]) == ["world:a1"]
    assert heard(episode.observe("node_1")["inbox"]) == ["world:b1"]
    assert episode.observe("node_2")["inbox"] == ()
    with pytest.raises(InputError, match="awaits no reply"):
        episode.answered(episode.replies[0])
    whole = TextChannel(Counts(), deals_parts=False)
    twin = Episode(episode.topology, whole, Counts.rows[1], prefix=episode.turns)
    assert heard(twin.observe("node_1")["inbox"]) == ["world:a1 b1 yes"]
    one = start("1:rounds=2:feedback=none:memory=none", Counts(), prefix=[("node_0", "yes")])
    assert heard(one.observe("node_0")["inbox"]) == ["world:a1 b1 yes"]


def test_what_depends_on_a_reply_asks_for_it():
    turns = [("node_0", "x"), ("node_1", "x"), ("node_2", "yes")]
    for read, expected in {
        "active": ("node_0", "node_1"), "done": False, "rewards": (1.0,), "messages": dict(turns),
    }.items():  # fmt: skip
        episode = start("2-1:rounds=3", Counts(), prefix=turns)
        assert episode.waiting and getattr(episode, read) == expected
    assert start("2-1:rounds=3", Counts(), prefix=turns).earned(0) == 1.0
    waiting = start("2-1:rounds=3", Counts(), prefix=turns)
    waiting.settle()
    assert not waiting.waiting and waiting.round == 1


def test_rewards_are_paid_by_round_and_a_node_gets_those_since_its_own_turn():
    env = neuromas_v0.env(Counts(), "1-1:rounds=3")
    env.reset(options={"index": 0})
    read, paid = [], []
    for node, text in zip(env.agent_iter(), ["x", "yes", "x", "no", "x", "yes"], strict=False):
        read.append((node[5:], env.last()[1]))
        env.step(text)
        paid.append(dict(env.rewards))
    each = [0.0, 1.0, 0.0, 0.0, 0.0, 2.0]
    assert paid == [dict.fromkeys(["node_0", "node_1"], reward) for reward in each]
    assert read == [("0", 0.0), ("1", 0.0), ("0", 1.0), ("1", 1.0), ("0", 0.0), ("1", 0.0)]
    episode = env.unwrapped.episode
    assert (episode.rewards, episode.reward) == ((1.0, 0.0, 2.0), 3.0)
    assert set(env.terminations.values()) == {True} and not episode.truncated


def test_who_has_fewer_rounds_than_the_task_is_cut_off_and_scored():
    for text, rounds in (("2-1", 1), ("2-1:rounds=2", 2), ("2-1:rounds=9", 3)):
        env = neuromas_v0.parallel_env(Counts(), text)
        env.reset(options={"index": 0})
        while env.agents:
            _, rewards, ended, cut, infos = env.step(dict.fromkeys(env.agents, "yes"))
        assert env.episode.horizon == rounds
        assert set(cut.values()) == {rounds < 3} and set(ended.values()) == {rounds == 3}
        assert infos["node_0"]["strict"] == 1.0 and set(rewards.values()) == {2.0}
        assert (infos["node_0"]["rounds"], infos["node_0"]["truncated"]) == (rounds, rounds < 3)


def test_a_task_that_is_done_ends_the_episode_and_a_silent_round_asks_it_nothing():
    episode = start("2-1:rounds=3", Counts(), prefix=[("node_0", "x"), ("node_1", "x"),
                                                      ("node_2", "stop")])  # fmt: skip
    assert episode.done and episode.round == 0 and not episode.truncated
    silent = start("2-1:rounds=3", Counts(), schedule=lambda said: () if said.round == 1 else None)
    play(silent)
    assert [reply and reply.text for reply in silent.replies] == ["a1 b1 20", None, "a2 b2 22"]
    assert silent.truncated and silent.actions == ("20", "22")


def test_what_is_no_response_is_told_and_waits_on():
    class Broken(Counts):
        def reply(self, example, actions):
            return "no" if example.id == "a" else super().reply(example, actions)

    episodes = [start("1:rounds=2", Broken(), row, prefix=[("node_0", "x")]) for row in (1,)]
    broken = Episode(Topology.parse("1:rounds=2"), TextChannel(Broken()), Broken.rows[0])
    broken.say("node_0", "x")
    found = ask_worlds([*episodes, broken])
    assert found[0] is None and "it must be a Response, not 'no'" in str(found[1])
    with pytest.raises(InputError, match="task 'counts': reply to example 'a'"):
        _ = broken.active
    Broken.rounds = 0
    with pytest.raises(InputError, match="rounds must be an integer of at least 1, got 0"):
        TextChannel(Broken())


def test_a_task_that_replies_is_stepped_by_itself():
    env = gymnasium.make("neuromas/Task-v0", task=Counts())
    assert env.reset(options={"id": "a"}) == ("say yes", {"id": "a"})
    assert env.step("no") == ("a1 b1 no", 0.0, False, False, {"id": "a"})
    assert env.step("yes")[:4] == ("a2 b2 yes", 1.0, False, False)
    *step, info = env.step("yes")
    assert step == ["a3 b3 yes", 2.0, True, False]
    assert (info["answer"], info["rounds"], info["truncated"]) == ("yes", 3, False)
    with pytest.raises(InputError, match="call reset"):
        env.step("yes")
    env.reset(options={"id": "a"})
    assert env.step("stop")[2:4] == (True, False)

    class Endless(Counts):
        def reply(self, example, actions):
            return Response("go on")

    env = gymnasium.make("neuromas/Task-v0", task=Endless())
    env.reset(seed=0)
    assert [env.step("x")[2:4] for _ in range(3)] == [(False, False), (False, False), (False, True)]


def test_a_node_of_a_frozen_network_is_stepped_once_a_round():
    others = {"node_1": lambda seen: "b", "node_2": lambda seen: seen["inbox"][-2]["text"]}
    env = gymnasium.make(
        "neuromas/OneLearner-v0", task=Counts(), topology="2-1:rounds=3", others=others
    )
    seen, _ = env.reset(options={"id": "a"})
    assert heard(seen["inbox"]) == [] and seen["place"]["round"] == 0
    seen, reward, *ends, _ = env.step("yes")
    assert heard(seen["inbox"]) == ["0:yes", "2:yes", "world:a1"]
    assert (reward, ends, seen["place"]["round"]) == (1.0, [False, False], 1)
    seen, reward, *ends, _ = env.step("stop")
    assert (reward, ends) == (0.0, [True, False])


def test_a_view_says_what_to_do_where_no_turn_is_left():
    env = gymnasium.make("neuromas/OneLearner-v0", task=Whole(), topology="2-1").unwrapped
    with pytest.raises(InputError, match=r"no episode yet: call reset\(\) first"):
        env.step("yes")
    with pytest.raises(InputError, match="node_0, which learns, has no turn before the episode"):
        env.reset(options={"mask": {"node_0": False}})
    for view in (env, gymnasium.make("neuromas/Turns-v0", task=Whole(), topology="1").unwrapped):
        view.reset(seed=0)
        assert view.step("yes")[2]
        for action in ("yes", None):
            with pytest.raises(InputError, match=r"the episode has ended: call reset\(\)"):
                view.step(action)
        view.reset(seed=0)
        with pytest.raises(InputError, match="the message of node_0 must be a text, not NoneType"):
            view.step(None)


@pytest.mark.parametrize("id", ["neuromas/Turns-v0", "neuromas/OneLearner-v0"])
@pytest.mark.parametrize("topology", ["1", "2-1", "2-1:rounds=3", "1:rounds=2:feedback=none"])
def test_gymnasium_finds_no_fault_in_views(id, topology):
    # Gymnasium refuses what ends its first step by truncation.
    task = Counts() if "rounds" in topology else Whole()
    env = gymnasium.make(id, task=task, topology=topology)
    check_env(env.unwrapped, skip_render_check=True)
    env.reset(seed=1)
    total, ends = 0.0, [False, False]
    while not any(ends):
        _, reward, *ends, _ = env.step("yes")
        total += reward
    network = env.unwrapped.network
    assert total == pytest.approx(network.episode.reward)
    assert network.possible_agents == list(Topology.parse(topology).nodes)
