"""Episodes of discrete networks for learners in numpy: what is played, and by what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from neuromas_env.envs.discrete.layout import Layout
from neuromas_env.envs.discrete.vector import VectorNetwork


@dataclass(frozen=True)
class Batch:
    """Episodes of a discrete network, those of a question side by side.

    The turn of a node in a round is number `round * nodes + node`.

    Attributes:
        seen: int64 array `[turns, episodes]`, the number of what the node saw at each turn.
        sent: int64 array `[turns, episodes]`, its message.
        rewards: float array `[episodes]`.
        rollouts: How many episodes there are of each question.
        network: The environment after the episodes' end, for critics that see all.
    """

    seen: np.ndarray
    sent: np.ndarray
    rewards: np.ndarray
    rollouts: int
    network: VectorNetwork


class TableLearner(Protocol):
    """What the training loop needs of a learner.

    Attributes:
        layout: The network.
        table: float array `[observations, messages]`, logits or values.
    """

    layout: Layout
    table: np.ndarray

    def act(self, seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Choose messages with exploration.

        Args:
            seen: int64 array `[...]`, numbers of observations.
            rng: The only source of randomness.

        Returns:
            int64 array of the same shape, the messages.
        """
        ...

    def update(self, batch: Batch) -> None:
        """Learn from a batch."""
        ...


def play(
    network: VectorNetwork, act: Callable[[np.ndarray], np.ndarray], rollouts: int = 1
) -> Batch:
    """Play the episodes of a network that was just reset.

    Args:
        network: The environment.
        act: Numbers of observations, int64 `[turns, episodes]`, to messages of the same shape.
        rollouts: How many of the episodes belong to each question, side by side.
    """
    layout = network.layout
    shape = layout.topology.rounds * len(layout.topology), network.batch
    seen, sent = np.empty(shape, np.int64), np.empty(shape, np.int64)
    rewards = None
    for turns in layout.ticks:
        rows = list(turns)
        seen[rows] = network.observations()
        sent[rows] = act(seen[rows])
        _, rewards = network.step(sent[rows])
    assert rewards is not None
    return Batch(seen, sent, rewards.astype(np.float64), rollouts, network)
