"""Clauses: what a reply's sentences are made of, and whether each asserts anything."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from neuromas_env.tasks.readers import lexicon
from neuromas_env.tasks.readers.marks import MARK

_MARK = re.compile(MARK)
# More clauses are not read, nor more of a sentence than its end.
_MOST, LONGEST = 600, 2_000


@dataclass(frozen=True)
class Clause:
    """A part of a sentence.

    Attributes:
        text: Without the connectives' commas.
        asserts: False for questions, suppositions and reports.
        corrects: Whether it takes back what was said before.
        whole: Whether it is a sentence by itself, or concludes one ("so 18").
    """

    text: str
    asserts: bool = True
    corrects: bool = False
    whole: bool = True


def denies(text: str, verb: int = 0, complement: int = LONGEST) -> bool:
    """Return whether a clause denies what it says.

    Args:
        text: The clause.
        verb: Where its verb begins.
        complement: Where what it says begins, in which words such as "without" deny nothing.
    """
    forward, backward = lexicon.DENIES_NEXT, lexicon.DENIES_LAST
    return bool(forward.search(text, 0, complement) or backward.search(text, verb))


def clauses(text: str, cut: re.Pattern[str] = lexicon.CLAUSE) -> list[Clause]:
    """Cut a text into clauses and say of each whether it asserts anything."""
    found: list[Clause] = []
    pending = False  # "Wait." or "Sorry, I made a mistake." speaks of what follows
    sentences = [s[-LONGEST:] for s in lexicon.SENTENCE.split(text) if s and not s.isspace()]
    if len(sentences) > _MOST:
        sentences = [*sentences[:9], *sentences[9 - _MOST :]]
    for sentence, after in zip(sentences, [*sentences[1:], ""], strict=False):
        asked = sentence.rstrip("\"') ").endswith("?") and not lexicon.AFFIRMS.match(after)
        if lexicon.REPORTS.search(sentence):
            sentence = lexicon.SPEECH.sub(" ", sentence)
        supposed = reported = False
        parts = cut.split(lexicon.ONLY_LOOKS_LIKE_DENIAL.sub(" indeed ", sentence))
        parts = [part for part in parts if part]
        for number, part in enumerate(parts):
            concludes = bool(lexicon.SO_OR_BUT.match(part))
            supposed = supposed and not concludes
            reported = reported and bool(lexicon.GOES_ON.match(part))
            if lexicon.IF.match(part):
                supposed = True
                if number and not concludes:  # "..., if ..." makes what it follows conditional
                    found[-1] = replace(found[-1], asserts=False)
            reported = reported or bool(lexicon.REPORTS.search(part))
            asserts = not (asked or supposed or reported or lexicon.SUPPOSES.search(part))
            corrects = pending or bool(lexicon.CORRECTS.match(part))
            found.append(Clause(part, asserts, corrects, len(parts) == 1 or concludes))
            pending = corrects and not _MARK.search(part) and len(part) < 60
    return found
