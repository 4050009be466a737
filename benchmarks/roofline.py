"""How near a joint step comes to the machine's limits, phase by phase.

Every operation of a phase is counted: its floating-point operations (torch's own formulas)
and the bytes of its operands and results. An operation can take no less than its operations
over the ceiling of a large matrix product, or its bytes over that of a large copy, both
measured in the same run; the sum of those times over the measured time is what is reached.
Only matrix products are counted: everything else could be fused into them. The optimiser's part
(the gradient's norm, AdamW) has none; there the bytes count that must be read and written.

    python benchmarks/roofline.py [--quick] [--threads 2] [--device cpu|cuda|auto]
"""

import argparse
import math
import statistics
import time

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, register_flop_formula
from workload import MODEL, Ours

from neuromas_env.agents.engines.devices import precision

# The norm reads each gradient; the step reads weight, gradient and two moments, and writes three.
ADAMW_PASSES = 1 + 4 + 3


@register_flop_formula(torch.ops.mkldnn._linear_pointwise)
def packed_linear(x, *_, out_shape=None, **__):
    """Operations of a product with a packed weight, of which torch has no formula."""
    return 2 * x[-1] * math.prod(out_shape)


class Count(TorchDispatchMode):
    """Counts the matrix products inside, and the least time they need."""

    def __init__(self, operations_per_second, bytes_per_second):
        super().__init__()
        self.ceilings = operations_per_second, bytes_per_second
        self.operations = self.bytes = self.seconds = 0.0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        formula = flop_registry.get(function.overloadpacket)
        device = torch.ops.prim.device.default
        if formula is None and function is not device:  # in inference mode, a whole `linear`
            with self:
                parts = function.decompose(*args, **(kwargs or {}))
            if parts is not NotImplemented:
                return parts
        out = function(*args, **(kwargs or {}))
        if formula is not None:
            operations = formula(*args, **(kwargs or {}), out_val=out)
            moved = sum(t.numel() * t.element_size() for t in (*args, out) if torch.is_tensor(t))
            self.operations += operations
            self.bytes += moved
            self.seconds += max(operations / self.ceilings[0], moved / self.ceilings[1])
        return out


def sync():
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds_of(work, repeats):
    """Median seconds of some work."""
    found = []
    for _ in range(repeats):
        sync()
        started = time.perf_counter()
        work()
        sync()
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def ceilings(device, repeats):
    """Operations/s of a large product in the model's precision, and bytes/s of a large copy."""
    side = 2048 if device == "cpu" else 8192
    a = torch.randn(side, side, device=device).to(getattr(torch, precision("auto", device)))
    operations = 2 * side**3 / seconds_of(lambda: a @ a, repeats)
    source = torch.empty(1 << 28, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    moved = 2 * source.numel() / seconds_of(lambda: target.copy_(source), repeats)
    return operations, moved


def phases(ours, requests):
    """The phases of a step, each a function that does its work; and the numbers it trains."""
    engine = ours.engine
    first = [
        type(r)(r.turns, r.engine, r.adapter, type(r.sampling)(1.0, 1), r.seed) for r in requests
    ]
    runs = ours.rollout()
    rows = ours.learner._rows(runs, [[1.0] * len(run.turns) for run in runs])[0]
    batches = [[rows[i] for i in batch] for batch in engine.micro_batches(rows)]

    def forward():
        for batch in batches:
            with engine.training(batch) as scored:
                scored.logprobs.sum()

    def both():
        for batch in batches:
            with engine.training(batch) as scored:
                scored.logprobs.sum().backward()
        ours.learner._clear_gradients()

    numbers = [p for node in ours.nodes for p in engine.adapters.parameters(node).values()]
    gradients = [torch.full_like(p, 1e-3) for p in numbers]

    def optimiser():
        for parameter, gradient in zip(numbers, gradients, strict=True):
            parameter.grad = gradient
        torch.nn.utils.clip_grad_norm_(numbers, 1.0)
        ours.learner.step()

    work = {
        "prompts": lambda: engine.generate(first),
        "rollout": lambda: engine.generate(requests),
        "forward": forward,
        "training": both,
        "optimiser": optimiser,
    }
    return work, sum(p.numel() for p in numbers)


def report(device, nodes, limits, repeats, model=MODEL):
    """Print what each phase reaches; return what the step does."""
    ours = Ours(nodes, device=device, model=model)
    requests = [
        ours.method.team[node].request(None, seed) for seed in range(8) for node in ours.nodes
    ]
    measured, counted = {}, {}
    works, numbers = phases(ours, requests)
    for name, work in works.items():
        with Count(*limits) as count:  # the first time, which is not measured
            work()
        measured[name] = seconds_of(work, repeats)
        counted[name] = torch.tensor([count.operations, count.bytes, count.seconds])
    moved = 4 * numbers * ADAMW_PASSES
    counted["optimiser"] = torch.tensor([0.0, moved, moved / limits[1]])
    for whole, part, rest in (
        ("rollout", "prompts", "decoding"),
        ("training", "forward", "backward"),
    ):
        measured[rest] = measured[whole] - measured[part]
        counted[rest] = counted[whole] - counted[part]
    print(f"\n{nodes} model nodes in one layer, on {device}")
    print(f"{'phase':12}{'seconds':>9}{'Gop':>9}{'GB':>8}{'least s':>9}{'reached':>9}")
    for name in ("prompts", "decoding", "rollout", "forward", "backward", "training", "optimiser"):
        operations, moved, least = counted[name].tolist()
        print(
            f"{name:12}{measured[name]:9.3f}{operations / 1e9:9.1f}{moved / 1e9:8.2f}{least:9.3f}"
            f"{least / measured[name]:9.0%}"
        )
    step = ("rollout", "training", "optimiser")
    whole = sum(measured[name] for name in step)
    least = sum(float(counted[name][2]) for name in step)
    print(f"{nodes} nodes: step reaches: {least / whole:.2f} of the roofline on {device}")
    return least / whole


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 nodes alone, one repeat")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda", "auto"], default="auto")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    devices = {"cpu": ["cpu"], "cuda": ["cuda"]}.get(chosen.device) or (
        ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    )
    repeats = 1 if chosen.quick else 3
    for device in devices:
        limits = ceilings(device, 5)
        print(
            f"{device}: {limits[0] / 1e9:,.0f} Gop/s in a product, "
            f"{limits[1] / 1e9:.1f} GB/s in a copy"
        )
        for nodes in (3,) if chosen.quick else (3, 7):
            report(device, nodes, limits, repeats)


if __name__ == "__main__":
    main()
