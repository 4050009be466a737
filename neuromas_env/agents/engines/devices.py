"""Where models compute and how precisely: what the options stand for on this machine."""

from __future__ import annotations

from neuromas_env.agents.engines.base import DEVICES
from neuromas_env.errors import InputError, unknown

_FAST_BFLOAT16 = ("AVX512", "AMX", "SVE")  # beginnings of what torch calls a CPU's abilities


def place_of(device: str) -> str:
    """Return where torch computes for `cpu`, `cuda`, `cuda:N` or `auto`, a GPU if there is one.

    Raises:
        InputError: It is none of these, or there is no such GPU.
    """
    import torch

    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda", "auto") or (
        number and not (kind == "cuda" and number.isdigit())
    ):
        raise unknown("device", device, DEVICES)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cuda" and not gpus:
        raise InputError(f"device must be 'cpu' or 'auto' where torch finds no GPU, got {device!r}")
    if number and int(number) >= gpus:
        raise InputError(
            f"device {device!r}: torch finds {gpus} here, so 'cuda:{gpus - 1}' is the last."
        )
    return device if kind == "cuda" else "cuda" if kind == "auto" and gpus else "cpu"


def precision(dtype: str, device: str = "cpu") -> str:
    """Return the precision that a name stands for on a device.

    `auto` is bfloat16 where the device has fast products in it. Other processors do them in
    plain loops: on one with AVX2 alone a training step took 16 times as long as in float32.

    Raises:
        InputError: The device is unknown or missing.
    """
    if dtype != "auto":
        return dtype
    import torch

    if place_of(device) != "cpu":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = torch.backends.cpu.get_cpu_capability().startswith(_FAST_BFLOAT16)
    return "bfloat16" if fast else "float32"


def described(device: str, dtype: str, rollout_device: str | None = None) -> str:
    """Return a line that says where a model computes, how precisely, and which GPU is idle.

    Args:
        device: As for `place_of`.
        dtype: As for `precision`.
        rollout_device: Where replies are generated, None for the same device.

    Raises:
        InputError: A device is unknown or missing.
    """
    import torch

    places = [place_of(device)]
    if rollout_device is not None:
        places.append(place_of(rollout_device))
    line = f"device {_described(places[0])}, {precision(dtype, places[0])}"
    if rollout_device is not None:
        line += f"; replies on {_described(places[1])}"
    if set(places) == {"cpu"} and torch.cuda.is_available():
        line += f"; idle: {_described('cuda')}, which --device auto takes"
    return line


def _described(place: str) -> str:
    import torch

    if place == "cpu":
        threads = torch.get_num_threads()
        return f"cpu ({threads} thread{'s' * (threads > 1)})"
    gpu = torch.cuda.get_device_properties(place)
    return f"{place} ({gpu.name}, {gpu.total_memory / 2**30:.0f} GiB)"
