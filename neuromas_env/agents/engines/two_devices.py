"""The engine that generates on one device and trains on another.

Each device holds the frozen base; the adapters that are trained are copied to the other one
before every batch of calls. They are a few megabytes, so no learner need say that it took a
step, and what answers is never stale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from neuromas_env.agents.engines.models import LoadedModel
from neuromas_env.agents.engines.transformers import TransformersEngine
from neuromas_env.checks import arguments
from neuromas_env.policy import Completion, Request


@arguments
class SplitEngine(TransformersEngine):
    """Answers requests on a device of their own; everything else is `TransformersEngine`.

    Attributes:
        sampler: The engine that answers.
    """

    hands_over = True

    def __init__(self, base: LoadedModel, twin: LoadedModel, **options: Any) -> None:
        """Prepare a model that has been loaded twice.

        Args:
            base: The one that is trained on; changed in place.
            twin: The same model where replies are generated; changed in place.
            **options: Of `TransformersEngine`.
        """
        super().__init__(base, **options)
        self.sampler = TransformersEngine(twin, **options | {"gradient_checkpointing": False})
        self.sampler.chat, self.sampler.cost = self.chat, self.cost

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, with the adapters as they are now; see `TransformersEngine`."""
        self._hand_over()
        return self.sampler.generate(requests)

    def draw(
        self, adapters: Sequence[str | None], prompts: Sequence[Sequence[int]]
    ) -> list[Completion]:
        """Draw a token after each prompt on the device that answers."""
        self._hand_over()
        return self.sampler.draw(adapters, prompts)

    def _hand_over(self) -> None:
        there = self.sampler.adapters
        for name in set(there.names) - set(self.adapters.names):
            there.remove(name)  # growth renames nodes
        for name in self.adapters.names:
            if name not in there.names:
                there.add(name, seed=0)
            weights = self.adapters.parameters(name)
            with torch.no_grad():
                for key, parameter in there.parameters(name).items():
                    parameter.copy_(weights[key])
