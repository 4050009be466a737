"""What a turn is credited with where a task pays in several rounds."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from neuromas_env import TrainConfig
from neuromas_env.agents.learners.actor_critic import group_relative
from neuromas_env.agents.learners.advantage import Advantage
from neuromas_env.agents.learners.base import by_round, learner_class, per_turn, returns_to_go
from neuromas_env.agents.learners.shaping import Shaped, bonus
from neuromas_env.agents.learners.tabular import TabularEngine, TabularReinforce, key, log_softmax
from neuromas_env.agents.llm import llm_network
from neuromas_env.errors import InputError
from neuromas_env.policy import Sampling, Trajectory, Turn
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks.base import Example, Score
from neuromas_env.tasks.interactive import InteractiveTask, Response
from neuromas_env.topology import Topology

ONE = Example("a", "A or B?", "B")


def episode(rewards, group=0, rounds=None, nodes=2):
    turns = [
        Turn(f"node_{node}", "x", f"node_{node}", round=at)
        for at in range(rounds or len(rewards))
        for node in range(nodes)
    ]
    return Trajectory(
        ONE, group, 0, tuple(turns), "x", Score(1.0, 1.0, "ok"), float(sum(rewards)),
        rewards=tuple(rewards),
    )  # fmt: skip


def test_a_turn_is_credited_with_what_is_earned_from_its_round_on():
    batch = [episode([1.0, 0.0, 2.0]), episode([0.5]), episode([0.0, 4.0], 1), episode([0.0], 1)]
    found = returns_to_go(batch)
    assert found.tolist() == [[[3, 2, 2], [0.5, 0, 0]], [[4, 4, 0], [0, 0, 0]]]
    advantages = by_round(batch, Advantage("leave_one_out")(found))
    assert [values.tolist() for values in advantages] == [
        [2.5, 2.5, 2, 2, 2, 2], [-2.5, -2.5], [4, 4, 4, 4], [-4, -4],
    ]  # fmt: skip


@pytest.mark.parametrize("mode", ["leave_one_out", "batch_mean", "moving_average", "none"])
def test_without_rewards_on_the_way_every_turn_has_the_same_advantage(mode):
    """Also where episodes end in different rounds: their ends are all that is compared."""
    batch = [episode([0.0, 0.0, 1.0]), episode([0.0]), episode([1.0]), episode([0.0, 0.0])]
    terminal = [replace(one, rewards=()) for one in batch]
    rewards = np.array([[1.0, 0.0, 1.0, 0.0]])
    once = Advantage(mode)(rewards).ravel()
    for runs in (batch, terminal):
        found = by_round(runs, Advantage(mode)(returns_to_go(runs)))
        for values, one, run in zip(found, once, runs, strict=True):
            assert values.tolist() == [one] * len(run.turns)


def test_a_moving_average_is_kept_for_every_round():
    advantage = Advantage("moving_average", decay=0.5)
    advantage(np.array([[[3.0, 1.0]], [[1.0, 1.0]]]))
    assert advantage.state_dict() == {"average": [2.0, 1.0]}
    twin = Advantage("moving_average", decay=0.5)
    twin.load_state_dict(advantage.state_dict())
    assert twin(np.array([[[4.0, 0.0]]])).tolist() == [[[2.0, -1.0]]]
    assert twin(np.array([[1.0]])).tolist() == [[-2.0]]  # paid at the end alone: of all rounds


def test_shaped_rewards_come_at_the_end():
    class Seen(TabularReinforce):
        def update(self, trajectories):
            seen.extend(trajectories)
            return {"reward": float(np.mean([t.reward for t in trajectories]))}

    seen = []
    learner = Shaped(Seen(TabularEngine("AB"), ["node_0"]), {"format": 0.5})
    assert learner.update([episode([1.0, 0.0])])["shaped"] == 1.5
    assert (seen[0].rewards, seen[0].reward) == ((1.0, 0.5), 1.5)


def test_every_turn_but_the_output_nodes_can_be_informative():
    def said(group, first, second):
        said = (("node_0", first, 0), ("node_1", "out", 0), ("node_0", second, 1),
                ("node_1", "out", 1))  # fmt: skip
        turns = [Turn(node, text, round=at) for node, text, at in said]
        return replace(episode([0.0], group), turns=tuple(turns))

    batch = [said(0, "a", "x"), said(0, "a", "x"), said(1, "b", "x"), said(1, "b", "x")]
    # The first round tells the questions apart, the second does not.
    assert bonus(batch, {"informative": 1.0}).tolist() == [0.5] * 4


class Paying(InteractiveTask):
    """Pays for both rounds; "A" first ends it at once."""

    name, answer_format, rounds = "paying", "A or B", 2

    def reply(self, example, actions):
        early = actions == ("A",)
        return Response("go on", reward={"A": 0.7, "B": 0.2}[actions[-1]], done=early)

    def score(self, example, reply):
        right = float(reply == "B")
        return Score(right, right, "ok" if right else "wrong", reply)


def magrpo(runs):
    """Its rule; the mean that it subtracts holds the episode itself, so half is left of two."""
    return [2 * values for values in per_turn(runs, group_relative({"node_0": 1.0})(runs)[0])]


def joint(mode):
    return lambda runs: by_round(runs, Advantage(mode)(returns_to_go(runs)))


RULES = {"none": (joint("none"), 1), "leave_one_out": (joint("leave_one_out"), 2),
         "magrpo": (magrpo, 2)}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_the_expected_update_is_the_gradient_of_the_whole_return(rule):
    find, rollouts = RULES[rule]
    topology, task, rng = Topology.parse("1:rounds=2"), Paying(), np.random.default_rng(0)
    engine = TabularEngine("AB")
    learner = TabularReinforce(engine, topology.nodes)
    network, outcomes = llm_network(topology, task, engine, Sampling(1.0, 1)), {}
    for seed in range(40):
        [run] = run_episodes(network, task, [ONE], seed=seed)
        outcomes["".join(turn.text for turn in run.turns)] = run
    assert outcomes.keys() == {"A", "BA", "BB"}
    assert outcomes["BA"].rewards == (0.2, 0.7) and outcomes["BB"].rewards == (0.2, 1.2)
    for entry in list(engine.table):
        engine.table[entry] = rng.normal(size=2)

    def probability(run):
        logits = (engine.table[key(t.adapter, t.completion.prompt_ids)] for t in run.turns)
        return np.exp(
            sum(log_softmax(row)[t.completion.ids[0]] for row, t in zip(logits, run.turns,
                                                                        strict=True))
        )  # fmt: skip

    def expected():
        return sum(probability(run) * run.reward for run in outcomes.values())

    total = {entry: np.zeros(2) for entry in engine.table}
    for runs in itertools.product(outcomes.values(), repeat=rollouts):
        chance = np.prod([probability(run) for run in runs])
        advantages = find(runs)
        for entry, direction in learner.gradient(runs, advantages).items():
            total[entry] += chance * direction
    for logits, found in ((engine.table[entry], total[entry]) for entry in total):
        exact = np.zeros(2)
        for i, sign in itertools.product(range(2), (1, -1)):
            logits[i] += sign * 1e-5
            exact[i] += sign * expected() / 2e-5
            logits[i] -= sign * 1e-5
        assert np.abs(exact).max() > 0.01 and np.allclose(found, exact, atol=1e-8)


@pytest.mark.parametrize("name", ["collm_cc", "collm_dc", "counterfactual", "malt"])
def test_who_learns_from_one_turn_a_node_says_so(name):
    config = TrainConfig(learner=name, topology="2-1:rounds=2")
    with pytest.raises(InputError) as error:
        learner_class(name).check(config)
    assert str(error.value) == (
        f"learner {name!r} learns from one turn of each node: topology must have 1 round, "
        "got '2-1:rounds=2'"
    )
    for other in ("joint", "independent", "magrpo"):
        learner_class(other).check(replace(config, learner=other))


class Hunt(InteractiveTask):
    """One of three letters is right; a wrong one is answered by where it lies."""

    name, answer_format, rounds = "hunt", "one letter", 2
    rows = tuple(Example(letter, "which?", letter) for letter in "ABC")

    def reply(self, example, actions):
        said = actions[-1]
        return Response(
            "later" if said < example.target else "earlier", done=said == example.target
        )

    def score(self, example, reply):
        right = float(reply == example.target)
        return Score(right, right, "ok" if right else "wrong", reply)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "best"), [("1:rounds=2", 1.0), ("1-1", 1 / 3)])
def test_a_game_is_learned_that_needs_two_rounds(shape, best):
    """In one round nothing tells the letters apart, so the best is a constant answer."""
    topology, task, engine = Topology.parse(shape), Hunt(), TabularEngine("ABC")
    learner = TabularReinforce(engine, topology.nodes, learning_rate=3.0)
    for step in range(30):
        network = llm_network(topology, task, engine, Sampling(1.0, 1))
        learner.update(run_episodes(network, task, task.rows, seed=step, rollouts=8))
    greedy = llm_network(topology, task, engine, Sampling(0.0, 1))
    assert np.mean([run.reward for run in run_episodes(greedy, task, task.rows)]) == best
