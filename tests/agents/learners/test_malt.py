"""MALT: trees and their values by hand, both losses against autograd, runs that go on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from support.asking import Sums, Told, text_of
from support.engines import assert_same_gradients, collect_gradients, cramp, fitting, tiny_engine
from support.malt_runs import malt_config
from support.tiny_runs import At, Killed, kill, lines, untimed
from torch.nn.functional import logsigmoid

from neuromas_env.agents.engines.base import Row
from neuromas_env.agents.learners.make import make_learner
from neuromas_env.agents.learners.malt import CHAIN, Malt, node_values, sibling_pairs
from neuromas_env.agents.llm import without_adapters
from neuromas_env.agents.training import checkpoint
from neuromas_env.agents.training.api import resume, train
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.agents.training.signals import summary
from neuromas_env.envs.episode import Episode
from neuromas_env.envs.text import TextChannel
from neuromas_env.errors import InputError
from neuromas_env.policy import Sampling
from neuromas_env.rollout import run_episodes

GENERATOR, VERIFIER, REFINER = CHAIN.nodes
OPTIONS = TrainConfig(
    learner="malt", topology="1-1-1:skip", rollouts=2, steps=4, learning_rate=1e-2,
    temperature=0.8, clip=1e9, decay=False, warmup_steps=0, dpo_beta=0.5,
)  # fmt: skip


# --- trees ------------------------------------------------------------------------------------


def trees(engine, n, questions=2, seed=3):
    task = Sums()
    network = without_adapters(Malt.method(TrainConfig(), CHAIN, task, engine, Sampling(1.0, 9)))
    rows = task.examples("train")[:questions]
    leaves = run_episodes(network, task, rows, seed=seed, rollouts=n, branches=n)
    return task, network, leaves


@pytest.mark.parametrize("n", [2, 3])
def test_a_tree_asks_every_turn_once_and_its_leaves_share_what_was_said_before(n):
    engine = Told(lambda request, number: f"reply {number} of {request.seed}")
    task, network, leaves = trees(engine, n)
    assert len(leaves) == 2 * n**3 and len(engine.requests) == 2 * (n + n**2 + n**3)
    assert all(request.adapter is None for request in engine.requests)
    assert len({request.seed for request in engine.requests}) == len(engine.requests)
    assert [leaf.group for leaf in leaves] == [0] * n**3 + [1] * n**3
    for depth, node in enumerate(CHAIN.nodes):
        turns = np.array([id(leaf.last(node)) for leaf in leaves]).reshape(2 * n ** (depth + 1), -1)
        assert (turns == turns[:, :1]).all() and len(set(turns[:, 0])) == len(turns)
    # Replaying the turns before leads to the very prompt that the refiner was asked.
    for leaf in leaves:
        prefix = {node: leaf.last(node).text for node in (GENERATOR, VERIFIER)}
        seen = Episode(CHAIN, TextChannel(task), leaf.example, prefix=prefix).observe(REFINER)
        asked = network.team[REFINER].request(seen, 0).turns
        assert bytes(leaf.last(REFINER).completion.prompt_ids.astype("uint8")) == (
            "\n".join(text for _, text in asked).encode()
        )
    assert summary(leaves)["rollout_tokens"] == engine.cost.total("eval").completion_tokens


def test_a_tree_follows_from_the_seed_and_a_failed_call_ends_its_branch_alone():
    def texts(leaves):
        return [[step.text for step in leaf.turns] for leaf in leaves]

    def grow(**options):
        return trees(Told(lambda request, number: str(request.seed), **options), 2)[2]

    first = texts(grow())
    assert first == texts(grow()) and len({tuple(path) for path in first}) == 16
    failed = grow(fail=[4])  # the first critique of the first question
    assert [bool(leaf.error) for leaf in failed] == [True] + [False] * 14
    assert texts(failed)[1:] == first[2:]


def test_roles_read_the_question_the_draft_and_the_critique():
    engine = Told(lambda request, number: f"says{number}")
    trees(engine, 2, questions=1)
    generator, verifier, refiner = (engine.requests[i] for i in (0, 2, 6))
    question = "What is the sum?\n7000\n+ 1000"
    assert generator.turns[1][1] == question
    assert verifier.turns[1][1] == f"{question}\nDraft: says0"
    assert refiner.turns[1][1] == f"{question}\nDraft: says0\nCritique: says2"
    assert [Sums.answer_format in text_of(r) for r in (generator, verifier, refiner)] == [
        True, False, True
    ]  # fmt: skip


def test_values_are_means_over_the_leaves_below():
    rewards = np.zeros((1, 2, 2, 2))
    rewards[0] = [[[1, 1], [0, 1]], [[0, 0], [1, 0.5]]]
    drafts, critiques, solutions = node_values(rewards)
    assert critiques.tolist() == [[[1, 0.5], [0, 0.75]]]
    assert drafts.tolist() == [[0.75, 0.375]]
    assert solutions is rewards


def test_pairs_are_all_good_and_bad_siblings_and_a_half_is_bad():
    values = np.array([[1, 0.5, 0.6], [0.2, 0.5, 0.0], [0, 1, 1]])
    assert sibling_pairs(values).tolist() == [[0, 1], [2, 1], [7, 6], [8, 6]]
    assert sibling_pairs(np.ones((2, 2))).shape == (0, 2)


# --- both losses on a tiny model --------------------------------------------------------------

REWARDS = [1, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1]
"""Of two trees: drafts are worth 3/4, 1/4, 0 and 1; critiques 1, 1/2, 0, 1/2, 0, 0, 1 and 1."""
GOOD = {GENERATOR: [0, 3], VERIFIER: [0, 6, 7], REFINER: [0, 1, 3, 6, 12, 13, 14, 15]}
PAIRS = {VERIFIER: [(0, 1)], REFINER: [(3, 2), (6, 7)]}


def leaves_of(engine, seed=0):
    task = Sums()
    network = without_adapters(Malt.method(TrainConfig(), CHAIN, task, engine, Sampling(0.8, 4)))
    rows = task.examples("train")[:2]
    leaves = run_episodes(network, task, rows, seed=seed, rollouts=2, branches=2)
    return [
        dataclasses.replace(leaf, reward=float(reward))
        for leaf, reward in zip(leaves, REWARDS, strict=True)
    ]


def turns_of(leaves, node):
    """The different turns of a node, in order, as rows of its adapter."""
    found = {id(leaf.last(node)): leaf.last(node).completion for leaf in leaves}
    return [Row(node, c.prompt_ids, c.ids) for c in found.values()]


def sums(engine, rows):
    """Log-probability of each turn, with gradient."""
    with engine.training(rows, temperature=0.8) as scored:
        return scored.logprobs.new_zeros(len(rows)).index_add(0, scored.row, scored.logprobs)


def gradient_of(engine, loss):
    loss.backward()
    return collect_gradients(engine)


def spied(monkeypatch):
    """Note every gradient with which an optimiser takes its step."""
    seen = {}

    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                seen[id(parameter)] = None if parameter.grad is None else parameter.grad.clone()

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    return seen


def gradients_taken(engine, seen):
    return {
        node: torch.cat([seen[id(p)].ravel() for p in engine.adapters.parameters(node).values()])
        for node in CHAIN.nodes
    }


@pytest.mark.slow
def test_the_first_steps_follow_the_gradient_of_imitation(monkeypatch):
    engine = tiny_engine("llama", nodes=CHAIN.nodes)
    leaves, learner = leaves_of(engine), make_learner("malt", engine, CHAIN.nodes, OPTIONS)
    expected, losses = {}, {}
    for node, good in GOOD.items():
        rows = turns_of(leaves, node)
        chosen = [rows[i] for i in good]
        loss = -sums(engine, chosen).sum() / sum(len(row.ids) for row in chosen)
        losses[node] = float(loss.detach())
        expected[node] = gradient_of(engine, loss)[node]
    seen = spied(monkeypatch)
    metrics = learner.update(leaves)
    assert_same_gradients(gradients_taken(engine, seen), expected)
    for node, role in zip(CHAIN.nodes, ("generator", "verifier", "refiner"), strict=True):
        assert metrics[f"{role}_sft_loss"] == pytest.approx(losses[node], rel=1e-4)
    assert metrics["generator_good"] == 2 / 4 and metrics["verifier_good"] == 3 / 8
    assert metrics["reward"] == np.mean(REWARDS) and metrics["train_rows"] == 2 + 3 + 8


@pytest.mark.slow
def test_the_later_steps_follow_the_gradient_of_preferences(monkeypatch):
    engine = tiny_engine("llama", nodes=CHAIN.nodes)
    config = dataclasses.replace(OPTIONS, sft_steps=0)
    leaves, learner = leaves_of(engine), make_learner("malt", engine, CHAIN.nodes, config)
    reference = {node: sums(engine, turns_of(leaves, node)).detach() for node in PAIRS}
    metrics = learner.update(leaves)  # before it, the roles are their own references
    assert metrics["verifier_dpo_loss"] == pytest.approx(np.log(2), rel=1e-5)
    assert "generator_sft_loss" in metrics and "generator_dpo_loss" not in metrics
    assert metrics["train_rows"] == 2 + 2 + 4
    expected, losses = {}, {}
    for node, pairs in PAIRS.items():
        gain = sums(engine, turns_of(leaves, node)) - reference[node]
        margins = torch.stack([0.5 * (gain[good] - gain[bad]) for good, bad in pairs])
        assert margins.detach().abs().min() > 1e-3
        loss = -logsigmoid(margins).mean()
        losses[node] = float(loss.detach())
        expected[node] = gradient_of(engine, loss)[node]
    seen = spied(monkeypatch)
    metrics = learner.update(leaves)
    found = gradients_taken(engine, seen)
    assert_same_gradients({node: found[node] for node in PAIRS}, expected)
    for node, role in ((VERIFIER, "verifier"), (REFINER, "refiner")):
        assert metrics[f"{role}_dpo_loss"] == pytest.approx(losses[node], rel=1e-4)


@pytest.mark.slow
def test_both_losses_fall():
    engine = tiny_engine("llama", nodes=CHAIN.nodes)
    config = dataclasses.replace(OPTIONS, steps=12, learning_rate=2e-2)
    leaves, learner = leaves_of(engine), make_learner("malt", engine, CHAIN.nodes, config)
    steps = [learner.update(leaves) for _ in range(12)]
    for role in ("generator", "verifier", "refiner"):
        assert steps[5][f"{role}_sft_loss"] < 0.8 * steps[0][f"{role}_sft_loss"]
    for role in ("verifier", "refiner"):
        assert steps[6][f"{role}_dpo_loss"] == pytest.approx(np.log(2), rel=1e-5)
        assert steps[11][f"{role}_dpo_loss"] < 0.2
    assert "generator_dpo_loss" not in steps[11]


def test_a_step_without_good_turns_changes_nothing():
    engine = tiny_engine("llama", nodes=CHAIN.nodes)
    learner = make_learner("malt", engine, CHAIN.nodes, OPTIONS)
    before = [p.clone() for n in CHAIN.nodes for p in engine.adapters.parameters(n).values()]
    leaves = [dataclasses.replace(leaf, reward=0.0) for leaf in leaves_of(engine)]
    metrics = learner.update(leaves)
    after = [p for n in CHAIN.nodes for p in engine.adapters.parameters(n).values()]
    assert all(map(torch.equal, before, after))
    assert metrics["train_rows"] == metrics["train_tokens"] == 0 == metrics["verifier_sft_loss"]


@pytest.mark.slow
@pytest.mark.parametrize("sft_steps", [0, 2])
def test_out_of_memory_says_which_budget_fits(sft_steps):
    config = dataclasses.replace(OPTIONS, sft_steps=sft_steps)
    engine = tiny_engine("llama", nodes=CHAIN.nodes)
    leaves, learner = leaves_of(engine), make_learner("malt", engine, CHAIN.nodes, config)
    rows = [row for node in CHAIN.nodes for row in turns_of(leaves, node)]
    room = max(engine.computed([row]) for row in rows)
    cramp(engine, room)
    with pytest.raises(InputError, match="cpu ran out of memory in training") as caught:
        learner.update(leaves)
    assert all(gradient is None for gradient in collect_gradients(engine).values())
    retry = tiny_engine("llama", nodes=CHAIN.nodes, token_budget=fitting(caught))
    cramp(retry, room)
    assert make_learner("malt", retry, CHAIN.nodes, config).update(leaves)["train_rows"] > 0


# --- runs -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_run_ends_like_an_uninterrupted_one(tmp_path):
    def config(name):
        return malt_config(tmp_path / name, steps=4, sft_steps=1, checkpoint_every=2)

    whole = train(config("whole"))
    with pytest.raises(Killed):
        train(config("killed"), report=At(3, kill))
    assert checkpoint.latest(tmp_path / "killed").name == "step_000002"
    assert resume(tmp_path / "killed").steps == 4
    ends = [checkpoint.latest(tmp_path / name) for name in ("whole", "killed")]
    for node in CHAIN.nodes:
        first, second = (end / "adapters" / node / "adapter_model.safetensors" for end in ends)
        assert first.read_bytes() == second.read_bytes()
    assert untimed(tmp_path / "whole/metrics.jsonl") == untimed(tmp_path / "killed/metrics.jsonl")
    # n + n^2 + n^3 calls of the base for each of 2 questions in each of 4 steps
    assert whole.cost["train"]["calls"] == 4 * 2 * (2 + 4 + 8)
    state = checkpoint.read_state(ends[0])
    assert {row[1] for row in state.cost if row[0] == "train"} == {"base"}
    steps = [row for row in lines(tmp_path / "whole/metrics.jsonl") if "event" not in row]
    assert [("verifier_sft_loss" in s, "verifier_dpo_loss" in s) for s in steps] == [
        (True, False), *[(False, True)] * 3
    ]  # fmt: skip
    assert sum(row["train_tokens"] for row in steps) > 0
    # Everyone reads the whole question, although the task deals parts.
    spoken = lines(tmp_path / "whole/transcripts.jsonl")
    assert all(row["parts"] == [] for row in spoken)


@pytest.mark.slow
def test_some_roles_can_be_trained_alone(tmp_path):
    train(malt_config(tmp_path / "run", steps=2, sft_steps=1, train_nodes="node_1"))
    state = checkpoint.load_learner(checkpoint.latest(tmp_path / "run"))
    assert list(state["roles"]) == ["node_1"] == list(state["references"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"topology": "1-1-1"}, "topology must be '1-1-1:skip', got '1-1-1'"),
        ({"topology": "2-1"}, "generator, a verifier and a refiner"),
        ({"schedule": "1:1, 1-1-1:1"}, "leave out schedule"),
        ({"rollouts": 1}, "rollouts must be at least 2.*got 1"),
        ({"entropy_coef": 0.1}, "entropy_coef.*loss of its own"),
        ({"importance_cap": 2.0}, "importance_cap.*loss of its own"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        Malt.check(malt_config(tmp_path / "run", **options))
