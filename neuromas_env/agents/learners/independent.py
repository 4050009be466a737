"""Nodes that learn each for themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neuromas_env.agents.engines.base import TrainableEngine
from neuromas_env.agents.learners.base import Learner, renamed
from neuromas_env.agents.learners.reinforce import Reinforce, options_of
from neuromas_env.checks import arguments
from neuromas_env.policy import Trajectory


@arguments
class Independent(Learner):
    """Every node learns for itself: own optimiser, own clipping, own moving average.

    The nodes share nothing but the reward, as in independent learners of multi-agent
    reinforcement learning (Tan 1993). As that reward is the same for all, so is the expected
    gradient of a node: that of the joint learner. Baseline and clipping differ.
    """

    grows = rounds = own_advantages = True

    def __init__(self, learners: Mapping[str, Reinforce]) -> None:
        """Hold one learner for each node, by node name."""
        self._learners = dict(learners)

    def update(
        self,
        trajectories: Sequence[Trajectory],
        advantages: Sequence[np.ndarray] | None = None,
    ) -> dict[str, float]:
        """Let every node take its step; metrics are means over the nodes, tokens are summed.

        Raises:
            FloatingPointError: A node's gradient is not finite; no node is changed.
        """
        each = []
        for learner in self._learners.values():
            try:
                each.append(learner.gradient(trajectories, advantages))
            except Exception:
                for done, _ in zip(self._learners.values(), each, strict=False):
                    done.discard()
                raise
        for learner in self._learners.values():
            learner.step()
        together: dict[str, float] = {}
        for name in dict.fromkeys(name for metrics in each for name in metrics):
            values = [metrics[name] for metrics in each if name in metrics]
            together[name] = sum(values) if name.startswith("train_") else float(np.mean(values))
        return together

    @classmethod
    def make(cls, engine: Any, nodes: Sequence[str], config: Any) -> Learner:
        """Make one learner per node; the baseline is a moving average whatever `config` says."""
        return independent_nodes(engine, nodes, config, advantage="moving_average")

    def grow(self, mapping: Mapping[str, str]) -> dict[str, Any]:
        """Return the states of inherited nodes under their new names."""
        return renamed({n: learner.grow(mapping) for n, learner in self._learners.items()}, mapping)

    def restart(self) -> None:
        """Begin the schedules of all nodes again."""
        for learner in self._learners.values():
            learner.restart()

    def state_dict(self) -> dict[str, Any]:
        """The state of each node's learner, by node."""
        return {node: learner.state_dict() for node, learner in self._learners.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state; nodes that it does not know start afresh."""
        for node, learner in self._learners.items():
            if node in state:
                learner.load_state_dict(state[node])


def independent_nodes(
    engine: TrainableEngine, nodes: Sequence[str], config: Any, advantage: str = "none"
) -> Independent:
    """Make one learner per node with a given way to find advantages."""
    options = options_of(config)
    return Independent(
        {node: Reinforce(engine, [node], advantage=advantage, **options) for node in nodes}
    )
