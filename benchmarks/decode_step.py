"""A decoding step of 24 rows with three adapters: the lean pass and transformers' model.

Both, and the products with packed weights alone, take turns within one process, on the workload of
`workload.py`; ratios are medians over the turns, so that a machine that is busy for a while is so
for all. CPU:

    python benchmarks/decode_step.py [--quick] [--threads 2]
"""

import argparse
import statistics
import time

import torch
from workload import NEW, Ours

from neuromas_env.agents.engines.forward import packing, prefix
from neuromas_env.agents.engines.forward.decoding import LibraryPass
from neuromas_env.agents.engines.forward.lean import LeanPass
from neuromas_env.agents.engines.forward.lm_head import draw

NODES, ROWS, TARGET, STRETCH = 3, 8, 2.0, 1.6


def works(ours):
    """What takes turns: each a function of no arguments that does one step."""
    engine, names = ours.engine, list(ours.nodes)
    engine._decoder.prepare(names)
    frozen = engine._decoder._frozen
    assert frozen is not None, "this machine decodes by transformers' model"
    ids = engine.chat.encode(ours.method.team[names[0]].request(None, 0).turns)
    levels = [prefix.Level([ids] * NODES, [0] * NODES, names)]
    state = packing.prefill(engine.model, engine.adapters, levels)
    rows = NODES * ROWS
    passes = {
        "lean": LeanPass(frozen, engine.adapters, state, names, rows, 2 * NEW),
        "library": LibraryPass(engine.model, engine.adapters, state, names, 2 * NEW),
    }
    heads = {"lean": engine._head, "library": engine.model.get_output_embeddings()}
    uniform = torch.rand(rows, dtype=torch.float64)
    asked = uniform, torch.arange(rows)
    for going_on in passes.values():  # all rows fork from the prompts
        going_on.step([row // ROWS for row in range(rows)], list(range(100, 100 + rows)))
    hidden = engine.model.config.hidden_size
    inputs = [torch.randn(rows, size, dtype=engine.model.dtype) for size in (
        hidden, hidden, hidden, engine.model.config.intermediate_size)]  # fmt: skip

    def step(name):
        out = passes[name].step(range(rows), list(range(200, 200 + rows)))
        draw(heads[name](out).float(), torch.ones(rows), *asked)

    def products():
        for layer in frozen.layers:
            each = layer.qkv, layer.out, layer.gate_up, layer.down
            for x, (product, _) in zip(inputs, each, strict=True):
                product(x)
        engine._head(inputs[0])

    return {"lean": lambda: step("lean"), "library": lambda: step("library"), "products": products}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer turns")
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    ours = Ours(NODES)
    found = {}
    with torch.inference_mode(), ours.engine.adapters.loaded(ours.nodes):
        tasks = works(ours)
        for turn in range(1 + (8 if chosen.quick else 24)):
            for name, task in tasks.items():
                wall, own = time.perf_counter(), time.process_time()
                task()
                spent = time.perf_counter() - wall, time.process_time() - own
                if turn:  # the first one does not count
                    found.setdefault(name, []).append(spent)
    for name, spent in found.items():
        wall, own = (1e3 * statistics.median(side) for side in zip(*spent, strict=True))
        print(f"{name:9}{wall:8.1f} ms a step, {own:8.1f} of the processor")

    def ratio(first, second):
        pairs = zip(found[first], found[second], strict=True)
        return statistics.median(a[0] / b[0] for a, b in pairs)

    print(f"faster than transformers' model: {ratio('library', 'lean'):.2f}")
    print(f"transformers' model over the products: {ratio('library', 'products'):.2f}")
    over = ratio("lean", "products")
    print(f"step over products: {over:.2f} (target: at most {TARGET}, stretch: {STRETCH})")
    return over > TARGET


if __name__ == "__main__":
    raise SystemExit(main())
