"""Networks of scripts win every game, by whichever of the three ways they play it."""

import pytest
from support.players import network

from neuromas_env import make_task, neuromas_v0
from neuromas_env.rollout import run_episodes

GAMES = [
    ("games/guess", "2-1:rounds=2"),
    ("games/guess:level=3", "1-1:rounds=9:feedback=none"),
    ("games/mastermind", "2-1:rounds=3"),
    ("games/mastermind:level=2", "2-1:rounds=4:feedback=all"),
    ("games/grid", "3-1:rounds=2:feedback=none"),
    ("games/grid:level=3", "2-1:rounds=4"),
]
ROWS = 6


def say(method, node, observation):
    return method.team[node].request(observation, 0)


@pytest.mark.parametrize(("name", "topology"), GAMES)
def test_scripts_win_in_batches_and_turn_by_turn(name, topology):
    task, method = make_task(name), network(name, topology)
    examples = task.examples("test")[:ROWS]
    runs = run_episodes(method, task, examples)
    assert [run.score.strict for run in runs] == [1.0] * ROWS
    assert [run.reward for run in runs] == [1.0] * ROWS and not any(run.truncated for run in runs)
    actions = [[turn.text for turn in run.by_node(method.topology.output)] for run in runs]
    assert max(map(len, actions)) <= task.rounds
    for index, run in enumerate(runs):
        env = neuromas_v0.env(task, topology, split="test")
        env.reset(options={"index": index})
        said, paid = [], dict.fromkeys(env.agents, 0.0)
        for node in env.agent_iter():
            observation, reward, ended, cut, _ = env.last()
            paid[node] += reward
            if ended or cut:
                env.step(None)
                continue
            said.append((node, say(method, node, observation)))
            env.step(said[-1][1])
        assert said == [(turn.node, turn.text) for turn in run.turns]
        assert set(paid.values()) == {1.0}
        parallel = neuromas_v0.parallel_env(task, topology, split="test")
        seen, infos = parallel.reset(options={"index": index})
        told = []
        while parallel.agents:
            turn = {n: say(method, n, seen[n]) for n in parallel.agents if infos[n]["active"]}
            told += turn.items()
            seen, rewards, _, _, infos = parallel.step(turn)
        assert told == said and set(rewards.values()) == {1.0}


def test_a_network_that_hears_nothing_does_not_win():
    method = network("games/guess:level=3", "1-1:rounds=4")
    task = make_task("games/guess:level=3")
    deaf = run_episodes(
        method, task, task.examples("test")[:64],
        intervene=lambda layer: [{n: text if n == "node_1" else "" for n, text in said.items()}
                                 for said in layer],
    )  # fmt: skip
    assert sum(run.score.strict for run in deaf) / 64 <= 0.2 < task.blind_accuracy("test")
