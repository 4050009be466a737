"""Questions that a task makes itself, each from its split and number when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import overload

import numpy as np

from neuromas_env.errors import InputError, unknown
from neuromas_env.tasks.base import SPLITS, Example, Task

SIZES = {"train": 100_000, "validation": 512, "test": 512}
"""Questions of each split."""


class Generated(Task):
    """A task that implements `example`, which makes a question of its split and number.

    Attributes:
        seed: Another seed gives other questions.
    """

    seed: int = 0

    def example(self, split: str, index: int) -> Example:
        """Make item `index` of a split, with the id `split/index`."""
        raise NotImplementedError

    def examples(self, split: str) -> Sequence[Example]:
        """Return 100,000 train, 512 validation or 512 test questions, made on access.

        Raises:
            InputError: There is no such split.
        """
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        return _Items(self, split)

    def find(self, split: str, id: str) -> int:
        """Return the index in an id such as `train/57`.

        Raises:
            InputError: The split has no such id.
        """
        count, (start, _, number) = len(self.examples(split)), id.partition("/")
        if start == split and number.isdecimal():
            index = int(number[:9])
            if index < count and id == f"{split}/{index}":
                return index
        raise InputError(
            f"task {self.name} has no example {id!r} in its {split} split, "
            f"only {split}/0 to {split}/{count - 1}"
        )

    def draws(self, split: str, index: int) -> np.random.Generator:
        """Return the random stream of an item."""
        number = SPLITS.index(split)
        return np.random.default_rng(np.random.SeedSequence([self.seed, number, index]))


def belongs(split: str, text: str) -> bool:
    """Whether a question of this text is of a split: half of all texts are train's, by a hash."""
    byte = blake2b(text.encode(), digest_size=1).digest()[0]
    return (0, 0, 1, 2)[byte % 4] == SPLITS.index(split)


class _Items(Sequence[Example]):
    """Examples that are made when they are asked for."""

    def __init__(self, task: Generated, split: str) -> None:
        self._task, self._split, self._indices = task, split, range(SIZES[split])

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        wanted = self._indices[index]
        if isinstance(wanted, int):
            return self._task.example(self._split, wanted)
        return [self._task.example(self._split, i) for i in wanted]
