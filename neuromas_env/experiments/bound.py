"""A trained node in the place of the bare base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from neuromas_env.policy import Completion, Engine, Request


class Bound(Engine):
    """An engine that answers with an adapter where none is asked for.

    So a baseline, which asks the bare base, runs on a trained network of one node.
    """

    def __init__(self, engine: Engine, adapter: str) -> None:
        """Take an engine that holds the adapter."""
        self._engine, self._adapter = engine, adapter
        self.cost = engine.cost

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, in their order."""
        bound = [replace(r, engine=self._engine, adapter=r.adapter or self._adapter)
                 for r in requests]  # fmt: skip
        return self._engine.generate(bound)
