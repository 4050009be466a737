"""What the games share: levels, and the reading of an action."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import ClassVar

from neuromas_env.tasks.base import Example
from neuromas_env.tasks.generated import Generated
from neuromas_env.tasks.interactive import InteractiveTask
from neuromas_env.tasks.names import check_int, full_name
from neuromas_env.tasks.readers.grading import majority_share

_MOST_ROWS = 2048  # of train, which would take long


class Game(Generated, InteractiveTask):
    """A game; subclasses say by `levels` what is dialled.

    Attributes:
        variant: Its name within the family.
        about: One line for lists.
        levels: The numbers of each level, the easiest first.
        level: Which of them this is, from 1.
    """

    variant: ClassVar[str]
    about: ClassVar[str]
    levels: ClassVar[tuple[Mapping[str, int], ...]]
    max_new_tokens = 10

    def __init__(self, level: int = 1, seed: int = 0) -> None:
        """Take a level and a seed.

        Raises:
            InputError: There is no such level.
        """
        base = f"games/{self.variant}"
        check_int(base, "level", level, 1, len(self.levels))
        check_int(base, "seed", seed, 0, 2**63)
        self.level, self.seed = level, seed
        self.name = full_name(base, {"level": level, "seed": seed}, {"level": 1, "seed": 0})
        self._known: dict[str, list[Example]] = {}

    def rows(self, split: str) -> list[Example]:
        """Return the rows on which baselines are counted: of train the first 2,048."""
        if split not in self._known:
            self._known[split] = list(islice(self.examples(split), _MOST_ROWS))
        return self._known[split]

    def majority(self, split: str) -> float:
        """Return the accuracy of the best constant answer; of train, over its first 2,048."""
        return majority_share(example.target for example in self.rows(split))


class Hidden(Game):
    """A game in which one of `count` things, each as likely, is to be named.

    Attributes:
        count: How many things there are.
    """

    count: int

    def chance(self) -> float:
        """Return the accuracy of a random guess in each round, each as likely."""
        return 1 - (1 - 1 / self.count) ** self.rounds

    def blind_accuracy(self, split: str) -> float:
        """Return the accuracy of another guess in each round, none knowing of a response."""
        return min(1.0, self.rounds / self.count)

    def one_round_accuracy(self, split: str) -> float:
        """Return the accuracy of one guess."""
        return 1 / self.count
