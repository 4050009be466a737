"""Text of others, brought into a known form: for the program, and for a terminal."""

from __future__ import annotations

import re
import unicodedata

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


def _escaped(char: str) -> str:
    if char in _SHOWN or unicodedata.category(char) not in _HIDDEN:
        return char
    return char.encode("unicode_escape").decode()
