"""What a node costs in a joint training step: seconds per trained token, and memory.

Seven nodes beside one, with the same number of rows, the same rank and the same token
budget; then the share of environment, prompts and bookkeeping in a whole step:

    python benchmarks/joint_step.py [--quick]
"""

import ctypes
import gc
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import torch
from model_setup import RANK, alternate, clear_gradients, make_engine, options, random_rows, train

from neuromas_env.agents.engines.transformers import TransformersEngine
from neuromas_env.agents.learners.reinforce import Reinforce
from neuromas_env.agents.training.api import train as run_training
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.agents.training.loop import Run

NODES, TIME_TARGET, MEMORY_TARGET, SHARE_TARGET = 7, 1.25, 0.10, 0.02
PROMPT, COMPLETION, BUDGET = 64, 16, 2048


def resident(field="VmRSS"):
    """Memory of this process in bytes, as Linux accounts for it."""
    gc.collect()
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def reset_peak():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def held(tensors):
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def node_memory(engine, node):
    """Bytes that a node's adapter and AdamW state hold, and those that they should hold."""
    parameters = list(engine.adapters.parameters(node).values())
    learner = Reinforce(engine, [node])
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    learner.step()
    state = learner._optimisers[node].state.values()
    found = held(parameters) + held(t for s in state for t in s.values() if torch.is_tensor(t))
    linear = [m.base_layer for m in engine.adapters._layers]
    computed = sum(3 * 4 * RANK * (m.in_features + m.out_features) for m in linear)
    return found, computed


def memory(chosen):
    before = resident()
    engine = make_engine(chosen, 1, token_budget=BUDGET)
    base = held(p for n, p in engine.model.named_parameters() if "lora_" not in n)
    loaded = resident()
    # Before any training, so that a node cannot move into memory that a pass has freed.
    start = resident()
    learners = []
    for number in range(1, NODES):
        engine.adapters.add(f"node_{number}", number)
        learner = Reinforce(engine, [f"node_{number}"])
        for parameter in engine.adapters.parameters(f"node_{number}").values():
            parameter.grad = torch.zeros_like(parameter)
        learner.step()
        learners.append(learner)
    grown = (resident() - start) / (NODES - 1)
    found, computed = node_memory(engine, "node_0")
    # The same rows and one node after the other's passes, so that both start from freed memory.
    order = (NODES, 1) if chosen.quick else (NODES, 1, NODES, 1)
    peaks = {nodes: peak(engine, nodes) for nodes in order}
    mib = 1 << 20
    print(f"base weights {base / mib:.0f} MiB (process grew by {(loaded - before) / mib:.0f} MiB)")
    print(
        f"per node: tensors {found / mib:.1f} MiB, process {grown / mib:.1f} MiB, computed "
        f"{computed / mib:.1f} MiB, off by {abs(grown / computed - 1):.1%} "
        f"(target: at most {MEMORY_TARGET:.0%})"
    )
    print(
        f"activations and gradients at a budget of {BUDGET} tokens: 1 node {peaks[1] / mib:.0f} "
        f"MiB, {NODES} nodes {peaks[NODES] / mib:.0f} MiB for as many rows, of which "
        f"{(NODES - 1) * computed / 3 / mib:.0f} MiB are gradients of the further nodes"
    )
    return abs(grown / computed - 1)


def peak(engine, nodes):
    """Bytes by which a training pass over as many rows for any number of nodes grows the process.

    Memory that earlier passes have freed is given back first.
    """
    clear_gradients(engine)
    ctypes.CDLL(None).malloc_trim(0)
    reset_peak()
    start = resident()
    train(engine, random_rows(engine, nodes, 2 * NODES // nodes, 8, PROMPT, COMPLETION))
    found = resident("VmHWM") - start
    clear_gradients(engine)
    return found


def speed(chosen):
    groups = NODES if chosen.quick else 4 * NODES
    one, seven = (make_engine(chosen, n, token_budget=BUDGET) for n in (1, NODES))
    rows = {
        1: random_rows(one, 1, groups, 8, PROMPT, COMPLETION),
        NODES: random_rows(seven, NODES, groups // NODES, 8, PROMPT, COMPLETION),
    }
    seconds = alternate(
        {1: lambda: train(one, rows[1]), NODES: lambda: train(seven, rows[NODES])},
        1 if chosen.quick else 3,
    )
    ratio = seconds[NODES] / seconds[1]
    tokens = len(rows[1]) * COMPLETION
    for nodes, value in seconds.items():
        print(f"{nodes} nodes: {value / tokens * 1e3:.2f} ms per trained token")
    print(f"ratio: {ratio:.2f} (target: at most {TIME_TARGET})")
    return ratio


def bookkeeping(chosen):
    """Share of real training steps that is neither generation nor forward and backward.

    It is taken from a run of the command's own code: everything but the engine's calls in a
    rollout, the cutting of rows into batches, logs, transcripts, and a checkpoint after the last
    of two steps, more often than the command's one in five.
    """
    spent = Counter()

    def timed(name, work):
        def run(*args, **options):
            started = time.perf_counter()
            try:
                return work(*args, **options)
            finally:
                spent[name] += time.perf_counter() - started

        return run

    def watched(owner, name):
        return patch.object(owner, name, timed(name, getattr(owner, name)))

    steps = 2
    with (
        tempfile.TemporaryDirectory() as folder,
        watched(TransformersEngine, "micro_batches"),
        watched(Run, "_checkpoint"),
    ):
        config = TrainConfig(
            model=chosen.model, dtype=chosen.dtype, steps=steps, questions=8,
            rollouts=4 if chosen.quick else 8, eval_questions=0, checkpoint_every=steps,
            entropy_coef=1e-6, out=f"{folder}/run",
        )  # fmt: skip
        result = run_training(config)
        lines = (Path(folder) / "run" / "metrics.jsonl").read_text().split("\n")
    rows = [json.loads(line) for line in lines if '"step"' in line and '"event"' not in line]
    total = {key: sum(row[key] for row in rows) for key in
             ("rollout_seconds", "train_seconds", "other_seconds")}  # fmt: skip
    beside = total["rollout_seconds"] - result.cost["train"]["seconds"]
    beside += total["other_seconds"] + sum(spent.values())
    whole = sum(total.values()) + spent["_checkpoint"]
    share = beside / whole
    print(
        f"environment, prompts, bookkeeping: {share:.2%} of {steps} steps of {whole / steps:.1f} s"
    )
    return share


def main():
    chosen = options(__doc__)
    apart = memory(chosen)
    ratio = speed(chosen)
    share = bookkeeping(chosen)
    print(f"share: {share:.2%} (target: at most {SHARE_TARGET:.0%})")
    return ratio > TIME_TARGET or apart > MEMORY_TARGET or share > SHARE_TARGET


if __name__ == "__main__":
    raise SystemExit(main())
