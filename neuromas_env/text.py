"""Text of others, brought into a known form: for the program and for a terminal."""

from __future__ import annotations

import re
import unicodedata

from rich.console import Console
from rich.text import Text

_SURROGATE = re.compile("[\ud800-\udfff]")
# Emoji and several scripts need the two joiners; no other format character has a shape.
_SHOWN = frozenset("\n\t\u200c\u200d")
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))


def valid(text: str) -> str:
    """Replace lone surrogates, which no file, tokenizer or server takes, by U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def visible(text: str) -> str:
    r"""Show what a terminal would obey: `\x1b` for escapes, `\u202e` for an override of direction.

    Characters of control and format become Python's escapes, line breaks, tabs and the two
    joiners excepted. A text without them is unchanged.
    """
    return "".join(_escaped(char) for char in text)


def cell(text: str) -> Text:
    """Return a text for a cell of a terminal's table: as it is, whatever markup it holds."""
    return Text(visible(text))


def say(console: Console, text: str) -> None:
    """Print a line that may hold text of others: no markup, no codes, no escapes are obeyed."""
    console.print(visible(text), markup=False, emoji=False, highlight=False, soft_wrap=True)


def _escaped(char: str) -> str:
    if char in _SHOWN or unicodedata.category(char) not in _HIDDEN:
        return char
    return char.encode("unicode_escape").decode()
