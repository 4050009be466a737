"""The one vote of all baselines: who counts, what wins, and how a tie ends.

Votes are over the answers that the task reads out of the replies, in the form in which
answers are compared, never over raw replies. A reply in which no answer is found
abstains. The most votes win, then the highest summed weight, then the answer of the
lowest node (`ties=index`), or a seeded draw among the best (`ties=seed`). The node says
what the first of the winners said, so that a vote changes no answer's form; if all
abstain it says nothing, which earns nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from neuromas_env.errors import unknown
from neuromas_env.policy import Completion, Observation
from neuromas_env.tasks.answers import list_form
from neuromas_env.tasks.base import Task

TIES = ("index", "seed")


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
    answers: Sequence[str | None],
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
    strength: dict[str, list[float]] = {}
    for answer, weight in zip(answers, weights, strict=True):
        if answer is not None:
            total = strength.setdefault(answer, [0, 0.0])
            total[0] += not by_weight
            total[1] += weight
    abstained = sum(answer is None for answer in answers)
    if not strength:
        return Tally(None, False, abstained)
    best = [answer for answer, total in strength.items() if total == max(strength.values())]
    chosen = best[0] if seed is None else random.Random(seed).choice(best)
    return Tally(answers.index(chosen), len(best) > 1, abstained)


def read_answers(task: Task, question: str, replies: Sequence[str]) -> list[str | None]:
    """Return the answers in the replies in the form in which they are compared."""
    found = [task.extract(question, reply) for reply in replies]
    return [None if answer is None else list_form(answer) for answer in found]


@dataclass(frozen=True)
class Vote:
    """A node that counts the answers of the nodes it reads.

    Attributes:
        task: Reads answers out of replies.
        ties: `index` or `seed`.
        voters: Whose answers count, where it reads others, too.
        weigh: Returns the voters' weights, by whose sums alone the vote is then decided.
    """

    task: Task
    ties: str = "index"
    voters: Sequence[str] = ()
    weigh: Callable[[Observation], Sequence[float]] | None = None
    scripted = True

    def __post_init__(self) -> None:
        """Check `ties`."""
        if self.ties not in TIES:
            raise unknown("value of ties:", self.ties, TIES)

    @property
    def sampled(self) -> bool:
        """Whether the outcome depends on the seed."""
        return self.ties == "seed"

    def request(self, observation: Observation, seed: int) -> str:
        """Say what the first of the winners said."""
        winner = self._tally(observation, seed).winner
        return "" if winner is None else self._replies(observation)[winner]

    def tied(self, observation: Observation) -> bool:
        """Say whether there is a tie to break."""
        return self._tally(observation, 0).tie

    def read(self, completion: Completion) -> str:
        """Never asked, because there is no call."""
        raise AssertionError("a vote makes no call")

    def _tally(self, observation: Observation, seed: int) -> Tally:
        answers = read_answers(self.task, observation["question"], self._replies(observation))
        weights = self.weigh(observation) if self.weigh else None
        drawn = seed if self.ties == "seed" else None
        return vote(answers, weights, drawn, by_weight=self.weigh is not None)

    def _replies(self, observation: Observation) -> list[str]:
        said = observation["inbox"]
        return [m["text"] for m in said if not self.voters or m["source"] in self.voters]
