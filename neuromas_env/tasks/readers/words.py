"""Reading one of some allowed words out of a reply."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from neuromas_env.tasks.readers.assertion import decide
from neuromas_env.tasks.readers.grading import normalise
from neuromas_env.tasks.readers.marks import MARK, Marks
from neuromas_env.tasks.readers.plain import plain

# "No, ..." is a sentence by itself.
_INTERJECTION = re.compile(
    rf"((?:^|[.!?;:,]\s|\b(?:so|thus|therefore|well)\s){MARK}),\s(?!{MARK})", re.M | re.I
)


def extract_word(reply: str, allowed: Sequence[str]) -> str | None:
    """Return the one of the `allowed` words that a reply asserts, in any case, or None."""
    words = {word.casefold(): word for word in allowed}
    text = plain(reply)
    for whole in (normalise(reply), normalise(text), normalise(text.lstrip("->•+ "))):
        if whole in words:
            return words[whole]
    marks = Marks()
    mark = lambda match: marks.add(words.get(match[0].casefold(), match[0]))  # noqa: E731
    text = _pattern(tuple(words.values())).sub(mark, text)
    return decide(_INTERJECTION.sub(r"\1. ", text), marks)


@lru_cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(_literal, sorted(words, key=len, reverse=True))))


def _literal(word: str) -> str:
    # What would go on in signs is another word: "C" is none in "C++".
    after = r"(?![\w+#]|\s?[-'](?=\w)| that\b)"
    if word.casefold() == "no":  # belongs to the next word: "there is no way"
        after += r"(?! (?!because\b|since\b|and\b|or\b)\w)"
    # A letter in lower case may be a word of the language.
    return rf"(?<![\w-])(?<!\w')(?{'' if len(word) == 1 else 'i'}:{re.escape(word)}){after}"
