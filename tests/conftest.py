"""Shared fixtures."""

from __future__ import annotations

import pytest

from neuromas_env.agents.models import LoadedModel, load_base


@pytest.fixture(scope="session")
def smollm2() -> LoadedModel:
    """The embedded default model, fetched and converted if need be. Tests must not change it."""
    return load_base("smollm2-135m")
