"""Products with frozen weights: several joined into one, packed for the CPU where that helps.

torch multiplies with a weight as it lies in memory, and lays it out for the processor again in
every product. For the few rows of decoding that is a good part of the time. oneDNN can keep the
laid-out copy, which is then held beside the plain one that training needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psutil
import torch
from torch.nn.functional import linear

_ROWS = 32  # of the product for which oneDNN chooses the layout
_LARGE = 1 << 16  # numbers in a weight from which on packing pays
_SHARE = 0.5  # of the memory that is free, at most, for packed weights
_CGROUP = Path("/sys/fs/cgroup")


class Product:
    """Rows times the transposes of some weights, side by side.

    Attributes:
        width: Outputs of all weights together.
    """

    def __init__(self, layers: Sequence[torch.nn.Linear], packed: bool) -> None:
        """Prepare a product.

        Args:
            layers: Hold weights `[outputs, inputs]` with the same inputs.
            packed: Keep a packed copy; else the weights are used where they are.
        """
        self._layers = list(layers)
        self.width = sum(layer.weight.shape[0] for layer in layers)
        self._packed = self._bias = None
        if packed and packable(layers[0].weight):
            joined = torch.cat([layer.weight.detach() for layer in layers])
            self._packed = torch.ops.mkldnn._reorder_linear_weight(joined, _ROWS)
            if any(layer.bias is not None for layer in layers):
                self._bias = torch.cat([_bias(layer) for layer in layers])

    def __call__(self, x: torch.Tensor, plus: torch.Tensor | None = None) -> torch.Tensor:
        """Multiply rows `[rows, inputs]`; add `plus` `[rows, width]` to the outcome."""
        if self._packed is not None:
            pointwise = torch.ops.mkldnn._linear_pointwise
            if plus is None:
                return pointwise(x, self._packed, self._bias, "none", [], "")
            return pointwise.binary(x, plus, self._packed, self._bias, "add")
        parts = [linear(x, layer.weight, layer.bias) for layer in self._layers]
        out = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        return out if plus is None else out.add_(plus)


def _bias(layer: torch.nn.Linear) -> torch.Tensor:
    weight = layer.weight
    return weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach()


def packable(weight: torch.Tensor) -> bool:
    """Whether a packed copy of a weight can be multiplied with here, and faster than the weight.

    oneDNN is faster than MKL in float32 on x86 alone, and in bfloat16 where the processor has it;
    these operators are torch's own for compiled models, so that a build may lack them.
    """
    if weight.device.type != "cpu" or weight.numel() < _LARGE:
        return False
    if not torch.backends.mkldnn.is_available() or not hasattr(
        torch.ops.mkldnn, "_reorder_linear_weight"
    ):
        return False
    ability = torch.backends.cpu.get_cpu_capability()
    if weight.dtype == torch.bfloat16:
        return ability.startswith(("AVX512", "AMX"))
    return weight.dtype == torch.float32 and ability.startswith(("AVX2", "AVX512", "AMX"))


def free_bytes() -> int:
    """Return the memory that this process can still take, within its container's limit."""
    free = psutil.virtual_memory().available
    try:
        most, used = ((_CGROUP / name).read_text() for name in ("memory.max", "memory.current"))
        return min(free, int(most) - int(used))
    except (OSError, ValueError):  # no such limit
        return free


def fits(size: int) -> bool:
    """Whether so many bytes of packed weights leave enough memory for everything else."""
    return size <= _SHARE * free_bytes()
