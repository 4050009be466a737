"""Shared fixtures."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# Nothing here imports torch: the process that only deals tests out would wait for it first.
# Workers share the cores, and torch in each would take all of them: it reads this when imported.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

# By default an example that takes longer than 200 ms fails, however busy the machine is.
settings.register_profile(
    "patient", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")


def pytest_collection_modifyitems(items):
    """Put files with slow tests first, so that no worker is left with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="module")
def one_thread():
    """One thread of torch: tiny models lose more by sharing their work out than they gain."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def smollm2():
    """The embedded default model, fetched and converted if need be. Tests must not change it."""
    from neuromas_env.agents.engines.models import load_base

    return load_base("smollm2-135m")
