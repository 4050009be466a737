"""Reading one of some allowed words out of a reply."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from neuromas_env.tasks.readers.grading import normalise
from neuromas_env.tasks.readers.plain import (
    FILL,
    JOIN,
    NOT,
    TWO,
    clean,
    first_line,
    last_statement,
    only,
)


def extract_word(reply: str, allowed: Sequence[str]) -> str | None:
    """Return the one of the `allowed` words that a reply gives, in any case, or None."""
    words = {word.casefold(): word for word in allowed}
    if (whole := normalise(reply)) in words:
        return words[whole]
    text, patterns = clean(reply), _word_patterns(tuple(words))

    def read(text: str, start: int) -> str | None:
        match = patterns[0].match(text, start)
        if not match:
            return None
        first = words.get(match[1].casefold())
        return TWO if match[2] and words.get(match[2].casefold()) != first else first

    stated = last_statement(text, read)
    if stated is None:
        stated = first_line(text, lambda line: words.get(normalise(line)))
    if stated is None:
        mentions = (m for m in patterns[1].finditer(text) if not m["negated"])
        stated = only(words.get(match["word"].casefold(), "") for match in mentions)
    return stated or None


@lru_cache
def _word_patterns(words: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    # A "no" before a word belongs to that word: "there is no way".
    names = [re.escape(word) + (r"(?! (?!because\b|since\b)\w)" * (word == "no")) for word in words]
    one = rf"(?<!\w)(?:{'|'.join(names)})(?!\w)"
    stated = rf"{FILL}[(\"']?({one})(?:{JOIN}({one}))?"
    mention = rf"(?P<negated>{NOT})?(?P<word>{one})"
    return re.compile(stated, re.IGNORECASE), re.compile(mention, re.IGNORECASE)
