"""Guess a number: the world answers a wrong guess with higher or lower.

Halving finds one of `2^k - 1` numbers with k guesses, and nothing finds one of more: k guesses
with these responses make a tree of at most `2^k - 1` guesses, each right for one number.
"""

from __future__ import annotations

import re

from neuromas_env.tasks.base import Example
from neuromas_env.tasks.games.base import Hidden
from neuromas_env.tasks.generated import belongs
from neuromas_env.tasks.interactive import Response
from neuromas_env.tasks.readers import Form

_LOWEST = range(1, 91)
_LISTED = 7  # small models name one of listed numbers more often than one of a range
_INTEGER = re.compile("-?[0-9]{1,9}")


class Guess(Hidden):
    """Find the number of a range."""

    variant = "guess"
    about = "find a number by halving what is left"
    levels = tuple({"numbers": 2**k - 1, "rounds": k} for k in range(2, 8))
    answer_format = "Answer with the number only."
    answer_form = Form("number")

    def __init__(self, level: int = 1, seed: int = 0) -> None:
        """Take a level and a seed.

        Raises:
            InputError: There is no such level.
        """
        super().__init__(level, seed)
        self.count, self.rounds = self.levels[level - 1].values()

    def example(self, split: str, index: int) -> Example:
        """Make item `index` of a split."""
        rng = self.draws(split, index)
        while True:
            low = int(rng.choice(_LOWEST))
            question = f"Which number is it{self._range(low)}?"
            if belongs(split, question):
                number = low + int(rng.integers(self.count))
                return Example(f"{split}/{index}", question, str(number), extra={"low": low})

    def _range(self, low: int) -> str:
        numbers = [str(number) for number in range(low, low + self.count)]
        if len(numbers) > _LISTED:
            return f", from {numbers[0]} to {numbers[-1]}"
        return f": {', '.join(numbers[:-1])} or {numbers[-1]}"

    def reply(self, example: Example, actions: tuple[str, ...]) -> Response:
        """Say whether the number is the last one named, higher or lower."""
        said = self.reader.number(actions[-1]) or ""
        done = said == example.target or len(actions) >= self.rounds
        if not _INTEGER.fullmatch(said):
            return Response("That is no number.", done=done)
        if said == example.target:
            return Response(f"{said} is right.", done=done)
        where = "higher" if int(example.target) > int(said) else "lower"
        return Response(f"It is {where} than {said}.", done=done)

    def play(self, example: Example) -> tuple[str, ...]:
        """Return the guesses of halving."""
        low, number = example.extra["low"], int(example.target)
        high, guesses = low + self.count - 1, list[int]()
        while number not in guesses:
            guesses.append((low + high) // 2)
            low, high = (low, guesses[-1] - 1) if number < guesses[-1] else (guesses[-1] + 1, high)
        return tuple(map(str, guesses))
