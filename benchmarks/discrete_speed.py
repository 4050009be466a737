"""Node-steps per second of discrete networks: batch environment and AEC loop.

XOR on `2-1`, all messages drawn beforehand, the observations of every turn made; also in two
rounds, in which a node's step is a turn. The AEC loop is that of PettingZoo's documentation over
`env()`, with `last()` at every turn; its dead steps count as time, not as steps. Prints the ratios
from one run:

    python benchmarks/discrete_speed.py
"""

import platform
import statistics
import time

import numpy as np

from neuromas_env import discrete_v0
from neuromas_env.envs.discrete.vector import VectorNetwork

STEPS_TARGET, RATIO_TARGET, ROUNDS_TARGET = 10e6, 200, 0.9
BATCH, SECONDS, REPEATS = 65_536, 0.3, 7
NODES = 3
ROUNDS = "2-1:rounds=2:feedback={}:memory=none"


def vector(observation, topology="2-1"):
    network = VectorNetwork("xor", topology, observation=observation, batch=BATCH, seed=0)
    rng, ticks = np.random.default_rng(0), network.layout.ticks
    sent = [rng.integers(2, size=(len(turns), BATCH)) for turns in ticks]

    def episodes():
        network.reset()
        for messages in sent:
            network.step(messages)
        return NODES * network.layout.topology.rounds * BATCH

    return episodes


def aec(make, observation):
    env = make("xor", "2-1", observation=observation)

    def episode():
        env.reset()
        for _ in env.agent_iter():
            _, _, terminated, truncated, _ = env.last()
            env.step(None if terminated or truncated else 1)
        return NODES

    return episode


def steps_per_second(play):
    steps, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < SECONDS:
        steps += play()
    return steps / elapsed


def main():
    sides = {
        "batch": vector("discrete"),
        "2 rounds": vector("discrete", ROUNDS.format("0>1")),
        "2 rounds, all hear": vector("discrete", ROUNDS.format("output")),
        "batch, multidiscrete": vector("multidiscrete"),
        "batch, box": vector("box"),
        "AEC env()": aec(discrete_v0.env, "discrete"),
        "AEC env(), box": aec(discrete_v0.env, "box"),
        "AEC raw_env()": aec(discrete_v0.raw_env, "discrete"),
    }
    rounds = [{name: steps_per_second(play) for name, play in sides.items()}
              for _ in range(REPEATS)]  # fmt: skip
    print(f"{platform.machine()}, numpy {np.__version__}, one thread, batch {BATCH}")
    for name in sides:
        print(f"{name:22}{statistics.median(r[name] for r in rounds):14,.0f} node-steps/s")
    pairs = [("batch", "AEC env()"), ("batch", "AEC raw_env()"), ("batch, box", "AEC env(), box")]
    ratios = [statistics.median(r[a] / r[b] for r in rounds) for a, b in pairs]
    for (a, b), ratio in zip(pairs, ratios, strict=True):
        print(f"{a} / {b}: {ratio:,.0f} (target: at least {RATIO_TARGET})")
    kept = []
    for name in ("2 rounds", "2 rounds, all hear"):
        kept.append(statistics.median(r[name] / r["batch"] for r in rounds))
        print(f"{name} / batch: {kept[-1]:.2f} (target: at least {ROUNDS_TARGET})")
    speed = statistics.median(r["batch"] for r in rounds)
    enough = speed >= STEPS_TARGET and min(ratios) >= RATIO_TARGET
    return enough and min(kept) >= ROUNDS_TARGET


if __name__ == "__main__":
    raise SystemExit(not main())
