"""Shaped rewards: terms that are added to the task's reward, to see where gains come from.

The task's reward alone is the default. `--shaping "format=0.2,length=0.1"` adds weighted terms:

- `length` takes away the mean length of the nodes' replies, in hundreds of tokens;
- `format` adds 1 if an answer can be read in the output node's reply;
- `informative` adds the mean over the other nodes' turns of this difference: in which share of the
  question's other episodes the node then said the same, minus that share in the episodes of other
  questions. It is between -1 and 1, and pays for messages that depend on the question alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from neuromas_env.agents.learners.base import Learner
from neuromas_env.checks import arguments
from neuromas_env.policy import Trajectory

UNREAD = ("no_answer", "unparsable")
"""Reasons of a score that say that no answer could be read."""


def informative(said: Sequence[Hashable], groups: Sequence[int]) -> np.ndarray:
    """Return how much each episode's message goes with its question: float array `[episodes]`.

    Args:
        said: What one node said in each episode.
        groups: The number of each episode's question.
    """
    together, alone = Counter(zip(groups, said, strict=True)), Counter(said)
    sizes, count = Counter(groups), len(said)
    found = np.zeros(count)
    for i, (group, text) in enumerate(zip(groups, said, strict=True)):
        same, others = together[group, text], sizes[group] - 1
        across = count - sizes[group]
        within = (same - 1) / others if others else 0.0
        found[i] = within - ((alone[text] - same) / across if across else 0.0)
    return found


def bonus(batch: Sequence[Trajectory], terms: Mapping[str, float]) -> np.ndarray:
    """Return what the terms add to the reward of each episode.

    Args:
        batch: Whole-network episodes.
        terms: Weight of each term.
    """
    total = np.zeros(len(batch))
    if "length" in terms:
        total -= terms["length"] * np.array([_length(t) / 100 for t in batch])
    if "format" in terms:
        read = [t.score is not None and t.score.reason not in UNREAD for t in batch]
        total += terms["format"] * np.array(read, dtype=float)
    if "informative" in terms:
        groups = [t.group for t in batch]
        said = [_hidden(t) for t in batch]
        turns = sorted({turn for texts in said for turn in texts})
        each = [informative([texts.get(turn, "") for texts in said], groups) for turn in turns]
        total += terms["informative"] * (np.mean(each, axis=0) if each else 0.0)
    return total


def _hidden(trajectory: Trajectory) -> dict[tuple[str, int], str]:
    """Return what every node but the one that speaks last said, by node and round."""
    turns = trajectory.turns
    return {(t.node, t.round): t.text for t in turns if t.node != turns[-1].node}


def _length(trajectory: Trajectory) -> float:
    replies = [turn.completion for turn in trajectory.turns if turn.completion is not None]
    return float(np.mean([len(reply.ids) for reply in replies])) if replies else 0.0


def _paid(trajectory: Trajectory, more: float) -> Trajectory:
    """Return an episode that earns more at its end."""
    *earlier, last = trajectory.rewards or (0.0,)
    rewards = (*earlier, last + more) if trajectory.rewards else ()
    return replace(trajectory, reward=trajectory.reward + more, rewards=rewards)


@arguments
class Shaped(Learner):
    """A learner that is shown shaped rewards."""

    def __init__(self, learner: Learner, terms: Mapping[str, float]) -> None:
        """Wrap a learner.

        Args:
            learner: Learns from the shaped rewards.
            terms: Weight of each term.
        """
        self._learner, self._terms = learner, dict(terms)
        self.gather, self.grow, self.restart = learner.gather, learner.grow, learner.restart  # type: ignore[method-assign]
        self.state_dict, self.load_state_dict = learner.state_dict, learner.load_state_dict  # type: ignore[method-assign]

    def update(self, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        """Learn from one batch; the metric `reward` stays the task's, `shaped` is what was seen."""
        added = bonus(trajectories, self._terms)
        seen = [_paid(t, float(more)) for t, more in zip(trajectories, added, strict=True)]
        metrics = self._learner.update(seen)
        task = float(np.mean([t.reward for t in trajectories]))
        return metrics | {"shaped": metrics["reward"], "reward": task}
