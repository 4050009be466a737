"""What a node costs in a joint training step: seconds per trained token, and memory.

Seven nodes beside one, with the same number of rows, the same rank and the same token
budget; then the share of environment, prompts and bookkeeping in a whole step:

    python benchmarks/joint_step.py [--quick]
"""

import dataclasses
import gc
import time

import torch
from model_setup import RANK, alternate, clear_gradients, make_engine, options, random_rows, train

from neuromas_env.agents.llm import llm_team
from neuromas_env.agents.reinforce import Reinforce
from neuromas_env.policy import Sampling
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task
from neuromas_env.topology import Topology

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
    reset_peak()
    start = resident()
    train(engine, random_rows(engine, NODES, 2, 8, PROMPT, COMPLETION))
    activations = resident("VmHWM") - start
    clear_gradients(engine)
    mib = 1 << 20
    print(f"base weights {base / mib:.0f} MiB (process grew by {(loaded - before) / mib:.0f} MiB)")
    print(
        f"per node: tensors {found / mib:.1f} MiB, process {grown / mib:.1f} MiB, computed "
        f"{computed / mib:.1f} MiB, off by {abs(grown / computed - 1):.1%} "
        f"(target: at most {MEMORY_TARGET:.0%})"
    )
    print(
        f"activations and gradients at a budget of {BUDGET} tokens, {NODES} nodes: "
        f"{activations / mib:.0f} MiB"
    )
    return abs(grown / computed - 1)


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
    """Share of a training step that is neither generation nor forward and backward."""
    engine = make_engine(chosen, 3, token_budget=BUDGET)
    topology, task = Topology.parse("2-1"), make_task("hierarchy/max")
    learner = Reinforce(engine, topology.nodes)
    team = llm_team(topology, task, engine, Sampling(1.0, 8))
    examples = task.examples("train")[:8]
    started = time.perf_counter()
    runs = run_episodes(topology, task, team, examples, rollouts=2 if chosen.quick else 8)
    rollout = time.perf_counter() - started
    inside = engine.cost.total("eval").seconds
    runs = [dataclasses.replace(run, reward=float(i % 2)) for i, run in enumerate(runs)]
    started = time.perf_counter()
    learner.update(runs)
    step = rollout + time.perf_counter() - started
    share = (rollout - inside) / step
    print(f"environment, prompts, bookkeeping: {share:.2%} of a step of {step:.1f} s")
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
