"""One LoRA adapter per node on one frozen base, any mix of them in a batch.

The adapters are PEFT's, in its modules and file format. Only the mixing is our
own. While a batch decodes it holds few tokens, and many small products would cost more
than their arithmetic: the low-rank matrices of all its adapters stand side by side, and
a mask picks each row's own. A batch of many tokens is multiplied adapter by adapter, in one
batched product where all have equally many rows, so that none computes another's. The
choice of rows stays in force through the backward pass, which gradient checkpointing needs.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import itertools
import shutil
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import (
    LoraConfig,
    get_peft_model,
    get_peft_model_state_dict,
    inject_adapter_in_model,
    set_peft_model_state_dict,
)
from peft.tuners.lora import Linear
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn.functional import linear
from transformers import PreTrainedModel

from neuromas_env.agents.engines.models import origin
from neuromas_env.errors import InputError, unknown
from neuromas_env.files import read

_PLACEHOLDER = "unused"
_SAYS_NOTHING = frozenset(
    # What adapters are named and were trained with. Which layers have one the weights say.
    "auto_mapping base_model_name_or_path exclude_modules inference_mode layers_pattern "
    "layers_to_transform lora_dropout megatron_core peft_version qalora_group_size revision "
    "target_modules task_type".split()
)
# The others (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) take away from the base what they add.
_SAME_BASE = (True, False, "gaussian", "orthogonal", "eva")
_MANY_TOKENS = 64  # for each adapter, on average: from there on a batched product is faster


class AdapterSet:
    """The adapters of a network on its shared base model.

    Attributes:
        names: Names of the adapters, in the order of their creation.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        base_name: str,
        rank: int = 16,
        alpha: float = 32.0,
        targets: str | Sequence[str] = "all-linear",
    ) -> None:
        """Freeze the base model and prepare it for adapters.

        Args:
            model: The base model; changed in place.
            base_name: Name of the base model; saved adapters hold its `origin`.
            rank: Rank of the low-rank matrices.
            alpha: The matrices' product is scaled by `alpha / rank`.
            targets: Names of the linear layers that get an adapter, or `all-linear`.

        Raises:
            InputError: The base has no layers of these names.
        """
        self.names: list[str] = []
        self._config = LoraConfig(
            r=rank,
            lora_alpha=alpha,  # type: ignore[arg-type]  # a ratio need not be whole
            target_modules=targets if isinstance(targets, str) else list(targets),
            lora_dropout=0.0,
            bias="none",
            task_type="CAUSAL_LM",
        )
        self._base_name = base_name
        try:
            with torch.random.fork_rng(devices=[]), _quiet():
                self._peft = get_peft_model(model, self._config, adapter_name=_PLACEHOLDER)
        except ValueError as error:
            raise InputError(f"LoRA targets {targets!r} do not fit {base_name}: {error}") from None
        self._config.base_model_name_or_path = origin(base_name, str(model.name_or_path))
        self._layers = [m for m in self._peft.modules() if isinstance(m, Linear)]
        self._peft.delete_adapter(_PLACEHOLDER)
        self._peft.eval()  # no dropout anywhere: the policy that samples is the one that trains
        self._used: tuple[str, ...] = ()
        self._rows = 0
        self._mask: torch.Tensor | None = None
        self._runs: list[tuple[str | None, int]] = []
        self._weights: dict[Linear, tuple[torch.Tensor, torch.Tensor]] = {}
        for layer in self._layers:
            layer.forward = functools.partial(self._forward, layer)  # type: ignore[method-assign]

    def add(self, name: str, seed: int) -> None:
        """Add an adapter that starts as the bare base: random A from the seed, B zero."""
        with torch.random.fork_rng(devices=[]), _quiet():
            torch.manual_seed(seed)
            self._peft.add_adapter(name, copy.deepcopy(self._config))
        self._peft.eval()  # new modules start in training mode
        for parameter in self.parameters(name).values():
            parameter.requires_grad_(True)
        self.names.append(name)

    def remove(self, name: str) -> None:
        """Forget an adapter."""
        self._peft.delete_adapter(name)
        self.names.remove(name)

    def copy(self, source: str, target: str) -> None:
        """Give one adapter the weights of another."""
        weights = self.parameters(source)
        with torch.no_grad():
            for key, parameter in self.parameters(target).items():
                parameter.copy_(weights[key])

    def add_noise(self, name: str, scale: float, seed: int) -> None:
        """Add Gaussian noise, with `scale` times each matrix's root mean square, to A and B.

        A zero matrix (a fresh B) gets `scale` times the size of its A.
        """
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for layer in self._layers:
                a, b = _matrices(layer, name)
                for matrix in (a, b):
                    size = matrix.pow(2).mean().sqrt() or a.pow(2).mean().sqrt()
                    noise = torch.randn(matrix.shape, generator=generator, dtype=matrix.dtype)
                    matrix.add_(noise.to(matrix.device) * scale * size)

    def parameters(self, name: str) -> dict[str, torch.nn.Parameter]:
        """The trainable weights of one adapter, by a name without the adapter's."""
        return {
            f"{index}.{side}": matrix
            for index, layer in enumerate(self._layers)
            for side, matrix in zip("AB", _matrices(layer, name), strict=True)
        }

    def digest(self, name: str) -> str:
        """Return a hash of the weights of one adapter, 32 hexadecimal digits."""
        return _digest(self.parameters(name).values())

    def initial(self, seed: int) -> str:
        """Return the hash of what `add` has to make of a seed: PEFT's draws for these layers."""
        config = copy.deepcopy(self._config)
        config.target_modules = r"\d+"
        hollow = torch.nn.Sequential(*map(_hollow, self._layers))
        with torch.random.fork_rng(devices=[]), _quiet():
            torch.manual_seed(seed)
            inject_adapter_in_model(config, hollow, "fresh")
        layers = [layer for layer in hollow if isinstance(layer, Linear)]
        return _digest(m.float() for layer in layers for m in _matrices(layer, "fresh"))

    @contextlib.contextmanager
    def loaded(self, names: Sequence[str | None]) -> Iterator[None]:
        """Put the matrices of the named adapters side by side for the passes inside.

        Casting to the base's precision happens here, once, inside the graph: the
        adapters themselves stay in float32.

        Raises:
            InputError: There is no adapter of a name.
        """
        self._used = tuple(dict.fromkeys(name for name in names if name is not None))
        for name in self._used:
            if name not in self.names:
                raise unknown("adapter", name, self.names)
        try:
            for layer in self._layers if self._used else ():
                dtype = layer.weight.dtype
                pairs = [_matrices(layer, name) for name in self._used]
                scales = [layer.scaling[name] for name in self._used]
                a = torch.cat([a for a, _ in pairs])
                b = torch.cat([b * scale for (_, b), scale in zip(pairs, scales, strict=True)], 1)
                self._weights[layer] = a.to(dtype), b.to(dtype)
            yield
        finally:
            self._used, self._mask, self._runs, self._weights = (), None, [], {}

    def select(self, adapters: Sequence[str | None]) -> None:
        """Say which row of the next batch belongs to which of the loaded adapters.

        A batch of one row may be given token by token instead. The choice holds until the next
        one, also for the backward pass. It is fastest where the rows of an adapter stand together
        and all adapters have equally many.
        """
        self._rows = len(adapters)
        self._runs = [(name, len(list(rows))) for name, rows in itertools.groupby(adapters)]
        one_for_all = len(self._used) == 1 and set(adapters) == set(self._used)
        self._mask = None if one_for_all or not self._used else self._row_mask()

    def joined(
        self, layers: Sequence[Any], names: Sequence[str | None]
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Put the loaded matrices of layers with the same inputs together, for one product.

        Args:
            layers: Side by side, with and without adapters.
            names: Of adapters; None is one that adds nothing.

        Returns:
            Matrices down `[names, inputs, ranks]` and, scaled, up `[names, ranks, outputs]`; None
            where no layer has loaded ones.
        """
        own = [layer for layer in layers if layer in self._weights]
        if not own or set(names) == {None}:
            return None
        rank = self._config.r
        places = [self._used.index(name) if name is not None else -1 for name in names]
        widths = [layer.weight.shape[0] for layer in layers]
        down, up = [], []
        for layer in own:
            a, b = self._weights[layer]
            down.append(a.view(-1, rank, a.shape[1])[places])
            up.append(b.new_zeros(len(names), rank, sum(widths)))
            first = sum(widths[: layers.index(layer)])
            up[-1][:, :, first : first + len(b)] = b.T.reshape(-1, rank, len(b))[places]
        joined = torch.cat(down, 1).transpose(1, 2), torch.cat(up, 1)
        for place, name in enumerate(names):
            if name is None:
                joined[1][place] = 0
        return joined

    def _row_mask(self) -> torch.Tensor:
        layer = self._layers[0]
        ranks = torch.tensor([len(_matrices(layer, name)[0]) for name in self._used])
        own = torch.tensor([[float(name == used) for used in self._used] for name, _ in self._runs])
        lengths = torch.tensor([length for _, length in self._runs])
        mask = own.repeat_interleave(ranks, dim=1).repeat_interleave(lengths, dim=0)
        return mask[:, None].to(layer.weight)

    def _forward(self, layer: Linear, x: torch.Tensor) -> torch.Tensor:
        out = layer.base_layer(x)
        if layer not in self._weights:
            return out
        a, b = self._weights[layer]
        if self._mask is None:
            return out + linear(linear(x, a), b)
        rows = x.reshape(self._rows, -1, x.shape[2])
        if rows.shape[0] * rows.shape[1] < _MANY_TOKENS * len(self._runs):
            return out + linear(linear(rows, a) * self._mask, b).view_as(out)
        rank = self._config.r
        down, up = a.view(-1, rank, a.shape[1]), b.T.reshape(-1, rank, b.shape[0])
        lengths = {length for _, length in self._runs}
        names = [name for name, _ in self._runs]
        if len(lengths) == 1 and None not in names:
            if tuple(names) != self._used:
                own = [self._used.index(name) for name in names]
                down, up = down[own], up[own]
            own_rows = x.reshape(len(names), -1, x.shape[2])
            delta = torch.bmm(torch.bmm(own_rows, down.transpose(1, 2)), up)
            return out + delta.view_as(out)
        parts = []
        for name, part in zip(names, rows.split([length for _, length in self._runs]), strict=True):
            if name is None:
                parts.append(out.new_zeros(*part.shape[:2], out.shape[2]))
            else:
                place = self._used.index(name)
                parts.append((part @ down[place].T) @ up[place])
        return out + torch.cat(parts).view_as(out)

    def save(self, name: str, folder: Path) -> None:
        """Write one adapter in PEFT's format; `from_pretrained` of its classes reads the folder."""
        self._peft.active_adapter = name  # PEFT looks its configuration up for the model card
        with _quiet():
            self._peft.save_pretrained(
                str(folder.parent / f".{name}"),
                selected_adapters=[name],
                save_embedding_layers=False,  # finding out would ask the hub about the base
            )
        shutil.move(folder.parent / f".{name}" / name, folder)
        shutil.rmtree(folder.parent / f".{name}")

    def load(self, name: str, folder: Path) -> None:
        """Read weights that `save` (or PEFT) wrote into an existing adapter.

        Raises:
            InputError: They are missing, do not fit this base and rank, were scaled otherwise, or
                PEFT would compute something else with their settings than this engine does.
        """
        try:
            config = read(folder / "adapter_config.json")
            weights = load_file(folder / "adapter_model.safetensors")
        except (OSError, ValueError, SafetensorError) as error:
            raise InputError(f"no adapter can be read from {folder}: {error}") from None
        self._check_settings(config, folder)
        expected = get_peft_model_state_dict(
            self._peft, adapter_name=name, save_embedding_layers=False
        )
        shapes = {key: tuple(value.shape) for key, value in expected.items()}
        found = {key: tuple(value.shape) for key, value in weights.items()}
        if config.get("r") != self._config.r or shapes != found:
            raise InputError(
                f"the adapter in {folder} (base {config.get('base_model_name_or_path')}, rank "
                f"{config.get('r')}) does not fit {self._base_name} with rank {self._config.r} "
                f"and targets {self._config.target_modules}"
            )
        # The product of the matrices means something only with the factor it was trained with.
        own, saved = self._config.lora_alpha, config.get("lora_alpha")
        if saved != own:
            raise InputError(
                f"the adapter in {folder} was trained with alpha {saved}, but alpha is {own} "
                f"here; give alpha {saved}"
            )
        if config.get("use_rslora"):
            raise InputError(
                f"the adapter in {folder} is scaled by alpha / sqrt(rank) (use_rslora); take "
                "one that is scaled by alpha / rank"
            )
        set_peft_model_state_dict(self._peft, weights, adapter_name=name)

    def _check_settings(self, config: dict[str, Any], folder: Path) -> None:
        """Refuse all settings but those that are known to mean here what they mean in PEFT.

        That are this engine's own. One that it does not know, as of a newer PEFT, must be off.
        """
        own = {**self._config.to_dict(), "peft_type": "LORA"}
        others = _SAYS_NOTHING | {"r", "lora_alpha", "use_rslora"}  # of which `load` says more
        for key in sorted((config.keys() | {"peft_type"}) - others):
            value, right = config.get(key), own.get(key)
            allowed = _SAME_BASE if key == "init_lora_weights" else (right,)
            if value not in allowed and (value or right):
                listed = " or ".join(map(repr, allowed)) if right else "off"
                raise InputError(f"the adapter in {folder}: {key} must be {listed}, got {value!r}")


def _hollow(layer: Linear) -> torch.nn.Linear:
    """Return a layer of the same shape and precision that takes no memory."""
    inputs, outputs = layer.in_features, layer.out_features
    assert inputs is not None and outputs is not None
    bare = torch.nn.Linear(inputs, outputs, bias=False, device="meta")
    one = torch.empty(1, dtype=layer.weight.dtype)
    bare.weight = torch.nn.Parameter(one.expand(bare.weight.shape), requires_grad=False)
    return bare


def _digest(matrices: Iterable[torch.Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for matrix in matrices:
        values = matrix.detach().cpu().contiguous().view(torch.uint8)
        digest.update(values.numpy().data)
    return digest.hexdigest()


def _matrices(layer: Linear, name: str) -> tuple[torch.nn.Parameter, torch.nn.Parameter]:
    """A `[rank, inputs]` and B `[outputs, rank]` of one adapter in one layer."""
    a, b = layer.lora_A[name].weight, layer.lora_B[name].weight
    assert isinstance(a, torch.nn.Parameter) and isinstance(b, torch.nn.Parameter)
    return a, b


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """PEFT warns about what is meant here: several adapters, tied heads, no hub access."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
