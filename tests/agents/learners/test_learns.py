"""A network of tiny random models learns, from the shared reward alone, to signal."""

import numpy as np
import pytest
import torch
from support.tiny_models import symbol_model

from neuromas_env import Topology
from neuromas_env.agents.engines.models import load_base
from neuromas_env.agents.engines.transformers import TransformersEngine
from neuromas_env.agents.learners.reinforce import Reinforce
from neuromas_env.agents.llm import llm_network
from neuromas_env.policy import Sampling
from neuromas_env.rollout import run_episodes
from neuromas_env.seeds import derive_seed
from neuromas_env.tasks import make_task

pytestmark = pytest.mark.slow

STEPS, ROLLOUTS = 60, 16


@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.whole) for s in (1, 2))])
def test_a_random_network_learns_to_signal(tmp_path, seed):
    torch.set_num_threads(1)  # matrices this small gain nothing from threads
    topology, task = Topology.parse("1-1"), make_task("signal:symbols=2")
    base = load_base(symbol_model(tmp_path, task.symbols, seed), "float32", "cpu", quiet=True)
    engine = TransformersEngine(base, rank=8)
    for number, node in enumerate(topology.nodes):
        engine.adapters.add(node, derive_seed(seed, number))
    learner = Reinforce(engine, topology.nodes, learning_rate=3e-3, entropy_coef=0.05)
    questions = task.examples("train")

    def run(temperature, rollouts, seed):
        network = llm_network(topology, task, engine, Sampling(temperature, max_new_tokens=1))
        return run_episodes(
            network, task, questions, seed=seed, rollouts=rollouts, reward="extracted"
        )

    for step in range(STEPS):
        learner.update(run(1.0, ROLLOUTS, derive_seed(seed, step)))
    # With two symbols a network that says nothing about what it saw scores one half.
    assert np.mean([t.reward for t in run(1.0, 64, seed)]) > 0.95
    assert all(t.reward == 1 for t in run(0.0, 1, seed))
