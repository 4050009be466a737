"""Seeds of parts from the seed of the whole, and the streams of random numbers of a run."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a number after a run's seed stands for, so that no two things draw the same numbers."""

    ADAPTERS = 0
    EPISODES = 1
    QUESTIONS = 2
    TORCH = 3
    GROWTH = 4
    REPLAY = 17


class TableStream(IntEnum):
    """The same for studies of discrete networks; `DiscreteOptions.stream` is another."""

    ROWS = 2
    START = 3
    SAMPLES = 5
    CHANGE = 6


def derive_seed(seed: int, *keys: int) -> int:
    """Derive the seed of a part from the seed of the whole (numpy `SeedSequence`)."""
    return int(np.random.SeedSequence([seed, *keys]).generate_state(1, np.uint64)[0] >> 1)
