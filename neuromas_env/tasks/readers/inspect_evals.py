r"""The rules by which inspect_evals 0.26.0 scores replies, with inspect_ai 0.3.285.

| answers | evaluation | its scorer |
| --- | --- | --- |
| choice | `arc`, `mmlu`, `bbh` | `choice()` after `multiple_choice()`: the last line `ANSWER: B` |
| number | `gsm8k` | `match(numeric=True)`: the last word that is a number, to five digits |
| word | `bbh`, binary choice | `answer("word")`: what follows the last `ANSWER:` |
| text | `bbh`, exact match, Dyck | `match(location="end")`: the reply ends with the gold answer |

These scorers belong to prompts that ask for a line `ANSWER: ...`. Prompts here do not, so in
replies to them choices and words are seldom found. Options count by their place: the second
one is B, whatever its label. A text is the whole reply.

Two things differ. BBH's tables of numbers are read by the rule of `gsm8k`; there, a number
need only end with the right digits. And numbers are written in digits (of any script) here;
the package also reads Chinese numerals, vulgar fractions and superscripts.
"""

from __future__ import annotations

import math
import re
import string
import unicodedata
from string import ascii_uppercase

from neuromas_env.tasks.readers.form import Options, Reader

_READ = 20_000  # characters, as many as a message may have

# The package's patterns, some in another form of the same meaning: there, neighbouring parts
# can match the same spaces, which takes quadratic or cubic time.
_DRESSED = [
    (re.compile(rf"{mark}\s*([A-Za-z\d](?:[A-Za-z\d ,]*[A-Za-z\d,])?)\s*{mark}"), r"\1")
    for mark in (r"\$", r"\*\*")
] + [(re.compile(r"(?i)(^|[:,])(\s*)\(([A-Za-z\d])\)(?=\s*(?:,|\.|\n|\Z))"), r"\1\2\3")]
_LINE = re.compile(
    r"(?im)^ANSWER\s*+:(?:\s*+([A-Za-z\d,][A-Za-z\d ,]*+)(?=\s*(?:$|\.))"
    r"|(?=[^\S ]*+ )(?:\s*+(?=\Z|\.)|[^\S ]*+ [^\S\n]*+\n))"  # spaces alone are an answer, too
)
_ANYWHERE = re.compile(r"(?i)ANSWER\s*:\s*([A-Za-z\d ,]+)(?:[^\w]|\n|$|\.)")
_CUE = re.compile(r"(?i)ANSWER\s*:\s*")
_WORD = re.compile(r"(?is)(\S+?)(?=[.,;:!?]?\s*(?:\n|$))(?!.*ANSWER\s*:)")
_SIGNS = str.maketrans("−﹣－＋﹢", "---++", "，﹐、٬'’ʼ＇")
_EDGES = string.whitespace + string.punctuation


def _choice(reply: str, options: Options) -> str | None:
    text = reply[-_READ:]
    for pattern, bare in _DRESSED:
        text = pattern.sub(bare, text)
    named = _LINE.findall(text) or _ANYWHERE.findall(text) or [""]
    letters = [part for part in named[-1].strip().upper().split(",") if part]
    labels = dict(zip(ascii_uppercase, (label for label, _ in options), strict=False))
    return labels.get(letters[0]) if len(letters) == 1 else None


def _number(reply: str) -> str | None:
    text = re.sub(r"\\([$,£€*_])", r"\1", reply[-_READ:].strip().casefold())
    text = re.sub(r"\.(?=\s|$|\D)", "", re.sub(r"[$,£€*_]", "", text))
    return next(filter(None, map(_digits, reversed(re.split(r"\s+", text)))), None)


def _digits(word: str) -> str | None:
    """Return a number to five significant digits, None for other words."""
    word = word.strip("!?:;()[]{}'\"`")
    for read in (float, _foreign):
        try:
            value = read(word)
        except ValueError:
            continue
        if math.isfinite(value):
            return format(value, ".5g")
    return None


def _foreign(word: str) -> float:
    word = word.translate(_SIGNS)
    bare = word.lstrip("+-")
    sign = (-1) ** word[: len(word) - len(bare)].count("-")
    return sign * (unicodedata.numeric(bare) if len(bare) == 1 else float(bare))


def _word(reply: str, words: tuple[str, ...]) -> str | None:
    reply = reply[-_READ:]
    cues = list(_CUE.finditer(reply))
    if not cues:
        return None
    before = reply[: cues[-1].start()]
    # The last cue counts, unless an earlier one is part of the same word.
    glued = bool(before) and not before[-1].isspace()
    start = len(before) - len(before.split()[-1]) if glued else len(before)
    first = next(cue for cue in cues if cue.end() >= start)
    found = _WORD.match(reply, first.end()) or _WORD.match(reply, cues[-1].end())
    return found[1] if found else None


def _text(reply: str, gold: str | None = None) -> str | None:
    return reply[-_READ:].strip() or None


def _same(kind: str, found: str, target: str) -> bool:
    if kind == "number":
        return found == _number(target)
    if kind != "text":
        return found.lower() == target.strip().lower()
    wanted = target if any(map(str.isalnum, target)) else f"ANSWER: {target}"
    return found.casefold().strip(_EDGES).endswith(wanted.casefold().strip(_EDGES))


INSPECT = Reader("inspect", "evals 0.26.0", _choice, _number, _word, _text, _same)
