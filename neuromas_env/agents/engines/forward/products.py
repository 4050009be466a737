"""Products with frozen weights: several joined into one, packed for the CPU where that helps.

torch multiplies with a weight as it lies in memory, and lays it out for the processor again in
every product. For the few rows of decoding that is a good part of the time, for the thousand of a
training step a quarter of it in bfloat16. oneDNN can keep the laid-out copy, which is then held
in addition to the plain one.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from torch.nn import Linear, Module
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

    def __init__(self, layers: Sequence[Linear], packed: bool) -> None:
        """Prepare a product.

        Args:
            layers: Hold weights `[outputs, inputs]` with the same inputs.
            packed: Keep a packed copy; else the weights are used where they are.
        """
        self._layers = list(layers)
        self.width = sum(layer.weight.shape[0] for layer in layers)
        self._packed = self._bias = None
        if packed and packable(layers[0].weight):
            self._packed = _pack(torch.cat([layer.weight.detach() for layer in layers]))
            if any(layer.bias is not None for layer in layers):
                self._bias = torch.cat([_bias(layer) for layer in layers])

    def __call__(self, x: torch.Tensor, plus: torch.Tensor | None = None) -> torch.Tensor:
        """Multiply rows `[rows, inputs]`; add `plus` `[rows, width]` to the outcome."""
        if self._packed is not None:
            if plus is None:
                return _times(x, self._packed, self._bias)
            pointwise = torch.ops.mkldnn._linear_pointwise
            return pointwise.binary(x, plus, self._packed, self._bias, "add")
        parts = [linear(x, layer.weight, layer.bias) for layer in self._layers]
        out = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        return out if plus is None else out.add_(plus)


class TwoWay:
    """What training multiplies with a frozen weight `[outputs, inputs]`, and the gradient with it.

    Attributes:
        width: Outputs.
    """

    def __init__(self, layer: Linear, packed: bool, wide: bool = False) -> None:
        """Prepare both products.

        Args:
            layer: Holds the weight.
            packed: Keep a packed copy, and from the first backward pass on its packed transpose.
            wide: Compute outputs in float32, whatever the weight's precision; the gradient, which
                may be rounded, is computed in the weight's.
        """
        self._layer, self.width = layer, layer.weight.shape[0]
        weight = layer.weight.detach()
        wider: torch.Tensor = weight.float() if wide else weight
        self._dtype = wider.dtype
        self._packed = packed and packable(wider)
        self._plain = not self._packed and wider.dtype == weight.dtype
        self._weight = _pack(wider) if self._packed else wider
        self._transpose: torch.Tensor | None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply `[..., inputs]`; add the bias."""
        if self._plain:
            return self._layer(x)
        return _Frozen.apply(x, self)  # type: ignore[no-any-return,no-untyped-call]

    def there(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the outputs without a graph."""
        x, own = x.to(self._dtype), self._layer.bias
        bias = None if own is None else own.detach().to(self._dtype)
        return _times(x, self._weight, bias) if self._packed else linear(x, self._weight, bias)

    def back(self, gradient: torch.Tensor) -> torch.Tensor:
        """Multiply `[..., outputs]` with the weight."""
        weight = self._layer.weight.detach()
        gradient = gradient.to(weight.dtype)
        if not self._packed or not packable(weight):
            return gradient @ weight
        if self._transpose is None:
            self._transpose = _pack(weight.T.contiguous())
        return _times(gradient, self._transpose, None)


class _Frozen(torch.autograd.Function):
    """The output of a layer whose weight gets no gradient."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, product: TwoWay) -> torch.Tensor:
        ctx.product = product
        return product.there(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        return ctx.product.back(gradient), None


def pack_layers(model: Module) -> None:
    """Let the linear layers of a model that is not trained compute with packed weights.

    Adapters around a layer stay as they are. Without memory for both packed copies nothing is
    packed, which is said.
    """
    layers = [module for module in model.modules() if type(module) is Linear]
    layers = [layer for layer in layers if packable(layer.weight)]
    if not has_room(2 * sum(layer.weight.nbytes for layer in layers), "prompts and training"):
        return
    for layer in layers:
        layer.forward = TwoWay(layer, packed=True)  # type: ignore[method-assign,assignment]


def _pack(weight: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)


def _times(x: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")


def _bias(layer: Linear) -> torch.Tensor:
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


def has_room(size: int, use: str) -> bool:
    """Whether so many bytes of weights packed for a use fit; where they do not, this is said."""
    if fits(size):
        return True
    warnings.warn(
        f"weights are not packed for {use}, which makes it slower: packed copies take "
        f"{size / 2**30:.1f} GiB, more than half of the memory that is free",
        stacklevel=2,
    )
    return False
