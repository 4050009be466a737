import subprocess
import sys

import pytest
from support.toy_tasks import Dealt, Whole

from neuromas_env import Topology, neuromas_v0
from neuromas_env.errors import InputError

WHOLE = Whole()


def play(env, speak=lambda node: node):
    """Play the episode and return what each node read on its dead step."""
    ends = {}
    for node in env.agent_iter():
        _, reward, terminated, truncated, info = env.last()
        assert not truncated
        if terminated:
            ends[node] = reward, info
        else:
            assert (reward, info) == (0.0, {})
        env.step(None if terminated else speak(node))
    return ends


@pytest.mark.parametrize("options", [{}, {"mask": {"node_0": False}}, {"graph": [(0, 3), (3, 4)]}])
def test_every_node_reads_the_shared_reward_and_the_outcome_on_its_dead_step(options):
    env = neuromas_v0.env(WHOLE, "2-2-1")
    env.reset(options={"id": "a", **options})
    ends = play(env, lambda node: "yes" if node == "node_4" else "no")
    outcome = {"answer": "yes", "strict": 1.0, "extracted": 1.0, "reason": "ok"}
    assert ends == {node: (1.0, outcome) for node in env.possible_agents}
    assert len({id(info) for _, info in ends.values()}) == 5
    assert env.agents == []


@pytest.mark.parametrize(("reward", "expected"), [("strict", 0.0), ("extracted", 1.0)])
def test_the_reward_is_the_score_that_was_asked_for(reward, expected):
    env = neuromas_v0.env(WHOLE, "2-1", reward=reward)
    env.reset(options={"id": "a"})
    assert {end[0] for end in play(env, lambda node: "well, yes").values()} == {expected}


def test_the_gold_answer_is_nowhere_before_the_end():
    class Secret(Dealt):
        rows = (type(WHOLE.rows[0])("s", "q?\nx", "SECRET", parts=("x",), query="q?"),)

    env = neuromas_v0.env(Secret(), "2-1", render_mode="ansi")
    env.reset()
    for node in env.agent_iter():
        assert "SECRET" not in repr((env.last(), env.state(), env.infos, env.render()))
        env.step(None if env.terminations[node] else "guess")


def test_a_question_is_picked_by_index_by_id_or_by_seed():
    env = neuromas_v0.raw_env(WHOLE, "1")
    env.reset(options={"index": 1})
    assert env.episode.example.id == "b"
    env.reset(options={"id": "c"})
    assert env.episode.example.id == "c"

    def drawn():
        env.reset(seed=7)
        first = env.episode.example.id
        rest = []
        for _ in range(20):
            env.reset()
            rest.append(env.episode.example.id)
        return [first, *rest]

    assert drawn() == drawn()
    assert set(drawn()) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"indx": 1}, "unknown reset option 'indx'. Did you mean 'index'"),
        ({"index": 3}, "index must be 0 to 2, not 3"),
        ({"index": -1}, "index must be 0 to 2"),
        ({"index": 1.5}, "index must be 0 to 2"),
        ({"id": "z"}, "unknown example id 'z'. Known: a, b, c"),
        ({"id": ["a"]}, "unknown example id"),
        ({"index": 0, "id": "a"}, "an index or an id, not both"),
        ({"mask": {"node_7": False}}, "unknown node in the mask 'node_7'"),
        ({"graph": [(0, 1), (1, 0)]}, "cycle"),
        ({"prefix": {"node_2": "x"}}, "node_0, whose turn is next, is missing"),
    ],
)
@pytest.mark.parametrize("make", [neuromas_v0.env, neuromas_v0.parallel_env])
def test_wrong_reset_options_are_refused(make, options, message):
    with pytest.raises(InputError, match=message):
        make(WHOLE, "2-1").reset(options=options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"topology": "2-2"}, "did you mean '2-2-1'"),
        ({"reward": "strct"}, "Did you mean 'strict'"),
        ({"render_mode": "rgb_array"}, "unknown render mode 'rgb_array'"),
        ({"max_message_length": 0}, "max_message_length must be at least 1"),
        ({"task": "signl"}, "unknown task 'signl'"),
        ({"split": "tets", "task": "signal"}, "unknown split 'tets'"),
    ],
)
@pytest.mark.parametrize("make", [neuromas_v0.env, neuromas_v0.parallel_env])
def test_wrong_arguments_are_refused_at_once(make, arguments, message):
    with pytest.raises(InputError, match=message):
        make(**{"task": WHOLE, **arguments})


def test_an_empty_split_is_refused():
    class Empty(Whole):
        rows = ()

    with pytest.raises(InputError, match="the test split of task 'whole' has no examples"):
        neuromas_v0.env(Empty(), split="test")


def test_messages_are_cut_by_every_door():
    env = neuromas_v0.env(WHOLE, "2-1", max_message_length=3)
    env.reset()
    env.step("abcdef")
    assert env.unwrapped.episode.messages == {"node_0": "abc"}
    with pytest.raises(InputError, match="the message of node_1 must be a text, not int"):
        env.step(5)
    raw = neuromas_v0.raw_env(WHOLE, "2-1", max_message_length=3)
    raw.reset()
    raw.step("abcdef")
    parallel = neuromas_v0.parallel_env(WHOLE, "2-1", max_message_length=3)
    parallel.reset()
    parallel.step({"node_0": "abcdef", "node_1": ""})
    assert raw.episode.messages["node_0"] == parallel.episode.messages["node_0"] == "abc"


def test_one_parallel_step_is_one_layer_and_bystanders_are_ignored():
    env = neuromas_v0.parallel_env(WHOLE, "2-2-1")
    seen, infos = env.reset(options={"id": "a", "mask": {"node_3": False}})
    expected = [{"node_0", "node_1"}, {"node_2"}, {"node_4"}]
    for turn, active in enumerate(expected):
        assert env.agents == env.possible_agents
        assert {node for node, info in infos.items() if info["active"]} == active
        actions = dict.fromkeys(env.agents, "yes")
        seen, rewards, terminations, truncations, infos = env.step(actions)
        done = turn == 2
        assert set(rewards.values()) == {float(done)}
        assert set(terminations.values()) == {done}
        assert set(truncations.values()) == {False}
    assert env.agents == []
    assert list(env.episode.messages) == ["node_0", "node_1", "node_2", "node_4"]
    outcome = {"answer": "yes", "strict": 1.0, "extracted": 1.0, "reason": "ok"}
    assert infos["node_3"] == {"active": False, **outcome}


def test_a_parallel_step_needs_the_actions_of_the_layer():
    env = neuromas_v0.parallel_env(WHOLE, "2-1")
    env.reset()
    with pytest.raises(InputError, match="no action for node_1, whose turn it is"):
        env.step({"node_0": "x", "node_2": "y"})
    with pytest.raises(InputError, match="node_1 must be a text"):
        env.step({"node_0": "x", "node_1": None})
    with pytest.raises(InputError, match="the prefix holds every message"):
        env.reset(options={"prefix": dict.fromkeys(env.possible_agents, "x")})


def test_a_complete_prefix_leaves_only_dead_steps():
    env = neuromas_v0.env(WHOLE, "2-1")
    env.reset(options={"id": "a", "prefix": dict.fromkeys(env.possible_agents, "yes")})
    assert {node: end[0] for node, end in play(env).items()} == {
        node: 1.0 for node in env.possible_agents
    }


def test_a_fork_goes_its_own_way():
    env = neuromas_v0.env(WHOLE, "2-1")
    env.reset(seed=1, options={"id": "a"})
    env.step("shared")
    twin = env.unwrapped.fork()
    assert play(env, lambda node: "yes")["node_0"][0] == 1.0
    assert (twin.agents, twin.agent_selection) == (["node_0", "node_1", "node_2"], "node_1")
    assert play(twin, lambda node: "no")["node_0"][0] == 0.0
    assert twin.episode.messages == {"node_0": "shared", "node_1": "no", "node_2": "no"}
    ids = []
    for one in (env.unwrapped, twin):
        one.reset()
        ids.append(one.episode.example.id)
    assert ids[0] == ids[1]

    parallel = neuromas_v0.parallel_env(WHOLE, "2-1")
    with pytest.raises(InputError, match=r"call reset\(\) first"):
        parallel.fork()
    parallel.reset()
    twin = parallel.fork()
    parallel.step({"node_0": "a", "node_1": "b"})
    assert twin.episode.messages == {}
    twin.step({"node_0": "c", "node_1": "d"})
    assert parallel.episode.messages == {"node_0": "a", "node_1": "b"}


def test_the_state_is_the_whole_question_and_all_messages():
    env = neuromas_v0.env(Dealt(), "2-1")
    env.reset(options={"id": "p"})
    assert env.state() == {"question": "q?\nx y z", "messages": (), "layer": 0}
    env.step("a")
    env.step("b")
    said = {"source": "node_0", "text": "a"}, {"source": "node_1", "text": "b"}
    assert env.state() == {"question": "q?\nx y z", "messages": said, "layer": 1}
    env.step("c")
    assert env.state()["layer"] == 2


def test_rendering_shows_the_network_and_the_messages(capsys):
    env = neuromas_v0.env(WHOLE, "2-1", render_mode="ansi")
    env.reset(options={"id": "a", "graph": [(0, 1), (1, 2)]})
    env.step("first\nsecond \x1b[31mred")
    text = env.render()
    assert "\x1b" not in text
    assert text.startswith(Topology.parse("1-1-1").draw())
    assert "question:\n  say yes\nnode_0:\n  first\n  second \\x1b[31mred\nto act: node_1" in text
    env.step("maybe")
    env.step("yes")
    assert env.render().endswith("answer: yes (ok, reward 1)")
    assert capsys.readouterr().out == ""

    env = neuromas_v0.env(WHOLE, "1", render_mode="human")
    env.reset(options={"id": "a"})
    env.step("no")
    printed = capsys.readouterr().out
    assert "answer: no (wrong, reward 0)" in printed
    assert neuromas_v0.parallel_env(WHOLE).render() is None


@pytest.mark.slow
def test_importing_the_environment_loads_nothing_heavy():
    code = (
        "import sys, gymnasium, pettingzoo; before = set(sys.modules); "
        "import neuromas_env.neuromas_v0; neuromas_env.neuromas_v0.env('signal').reset(); "
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    )
    run = [sys.executable, "-c", code]
    loaded = set(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split())
    assert "neuromas_env" in loaded
    heavy = {"torch", "transformers", "peft", "networkx", "scipy", "pandas", "matplotlib"}
    assert not loaded & heavy
