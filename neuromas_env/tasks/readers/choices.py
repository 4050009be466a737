"""Reading the label of a multiple-choice option out of a reply."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from neuromas_env.tasks.readers.assertion import decide
from neuromas_env.tasks.readers.grading import normalise
from neuromas_env.tasks.readers.lexicon import CUE, FILL, NOUN
from neuromas_env.tasks.readers.marks import LABEL, MARK, TEXT, TWO, Marks
from neuromas_env.tasks.readers.plain import plain

# Words after which a bare letter is an answer; after others it is a name ("vitamin C").
_BEFORE = (
    "is|be|it|it's|that's|ist|est|es|la|dass|chooses?|chose|choosing|pick|picked|picking|select|selected"
    "|selecting|say|think|guess|believe|mean|meant|answered|get|got|gives|yields|obtain|leaves"
    "|and|or|nor|neither|either|both|so|thus|therefore|hence|ergo|then|also|with|probably|maybe"
    "|likely|definitely|perhaps|actually|fact|no|wait|sorry|only|but|however|although|though"
    "|whereas|yet|because|since|while|if|when|that|than|not|isn't|rather|except|unlike|out|of|for"
    "|eliminate|exclude|reject|discard|doubt|consider|check|test|try|between|versus|vs"
    "|to|toward|towards|sino|sondern|mais|bensì|sim|а"
)
# "Vitamin C is healthy" tells something of it; "Jupiter is the largest" says which one it is.
_DESCRIBED = re.compile(
    rf"({TEXT})\s(?:is|are|was|were)\s(?!(?:\w+ ){{0,3}}(?:the|my|your|correct|right|true)\b)"
)
_BESIDE = re.compile(
    rf"\(?(?P<label>{LABEL})(?P<between>[).:,]{{0,2}} ?(?:[-(:=] ?)?[\"']?|\n)"
    rf"(?P<text>{TEXT})[\"')]{{0,2}}"
    rf"|(?P<before>{TEXT})[\"']?,? ?(?:[-:] ?|\(|(?:option|choice|answer) ?){{1,2}}"
    rf"(?P<after>{LABEL})\)?"
)
_GOES_ON = re.compile(
    rf"\s(?:is|are|was|were|would|can|could|does|has|cannot|can't)\b|,? (?:and |or )?{MARK}"
)
_PREFIX = re.compile(r"A:\s(?=(?i:the (?:\w+ )?answer\b)|\(?[A-Z]\)?[.):])")  # "Q: ... A: ..."
_BULLET = re.compile(r"^[-*•+] (?=\S)", re.MULTILINE)
_NONE = re.compile(r"\bn/a\b", re.IGNORECASE)
_GROUPING = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_FEWEST_LETTERS = 3  # of an option's text that counts in the middle of a sentence


def extract_choice(reply: str, options: Sequence[tuple[str, str]]) -> str | None:
    r"""Return the label of the option that a reply asserts, or None.

    Labels are read in every usual dress: `B`, `b`, `(B)`, `**B**`, `$B$`, `\boxed{B}`,
    `B) text`, "option B". An option's own text counts as its label does, unless two options
    share it; label and text of different options are two answers. Inside a sentence a bare label
    counts in its own case only and where it cannot be a word, part of a name or a quantity.

    Args:
        reply: Any text.
        options: `(label, text)` of each option.
    """
    labels = {label.casefold(): label for label, _ in options}
    if (whole := normalise(reply)) in labels:
        return labels[whole]
    texts = _texts(tuple(options))
    text = _BULLET.sub("", plain(reply, letters=True))
    text = _NONE.sub("none", _GROUPING.sub("", text))
    if prefix := _PREFIX.match(text):
        text = text[prefix.end() :]
    for whole in (normalise(text), normalise(text.lstrip("->•(+ "))):
        if whole in labels or whole in texts:
            return labels.get(whole) or texts[whole] or None
    marks, patterns = Marks(), _patterns(tuple(labels.values()))
    text = _mark_texts(text, texts, marks)

    def stated(match: re.Match[str]) -> str:
        name = match[match.lastindex or 0]
        return match[0].removesuffix(name) + marks.add(labels[name.casefold()], label=True)

    def single(match: re.Match[str]) -> str:
        label = labels[match[0].casefold()]
        named = _is_label(text, match, label == match[0])
        return marks.add(label, label=True) if named else match[0]

    text = patterns.stated.sub(stated, text)
    text = patterns.single.sub(single, text)
    text = _join(text, marks)
    marks.weak |= {match[1] for match in _DESCRIBED.finditer(text)}
    return decide(text, marks)


@lru_cache(maxsize=4096)  # a question is answered many times
def _texts(options: tuple[tuple[str, str], ...]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for label, text in options:
        form = normalise(_GROUPING.sub("", plain(text, letters=True)))
        texts[form] = TWO if form in texts else label
    return texts


def _mark_texts(text: str, texts: dict[str, str], marks: Marks) -> str:
    """Put a mark for each option's text, the longest first."""
    labels = {label.casefold() for label in texts.values()}
    for form in sorted(filter(None, texts.keys() - labels), key=len, reverse=True):
        weak = sum(map(str.isalpha, form)) < _FEWEST_LETTERS
        mark = partial(marks.add, texts[form], weak)
        text = _literal(form, weak).sub(lambda _, mark=mark: mark(), text)  # type: ignore[misc]
    return text


@lru_cache(maxsize=4096)
def _literal(form: str, weak: bool) -> re.Pattern[str]:
    words = r"\s".join(map(re.escape, form.split()))
    if weak:  # only where a statement ends with it: "3" is no answer in "3 legs"
        before, after = (
            r"(?:(?<=[=:]\s)|(?<=\bis\s)|(?<=\bbut\s)|(?<=comes to\s)|(?<![^\n]))",
            r"\s?(?:$|[.!?;,)]|because\b)",
        )
    else:
        before, after = r"(?<!\w)", r"(?!\w)"
    return re.compile(f"{before}{words}(?={after})", re.IGNORECASE | re.MULTILINE)


def _join(text: str, marks: Marks) -> str:
    """Make one mark of a label beside an option's text; of two options if they differ."""

    def join(match: re.Match[str]) -> str:
        label, named = match["label"] or match["after"], match["text"] or match["before"]
        if marks[named] in (marks[label], TWO):
            return marks.add(marks[label], label=True) + " "
        # "C, Mars is too small": a sentence of its own follows.
        apart = match["label"] and (
            match["between"].startswith((",", "\n")) or _GOES_ON.match(text, match.end())
        )
        return match[0] if apart else marks.add(TWO)

    return _BESIDE.sub(join, text)


_ALONE = re.compile(r"(?![\w'-]|\s?[=^+*<≈])")
_ENDS = re.compile(
    r"[)\],;:!?\"'/&—]|\.(?!\w)|\s?$|\n|\s(?:or|and|because|since|but|so)\b|\s[-(—✅✓❌]"
)
_ENDS_LINE = re.compile(r"[.:](?!\w)|$|\n")
_NOUN = re.compile(rf"\b(?:{NOUN})s?\s\(?$", re.IGNORECASE)
_STARTS = re.compile(
    rf"(?:^|\n|(?:[.!?:;,/&\"—(=>→⇒✅✓❌]|{MARK})\s?|\b[A-Z]\s|\b(?i:{_BEFORE})\s[(\"']?"
    r"|[是为為选選择擇项項案はく]\s)$"
)
# "A" and "I" are words, but not before these.
_NO_WORD = re.compile(r"\s(?:and|or|nor)\b|[,.)!?/&;:—]|\s?$|\n|\s[(✅✓❌—]")
_HAS_VERB = re.compile(
    r"\s(?:is|isn't|was|are|because|since|as|would|will|won't|can|can't|cannot|could|must|should"
    r"|does|doesn't|has|fits|works|holds|fails|seems|looks|rather|instead)\b|[,;:]",
    re.IGNORECASE,
)


def _is_label(text: str, match: re.Match[str], exact: bool) -> bool:
    """Return whether a letter or digit that stands alone names an option there.

    Args:
        text: The text, in which marks already stand for options' texts.
        match: The letter.
        exact: Whether it is in the label's own case.
    """
    start, end = match.span()
    before, after = text[max(0, start - 14) : start], text[end : end + 14]
    if after.startswith((")", " )")) or (_ENDS_LINE.match(after) and before[-1:] in ("", "\n")):
        return True
    if not _ALONE.match(after):
        return False
    is_word, digit = match[0] in ("A", "a", "I", "i"), match[0].isdigit()
    if _NOUN.search(before) and (exact or not is_word):
        return True
    if not exact or not _STARTS.search(before):
        return False
    if digit:
        return bool(_ENDS.match(after))
    if is_word:
        return bool(_NO_WORD.match(after) or (match[0] == "A" and _HAS_VERB.match(after)))
    return True


@dataclass(frozen=True)
class _Patterns:
    stated: re.Pattern[str]
    single: re.Pattern[str]


@lru_cache
def _patterns(labels: tuple[str, ...]) -> _Patterns:
    def one_of(names: Sequence[str]) -> str:
        return f"(?:{'|'.join(map(re.escape, names)) or '(?!)'})"

    ordered = sorted(labels, key=len, reverse=True)
    # A bare digit is a quantity; "I" is mostly a word. ASCII, because "I" would else match
    # letters that no case folding makes "i".
    bare = one_of([label for label in ordered if not label.isdigit() and label != "I"])
    any_case = f"(?ai:{one_of(ordered)})"
    one = rf"(?:({bare}){_ALONE.pattern}|({any_case})(?={_ENDS.pattern}))"
    stated = rf"(?i:(?:{CUE.pattern}){FILL})[(\"']?{one}"
    return _Patterns(re.compile(stated), re.compile(rf"(?<!\w){any_case}(?!\w)"))
