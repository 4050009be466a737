"""The forms in which answers are compared, and the score that a comparison gives."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

from neuromas_env.tasks.readers.characters import plain_characters
from neuromas_env.tasks.readers.later import later
from neuromas_env.tasks.reply import Score

_without_markup = later("plain:without_markup")
_SINGLE = re.compile(r"\(?\s?(\w)\s?\)")
_LISTED = re.compile(r"^[ \t]*(?:[-*•>]|\(?(?:\d+|[a-z])[.)])\s+", re.MULTILINE)
_SEPARATOR = re.compile(r"[\s,;|\[\]\"→<>]+|->")
_LAST_ITEM = re.compile(r",? and (?=[^,]*$)")


def normalise(text: str) -> str:
    """Return the form in which the strict score compares a whole reply with the target.

    White space is collapsed, case folded, a final period and surrounding quotes
    dropped, and a single character loses its parentheses: `(B)`, `b)` and `"B".`
    are `b`. Nothing else changes, so brackets that are an answer stay.
    """
    text = " ".join(text.split()).casefold()
    text = text.rstrip(". ").strip("\"'`“”‘’").rstrip(". ")
    single = _SINGLE.fullmatch(text)
    return single[1] if single else text


def grade(
    reply: str, target: str, found: str | None, form: Callable[[str], str] = normalise
) -> Score:
    """Make the score of a reply from the answer that was found in it.

    Args:
        reply: The whole reply; compared with the target for the strict score.
        target: The gold answer.
        found: The extracted answer, None if there is none.
        form: Brings found answer and target into the form in which they are compared.
    """
    strict = float(normalise(reply) == normalise(target))
    if strict and reply.strip() and (found is None or form(found) != form(target)):
        found = target  # a row whose target is no answer of its kind, such as a missing option
    if found is None:
        return Score(strict, 0.0, "unparsable" if reply.strip() else "no_answer")
    right = form(found) == form(target)
    return Score(strict, float(right), "ok" if right else "wrong", found)


def majority_share(targets: Iterable[str]) -> float:
    """Return the accuracy of the best constant answer, 0 if there are no targets."""
    counts = Counter(targets)
    return max(counts.values()) / counts.total() if counts else 0.0


def list_form(text: str) -> str:
    """Return the form in which free text is compared: its words in order, `normalise`d.

    What separates words is dropped: white space, commas, semicolons, bars, arrows, quotes,
    square brackets, numbers or bullets before lines, Markdown's emphasis, and the "and" before
    the last of several items. Where there is no letter or digit at all, as in closing brackets,
    only spaces and commas are dropped.
    """
    if not any(c.isalnum() for c in text):
        return "".join(normalise(text.replace(",", " ")).split())
    if re.match(r"\s*1[.)]\s", text):
        text = re.sub(r"(?<!\S)\d{1,3}[.)]\s", " ", text)
    text = normalise(_LISTED.sub(" ", _without_markup(plain_characters(text))))
    if "," in text:
        text = _LAST_ITEM.sub(", ", text)
    words = _SEPARATOR.split(text)
    return " ".join(filter(None, (word.strip("'") for word in words)))
