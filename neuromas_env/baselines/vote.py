"""The one vote of all baselines: who counts, what wins, and how a tie ends.

Votes are over the answers that the task reads out of the replies, by what it says they agree
in (`Task.agreement`): the form in which answers are compared, or what programs return, never
raw replies. A reply in which no answer is found abstains. The most votes win, then the highest
summed weight, then the answer of the lowest node (`ties=index`), or a seeded draw among the
best (`ties=seed`). The node says what the first of the winners said, so that a vote changes
no answer's form; if all abstain it says nothing, which earns nothing.

Where a task cannot tell whether answers agree, and with `by=similarity` always, the answer
wins that is most like all others: each reply's weight counts as much as its answer is similar
to another (see `similarity`; Li et al., 2024, arXiv 2402.05120, equation 1).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuromas_env.baselines.similarity import similarities
from neuromas_env.errors import unknown
from neuromas_env.policy import Observation, Policy
from neuromas_env.tasks.base import Task

TIES = ("index", "seed")
VOTES = ("agreement", "similarity")


@dataclass(frozen=True)
class Tally:
    """How a vote ended.

    Attributes:
        winner: Number of the first reply with the winning answer, None if all abstained.
        tie: Whether several answers did equally well.
        abstained: In how many replies no answer was found.
    """

    winner: int | None
    tie: bool
    abstained: int


def vote(
    answers: Sequence[Hashable | None],
    weights: Sequence[float] | None = None,
    seed: int | None = None,
    by_weight: bool = False,
) -> Tally:
    """Count answers; None abstains.

    Args:
        answers: One for each voter, compared as they are.
        weights: How sure each voter is; breaks ties of the count.
        seed: Draws among equals; None takes the answer that was given first.
        by_weight: Whether the summed weight decides alone, and not the count.
    """
    weights = [0.0] * len(answers) if weights is None else weights
    strength: dict[Hashable, list[float]] = {}
    for answer, weight in zip(answers, weights, strict=True):
        if answer is not None:
            total = strength.setdefault(answer, [0, 0.0])
            total[0] += not by_weight
            total[1] += weight
    return _strongest(answers, strength, seed)


def most_similar(
    answers: Sequence[str | None],
    weights: Sequence[float] | None = None,
    seed: int | None = None,
) -> Tally:
    """Choose the answer that is most similar to all; None abstains.

    Args:
        answers: One for each voter.
        weights: How much each voter counts; the same by default.
        seed: Draws among equals; None takes the answer that was given first.
    """
    shares: dict[str, float] = {}
    for answer, weight in zip(answers, weights or [1.0] * len(answers), strict=True):
        if answer is not None:
            shares[answer] = shares.get(answer, 0.0) + weight
    rows = similarities(list(shares))
    # Sums of floats in another order are no reason to win.
    sums = [sum(s * w for s, w in zip(row, shares.values(), strict=True)) for row in rows]
    return _strongest(answers, {a: round(s, 9) for a, s in zip(shares, sums, strict=True)}, seed)


def answer_keys(task: Task, question: str, replies: Sequence[str]) -> list[Hashable | None]:
    """Return what replies agree in: equal keys for equal answers, None for a reply without one.

    Where nothing tells whether answers agree, they are compared as texts.
    """
    keys = task.agreement(question, replies)
    return [task.extract(question, reply) for reply in replies] if keys is None else keys


def _strongest(
    answers: Sequence[Hashable | None], strength: Mapping[Any, Any], seed: int | None
) -> Tally:
    abstained = sum(answer is None for answer in answers)
    if not strength:
        return Tally(None, False, abstained)
    most = max(strength.values())
    best = [answer for answer, total in strength.items() if total == most]
    chosen = best[0] if seed is None else random.Random(seed).choice(best)
    return Tally(answers.index(chosen), len(best) > 1, abstained)


@dataclass(frozen=True)
class Vote(Policy):
    """A node that counts the answers of the nodes it reads.

    Attributes:
        task: Reads answers out of replies, and says which agree.
        ties: `index` or `seed`.
        voters: Whose answers count, where it reads others, too.
        weigh: Returns the voters' weights, by whose sums alone the vote is then decided.
        by: `agreement` or `similarity`.
    """

    task: Task
    ties: str = "index"
    voters: Sequence[str] = ()
    weigh: Callable[[Observation], Sequence[float]] | None = None
    by: str = "agreement"
    scripted = True

    def __post_init__(self) -> None:
        """Check `ties` and `by`.

        Raises:
            InputError: One of them is unknown.
        """
        if self.ties not in TIES:
            raise unknown("value of ties:", self.ties, TIES)
        if self.by not in VOTES:
            raise unknown("value of vote:", self.by, VOTES)

    @property
    def sampled(self) -> bool:  # type: ignore[override]
        """Whether the outcome depends on the seed."""
        return self.ties == "seed"

    def request(self, observation: Observation, seed: int) -> str:
        """Say what the first of the winners said in an observation's inbox."""
        winner = self._tally(observation, seed).winner
        return "" if winner is None else self._replies(observation)[winner]

    def tied(self, observation: Observation) -> bool:
        """Say whether the votes of an observation's inbox are tied."""
        return self._tally(observation, 0).tie

    def _tally(self, observation: Observation, seed: int) -> Tally:
        question, replies = observation["question"], self._replies(observation)
        weights = self.weigh(observation) if self.weigh else None
        drawn = seed if self.ties == "seed" else None
        if self.by == "agreement":
            answers = self.task.agreement(question, replies)
            if answers is not None:
                return vote(answers, weights, drawn, by_weight=self.weigh is not None)
        found = [self.task.extract(question, reply) for reply in replies]
        return most_similar(found, weights, drawn)

    def _replies(self, observation: Observation) -> list[str]:
        said = observation["inbox"]
        return [m["text"] for m in said if not self.voters or m["source"] in self.voters]
