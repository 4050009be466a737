"""What a reply says, in plain text: without thoughts, Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_WIDE = str.maketrans("。−“”‘’", ".-\"\"''", "\ufeff\u200b") | {
    wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)
}
_COMMAND = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\{([^{}\n]{0,200})\}")
_BOXED = re.compile(r"\\boxed\{((?:[^{}\n]|\{[^{}\n]{0,60}\}){0,200})\}")
_TAGGED = re.compile(r"<(answer)>\s*([^<>\n]{0,400}?)\s*</answer>", re.IGNORECASE)
_MARKUP = re.compile(r"\\[()\[\],]|[*$`#]")
CUE = re.compile(
    r"\b(?:answer|choice|option|result|solution|conclusion)s?\b"
    r"(?:[^\n.:=;?!]{0,60}?\b(?:is|are|be|equals)\b|\s?[:=]|\s-(?=\s))",
    re.IGNORECASE,
)
FILL = (
    r"(?:[\s:=]|(?i:is|the|option|choice|answer|letter|number|correct|right|most|likely|probably"
    r"|clearly|definitely|therefore|thus|indeed|simply|position|value|statement)\b){0,12}"
)
NOT = r"(?:\b(?i:not|never|nor|neither|isn't|aren't|cannot be)\s(?:(?i:an|a|the|option|choice)\s)?)"
_NUMBER = r"(?<![\w.])-?(?:[0-9]{1,3}(?:,[0-9]{3}){1,6}(?![0-9])|[0-9]+)(?:\.[0-9]+)?(?!\w|\.[0-9])"
# In words, set apart from its number, or as a dash that is none between two numbers.
_MINUS = re.compile(
    r"(?:\b(?:minus|negative) |(?:(?<=[=:(] )|(?<=\bis ))- |(?<![\w–])–)(?=[0-9])", re.IGNORECASE
)
JOIN = (
    r"\s?(?:,\s?)?(?:\bor\b|\band\b|[,/&])\s?"
    r"(?:(?i:maybe|perhaps|possibly|even|option|choice|the)\s){0,3}"
)
_ITEM = re.compile(r"(?:[-*•>]|\d+[.)])\s+\S|[\w'-]+$")
_LIST_CUE = re.compile(
    r"\b(?:sorted|order|list|words|sequence|brackets|parentheses)\b[^\n:]{0,60}:", re.IGNORECASE
)
_READ = 20_000
TWO = ""  # a statement that names two different answers


def spoken(reply: str) -> str:
    """Return the part of a reply that is read: its end, without closed reasoning."""
    return reply[-_READ:].rpartition("</think>")[2]


def clean(reply: str, dressed: re.Pattern[str] | None = None) -> str:
    """Drop Markdown and LaTeX, make a box an explicit statement, collapse spaces in lines.

    What the first group of `dressed` matches is put in parentheses before that.
    """
    text = _COMMAND.sub(r"\1", spoken(reply).translate(_WIDE))
    text = _BOXED.sub(r"\nanswer: \1\n", text)
    text = _TAGGED.sub(r"\n\1: \2\n", text)
    if dressed:
        text = dressed.sub(r" (\1) ", text)
    text = _MARKUP.sub(" ", text)
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(filter(None, lines))


def last_statement(text: str, read: Callable[[str, int], str | None]) -> str | None:
    """Return what the last statement that can be read says; `TWO` if it names two."""
    found = None
    for cue in CUE.finditer(text):
        answer = read(text, cue.end())
        found = found if answer is None else answer
    return found


def first_line(text: str, read: Callable[[str], str | None]) -> str | None:
    """Return what the first line is, if it alone of all lines is nothing but an answer."""
    first, *others = map(read, text.split("\n"))
    return None if first is None or any(line is not None for line in others) else first


def rest_of_line(text: str, start: int) -> str:
    """Return what follows a statement's cue, up to the end of that line."""
    # Bounded, because a reply may hold a cue at every few characters.
    return text[start : start + 1000].lstrip(" :=\n").partition("\n")[0]


def only(answers: Iterable[str]) -> str | None:
    """Return the one answer that is named, None if there are none or several."""
    distinct = set(answers)
    return distinct.pop() if len(distinct) == 1 else None
