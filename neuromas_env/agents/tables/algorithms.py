"""Learners for batches of discrete episodes: tables of small policies, in numpy.

The observations of all nodes are numbered without overlap (`VectorNetwork` with the
encoding `discrete`), so one array `[observations, messages]` holds the tables of all nodes.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from neuromas_env.agents.learners.advantage import Advantage
from neuromas_env.agents.learners.names import ADVANTAGES
from neuromas_env.agents.tables.play import Batch
from neuromas_env.checks import Count, NonNegative, Positive, Share, arguments
from neuromas_env.envs.discrete.layout import Layout
from neuromas_env.extras import need


def softmax(table: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis."""
    p = np.exp(table - table.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def sample(p: np.ndarray, seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw messages by the rows of probabilities that belong to what was seen."""
    total = p.cumsum(-1)
    total[:, -1] = np.inf  # rounding must not draw a message beyond the last
    drawn = rng.random((*seen.shape, 1))
    return (drawn >= total[seen]).sum(-1)


def policy_gradient(
    p: np.ndarray, seen: np.ndarray, sent: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Sum `weight * d log p(sent | seen) / d logits` over turns and episodes.

    Args:
        p: Probabilities `[observations, messages]`, the softmax of the logits.
        seen: Observations `[turns, episodes]`.
        sent: Messages `[turns, episodes]`.
        weights: Of each term, `[turns, episodes]`.

    Returns:
        float array `[observations, messages]`.
    """
    chosen = scatter(p.shape, seen, sent, weights)
    return chosen - p * chosen.sum(1, keepdims=True)


def scatter(
    shape: tuple[int, ...], seen: np.ndarray, sent: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Add up weights by what was seen and sent: float array `[observations, messages]`."""
    index = (seen * shape[1] + sent).ravel()
    return np.bincount(index, weights.ravel(), shape[0] * shape[1]).reshape(shape)


Credit = Literal[
    "leave_one_out", "batch_mean", "moving_average", "group_normalised", "none", "own", "central",
    "counterfactual",
]  # fmt: skip


class PolicyGradient:
    """Ascent on the expected reward of softmax policies, with a choice of credit.

    The reward comes at the end of an episode, so it is the return of every turn. The credit of a
    message is the reward minus what was to be expected:

    - `leave_one_out`, `batch_mean`, `moving_average`, `group_normalised`, `none`: the same for
      all turns of an episode, by the very code that serves language models (`Advantage`);
    - `own`: each node's own average reward at what it saw (independent actor-critic);
    - `central`: a critic that sees the question and all earlier messages (as in MAPPO, Yu et al.
      2022);
    - `counterfactual`: the critic's value of the message minus its mean over the node's other
      messages, the rest unchanged (COMA, Foerster et al. 2018).

    With several epochs the ratio of new to old probability is clipped (PPO, Schulman et al.
    2017).
    """

    @arguments
    def __init__(
        self,
        layout: Layout,
        *,
        rate: Positive = 0.05,
        credit: Credit = "leave_one_out",
        entropy: NonNegative = 0.01,
        epochs: Count = 1,
        clip: Positive = 0.2,
        critic_rate: Positive = 0.01,
        critic_steps: Count = 1,
        seed: int = 0,
        updates: int = 0,
    ) -> None:
        """Start with uniform policies.

        Args:
            layout: The network.
            rate: Step size of Adam.
            credit: See above.
            entropy: Weight of the bonus on each node's entropy at what it sees.
            epochs: Steps on each batch.
            clip: How far the ratio may go from 1.
            critic_rate: Step size of the critic's Adam, or of the table of averages.
            critic_steps: Steps of the critic on each batch.
            seed: Of the critic's first weights.
            updates: Batches of the training, which change nothing: no step size falls.

        Raises:
            InputError: There is no such credit.
        """
        self.layout = layout
        self.table = np.zeros((sum(layout.sizes), layout.messages))
        self._credit, self._entropy = credit, entropy
        self._epochs, self._clip, self._rate = epochs, clip, critic_rate
        self._critic_steps = critic_steps
        self._adam = Adam(self.table.shape, rate)
        self._advantage = Advantage(credit) if credit in ADVANTAGES else None
        self._average = np.zeros(len(self.table))
        self._critic: Any = None
        if credit in ("central", "counterfactual"):
            need(f"credit {credit!r}", "torch")
            from neuromas_env.agents.tables.critic import Critic

            self._critic = Critic(layout, critic_rate, seed)

    def act(self, seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw messages from the policies."""
        return sample(softmax(self.table), seen, rng)

    def update(self, batch: Batch) -> None:
        """Take as many steps as there are epochs."""
        weights = self.credits(batch)
        before = softmax(self.table)
        old = before[batch.seen, batch.sent]
        visits = np.bincount(batch.seen.ravel(), minlength=len(before))[:, None]
        for _ in range(self._epochs):
            p = softmax(self.table)
            ratio = p[batch.seen, batch.sent] / old
            kept = np.where(weights > 0, ratio < 1 + self._clip, ratio > 1 - self._clip)
            gradient = policy_gradient(p, batch.seen, batch.sent, weights * ratio * kept)
            logp = np.log(np.maximum(p, 1e-12))
            bonus = -p * (logp - (p * logp).sum(1, keepdims=True))
            self.table += self._adam((gradient + self._entropy * visits * bonus) / len(old[0]))

    def credits(self, batch: Batch) -> np.ndarray:
        """Credit of every message, `[turns, episodes]`; critics and averages learn from the batch.

        What is subtracted from the reward must not have seen it: a baseline that holds a part
        of its own episode's reward would bias the gradient. So baselines come before learning.
        """
        if self._advantage is not None:
            groups = batch.rewards.reshape(-1, batch.rollouts)
            return np.broadcast_to(self._advantage(groups).ravel(), batch.seen.shape)
        if self._credit == "own":
            credit = batch.rewards - self._average[batch.seen]
            self._average += self._rate * _means(len(self._average), batch.seen, credit)
            return credit
        if self._credit == "central":
            credit = batch.rewards - self._critic.values(batch)
            self._learn_critic(batch)
            return credit
        # COMA's credit is the critic's own judgement of the messages, in which the rewards
        # appear only once it has learned from them: the order of the paper's Algorithm 1.
        self._learn_critic(batch)
        return self._critic.counterfactual(batch, softmax(self.table))

    def _learn_critic(self, batch: Batch) -> None:
        for _ in range(self._critic_steps):
            self._critic.learn(batch)


class QLearning:
    """Independent Q-learning (Tan 1993): every node learns the mean reward of its own messages.

    The target of every turn is the reward of its episode, so nothing is bootstrapped. With
    `negative` below 1, disappointments move a value less than good news (hysteretic
    Q-learning, Matignon et al. 2007). With `joint`, the values of the messages of an episode
    are trained to sum to its reward (VDN, Sunehag et al. 2018).
    """

    @arguments
    def __init__(
        self,
        layout: Layout,
        *,
        rate: Positive = 0.2,
        negative: NonNegative = 1.0,
        joint: bool = False,
        explore: Share = 0.3,
        seed: int = 0,
        updates: int = 400,
    ) -> None:
        """Start with values of zero.

        Args:
            layout: The network.
            rate: How far a value moves to the mean of its targets in a batch.
            negative: Factor on downward moves.
            joint: Train the sum of the values of all turns.
            explore: Probability of a random message at first. It falls linearly to a hundredth
                of that over the first half of the training, so that the rest of it settles.
            seed: Breaks ties between the first values.
            updates: Batches of the training.
        """
        self.layout = layout
        shape = sum(layout.sizes), layout.messages
        self.table = 1e-3 * np.random.default_rng(seed).random(shape)
        self._rate, self._negative, self._joint = rate, negative, joint
        self._explore, self._decay, self._updates = explore, max(1, updates // 2), 0

    def act(self, seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Choose the best message, or now and then any."""
        left = max(0.01, 1 - self._updates / self._decay)
        wander = rng.random(seen.shape) < self._explore * left
        return np.where(
            wander, rng.integers(self.layout.messages, size=seen.shape), self.table.argmax(1)[seen]
        )

    def update(self, batch: Batch) -> None:
        """Move the values of the messages that were sent."""
        self._updates += 1
        values = self.table[batch.seen, batch.sent]
        error = batch.rewards - (values.sum(0) if self._joint else values)
        error = np.broadcast_to(error, values.shape)
        error = np.where(error < 0, self._negative * error, error)
        index = batch.seen * self.table.shape[1] + batch.sent
        move = _means(self.table.size, index, error).reshape(self.table.shape)
        # A joint step moves the sum by as many values as there are turns.
        self.table += self._rate * move / (len(values) if self._joint else 1)


class Adam:
    """Steps of Adam (Kingma and Ba 2015) for ascent, on one array."""

    def __init__(self, shape: tuple[int, ...], rate: float) -> None:
        """Start at rest."""
        self.first, self.second, self.steps = np.zeros(shape), np.zeros(shape), 0
        self._rate = rate

    def __call__(self, gradient: np.ndarray) -> np.ndarray:
        """Return what to add to the array."""
        self.steps += 1
        self.first += 0.1 * (gradient - self.first)
        self.second += 0.001 * (gradient**2 - self.second)
        first = self.first / (1 - 0.9**self.steps)
        second = self.second / (1 - 0.999**self.steps)
        return self._rate * first / (np.sqrt(second) + 1e-8)


def _means(size: int, index: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean of the values at each index, 0 where there is none: float array `[size]`."""
    counts = np.bincount(index.ravel(), minlength=size)
    return np.bincount(index.ravel(), values.ravel(), size) / np.maximum(counts, 1)
