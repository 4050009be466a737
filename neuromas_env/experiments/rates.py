"""Which learning rate an arm gets: the same grid for all, judged on validation questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from neuromas_env.errors import InputError


def choose(scores: Mapping[float, Sequence[float]]) -> float:
    """Return the rate with the best mean validation score, the smaller one of equals.

    Args:
        scores: Rate to the scores of its pilots, on validation questions alone.

    Raises:
        InputError: There are no scores.
    """
    if not scores or not all(scores.values()):
        raise InputError("a learning rate is chosen from validation scores of every rate")
    return min(scores, key=lambda rate: (-sum(scores[rate]) / len(scores[rate]), rate))
