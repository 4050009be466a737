"""GPTSwarm: the gradient counted out, cycles, adaptation that goes on, what is tested."""

import itertools
import json
from math import prod

import numpy as np
import pytest
from support.asking import Sums, Told
from support.swarm_runs import ONE, learn, right_or_wrong

from neuromas_env.baselines import make_baseline
from neuromas_env.baselines.adapted import FILE
from neuromas_env.baselines.gptswarm import (
    GptSwarmLearning,
    adam,
    candidates,
    draw,
    strongest,
)
from neuromas_env.baselines.net import Setup
from neuromas_env.errors import InputError
from neuromas_env.rollout import run_episodes, step_questions


def setup():
    return Setup(ONE, Sums(), Told(right_or_wrong))


def test_candidates_are_all_pairs_and_all_ways_to_the_vote():
    assert len(candidates(6)) == 36
    assert candidates(2) == [(0, 1), (1, 0), (0, 2), (1, 2)]


class Fixed:
    """Gives numbers that make exactly the wanted choices."""

    def __init__(self, choices):
        self.choices = choices

    def random(self, size):
        return np.where(self.choices, 0.0, 1.0 - 1e-12)


def test_the_estimate_is_the_gradient_of_the_expected_reward():
    """Every outcome of two agents counted out, against finite differences."""
    edges, theta = candidates(2), np.array([0.3, -0.5, 0.8, -0.2])

    def reward(graph):
        worth = {(0, 2): 1.0, (0, 1): 0.3, (1, 0): -0.7, (1, 2): 0.4}
        return sum(worth[edge] for edge in graph)

    def outcomes(theta):
        """Every different outcome with its probability."""
        chances, seen = 1 / (1 + np.exp(-theta)), {}
        for choices in itertools.product([True, False], repeat=4):
            graph, slope = draw(theta, edges, Fixed(choices))
            if tuple(graph) in seen:
                continue  # it differs in a choice that was passed over
            visited = np.flatnonzero(slope)
            p = prod(chances[i] if edges[i] in graph else 1 - chances[i] for i in visited)
            seen[tuple(graph)] = p, slope
        assert sum(p for p, _ in seen.values()) == pytest.approx(1)
        return seen

    found = outcomes(theta)
    expected = sum(p * reward(graph) * slope for graph, (p, slope) in found.items())

    def value(theta):
        return sum(p * reward(graph) for graph, (p, _) in outcomes(theta).items())

    h = 1e-5
    exact = [(value(theta + h * e) - value(theta - h * e)) / (2 * h) for e in np.eye(4)]
    assert np.allclose(expected, exact, atol=1e-8) and np.abs(exact).min() > 0.01


def test_edges_that_close_a_cycle_are_passed_over():
    graph, slope = draw(np.full(4, 50.0), candidates(2), np.random.default_rng(0))
    assert graph == [(0, 1), (0, 2), (1, 2)] and slope[1] == 0
    assert strongest([1, 1, -1, 1], candidates(2)) == [(0, 1), (1, 2)]
    assert strongest([-1, 1, 0, 1], candidates(2)) == [(1, 0), (1, 2)]


def test_the_first_step_of_adam_is_the_rate_along_the_sign():
    state = {"theta": [0.0, 1.0], "mean": [0.0] * 2, "square": [0.0] * 2, "steps": 0}
    after = adam(state, np.array([2.0, -0.1]), 0.1)
    assert np.allclose(after["theta"], [0.1, 0.9], atol=1e-6) and after["steps"] == 1


def test_an_iteration_moves_the_logits_of_graphs_that_were_right():
    learning = GptSwarmLearning(setup(), agents=1, graphs=8)
    metrics = learning.iterate(Sums().examples("train")[:8], seed=3)
    assert 0 < metrics["reward"] < 1 and learning.state["steps"] == 1
    assert any(learning.state["theta"])
    offset = GptSwarmLearning(setup(), agents=1, graphs=8, baseline="moving_average")
    offset.iterate(Sums().examples("train")[:8], seed=3)
    assert offset.state["average"] == metrics["reward"]


def test_it_learns_who_is_to_vote(tmp_path):
    done = learn(60, tmp_path, "gptswarm:agents=1,graphs=8")
    theta = dict(zip(candidates(2), done.state["theta"], strict=True))
    assert theta[0, 2] > 1 > theta[1, 2]
    assert np.mean(done.rewards[-10:]) > np.mean(done.rewards[:10])
    assert done.cost["questions"] == 480 and 0 < done.cost["calls"] <= 960
    engine = Told(right_or_wrong)
    method = make_baseline(f"gptswarm:agents=1,state={tmp_path}", Sums(), engine)
    assert run_episodes(method, Sums(), Sums().examples("test")[:1])[0].reward == 1


def test_a_killed_adaptation_goes_on_as_if_it_had_not_been(tmp_path):
    whole = learn(6, tmp_path / "whole")
    learn(2, tmp_path / "parts")
    parts = learn(6, tmp_path / "parts")
    assert parts == whole
    saved = (tmp_path / "parts" / FILE).read_text()
    assert json.loads(saved)["iterations"] == 6
    with pytest.raises(InputError, match="with seed 0, not 1"):
        learn(6, tmp_path / "parts", seed=1)
    assert (tmp_path / "parts" / FILE).read_text() == saved


@pytest.mark.parametrize("carry", ["false", "true"])
def test_text_goes_along_edges_only_if_asked(tmp_path, carry):
    state = {"theta": [1, -1, -1, 1], "mean": [0] * 4, "square": [0] * 4, "steps": 1,
             "average": 0.0}  # fmt: skip
    name = f"gptswarm:agents=1,edges_carry_text={carry}"
    held = {"method": name, "task": "sums", "seed": 0, "iterations": 1, "state": state}
    held |= {"rewards": [], "cost": {}, "facts": {}}
    (tmp_path / FILE).write_text(json.dumps(held))
    engine = Told("hello")
    method = make_baseline(f"{name},state={tmp_path}", Sums(), engine)
    run_episodes(method, Sums(), Sums().examples("test")[:1])
    assert [("- hello" in request.turns[1][1]) for request in engine.requests] == [
        False, carry == "true"
    ]  # fmt: skip
    assert all(request.sampling.temperature == 0.2 for request in engine.requests)


def test_without_a_state_it_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match="neuromas adapt gptswarm --task sums --out DIR"):
        make_baseline("gptswarm", Sums(), Told())
    with pytest.raises(InputError, match="there is no .*adapted.json"):
        make_baseline(f"gptswarm:state={tmp_path}", Sums(), Told())
    learn(1, tmp_path)
    with pytest.raises(InputError, match="learned with agents=1, not 3; give the same agents"):
        make_baseline(f"gptswarm:state={tmp_path}", Sums(), Told())
    text = (tmp_path / FILE).read_text().replace(ONE, "agentnet")
    (tmp_path / FILE).write_text(text)
    with pytest.raises(InputError, match="adapted.json: state must hold"):
        make_baseline(f"gptswarm:state={tmp_path}", Sums(), Told())


def test_a_choice_of_voters_is_no_graph_that_carries_text_and_belongs_to_its_model(tmp_path):
    engine = Told(right_or_wrong)
    engine.name, engine.weights_hash = "ours", "0" * 16
    learn(1, tmp_path, "gptswarm:agents=1,graphs=2", engine)
    name = f"gptswarm:agents=1,state={tmp_path}"
    with pytest.raises(InputError, match="with edges_carry_text=false, not true; give the same"):
        make_baseline(f"{name},edges_carry_text=true", Sums(), engine)
    other = Told()
    other.weights_hash = "1" * 16
    with pytest.raises(InputError, match="model 'ours' .weights 0{16}.*1{16} are loaded"):
        make_baseline(name, Sums(), other)
    for fits in (engine, Told(), None):  # not every engine knows its weights
        assert make_baseline(f"{name},temperature=0.5", Sums(), fits).calls == 2


def test_it_learns_from_the_questions_of_a_training_run(tmp_path, monkeypatch):
    seen = []

    def iterate(self, examples, seed):
        seen.append([example.id for example in examples])
        return {"reward": 0.0}

    monkeypatch.setattr(GptSwarmLearning, "iterate", iterate)
    learn(5, tmp_path, "gptswarm:graphs=16", seed=5)
    examples = Sums().examples("train")
    assert seen == [[e.id for e in step_questions(examples, 5, n, 16)] for n in range(1, 6)]
    assert len(set(sum(seen, [])[:40])) == 40  # each once before any is asked again


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("prompts=role_free", "learns with prompts of its own: .*prompts=roles"),
        ("prompts=rolefree", "Did you mean 'role_free'"),
        ("temperature=11", "temperature must be at least 0 and at most 10, got 11"),
        ("max_new_tokens=0", "max_new_tokens must be at least 1"),
    ],
)
def test_options_of_all_baselines_are_checked_before_it_learns(tmp_path, options, says):
    with pytest.raises(InputError, match=says):
        learn(1, tmp_path / "x", f"gptswarm:{options}")
    assert not (tmp_path / "x").exists()


def test_what_does_not_learn_is_not_adapted(tmp_path):
    with pytest.raises(
        InputError, match="'sc' learns nothing .* gptswarm, agentnet, dylan and mass do"
    ):
        learn(1, tmp_path, "sc:k=3")
    with pytest.raises(InputError, match="gptswrm"):
        learn(1, tmp_path, "gptswrm")
    with pytest.raises(InputError, match="train/7.*told to fail"):
        learn(9, tmp_path / "x", engine=Told(fail=range(99)))
    with pytest.raises(InputError, match="grahps.*graphs"):
        learn(9, tmp_path / "x", "gptswarm:grahps=2")
