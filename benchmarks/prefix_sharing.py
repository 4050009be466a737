"""Trained tokens per second with and without shared prompt prefixes, gradients compared.

One node, groups of 8 rollouts, prompts of 256 tokens, completions of 64:

    python benchmarks/prefix_sharing.py [--quick]
"""

import torch
from model_setup import alternate, clear_gradients, make_engine, options, random_rows, train

TARGET = 2.5
ROLLOUTS, PROMPT, COMPLETION = 8, 256, 64


def gradient(engine, rows):
    train(engine, rows)
    parts = [p.grad.ravel().clone() for p in engine.adapters.parameters("node_0").values()]
    clear_gradients(engine)
    return torch.cat(parts)


def main():
    chosen = options(__doc__)
    questions = 1 if chosen.quick else 4
    engines = {
        "shared": make_engine(chosen, 1, token_budget=4096),
        "plain": make_engine(chosen, 1, token_budget=4096, share_prefixes=False),
    }
    rows = random_rows(engines["plain"], 1, questions, ROLLOUTS, PROMPT, COMPLETION)
    found = {name: gradient(engine, rows) for name, engine in engines.items()}
    gap = float((found["shared"] - found["plain"]).norm() / found["plain"].norm())
    seconds = alternate(
        {name: lambda engine=engine: train(engine, rows) for name, engine in engines.items()},
        1 if chosen.quick else 3,
        warm=True,
    )
    tokens = len(rows) * COMPLETION
    for name, value in seconds.items():
        print(f"{name:7} {tokens / value:8.1f} trained tokens/s")
    ratio = seconds["plain"] / seconds["shared"]
    print(f"relative gap between the gradients: {gap:.1e} (rounding of {chosen.dtype})")
    print(f"ratio: {ratio:.2f} (target: at least {TARGET})")
    return ratio


if __name__ == "__main__":
    raise SystemExit(main() < TARGET)
