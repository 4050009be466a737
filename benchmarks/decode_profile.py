"""Where a decoding step goes, on CPU: bare `generate` beside ours with three adapters.

Both decode 24 rows of 96 tokens, as in `workload.py`; the prompts' passes are left out. Every
operation's own time is taken from torch's profiler and put to what it is for. "Python" is what is
left of the profiled time. The profiler itself costs some for every operation, so the time without
it stands beside:

    python benchmarks/decode_profile.py [--quick] [--threads 2]
"""

import argparse
import statistics
import time

import torch
from floor import Floor
from torch.profiler import ProfilerActivity, profile
from workload import NEW, RANK, Ours

NODES = 3
KINDS = {
    "attention": ("bmm", "softmax", "scaled_dot_product", "repeat_kv"),
    "sampling": ("log_softmax", "cumsum", "sort", "multinomial", "searchsorted", "gather", "topk",
                 "exponential", "argmax", "isin"),
    "copies": ("cat", "copy_", "index", "clone", "fill_", "slice", "stack"),
}  # fmt: skip


def kind_of(event, vocabulary):
    """What an operation is for, by its name and the shapes of its operands."""
    name = event.key.removeprefix("aten::")
    sizes = {size for shape in event.input_shapes for size in shape}
    if name in ("mm", "addmm", "mkldnn_linear"):
        weight = [shape for shape in event.input_shapes if len(shape) == 2][-1]
        if vocabulary in weight:
            return "head"
        return "adapters" if {RANK, RANK * NODES} & set(weight) else "layers' products"
    if vocabulary in sizes:
        return "sampling"
    for kind, names in KINDS.items():
        if any(part in name for part in names):
            return kind
    return "elementwise"


def decoding(model, work, profiler=None):
    """Do some work; return its seconds from the first pass with a single token a row on."""
    started = []

    def look(module, args, options):
        if not started and options["input_ids"].shape[1] == 1:
            if profiler is not None:
                profiler.start()
            started.append(time.perf_counter())

    handle = model.base_model.register_forward_pre_hook(look, with_kwargs=True)
    work()
    seconds = time.perf_counter() - started[0]
    if profiler is not None:
        profiler.stop()
    handle.remove()
    return seconds


def step(model, work, tokens, repeats):
    """Milliseconds of a decoding step: by kind, under the profiler, and in all, without it."""
    bare = [decoding(model, work) for _ in range(repeats)]
    profiler = profile(activities=[ProfilerActivity.CPU], record_shapes=True)
    whole = decoding(model, work, profiler)
    kinds = {}
    for event in profiler.key_averages(group_by_input_shape=True):
        kind = kind_of(event, model.config.vocab_size)
        kinds[kind] = kinds.get(kind, 0.0) + event.self_cpu_time_total / 1e6
    kinds["Python"] = whole - sum(kinds.values())
    per_step = {kind: 1e3 * seconds / tokens for kind, seconds in kinds.items()}
    return per_step, 1e3 * statistics.median(bare) / tokens


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one repeat, fewer tokens")
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    tokens, repeats = (NEW // 4, 1) if chosen.quick else (NEW, 3)
    floor, ours = Floor(False), Ours(NODES, new=1 + tokens)
    asked = [ours.method.team[node].request(None, seed) for node in ours.nodes for seed in range(8)]
    works = {
        "generate": (floor.model, lambda: floor.generate(NODES, 1 + tokens)),
        "ours": (ours.engine.model, lambda: ours.engine.generate(asked)),
    }
    sides = {name: step(*work, tokens, repeats) for name, work in works.items()}
    print(f"{'ms a step':20}" + "".join(f"{name:>12}" for name in sides))
    for kind in dict.fromkeys(kind for kinds, _ in sides.values() for kind in kinds):
        row = "".join(f"{kinds.get(kind, 0.0):12.2f}" for kinds, _ in sides.values())
        print(f"{kind:20}{row}")
    whole = "".join(f"{sum(kinds.values()):12.2f}" for kinds, _ in sides.values())
    print(f"{'profiled':20}{whole}")
    print(f"{'without profiler':20}" + "".join(f"{whole:12.2f}" for _, whole in sides.values()))


if __name__ == "__main__":
    main()
