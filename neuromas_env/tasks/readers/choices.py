"""Reading the label of a multiple-choice option out of a reply."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from neuromas_env.tasks.readers import plain as answers
from neuromas_env.tasks.readers.grading import normalise
from neuromas_env.tasks.readers.plain import CUE, FILL, JOIN, NOT, TWO, rest_of_line

# Words after which a bare letter is an answer; after others it is a name ("vitamin C").
_BEFORE = (
    "is|be|it's|choose|chose|pick|picked|select|selected|say|think|guess|answered|and|or|either"
    "|both|so|thus|therefore|hence|with|probably|maybe|likely|definitely|perhaps|only|but|than"
    "|between|versus|vs"
)

_PLAIN = re.compile(r"[A-Za-z0-9\s.,;:()%+-]{0,1000}")  # what cleaning leaves as it is


def extract_choice(reply: str, options: Sequence[tuple[str, str]]) -> str | None:
    r"""Return the label of the option that a reply names, or None.

    Labels are read in every usual dress: `B`, `b`, `(B)`, `**B**`, `$B$`, `\boxed{B}`,
    `B) text`, "option B". An option's own text counts where it is the whole reply or the
    whole statement, unless two options share it. Inside a sentence a bare label counts in
    upper case only and where it cannot be a word or part of a name; a digit never.

    Args:
        reply: Any text.
        options: `(label, text)` of each option.
    """
    labels = {label.casefold(): label for label, _ in options}
    if (whole := normalise(reply)) in labels:
        return labels[whole]
    patterns = _patterns(tuple(labels.values()))
    reader = _Reader(labels, _texts(tuple(options), patterns.dressed), patterns)
    text = answers.clean(reply, patterns.dressed)
    for whole in (normalise(text), normalise(text.lstrip("->•(+ "))):
        if whole in labels or whole in reader.texts:
            return labels.get(whole) or reader.texts[whole] or None
    statements = list(reader.statements(text))
    if statements:
        return max(statements)[1] or None
    return answers.only(reader.mentions(text)) or None


@lru_cache(maxsize=4096)  # a question is answered many times
def _texts(options: tuple[tuple[str, str], ...], dressed: re.Pattern[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for label, text in options:
        form = normalise(text if _PLAIN.fullmatch(text) else answers.clean(text, dressed))
        texts[form] = TWO if form in texts else label
    return texts


@dataclass(frozen=True)
class _Patterns:
    dressed: re.Pattern[str]
    stated: re.Pattern[str]
    called_right: re.Pattern[str]
    mention: re.Pattern[str]


@lru_cache
def _patterns(labels: tuple[str, ...]) -> _Patterns:
    def one_of(names: Sequence[str]) -> str:
        return f"(?:{'|'.join(map(re.escape, names)) or '(?!)'})"

    ordered = sorted(labels, key=len, reverse=True)
    # A bare digit is a quantity; "I" is mostly, "A" often a word.
    letters = [label for label in ordered if not label.isdigit() and label != "I"]
    # ASCII, because "I" would else match letters that no case folding makes "i".
    label, any_case = one_of(ordered), f"(?ai:{one_of(ordered)})"
    bare, no_word = one_of(letters), one_of([x for x in letters if x != "A"])
    word = one_of([x for x in ordered if x in ("A", "I")])
    alone = r"(?![\w'-])"
    end = r"(?=[)\],;:!?\"'/&]|\.(?!\w)|$|\s(?:or|and)\b|\s[-(])"
    starts = r"(?:^|[.!?:;,/&\"]\s?|(?<=\b[A-Z])\s)"
    after_word = rf"\b(?i:{_BEFORE})\s"
    stated = (
        rf"{FILL}[(\"']?(?:({bare}){alone}|({any_case}){end})[)\"']?"
        rf"(?:{JOIN}[(\"']?({label}){alone})?"
    )
    called_right = (
        rf"({NOT})?(?<![\w'-])\(?(?:({label})\)?{JOIN}\(?)?({label})\)?\s(?:is|was)\s"
        r"(?i:(?:the|most|likely|only|indeed)\s){0,4}(?i:correct|right|answer|best answer)\b"
    )
    wrong = "incorrect|wrong|false|not|never|out|no|ruled"
    mention = "|".join(
        [
            # no group in these two: they name nothing
            rf"(?<![\w'-])\(?{label}\)?\s(?i:is|was|are|seems|looks|can)"
            rf"(?:n't\b|not\b|\s(?i:also\s|clearly\s|definitely\s)?(?i:{wrong})\b)",
            rf"{NOT}\(?{any_case}(?!\w)",
            rf"(?<!\w)\(\s?({any_case})\s?\)",
            rf"(?<![\w(])({any_case})\)",
            rf"\b(?i:option|choice|letter|answer)\s\(?({label}){alone}",
            rf"\b(?i:option|choice|letter)\s(?ai:({no_word})){alone}",
            rf"^({any_case})(?:[.:](?!\w)|$)",
            rf"\b(?i:choose|chose|pick|picked|select|selected)\s({label}){end}",
            rf"{starts}({no_word}){alone}",
            rf"{after_word}({bare}){alone}",
            rf"(?:{starts}|{after_word})({word})(?=\s(?:and|or)\b|[.)!?/&]|$)",
            rf"{starts}(A)(?=\s(?:is|because|since|as)\b|[,;:])" if "A" in letters else "(?!)",
        ]
    )
    dressed = (
        rf"(?<![A-Za-z0-9])[*$`\"'\[{{<_\\]{{1,3}}\(?({any_case})[).:]{{0,2}}"
        r"[*$`\"'\]}>_\\]{1,3}(?![A-Za-z0-9])"
    )
    return _Patterns(*(re.compile(p, re.M) for p in (dressed, stated, called_right, mention)))


@dataclass(frozen=True)
class _Reader:
    labels: dict[str, str]
    texts: dict[str, str]
    patterns: _Patterns

    def statements(self, text: str) -> Iterator[tuple[int, str]]:
        """Yield where each explicit statement ends and what it says, `TWO` for two options."""
        for cue in CUE.finditer(text):
            answer = self._after_cue(text, cue.end())
            if answer is not None:
                yield cue.end(), answer
        for match in self.patterns.called_right.finditer(text):
            if not match[1]:
                yield match.end(), self._one(match[2], match[3])
        label_of = lambda line: self.labels.get(normalise(line))  # noqa: E731
        lines = [label_of(line) for line in text.split("\n")]
        if lines[-1] and not all(lines):
            yield len(text), lines[-1]
        elif first := answers.first_line(text, label_of):
            yield 0, first

    def mentions(self, text: str) -> Iterator[str]:
        """Yield what each mention of an option names, `TWO` for a label with another's text."""
        start = 0
        while match := self.patterns.mention.search(text, start):
            start = match.end()
            if match.lastindex:
                label, start = self._with_text(match[match.lastindex], text, start)
                before = self._text_before(text, match.start())
                yield label if before in (None, label) else TWO

    def _after_cue(self, text: str, start: int) -> str | None:
        line = rest_of_line(text, start)
        if (form := normalise(line)) in self.labels:
            return self.labels[form]
        for part in (line, line.partition(". ")[0], *re.split(r" (?:because|since) ", line)[:1]):
            form = normalise(part)
            if form in self.texts and form not in self.labels:
                return self.texts[form]
        match = self.patterns.stated.match(text, start)
        if not match:
            return None
        first = match[1] or match[2]
        if match[3]:
            return self._one(first, match[3])
        return self._with_text(first, text, match.end())[0]

    def _text_before(self, text: str, end: int) -> str | None:
        """Return the option whose text is all that a line says before a label, None if none."""
        line = text[max(0, end - 300) : end].rpartition("\n")[2]
        if len(line) == 300:  # longer than a statement and a text; bounds the time
            return None
        cue = CUE.search(line)
        return self.texts.get(normalise(line[cue.end() if cue else 0 :].strip(" ,(:-")))

    def _one(self, first: str | None, second: str) -> str:
        same = first is None or first.casefold() == second.casefold()
        return self.labels[second.casefold()] if same else TWO

    def _with_text(self, label: str, text: str, end: int) -> tuple[str, int]:
        """Return the label and where it ends, its option's text included if that follows.

        `TWO` if the text of another option follows.
        """
        label = self.labels[label.casefold()]
        rest = text[end : end + 1000]
        following = rest.lstrip(" :=\n).").removeprefix("- ")
        line = following.partition("\n")[0]
        named = self.texts.get(normalise(line), TWO)
        if named == label:
            return label, end + len(rest) - len(following) + len(line)
        return (TWO if named else label), end
