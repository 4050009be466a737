"""Gymnasium views of a discrete network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neuromas_env.checks import arguments
from neuromas_env.envs import views
from neuromas_env.envs.discrete.channel import DiscreteChannel
from neuromas_env.envs.discrete.layout import Layout, make_layout
from neuromas_env.envs.views import Act
from neuromas_env.errors import InputError


class TurnView(views.TurnView):
    """One step is one node's turn; see `neuromas_env.envs.views.TurnView`."""

    def __init__(
        self, *args: Any, observation: str = "box", render_mode: str | None = None, **kwargs: Any
    ) -> None:
        """Make the network; arguments as in `neuromas_env.discrete_v0.make`."""
        self.layout = make_layout(*args, **kwargs)
        channel = DiscreteChannel(self.layout, observation)
        super().__init__(self.layout.topology, channel, render_mode=render_mode)


@arguments
class OneLearnerView(views.OneLearnerView):
    """One node learns, the others follow; see `neuromas_env.envs.views.OneLearnerView`."""

    def __init__(
        self,
        *args: Any,
        learner: str = "node_0",
        others: Mapping[str, Act] | np.ndarray | None = None,
        observation: str = "box",
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Make the network.

        Args:
            *args: As in `neuromas_env.discrete_v0.make`.
            learner: The node that learns.
            others: A policy for every other node, or the trained table of a network, float array
                `[observations, messages]`, of which each sends its best message; by default all
                act at random.
            observation: As in `neuromas_env.discrete_v0.make`.
            render_mode: As there.
            **kwargs: As there.

        Raises:
            InputError: There is no such node, a policy is missing or too many, or the table is of
                another network.
        """
        self.layout = layout = make_layout(*args, **kwargs)
        self._best: np.ndarray | None = None
        if isinstance(others, np.ndarray):
            self._best, others = _best_messages(others, layout), None
            # Its rows are by the number of an observation, whatever the learner's encoding.
            self._numbers = DiscreteChannel(layout, "discrete")
        super().__init__(
            layout.topology, DiscreteChannel(layout, observation),
            render_mode=render_mode, learner=learner, others=others,
        )  # fmt: skip

    def _message(self, node: str) -> Any:
        if self._best is None:
            return super()._message(node)
        seen = self._numbers.observe(self.network.episode, node)
        symbols = self.layout.symbols(int(self._best[seen]))
        return symbols if self.layout.bandwidth > 1 else symbols[0]

    def _random(self) -> Any:
        return self.np_random.integers(getattr(self.action_space, "nvec", self.layout.codebook))


def _best_messages(table: np.ndarray, layout: Layout) -> np.ndarray:
    """Return the best message of a table at each observation, `[observations]`."""
    shape = sum(layout.sizes), layout.messages
    if table.shape != shape or table.dtype.kind not in "iuf":
        raise InputError(
            f"the table of the others must hold numbers in shape {shape}, got {table.dtype} in "
            f"shape {table.shape}"
        )
    return table.argmax(1)
