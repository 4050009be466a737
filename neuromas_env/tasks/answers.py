r"""Reading an answer out of a reply: extract one answer, then compare for equality.

Nothing is scored by substring or suffix, and a reply from which exactly one
answer cannot be read earns nothing. All readers follow the same order:

1. A reply that is nothing but an answer is that answer.
2. The last explicit statement ("the answer is ...", `\boxed{...}`, "... is correct")
   wins over everything else; a statement that names two answers is none.
3. Otherwise an answer that has the first line for itself counts, and else all mentions in
   the reply must be of the same answer. What follows a "not" is no mention, nor is what is
   called wrong.

What stands before a closing `</think>` is not read. Every reader takes any text (NUL, lone
surrogates, megabytes). A reply that is more than its answer is read in its last 20,000
characters only, so that none costs much time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import takewhile

from neuromas_env.tasks.base import Score

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
_LISTED = re.compile(r"^[ \t]*(?:[-*•>]|\d+[.)])\s+", re.MULTILINE)
_SEPARATOR = re.compile(r"[\s,;|\[\]\"“”→]+|->")
_LIST_CUE = re.compile(
    r"\b(?:sorted|order|list|words|sequence|brackets|parentheses)\b[^\n:]{0,60}:", re.IGNORECASE
)
_SINGLE = re.compile(r"\(?\s?(\w)\s?\)")
_READ = 20_000
TWO = ""  # a statement that names two different answers


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
    if found is None:
        return Score(strict, 0.0, "unparsable" if reply.strip() else "no_answer")
    right = form(found) == form(target)
    return Score(strict, float(right), "ok" if right else "wrong", found)


def majority_share(targets: Iterable[str]) -> float:
    """Return the accuracy of the best constant answer, 0 if there are no targets."""
    counts = Counter(targets)
    return max(counts.values()) / counts.total() if counts else 0.0


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


def extract_number(reply: str) -> str | None:
    """Return the number that a reply gives, such as `-35`, or None.

    Thousands commas, a plus sign, leading zeros and trailing zeros of a fraction are
    dropped. Besides statements about an answer, "= 57" or "is 57" at the very end counts.
    """
    text = _MINUS.sub("-", clean(reply))

    def read(text: str, start: int) -> str | None:
        pattern = rf"{FILL}\+?({_NUMBER})(?:(?:{JOIN}| )({_NUMBER}))?"
        match = re.compile(pattern).match(text, start)
        if not match:
            return None
        first, second = _number(match[1]), _number(match[2] or match[1])
        return first if first == second else TWO

    stated = last_statement(text, read)
    if stated is None:
        closing = re.search(rf"(?:\bis|\bare|\bequals|[=:])\s?({_NUMBER})\W*$", text[-200:])
        stated = _number(closing[1]) if closing else None
    if stated is None:
        stated = first_line(text, lambda line: re.fullmatch(_NUMBER, line) and _number(line))
    if stated is None:
        stated = only(_number(match[0]) for match in re.finditer(_NUMBER, text))
    return stated or None


def _number(text: str) -> str:
    # Not int(): it refuses more than 4,300 digits.
    sign = "-" if text.startswith("-") else ""
    whole, _, fraction = text.lstrip("-").replace(",", "").partition(".")
    fraction = fraction.rstrip("0")
    value = (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")
    return value if value == "0" else sign + value


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


def extract_text(reply: str) -> str | None:
    """Return a free-form answer: the last box or statement, else the whole reply.

    A statement is read to the end of its line, or to the end of the list that it announces:
    lines of one word, or with a number or a bullet before them.
    """
    _, box, after = _COMMAND.sub(r"\1", spoken(reply)).rpartition("\\boxed{")
    # Up to the last brace of the line, since braces may be what is answered.
    inner, brace, _ = after.partition("\n")[0].rpartition("}")
    if box and brace:
        return re.sub(r"\\([{}])", r"\1", inner).strip() or None
    text = clean(reply)

    def read(text: str, start: int) -> str | None:
        lines = text[start : start + 2000].lstrip(" :=\n").split("\n")
        return "\n".join(takewhile(_ITEM.match, lines)) or lines[0] or None

    stated = last_statement(text, read)
    if stated is None:
        for cue in _LIST_CUE.finditer(text):
            stated = read(text, cue.end()) or stated
    return stated or text or None


def list_form(text: str) -> str:
    """Return the form in which free text is compared: its words in order, `normalise`d.

    What separates words is dropped: white space, commas, semicolons, bars, arrows, quotes,
    square brackets, and numbers or bullets before lines. Where there is no letter or digit
    at all, as in closing brackets, only spaces and commas are dropped.
    """
    if not any(c.isalnum() for c in text):
        return "".join(normalise(text.replace(",", " ")).split())
    words = _SEPARATOR.split(normalise(_LISTED.sub(" ", text)))
    return " ".join(filter(None, words))
