"""Lewis signalling: one node is shown a symbol, another must say which.

The smallest task in which a message is necessary. All splits hold the same
symbols, since there is nothing to generalise: it is an instrument for testing
learners, not a benchmark. A constant or a random answer scores 1 / symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase

from neuromas_env.errors import unknown
from neuromas_env.tasks.base import SPLITS, Example, Task
from neuromas_env.tasks.names import check_int, full_name
from neuromas_env.tasks.readers import Form


class Signal(Task):
    """Say which letter the node with the part was shown."""

    answer_format = "Answer with the letter only."
    max_new_tokens = 4
    disjoint = False

    def __init__(self, symbols: int = 4) -> None:
        """Take so many letters.

        Args:
            symbols: How many different letters can be shown, 2 to 26.

        Raises:
            InputError: `symbols` is out of range.
        """
        check_int("signal", "symbols", symbols, 2, len(ascii_uppercase))
        self.name = full_name("signal", {"symbols": symbols}, {"symbols": 4})
        self.symbols = ascii_uppercase[:symbols]
        self.answer_form = Form(
            "choice", options=tuple(zip(self.symbols, self.symbols, strict=True))
        )

    def examples(self, split: str) -> Sequence[Example]:
        """Return one example for each symbol."""
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        query = "Which symbol was shown?"
        options = tuple(zip(self.symbols, self.symbols, strict=True))
        return [
            Example(f"{split}/{s}", f"{query}\n{s}", s, parts=(s,), query=query, options=options)
            for s in self.symbols
        ]

    def majority(self, split: str) -> float:
        """Return 1 / symbols."""
        return 1 / len(self.examples(split))

    def blind_accuracy(self, split: str) -> float:
        """Return 1 / symbols: without a message the output node can only guess."""
        return self.majority(split)
