"""Which kind of CPU computes: results in floating point are the same on one kind alone."""

import platform
from pathlib import Path

import torch


def cpu_kind() -> str:
    """Name the kind of CPU: its vendor, and the instructions that torch uses of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        vendor = next(line.split(":")[1].strip() for line in lines if line.startswith("vendor_id"))
    except (OSError, StopIteration):
        vendor = platform.machine()
    return f"{vendor} {torch.backends.cpu.get_cpu_capability()}"
