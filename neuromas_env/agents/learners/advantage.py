"""From rewards to advantages: what each episode earned beyond its baseline.

The same code serves language models and small discrete policies.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neuromas_env.agents.learners.names import ADVANTAGES
from neuromas_env.checks import Share, arguments
from neuromas_env.errors import InputError, unknown


@arguments
class Advantage:
    """Turns a batch of rewards into advantages.

    `leave_one_out`: the reward minus the mean of the other episodes of its group
    (Kool et al. 2019; RLOO). `batch_mean`: minus the mean of the batch.
    `moving_average`: minus an exponential average over earlier batches. `group_normalised`:
    minus the group's mean, over the group's standard deviation (GRPO, Shao et al. 2024).
    `none`: the reward itself.
    """

    def __init__(self, mode: str = "leave_one_out", decay: Share = 0.9) -> None:
        """Choose a mode.

        Args:
            mode: One of `ADVANTAGES`.
            decay: Of the moving average: how much of it stays after a batch.

        Raises:
            InputError: The mode is unknown.
        """
        if mode not in ADVANTAGES:
            raise unknown("advantage", mode, ADVANTAGES)
        self.mode, self._decay = mode, decay
        self._averages: list[float] = []  # by round; one of rewards that come at the end alone

    def __call__(self, rewards: np.ndarray) -> np.ndarray:
        """Compute advantages; those of a round come of what is earned from it on.

        Args:
            rewards: float array `[groups, rollouts]`, or `[groups, rollouts, rounds]` of returns
                to go.

        Returns:
            float array of the same shape.

        Raises:
            InputError: A group-wise mode was given groups of one.
        """
        rewards = np.asarray(rewards, dtype=np.float64)
        if self.mode in ("leave_one_out", "group_normalised") and rewards.shape[1] < 2:
            raise InputError(
                f"advantage {self.mode!r} compares the rollouts of a question with one another: "
                "rollouts must be at least 2, or take 'batch_mean' or 'moving_average'"
            )
        if rewards.ndim == 2:
            return self._of_round(rewards, 0)
        rounds = np.moveaxis(rewards, 2, 0)
        each = [self._of_round(np.ascontiguousarray(one), at) for at, one in enumerate(rounds)]
        return np.stack(each, axis=2)

    def _of_round(self, rewards: np.ndarray, at: int) -> np.ndarray:
        size = rewards.shape[1]
        if self.mode == "leave_one_out":
            return (rewards - rewards.mean(1, keepdims=True)) * size / (size - 1)
        if self.mode == "group_normalised":
            spread = rewards.std(1, keepdims=True)
            return (rewards - rewards.mean(1, keepdims=True)) / (spread + 1e-6)
        if self.mode == "batch_mean":
            return rewards - rewards.mean()
        if self.mode == "moving_average":
            mean = float(rewards.mean())
            if at == len(self._averages):
                self._averages.append(mean)
            baseline = self._averages[at]
            self._averages[at] = self._decay * baseline + (1 - self._decay) * mean
            return rewards - baseline
        return rewards

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: the average, a list of them if there is one for each round."""
        if len(self._averages) > 1:
            return {"average": self._averages.copy()}
        return {"average": self._averages[0] if self._averages else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state of `state_dict`."""
        average = state["average"]
        listed = average if isinstance(average, list) else [average]
        self._averages = [value for value in listed if value is not None]
