"""What the trainers in this folder share: options, tables, and a score of the greedy network."""

import argparse
import json
import time

import numpy as np

from neuromas_env.agents.tables.play import play
from neuromas_env.agents.tables.registry import make_algorithm
from neuromas_env.envs.discrete.layout import make_layout
from neuromas_env.envs.discrete.levels import LEVELS, level
from neuromas_env.envs.discrete.vector import VectorNetwork


def options(description, steps, quick, *parents):
    """Read `--level`, `--seed` and the size: `--steps N`, or `--quick` for a small one."""
    parser = argparse.ArgumentParser(description=description, parents=parents)
    parser.add_argument("--level", default="xor-easy-v0", choices=LEVELS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=steps, help="environment steps")
    parser.add_argument("--quick", action="store_true", help=f"--steps {quick}")
    given = parser.parse_args()
    given.steps = quick if given.quick else given.steps
    given.started = time.perf_counter()
    return given


def trained_table(layout, seed, updates=200, batch=512):
    """Train all nodes by independent Q-learning; float array `[observations, messages]`."""
    network, rng = VectorNetwork.of(layout, batch=batch), np.random.default_rng(seed)
    learner = make_algorithm("IQL", layout, seed=seed, updates=updates)
    for _ in range(updates):
        network.reset(questions=layout.task.draw(rng, batch))
        learner.update(play(network, lambda seen: learner.act(seen, rng)))
    return learner.table


def greedy_return(name, act):
    """Play every question of a level once, with `act` from `box` observations to actions."""
    layout = make_layout(**level(name))
    questions = layout.task.every()
    network = VectorNetwork(**level(name), observation="box", batch=questions[0].shape[1])
    network.reset(questions=questions)
    while True:
        seen = network.observations()
        actions = np.asarray(act(seen.reshape(-1, seen.shape[-1])))
        symbols = actions.reshape(*seen.shape[:2], layout.bandwidth)
        messages = symbols @ layout.codebook ** np.arange(layout.bandwidth)[::-1]
        _, rewards = network.step(messages)
        if rewards is not None:
            return float(rewards.mean())


def report(trainer, given, reached, steps, **more):
    """Print the result as one JSON line."""
    known = make_layout(**level(given.level)).returns
    result = {
        "trainer": trainer,
        "level": given.level,
        "seed": given.seed,
        "steps": steps,
        "seconds": round(time.perf_counter() - given.started, 1),
        "return": round(reached, 4),
        "normalised": round(known.normalise(reached), 4),
    }
    print(json.dumps(result | more))
