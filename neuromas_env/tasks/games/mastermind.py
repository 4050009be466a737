"""Mastermind: the world says how many letters stand right, and how many only elsewhere.

The two numbers are parts, so that two input nodes read one each. The scripted play is
that of Knuth (The computer as Master Mind, 1976): the guess after which, in the worst case, the
fewest codes are left. `rounds` is what it needs for the worst code.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import product

import numpy as np

from neuromas_env.tasks.base import Example, Score
from neuromas_env.tasks.games.base import Hidden
from neuromas_env.tasks.generated import belongs
from neuromas_env.tasks.interactive import Response
from neuromas_env.tasks.readers.grading import grade

_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # without vowels, so that no code is a word
_ASKED = re.compile(r"code of ([0-9]) letters is it\? Its letters are of ([A-Z](?:, [A-Z])+),")


class Mastermind(Hidden):
    """Find a code of letters."""

    variant = "mastermind"
    about = "find a code of letters by what is right in each guess"
    levels = (
        {"letters": 3, "length": 2, "rounds": 3},
        {"letters": 4, "length": 2, "rounds": 4},
        {"letters": 4, "length": 3, "rounds": 4},
        {"letters": 6, "length": 3, "rounds": 5},
        {"letters": 6, "length": 4, "rounds": 5},
    )

    def __init__(self, level: int = 1, seed: int = 0) -> None:
        """Take a level and a seed.

        Raises:
            InputError: There is no such level.
        """
        super().__init__(level, seed)
        self.letters, self.length, self.rounds = self.levels[level - 1].values()
        self.count = self.letters**self.length
        self.answer_format = f"Answer with {self.length} letters only, written together."

    def example(self, split: str, index: int) -> Example:
        """Make item `index` of a split."""
        rng = self.draws(split, index)
        while True:
            letters = [str(x) for x in rng.permutation(list(_LETTERS))[: self.letters]]
            if belongs(split, "".join(letters)):
                code = "".join(map(str, rng.choice(letters, self.length)))
                question = (
                    f"Which code of {self.length} letters is it? Its letters are of "
                    f"{', '.join(letters)}, perhaps more than once."
                )
                return Example(f"{split}/{index}", question, code)

    def score(self, example: Example, reply: str) -> Score:
        """Compare the code that a reply asserts with the hidden one."""
        return grade(reply, example.target, self._read(example.question, reply))

    def _read(self, question: str, reply: str) -> str | None:
        """Return the code that a reader finds, of those that stand in a reply."""
        if not (asked := _ASKED.search(question)):
            return None
        letters = asked[2].replace(", ", "")
        found = re.findall(rf"(?<!\w)[{letters}]{{{asked[1]}}}(?!\w)", reply, re.IGNORECASE)
        codes = tuple(dict.fromkeys(code.upper() for code in found))
        return self.reader.word(reply, codes) if codes else None

    def reply(self, example: Example, actions: tuple[str, ...]) -> Response:
        """Count the letters in the right place, and the others that stand elsewhere."""
        guess = self._read(example.question, actions[-1])
        done = guess == example.target or len(actions) >= self.rounds
        if guess is None:
            parts = ("That is no code.",) * 2
        else:
            right, elsewhere = counts(guess, example.target)
            parts = (f"{guess}: {right} in the right place", f"{guess}: {elsewhere} elsewhere")
        return Response("\n".join(dict.fromkeys(parts)), parts, done=done)

    def play(self, example: Example) -> tuple[str, ...]:
        """Return the guesses of Knuth's strategy."""
        asked = _ASKED.search(example.question)
        assert asked
        letters = asked[2].split(", ")
        codes = ["".join(code) for code in product(letters, repeat=self.length)]
        table = _table(self.letters, self.length)
        target, left = codes.index(example.target), np.arange(self.count)
        guesses: list[int] = []
        while target not in guesses:
            guesses.append(best_guess(self.letters, self.length, tuple(left.tolist())))
            left = left[table[guesses[-1], left] == table[guesses[-1], target]]
        return tuple(codes[guess] for guess in guesses)


def counts(guess: str, code: str) -> tuple[int, int]:
    """Return how many letters of a guess stand in the right place, and how many elsewhere."""
    right = sum(a == b for a, b in zip(guess, code, strict=True))
    common = sum(min(guess.count(letter), code.count(letter)) for letter in set(guess))
    return right, common - right


@lru_cache(maxsize=8)
def _table(letters: int, length: int) -> np.ndarray:
    """Return the response to each guess for each code, int `[codes, codes]`, codes in order."""
    codes = np.array([*product(range(letters), repeat=length)])
    right = (codes[:, None] == codes[None]).sum(-1)
    held = (codes[..., None] == np.arange(letters)).sum(1)
    common = np.minimum(held[:, None], held[None]).sum(-1)
    return right * (length + 1) + common


@lru_cache(maxsize=4096)
def best_guess(letters: int, length: int, left: tuple[int, ...]) -> int:
    """Return the guess that leaves the fewest codes in the worst case.

    Of equal ones it is that which leaves fewer on average, then one that may be the code.

    Args:
        letters: How many there are.
        length: Of a code.
        left: Which codes are possible, by their places in the order of `itertools.product`.
    """
    table, codes = _table(letters, length), np.array(left)
    kinds = (length + 1) ** 2
    cells = table[:, codes] + kinds * np.arange(len(table))[:, None]
    sizes = np.bincount(cells.ravel(), minlength=kinds * len(table)).reshape(-1, kinds)
    impossible = ~np.isin(np.arange(len(table)), codes)
    return int(np.lexsort((impossible, (sizes**2).sum(1), sizes.max(1)))[0])
