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
from unittest.mock import patch

import torch
from floor import Floor
from torch.profiler import ProfilerActivity, profile
from workload import NEW, RANK, Ours

from neuromas_env.agents.engines.forward.lean import LeanPass

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
    if name in ("mm", "addmm", "mkldnn_linear", "mkldnn::_linear_pointwise"):
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


def decoding(kind, method, work, profiler=None):
    """Do some work; return its seconds from the first decoding step, `kind.method`, on."""
    started = []
    plain = getattr(kind, method)

    def look(self, *args, **options):
        single = method == "step" or options["input_ids"].shape[1] == 1
        if single and not started:
            if profiler is not None:
                profiler.start()
            started.append(time.perf_counter())
        return plain(self, *args, **options)

    with patch.object(kind, method, look):
        work()
    seconds = time.perf_counter() - started[0]
    if profiler is not None:
        profiler.stop()
    return seconds


def step(kind, method, work, vocabulary, tokens, repeats):
    """Milliseconds of a decoding step: by kind, under the profiler, and in all, without it."""
    bare = [decoding(kind, method, work) for _ in range(repeats)]
    profiler = profile(activities=[ProfilerActivity.CPU], record_shapes=True)
    whole = decoding(kind, method, work, profiler)
    kinds = {}
    for event in profiler.key_averages(group_by_input_shape=True):
        name = kind_of(event, vocabulary)
        kinds[name] = kinds.get(name, 0.0) + event.self_cpu_time_total / 1e6
    kinds["Python"] = whole - sum(kinds.values())
    per_step = {name: 1e3 * seconds / tokens for name, seconds in kinds.items()}
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
    inner = type(floor.model.base_model)
    works = {
        "generate": (inner, "forward", lambda: floor.generate(NODES, 1 + tokens)),
        "ours": (LeanPass, "step", lambda: ours.engine.generate(asked)),
    }
    ours.engine.generate(asked[:1])  # compares two ways of decoding, once
    vocabulary = floor.model.config.vocab_size
    sides = {name: step(*work, vocabulary, tokens, repeats) for name, work in works.items()}
    print(f"{'ms a step':20}" + "".join(f"{name:>12}" for name in sides))
    for kind in dict.fromkeys(kind for kinds, _ in sides.values() for kind in kinds):
        row = "".join(f"{kinds.get(kind, 0.0):12.2f}" for kinds, _ in sides.values())
        print(f"{kind:20}{row}")
    whole = "".join(f"{sum(kinds.values()):12.2f}" for kinds, _ in sides.values())
    print(f"{'profiled':20}{whole}")
    print(f"{'without profiler':20}" + "".join(f"{whole:12.2f}" for _, whole in sides.values()))


if __name__ == "__main__":
    main()
