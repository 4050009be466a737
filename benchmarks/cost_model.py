"""What a step costs as a function of its size: fitted to measurements, checked on another size.

Seconds of a rollout and of training, and the most bytes that a step holds beside the base's
weights, are modelled as sums of terms, each of which stands for something that a machine does;
the coefficients are fitted without negative ones (scipy's `nnls`, in relative error) to a few
sizes, deep networks and wide ones, and the largest size, held out, is predicted. Devices stand in
the model by formula alone: `two_processes.py` measures two.

    python benchmarks/cost_model.py [--quick] [--threads 2]
"""

import argparse
import statistics

import numpy as np
import torch
from scipy.optimize import nnls
from workload import Ours, forget_peak, peak, resident

TARGET = 0.2
# layers of model nodes, prompt, rollouts, new tokens, rank
SIZES = [("1", 96, 4, 16, 8), ("1", 192, 8, 32, 8), ("1-1", 96, 8, 16, 16), ("3", 96, 4, 32, 8),
         ("1-1-1", 64, 8, 16, 32), ("4", 128, 8, 16, 8), ("2-2", 64, 8, 32, 8),
         ("1-1", 256, 4, 16, 8)]  # fmt: skip
HELD_OUT = ("3-2-2", 96, 8, 32, 8)
QUICK, QUICK_HELD_OUT = SIZES[:6], ("2-2-1", 96, 8, 24, 8)
TERMS = {
    "rollout": {
        "step": "of overhead and of reading the weights, for each new token of each layer",
        "token": "for each token of any row, prompts once for a node",
        "memory": "for each token of context that a new token attends to",
    },
    "training": {
        "once": "of overhead",
        "token": "for each token of any row, prompts once for a node",
        "adapter": "for each rank of each node: products, clipping, AdamW",
    },
    "memory": {
        "once": "whatever the size",
        "token": "for each token of the largest micro-batch",
        "adapter": "for each rank of each node: weights, gradients, AdamW",
    },
}
UNITS = {"rollout": (1e3, "ms"), "training": (1e3, "ms"), "memory": (2**-20, "MiB")}
SHOWN = {"rollout": (1, "s"), "training": (1, "s"), "memory": (2**-20, "MiB")}


def terms(network, prompt, rollouts, new, rank):
    """The size of each term, for seconds of the rollout and of training and for bytes."""
    widths = [int(width) for width in network.split("-")]
    nodes = sum(widths)
    rows = nodes * rollouts
    tokens = nodes * prompt + rows * new
    attended = rows * new * (prompt + new / 2)
    return {
        "rollout": [len(widths) * new, tokens, attended],
        "training": [1, tokens, nodes * rank],
        "memory": [1, min(tokens, 4096), nodes * rank],  # the token budget of a micro-batch
    }


def measure(size, repeats, warm=True):
    """Seconds of a rollout and of training, bytes at the peak beside the base; and the engine."""
    network, prompt, rollouts, new, rank = size
    before = resident()
    ours = Ours(network, prompt=prompt, rollouts=rollouts, new=new, rank=rank)
    if warm:
        ours.step()
    forget_peak()
    steps = [ours.step() for _ in range(repeats)]
    held = peak() - before - base_bytes(ours.engine)
    return [*(statistics.median(column) for column in zip(*steps, strict=True)), held], ours.engine


def base_bytes(engine):
    named = engine.model.named_parameters()
    return sum(p.numel() * p.element_size() for name, p in named if "lora_" not in name)


def by_formula(engine, size, devices):
    """What is known without measuring: bytes of one process, and those sent in a step."""
    network, prompt, rollouts, new, rank = size
    nodes = sum(map(int, network.split("-")))
    widest = max(map(int, network.split("-")))
    linear = [layer.base_layer for layer in engine.adapters._layers]
    adapter = rank * sum(module.in_features + module.out_features for module in linear)
    config = engine.model.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    keys = 2 * config.num_hidden_layers * config.num_key_value_heads * width
    return {
        "weights of the base": base_bytes(engine),
        "adapters, gradients and AdamW": nodes * adapter * 4 * 4,
        "key-values in a rollout": widest * rollouts * (prompt + new) * keys
        * engine.model.dtype.itemsize,
        f"sent in a step by each of {devices} devices": 4 * nodes * adapter * 2 * (devices - 1)
        // devices,
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and smaller sizes, one step")
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    sizes, held_out = (QUICK, QUICK_HELD_OUT) if chosen.quick else (SIZES, HELD_OUT)
    repeats, warm = (1, False) if chosen.quick else (3, True)
    if not warm:
        measure(sizes[0], 1)  # the first steps of a process are slower
    measured = np.array([measure(size, repeats, warm)[0] for size in sizes])
    found, engine = measure(held_out, repeats, warm)
    predicted = []
    for name, column in zip(TERMS, measured.T, strict=True):
        amounts = np.array([terms(*size)[name] for size in sizes], dtype=float)
        fit, _ = nnls(amounts / column[:, None], np.ones(len(sizes)))
        gaps = amounts @ fit / column - 1
        print(f"{name}: largest error of the fit {np.abs(gaps).max():.0%}")
        factor, unit = UNITS[name]
        for (term, about), value in zip(TERMS[name].items(), fit, strict=True):
            print(f"  {value * factor:10.5f} {unit:3} {term:8} {about}")
        predicted.append(float(np.dot(terms(*held_out)[name], fit)))
    print(f"held out: {held_out[0]}")
    for name, real, guess in zip(TERMS, found, predicted, strict=True):
        factor, unit = SHOWN[name]
        both = f"predicted {guess * factor:.2f} {unit}, measured {real * factor:.2f} {unit}"
        print(f"  {name}: {both}")
    for what, size in by_formula(engine, held_out, devices=2).items():
        print(f"  {size / (1 << 20):8.1f} MiB {what}, by formula")
    print("devices: by formula alone; two_processes.py measures two")
    seconds = abs(sum(predicted[:2]) / sum(found[:2]) - 1)
    memory = abs(predicted[2] / found[2] - 1)
    print(f"held-out error in seconds: {seconds:.2f} (target: at most {TARGET})")
    print(f"held-out error in memory: {memory:.2f} (target: at most {TARGET})")
    return max(seconds, memory) > TARGET


if __name__ == "__main__":
    raise SystemExit(main())
