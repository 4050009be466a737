"""Marks: single characters that stand in a text for the answers mentioned there."""

from __future__ import annotations

# Halves of a private plane, whose characters no text that is read has.
TEXT, LABEL = "[\U000f0000-\U000f7fff]", "[\U000f8000-\U000ffffd]"
MARK = "[\U000f0000-\U000ffffd]"
GAP = r"[^\w\U000f0000-\U000ffffd]"  # neither word nor mark
TWO = ""  # names two different answers


class Marks:
    """The mentions in a text: each mark stands for an answer.

    Attributes:
        values: Mark to its answer, `TWO` for a mention of two.
        weak: Those that count only where a statement is made of them.
        asides: Those that count only where nothing else is mentioned.
    """

    def __init__(self) -> None:
        """Start without any."""
        self.values: dict[str, str] = {}
        self.weak: set[str] = set()
        self.asides: set[str] = set()

    def add(self, value: str, weak: bool = False, label: bool = False) -> str:
        """Return a new mark, one of `LABEL` if asked for."""
        mark = chr((0xF8000 if label else 0xF0000) + len(self.values))
        self.values[mark] = value
        if weak:
            self.weak.add(mark)
        return mark

    def __getitem__(self, mark: str) -> str:
        """Return the answer of a mark."""
        return self.values[mark]
