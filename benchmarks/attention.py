"""Attention on CPU: the grouped matrix products beside the kernel that transformers takes.

Shapes of a small model (9 query heads on 3 key heads, 64 wide), for a step of
decoding, for forward and backward over rows of training, and for long prompts:

    python benchmarks/attention.py [--quick]
"""

import torch
from model_setup import alternate, options
from transformers import AttentionInterface

from neuromas_env.agents.engines.forward import attention

HEADS, GROUPS, WIDTH = 9, 3, 64
CASES = {"decode": (64, 1, 80), "train": (16, 64, 192), "prompt": (2, 768, 768)}


class Module(torch.nn.Module):
    """What the kernels ask of an attention module."""

    num_key_value_groups = HEADS // GROUPS
    is_causal = True


def case(attend, rows, length, keys, dtype, backward, repeat):
    generator = torch.Generator().manual_seed(0)

    def make(heads, tokens):
        tensor = torch.randn(rows, heads, tokens, WIDTH, generator=generator).to(dtype)
        return tensor.requires_grad_(backward)

    query, key, value = make(HEADS, length), make(GROUPS, keys), make(GROUPS, keys)
    visible = torch.ones(length, keys, dtype=torch.bool).tril(keys - length)
    visible = visible.expand(rows, 1, length, keys).clone()
    visible[::2, :, :, :5] = False
    mask = torch.zeros(visible.shape, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)

    def once():
        for _ in range(repeat):
            out = attend(Module(), query, key, value, mask, scaling=WIDTH**-0.5)[0]
            if backward:
                out.sum().backward()
        return out.detach()

    return once


def main():
    chosen = options(__doc__)
    dtype = getattr(torch, chosen.dtype)
    attention._LONG = 10_000  # of itself it leaves long prompts to the other
    kernels = {"grouped": attention.grouped_attention, "sdpa": AttentionInterface()["sdpa"]}
    for name, (rows, length, keys) in CASES.items():
        repeat = 3 if chosen.quick else 20
        tasks = {
            kernel: case(attend, rows, length, keys, dtype, name == "train", repeat)
            for kernel, attend in kernels.items()
        }
        gap = float((tasks["grouped"]() - tasks["sdpa"]()).abs().max())
        seconds = alternate(tasks, 5)
        print(
            f"{name}: {rows} rows, {length} queries, {keys} keys: grouped "
            f"{seconds['grouped'] / repeat * 1e3:.2f} ms, sdpa {seconds['sdpa'] / repeat * 1e3:.2f}"
            f" ms, ratio {seconds['sdpa'] / seconds['grouped']:.2f}, largest gap {gap:.1e}"
        )


if __name__ == "__main__":
    main()
