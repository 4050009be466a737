"""The workload on which speed is compared with others, and our side of it.

SmolLM2-135M, in bfloat16 where the machine is fast in it and else in float32, LoRA rank 8 on q,
k, v and o for each node, AdamW; in a step one prompt of 96 tokens, 8 episodes, exactly 32 new
tokens for each node, at temperature 1. All model nodes stand in one layer, unless another network
is asked for, and a scripted node gives the answer. As a script it takes one step for every line
that it reads and prints its seconds, for `peer.py`:

    python benchmarks/workload.py 3
"""

import ctypes
import dataclasses
import gc
import json
import sys
import time

import torch

from neuromas_env.agents.engines.models import load_base
from neuromas_env.agents.engines.transformers import TransformersEngine
from neuromas_env.agents.learners.reinforce import Reinforce
from neuromas_env.method import Method
from neuromas_env.policy import Policy, Request, Sampling
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task
from neuromas_env.topology import Topology

MODEL, RANK, TARGETS = "smollm2-135m", 8, ["q_proj", "k_proj", "v_proj", "o_proj"]
PROMPT, ROLLOUTS, NEW, RATE = 96, 8, 32, 1e-5


class Says(Policy):
    """A node whose prompt is always the same, or whose answer is."""

    def __init__(self, engine=None, node=None, text="", new=NEW):
        self.engine, self.adapter, self.text, self.new = engine, node, text, new

    def request(self, observation, seed):
        if self.engine is None:
            return self.text
        turns, sampling = (("user", self.text),), Sampling(1.0, self.new)
        return Request(turns, self.engine, self.adapter, sampling, seed)


class Ours:
    """A network, such as 3 or 2-2, of model nodes with the same prompts, ready to take steps."""

    def __init__(
        self,
        network,
        prompt=PROMPT,
        rollouts=ROLLOUTS,
        new=NEW,
        rank=RANK,
        device="cpu",
        model=MODEL,
    ):
        base = load_base(model, device=device, quiet=True)
        self.engine = TransformersEngine(base, rank=rank, alpha=2.0 * rank, targets=TARGETS)
        self.topology, self.task = Topology.parse(f"{network}-1"), make_task("hierarchy/max")
        self.nodes, self.rollouts = self.topology.nodes[:-1], rollouts
        for number, node in enumerate(self.nodes):
            self.engine.adapters.add(node, number)
            self.engine.adapters.add_noise(node, 0.01, number)
        self.engine.chat.end_ids = frozenset()  # every reply has its full length
        text = text_of(lambda text: len(self.engine.chat.encode((("user", text),))), prompt)
        team = {node: Says(self.engine, node, text, new) for node in self.nodes}
        team[self.topology.nodes[-1]] = Says(text="an answer")
        self.method = Method(self.topology, team)
        self.learner = Reinforce(self.engine, self.nodes, learning_rate=RATE, kl_every=1 << 30)
        self.learner._steps = 1  # the divergence is measured in the first step alone
        self.count = 0

    def rollout(self):
        self.count += 1
        question = self.task.examples("train")[:1]
        runs = run_episodes(
            self.method, self.task, question, seed=self.count, rollouts=self.rollouts
        )
        return [dataclasses.replace(run, reward=float(i % 3)) for i, run in enumerate(runs)]

    def step(self):
        """Take a step and return its seconds, of rollout and of training."""
        started = time.perf_counter()
        runs = self.rollout()
        between = time.perf_counter()
        self.learner.update(runs)
        return between - started, time.perf_counter() - between


def text_of(count, length):
    """A text of so many tokens."""
    text = "Think"
    while count(text) < length:
        text += " about"
    assert count(text) == length
    return text


def resident():
    """Memory of this process in bytes, freed memory given back first."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return _status("VmRSS")


def forget_peak():
    """Let `peak` begin anew."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def peak():
    """The most memory that this process has held, in bytes."""
    return _status("VmHWM")


def _status(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(name))


def serve(step):
    """Take a step for each line read and print its seconds; print the memory held if asked to."""
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        if line.strip() == "memory":
            answer = {"resident": resident()}
        else:
            answer = dict(zip(("rollout", "training"), step(), strict=True))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else 2)
    serve(Ours(int(sys.argv[1])).step)
