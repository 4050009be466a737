"""Gymnasium views of a discrete network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neuromas_env.checks import arguments
from neuromas_env.envs import views
from neuromas_env.envs.discrete.channel import DiscreteChannel
from neuromas_env.envs.discrete.layout import make_layout
from neuromas_env.envs.views import Act


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
        others: Mapping[str, Act] | None = None,
        observation: str = "box",
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Make the network.

        Args:
            *args: As in `neuromas_env.discrete_v0.make`.
            learner: The node that learns.
            others: A policy for every other node; by default all act at random.
            observation: As in `neuromas_env.discrete_v0.make`.
            render_mode: As there.
            **kwargs: As there.

        Raises:
            InputError: There is no such node, or a policy is missing or too many.
        """
        self.layout = make_layout(*args, **kwargs)
        super().__init__(
            self.layout.topology, DiscreteChannel(self.layout, observation),
            render_mode=render_mode, learner=learner, others=others,
        )  # fmt: skip

    def _random(self) -> Any:
        return self.np_random.integers(getattr(self.action_space, "nvec", self.layout.codebook))
