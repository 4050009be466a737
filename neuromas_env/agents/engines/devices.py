"""Where models compute and how precisely: what the options stand for on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neuromas_env.agents.engines.base import DEVICES
from neuromas_env.errors import InputError, unknown


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

    `auto` is bfloat16 where the device has fast products in it. Processors without instructions
    for it do them in plain loops: on one with AVX2 alone a training step took 16 times as long as
    in float32. Intel's have them with AMX; with those of AVX-512 alone large products took 1.7
    times as long as in float32 on the one that was measured, and a training step 1.2 times.

    Raises:
        InputError: The device is unknown or missing.
    """
    if dtype != "auto":
        return dtype
    import torch

    if place_of(device) != "cpu":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = _is_fast_in_bfloat16()
    return "bfloat16" if fast else "float32"


def _is_fast_in_bfloat16() -> bool:
    import torch

    used = torch.backends.cpu.get_cpu_capability()  # less than it has, if the environment says so
    if not used.startswith(("AVX512", "AMX")):
        return used.startswith("SVE")
    # Without the list, which older versions of torch lack, float32 is the lesser mistake.
    has: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    other = not has.get("cpu_name", "").startswith("Intel")
    return bool(has.get("amx_bf16") or (has.get("avx512_bf16") and other))


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
