"""Shared fixtures."""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import HealthCheck, settings

from neuromas_env.agents.engines.models import LoadedModel, load_base

# Workers share the cores: torch in each would take all of them, and wait for the other's.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))  # what tests start

# By default an example that takes longer than 200 ms fails, however busy the machine is.
settings.register_profile(
    "patient", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")


@pytest.fixture(scope="module")
def one_thread():
    """One thread of torch: tiny models lose more by sharing their work out than they gain."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def smollm2() -> LoadedModel:
    """The embedded default model, fetched and converted if need be. Tests must not change it."""
    return load_base("smollm2-135m")
