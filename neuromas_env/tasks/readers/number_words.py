"""Numbers in English words, such as `three hundred and five`.

Own, because word2number reads "one or two" as 3, number-parser reads "second" as 2, and
text2num is a compiled extension.
"""

from __future__ import annotations

import re

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_SMALL = {word: value for value, word in enumerate(_ONES)}
_SMALL |= {word: 10 * value for value, word in enumerate(_TENS, 2)}
SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

_SMALL_WORD, _SCALE = "|".join([*_TENS, *reversed(_ONES)]), "|".join(SCALES)
WORDS = re.compile(
    rf"\b(minus |negative )?((?:{_SMALL_WORD})(?:(?:[ -]|(?<=hundred) and |(?<=thousand) and )"
    rf"(?:{_SMALL_WORD}|{_SCALE})\b){{0,20}})(?![\w-])",
    re.IGNORECASE,
)


def value_of(words: str) -> int | None:
    """Return the value of some number words, None if they do not make one number."""
    total = current = 0
    ceiling = 10**15  # each part must be smaller than what the one before leaves room for
    room = 100
    for word in re.split(r"[ -]", words.lower()):
        if word == "and":
            continue
        if word in _SMALL:
            small = _SMALL[word]
            if small >= room or (current % 10 and small) or (current % 100 and small >= 10):
                return None
            current, room = current + small, 10 if small >= 20 else 1
        elif word == "hundred":
            if not 0 < current < 100:
                return None
            current, room = current * 100, 100
        else:
            scale = SCALES[word]
            if not current or scale >= ceiling:
                return None
            total, current, ceiling, room = total + current * scale, 0, scale, 100
    return total + current
