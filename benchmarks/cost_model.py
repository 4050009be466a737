"""What a step costs as a function of its size: fitted to measurements, checked on another size.

Seconds of a rollout and of training are modelled as sums of terms, each of which stands for
something that a machine does; the coefficients are fitted without negative ones (scipy's
`nnls`, in relative error) to a few sizes, and the largest size, held out, is predicted:

    python benchmarks/cost_model.py [--quick] [--threads 2]
"""

import argparse
import statistics

import numpy as np
import torch
from scipy.optimize import nnls
from workload import Ours

TARGET = 0.2
# nodes, prompt, rollouts, new tokens, rank
SIZES = [(1, 96, 4, 16, 8), (1, 192, 8, 32, 8), (2, 96, 8, 16, 16), (3, 96, 4, 32, 8),
         (3, 64, 8, 16, 32), (4, 128, 8, 16, 8), (2, 256, 4, 16, 8)]  # fmt: skip
HELD_OUT = (7, 96, 8, 32, 8)
TERMS = {
    "rollout": {
        "step": "of overhead and of reading the weights, for each of the new tokens in a row",
        "token": "for each token of any row, prompts once for a node",
        "memory": "for each token of context that a new token attends to",
    },
    "training": {
        "once": "of overhead",
        "token": "for each token of any row, prompts once for a node",
        "adapter": "for each rank of each node: products, clipping, AdamW",
    },
}


def terms(nodes, prompt, rollouts, new, rank):
    """The size of each term, for the rollout and for training."""
    rows = nodes * rollouts
    tokens = nodes * prompt + rows * new
    attended = rows * new * (prompt + new / 2)
    return {"rollout": [new, tokens, attended], "training": [1, tokens, nodes * rank]}


def parameters(engine, rank):
    """Numbers in one node's adapter."""
    linear = [layer.base_layer for layer in engine.adapters._layers]
    return rank * sum(module.in_features + module.out_features for module in linear)


def memory(engine, size, devices=1):
    """Bytes that a process holds, and those that each device sends in a step."""
    nodes, prompt, rollouts, new, rank = size
    config = engine.model.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    adapter = parameters(engine, rank)
    weights = sum(p.numel() * p.element_size() for n, p in engine.model.named_parameters()
                  if "lora_" not in n)  # fmt: skip
    keys = 2 * config.num_hidden_layers * config.num_key_value_heads * width * 2
    return {
        "base weights": weights,
        "adapters, gradients and AdamW": nodes * adapter * 4 * 4,
        "key-values in a rollout": nodes * rollouts * (prompt + new) * keys,
        "sent in a step by each device": 4 * nodes * adapter * 2 * (devices - 1) / devices,
    }


def measure(size, repeats):
    nodes, prompt, rollouts, new, rank = size
    ours = Ours(nodes, prompt=prompt, rollouts=rollouts, new=new, rank=rank)
    ours.step()
    steps = [ours.step() for _ in range(repeats)]
    return [statistics.median(column) for column in zip(*steps, strict=True)], ours.engine


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one repeat")
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    repeats = 1 if chosen.quick else 5
    measured = np.array([measure(size, repeats)[0] for size in SIZES])
    found, engine = measure(HELD_OUT, repeats)
    predicted = []
    for phase, name in enumerate(("rollout", "training")):
        sizes = np.array([terms(*size)[name] for size in SIZES], dtype=float)
        fit, _ = nnls(sizes / measured[:, phase, None], np.ones(len(SIZES)))
        gaps = sizes @ fit / measured[:, phase] - 1
        print(f"{name}: largest error of the fit {np.abs(gaps).max():.0%}")
        for (term, about), value in zip(TERMS[name].items(), fit, strict=True):
            print(f"  {value * 1e3:10.5f} ms {term:8} {about}")
        predicted.append(float(np.dot(terms(*HELD_OUT)[name], fit)))
    for name, real, guess in zip(("rollout", "training"), found, predicted, strict=True):
        print(f"held out, {name}: predicted {guess:.2f} s, measured {real:.2f} s")
    for what, size in memory(engine, HELD_OUT, devices=2).items():
        print(f"  {size / (1 << 20):8.1f} MiB {what}{', of 2' if 'device' in what else ''}")
    error = abs(sum(predicted) / sum(found) - 1)
    print(f"held-out error: {error:.2f} (target: at most {TARGET})")
    return error > TARGET


if __name__ == "__main__":
    raise SystemExit(main())
