r"""What a reply asserts: one grammar for labels, words and numbers.

A reader replaces every mention of a possible answer by a mark, a single character of the private
plane, and asks `decide` which one is asserted. Sentences are cut into clauses; a question, a
supposition, a report of what others think asserts nothing, and what is denied ("not", "wrong",
"rule out", "rather than", "too small") is no answer. Of what is left an explicit statement
("the answer is ...") beats a conclusion ("so it is ..."), and that a mere mention. The last of
several statements holds, a correction ("wait, actually ...") before all. A statement of two
answers is none, and so are mentions of two.

Every pattern is bounded, so that any text is read in linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

MARK = "[\U000f0000-\U000ffffd]"
_GAP = r"[^\w\U000f0000-\U000ffffd]"  # neither word nor mark
TEXT, LABEL = "[\U000f0000-\U000f7fff]", "[\U000f8000-\U000ffffd]"
TWO = ""  # names two different answers
_MOST_CLAUSES, _LONGEST = 600, 2_000  # what is longer than that is no sentence, and read at its end


class Marks:
    """The mentions in a text: each mark stands for an answer.

    Attributes:
        values: Mark to its answer, `TWO` for a mention of two.
        weak: Those that count only where a statement is made of them.
    """

    def __init__(self) -> None:
        """Start without any."""
        self.values: dict[str, str] = {}
        self.weak: set[str] = set()

    def add(self, value: str, weak: bool = False, label: bool = False) -> str:
        """Return a new mark, one of `LABEL` if asked for."""
        mark = chr((0xF8000 if label else 0xF0000) + len(self.values))
        self.values[mark] = value
        if weak:
            self.weak.add(mark)
        return mark

    def __getitem__(self, mark: str) -> str:
        """Return the answer of a mark."""
        return self.values[mark]


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


def _any(*phrases: str) -> str:
    return rf"\b(?:{'|'.join(phrases)})\b"


_NOUN = (
    "answer|choice|option|letter|result|solution|conclusion|verdict|antwort|lösung|ergebnis|réponse|"
    "reponse|respuesta|resposta|risposta|antwoord|odpowiedź|ответ|cevap"
)
_COPULA = r"is|are|be|was|equals|ist|lautet|est|es|é|è|jest|=|:"
CUE = re.compile(
    rf"\b(?:{_NOUN})s?\b(?:[^\n.:=;?!]{{0,60}}?(?:\b(?:is|are|be|was|equals|ist|lautet|est|es|é|è)\b"
    r"|'s\b)|\s?[:=]|\s-(?=\s)|\s→)|(?:答案|答え|答|정답|답)\s?(?:应该|應該)?(?:是|为|為|は|:|은|는)",
    re.IGNORECASE,
)
"""Announces the answer: an explicit statement follows."""

FILL = (
    r"(?:[\s:=(\"']|(?:is|it|it's|its|that|the|an?|option|choice|answer|letter|number|correct|right"
    r"|most|likely|probably|clearly|definitely|therefore|thus|so|indeed|simply|just|surely|actually"
    r"|position|value|statement|about|approximately|roughly|around|exactly|precisely|only|be|to"
    r"|must|should|would|final|best|of|either|both|equal|word|named|called)\b){0,20}"
)
JOIN = r"\s?(?:[,;]\s?)?(?:\b(?:or|and|nor|oder|ou|o|y|und|et)\b|[,/&])\s?(?:(?:maybe|perhaps|possibly|even|option|choice|the)\s){0,3}[(\"']?"  # fmt: skip
_GROUP = rf"{MARK}[)\"']?(?:{JOIN}{MARK}[)\"']?){{0,20}}"

# What only looks like a denial.
_IDIOM = re.compile(
    _any(
        r"(?:there(?:'s| is) )?(?:no|without(?: a| any)?|beyond(?: a| any)?) (?:doubt|question)",
        r"(?:can|could|must) (?:only )?be (?:none other than|nothing (?:else )?(?:but|than))",
        r"none other than", r"nothing (?:else )?but", r"no(?:ne)? other (?:\w+ )?than",
        r"(?:can(?:'t|not)|couldn't) be anything (?:but|other than|else than)",
        r"(?:not|n't|never) (?:only|just|merely|wrong|incorrect|false|mistaken|impossible|unlikely)",
        r"nothing else", r"no wonder", r"whether or not", r"can(?:'t|not) go wrong with",
        r"if (?:i|we) (?:remember|recall|understand|am|'m|have)(?: \w+){0,3}",
        r"if (?:any|needed|necessary|not mistaken)", r"why not", r"no problem", r"not sure(?: but)?",
    ),
    re.IGNORECASE,
)  # fmt: skip
_EXCEPTION = re.compile(r"except|but |other than|besides|apart from|save", re.IGNORECASE)
_ALL_BUT = re.compile(
    rf"\b(?:all|every|each|any|everything|none|no|nobody|the others?|others)\b[^.\n]{{0,50}}?"
    rf"\b(?:except|but|other than|besides|apart from|save)\b(?: for)?\s(?:the |option |choice )*"
    rf"({MARK})[^.\n]{{0,40}}\b(?:wrong|incorrect|false|out|eliminated|excluded|fails?|impossible)\b",
    re.IGNORECASE,
)
_ALL_WRONG_BUT = re.compile(
    rf"\b(?:all|every|each|everything|others?|options|choices)\b[^.\n]{{0,40}}?"
    r"\b(?:wrong|incorrect|false|out|eliminated|excluded|fails?)\b[^.\n]{0,20}?"
    rf"\b(?:except|but|other than|besides|apart from|save)\b(?: for)?\s(?:the |option |choice )*({MARK})"
    rf"|\bnone\b[^.\n]{{0,40}}?\b(?:except|but)\b(?: for)?\s(?:the |option |choice )*({MARK})",
    re.IGNORECASE,
)

_BETWEEN = re.compile(rf"\b(?:between|among)\s{MARK}\s(?:and|or)\s{MARK},?", re.IGNORECASE)

_SENTENCE = re.compile(r"(?<=[.!?;…])[\"')\]]{0,3}\s+|\n+|(?<=\?)(?=\w)")
_JOINS_AN_ITEM = rf"(?:and|or)\s(?:the |option |choice |also ){{0,2}}[(\"']?{MARK}[)\"']?\s?(?:$|[,.;:!?)]|and\b|or\b)"  # fmt: skip
_CUT = re.compile(
    r"\s?(?:—|--)\s?"
    r"|(?<!thing)(?<!none)(?<!all),?\s(?=but\b)"
    r"|,?\s(?=(?:so|therefore|thus|hence|while|whereas|although|though|however|yet|because"
    r"|since|if|unless|when|which|rather than|instead of|unlike|as opposed to|making|leaving)\b)"
    rf"|,\s(?!{_JOINS_AN_ITEM})(?=(?:and|as|not|no|it|it's|its|that|that's|this|these|i|i'm|i'd|i'll"
    r"|we|they|she|he|you|there|the (?:\w+ ){0,3}answer|in fact|actually|wait|sorry|then)\b)"
    rf"|(?:,|,? and)\s(?={MARK}[)\"']?\s(?:is|was|has|can|could|must|should|would|does|works|fits|holds|fails)\b)"
    rf"|,\s(?=(?:option |choice |(?:that|this) leaves ){MARK})",
    re.IGNORECASE,
)
_AFFIRMS = re.compile(r"\W{0,9}(?:yes|correct|right|indeed|exactly|it is)\b", re.IGNORECASE)
_NOW_BUT = re.compile(r"(?:but|so|however|yet|therefore|thus|hence)\b", re.IGNORECASE)

_GOES_ON = re.compile(r"(?:because|since|as|and|which|that)\b", re.IGNORECASE)
_IF = re.compile(
    r"(?:(?:and|but|so|or|then|now|only|even|what|as)\s)?(?:if|suppose|supposing|imagine|unless"
    r"|were (?:it|the)|had (?:it|the)|say|provided)\b(?! that's)",
    re.IGNORECASE,
)
_SUPPOSES = re.compile(
    "|".join(
        [
            _any(r"(?:could|might|may|can)(?: \w+)? (?:be|have been|seem)", "would have been",
                 "maybe", "perhaps", "possibly", "conceivably", "potentially", "assum(?:e|ing)"),
            r"\b(?:let's|let us|let me|we)(?: now| first| then)? (?:check|test|try|consider|see if|examine"
            r"|look at|assume|suppose|say|verify|double-check|evaluate)\b",
            r"^(?:consider|check(?:ing)?|test(?:ing)?|try(?:ing)?|case|candidate)\b(?=[^:]{0,20}:)(?![^:]{0,20}:\s?(?:"  # noqa: E501
            r"correct|right|true))",
        ]
    ),
    re.IGNORECASE,
)  # fmt: skip
_REPORTS = re.compile(
    "|".join(
        [
            r"\b(?:some|many|most|few|others|other \w+|people|students?|someone|somebody|one|critics"
            r"|(?:my|a|the|his|her|your) (?:\w+ )?(?:friend|teacher|student|person|colleague|brother"
            r"|sister|reader|book|intuition|instinct|guess)|he|she|they|you|everyone|everybody)\b"
            r"[^,.:;]{0,30}?\b(?<!the )(?:say|says|said|think|thinks|thought|believes?|believed|claim(?:s|ed)?"
            r"|argue[sd]?|guess(?:es|ed)?|assume[sd]?|suggest(?:s|ed)?|answer(?:s|ed)?|suspects?)\b",
            r"\b(?:some|many|most|people|students|others)\b[^,.]{0,20}?\b(?:choose|chose|pick(?:ed)?"
            r"|select(?:ed)?|go for|prefer)\b",
            _any("tempt(?:ed|ing)", "at first(?: glance| sight)?", "initially", "intuitively",
                 "my first (?:thought|guess|instinct|idea|answer)", "first thought",
                 "used to (?:be|think)", "it is (?:easy|natural) to", "supposedly", "allegedly"),
        ]
    ),
    re.IGNORECASE,
)  # fmt: skip
_SPEECH = re.compile(r"\"[^\"\n]{0,80}?\b(?:is|are|be|was)\b[^\"\n]{0,80}\"")
_CORRECTS = re.compile(
    rf"{_GAP}{{0,9}}(?:(?:but|and|oh|hmm+|ah|well|no|nope|ok|okay|sorry|wait){_GAP}+){{0,3}}"
    r"(?:wait|actually|no|nope|sorry|correction|on second thoughts?|i (?:mean|meant)|scratch that"
    r"|hold on|oops|strike that|rather|my mistake|my bad|apologies|make that|in fact"
    r"|(?:let me|i) (?:correct|rephrase|made|take)(?: \w+){0,3})\b(?! of\b)",
    re.IGNORECASE,
)

_NEGATOR = r"\w*n't|not|never|cannot|neither|nor|nicht|kein|keine|pas|нет|не"
_WRONG = r"wrong|incorrect|false|mistaken|invalid|falsch|faux|incorrecta?"
_FORWARD = re.compile(
    rf"\b(?:{_NEGATOR})\b|≠|"
    rf"\b(?:{_WRONG}|bad|tempting|poor|worst|tricky|trap)\s(?:\w+\s)?(?:answer|option|choice|result|one|value"
    r"|number|solution|guess)s?\b|"
    rf"^{_GAP}{{0,9}}(?:{_WRONG})\b\s?:|\b(?:{_WRONG}|mistake|error|wrongly|impossible|unlikely|unclear) (?:to|that|for)\b|"
    + _any(
        "rul(?:e|es|ed|ing) out", r"eliminat\w*", r"exclud\w*", r"reject\w*", r"discard\w*",
        r"dismiss\w*", r"cross(?:ed|ing)? out", "avoid", "instead of", "rather than", "unlike",
        "as opposed to", "except", "other than", "besides", "apart from", r"(?:any|every)thing but",
        "all but", "far from", "compared (?:to|with)", "than", "doubt", "disagree",
        "none of", "no longer", r"confus\w+ (?:\w+ )?with", "common (?:mistake|error|misconception)",
        "distractors?", "opposite of", "without", "versus",
    ),
    re.IGNORECASE,
)  # fmt: skip
_BACKWARD = re.compile(
    r"(?:\b(?:is|are|was|were|be|seems?|looks?|sounds?|feels?)\b|'s\b|:)(?:\s(?:also|both|all|clearly|definitely|simply|just"
    r"|therefore|thus|then|plainly|obviously|certainly|thereby|easily|a|an|the|so|also|very|quite|only|always|now|been)){0,3}"
    rf"\s?(?:not\b|never\b|(?:{_WRONG}|impossible|unlikely|out|ruled out|excluded|eliminated|rejected"
    r"|tempting|too \w+|not|plausible|attractive|appealing|unrelated|irrelevant|off|(?:\w+ )?(?:mistake|misconception|trap|distractor|error"
    r"|decoy|red herring|typo))\b)"
    r"|\b(?:is|are|was|were|do|does|did|can|could|would|will|must|should|has|have|had|ca|wo)n't\b"
    r"|\b(?:do|does|did|can|could|would|will|must|should|has|have) (?:not|never)\b|\bcannot\b|\bnever\b"
    r"|\b(?:can|could|must|should|may|to)(?: \w+)? be (?:ruled out|eliminated|excluded|rejected|discarded|dismissed"
    r"|ignored|avoided)\b"
    rf"|(?<={MARK})[^\w\n]{{1,4}}(?:no|nope|not)\b(?=\s?(?:$|[.,;!)]))"
    r"|\b(?:fails?|failed|contradicts?|violates?)\b|[❌✗✘✖🚫]|≠",
    re.IGNORECASE,
)
_CONTRAST = re.compile(
    _any("others?", "rest", "else", "remaining", "everything", "they", "it", "any", "all", "which"),
    re.IGNORECASE,
)
_TAKES_BACK = re.compile(
    rf"{_GAP}{{0,9}}(?:(?:but|and|which|that|this|it|they|both|however)\b{_GAP}{{0,9}})?(?:(?:is|'s|was|would be|seems|are)\s)?(?:also |clearly )?"
    rf"(?:{_WRONG}|(?:is|was|are)?(?:n't|\bnot)\s?(?:right|correct|true|it|so|the answer|the case)|no|nope){_GAP}{{0,9}}"
    rf"(?:though|however|either)?{_GAP}{{0,9}}",
    re.IGNORECASE,
)
_PREPOSITION = re.compile(r"instead|rather|unlike|as opp|except|other|besides|apart|compared", re.I)
_RESUMES = re.compile(r"[=≈]|\b(?:is|are|was|were)\b(?!n't| not)", re.IGNORECASE)
_MARK = re.compile(MARK)
_RELATIVE = re.compile(r"\b(?:that|which|who|where|when|whose)\b", re.IGNORECASE)

_EXPLICIT = re.compile(rf"(?:{CUE.pattern}){FILL}({_GROUP})", re.IGNORECASE)
_CALLED_RIGHT = re.compile(
    rf"({_GROUP})\s?(?:(?:is|was|are|would be|must be|should be|seems|looks|'s|:|=|→|-)\s?"
    r"(?:(?:the|my|a|most|likely|only|indeed|also|therefore|thus|clearly|definitely|then|probably|your)\s){0,4}"
    r"(?:correct|right|true|answer|(?:best|final|right|correct|only|remaining|one|possible|logical|most)(?: \w+){0,2}"
    r"|yes\b|[✅✓✔☑])|[✅✓✔☑]|(?:fits|works|holds|remains|is left|it is|is it)\b)",
    re.IGNORECASE,
)
_ONLY = re.compile(rf"\bonly\s(?:option |choice |answer )?({MARK})|[✅✓✔☑]\s?\(?({MARK})", re.I)
_ALONE = re.compile(
    rf"{_GAP}{{0,9}}(?:(?:so|thus|therefore|hence|then|ok|okay|well|finally|ergo|option|choice|the|an?|just|but|because"
    r"|wait|actually|no|nope|sorry|correction|on second thoughts?|i mean|i meant|scratch that|hold on|oops"
    r"|rather|make that|in fact|hmm+|definitely|probably|clearly|surely|again|it is|it's|that's|that is|this is"
    rf"|it must be|it should be|it has to be|i say|i choose|i pick|yes|indeed|simply)\b{_GAP}{{1,9}}|[=≈→]\s?){{0,6}}({_GROUP})"
    rf"(?P<unit>(?:\s[^\W\d_]{{1,20}}){{0,2}}){_GAP}{{0,9}}",
    re.IGNORECASE,
)
_FRAME = re.compile(
    r"(?:\b(?:is|are|was|were|be|equals?|it's|that's|he's|she's|what's|choose|chose|pick(?:ed)?|select(?:ed)?"
    r"|say|think|believe|guess|go(?:ing)? (?:with|for)|went with|leaves|leaving|becomes?|remains?|stays?|called|named"
    r"|gives?|yields?|makes?|totals?|get|gets|got|answer|answered|obtain|bet on|opt for|settle on)\b|[:=≈→⇒])"
    rf"{FILL}({_GROUP})",
    re.IGNORECASE,
)


# Two quantities side by side, "3 apples and 4 pears", of which none is the result.
_PAIR = re.compile(
    rf"{MARK}\s?(?:\w+\s?){{0,2}}(?:,\s|\band\b|\bor\b|&|/)\s?(?:\w+\s){{0,2}}{MARK}{_GAP}{{0,9}}(?:\w+{_GAP}{{0,9}}){{0,2}}$",
    re.IGNORECASE,
)


class _Rank(IntEnum):
    MENTION, CONCLUSION, EXPLICIT = range(3)


def denies(text: str, verb: int = 0, complement: int = _LONGEST) -> bool:
    """Return whether a clause denies what it says.

    Args:
        text: The clause.
        verb: Where its verb begins.
        complement: Where what it says begins, in which words such as "without" deny nothing.
    """
    return bool(_FORWARD.search(text, 0, complement) or _BACKWARD.search(text, verb))


def clauses(text: str, cut: re.Pattern[str] = _CUT) -> list[Clause]:
    """Cut a text into clauses and say of each whether it asserts anything."""
    found: list[Clause] = []
    pending = False  # "Wait." or "Sorry, I made a mistake." speaks of what follows
    sentences = [s for s in _SENTENCE.split(text) if s and not s.isspace()]
    if len(sentences) > _MOST_CLAUSES:
        sentences = [*sentences[:9], *sentences[9 - _MOST_CLAUSES :]]
    sentences = [sentence[-_LONGEST:] for sentence in sentences]
    for sentence, after in zip(sentences, [*sentences[1:], ""], strict=False):
        affirmed = _AFFIRMS.match(after)
        asked = sentence.rstrip("\"') ").endswith("?") and not affirmed
        plain = _SPEECH.sub(" ", sentence) if _REPORTS.search(sentence) else sentence
        supposed = reported = False
        parts = list(filter(None, cut.split(_IDIOM.sub(" indeed ", plain))))
        for part in parts:
            if _NOW_BUT.match(part):
                supposed = False
            reported = reported and bool(_GOES_ON.match(part))
            corrects = bool(_CORRECTS.match(part))
            if _IF.match(part):
                supposed = True
                if found and not part[:2].casefold() == "so" and not asked:
                    _unless_new_sentence(found, sentence, part)
            reported = reported or bool(_REPORTS.search(part))
            asserts = not (asked or supposed or reported or _SUPPOSES.search(part))
            whole = len(parts) == 1 or bool(_NOW_BUT.match(part))
            found.append(Clause(part, asserts, corrects or pending, whole))
            pending = (corrects or pending) and not _MARK.search(part) and len(part) < 60
    return found


def _unless_new_sentence(found: list[Clause], sentence: str, part: str) -> None:
    """Take back what "..., if ..." made conditional; an opening "If" has nothing before it."""
    if not sentence.lstrip().startswith(part[:20]):
        before = found[-1]
        found[-1] = Clause(before.text, False, before.corrects)


def decide(text: str, marks: Marks, quantities: bool = False) -> str | None:
    """Return the answer that a text asserts, None if there is none or no single one.

    Args:
        text: Plain lines with a mark for every mention of a possible answer.
        marks: What the marks stand for.
        quantities: Whether the answers are numbers, of which sentences name several: the last
            one in the last sentence is then its result.
    """
    if not marks.values:
        return None
    text = _BETWEEN.sub(" ", text)
    if _EXCEPTION.search(text):
        text = _ALL_WRONG_BUT.sub(lambda m: f"the answer is {m[1] or m[2]}", text)
        text = _ALL_BUT.sub(r"the answer is \1", text)
    readings: list[_Reading] = []
    since = 0  # where the readings of the clause before begin
    for number, clause in enumerate(clauses(text)):
        if not _MARK.search(clause.text):
            if _TAKES_BACK.fullmatch(clause.text):
                del readings[since:]
            continue
        if clause.asserts:
            since = len(readings)
            readings += _read(clause, number, marks, quantities)
    return _last(readings, quantities)


@dataclass(frozen=True)
class _Reading:
    value: str
    rank: _Rank
    clause: int
    alone: bool = False
    weak: bool = False


def _last(readings: list[_Reading], quantities: bool) -> str | None:
    """Return the last of the best readings; mentions must all be of one answer."""
    alone = {r.value for r in readings if r.alone}
    ends = {readings[0].clause, readings[-1].clause} if readings else set()

    def rank(reading: _Reading) -> _Rank:
        if reading.alone and len(alone) > 1:  # of equal standing, such as the options copied
            return _Rank.MENTION
        if reading.alone and reading.clause not in ends:
            return _Rank.CONCLUSION
        return reading.rank

    for wanted in (_Rank.EXPLICIT, _Rank.CONCLUSION):
        found = [reading.value for reading in readings if rank(reading) is wanted]
        if found:
            return found[-1] or None
    firm = [reading for reading in readings if not reading.weak]
    distinct = {reading.value for reading in (firm or readings if quantities else firm)}
    return (distinct.pop() or None) if len(distinct) == 1 else None


def _read(clause: Clause, number: int, marks: Marks, quantities: bool) -> Iterator[_Reading]:
    text = clause.text
    denied = set(_denied(text))

    def value(match: re.Match[str], group: int = 1) -> str | None:
        places = range(match.start(group), match.end(group))
        kept = {marks[text[i]] for i in places if text[i] in marks.values and i not in denied}
        return None if not kept else kept.pop() if len(kept) == 1 else TWO

    alone = _ALONE.fullmatch(text)
    if alone and (quantities or not alone["unit"]):
        said = value(alone)
        if said is not None:
            rank = _Rank.EXPLICIT if clause.whole or clause.corrects else _Rank.CONCLUSION
            yield _Reading(said, rank, number, alone=clause.whole and not clause.corrects)
        return
    stated = False
    for pattern in (_EXPLICIT, _CALLED_RIGHT, _ONLY):
        for match in pattern.finditer(text):
            said = value(match, match.lastindex or 1)
            if said is not None:
                stated = True
                yield _Reading(said, _Rank.EXPLICIT, number)
    if stated:
        return
    for match in _FRAME.finditer(text):
        said = value(match)
        if said is not None:
            stated = True
            yield _Reading(said, _Rank.EXPLICIT if clause.corrects else _Rank.CONCLUSION, number)
    if stated and quantities:
        return
    left = [m for m in _MARK.finditer(text) if m.start() not in denied]
    if quantities and left:
        firm = [m for m in left if m[0] not in marks.weak]
        if firm and len(re.findall(r"[^\W\d_]{2,}", text)) > 1 and not _PAIR.search(text):
            yield _Reading(marks[firm[-1][0]], _Rank.CONCLUSION, number)
            return
    for match in left:
        yield _Reading(marks[match[0]], _Rank.MENTION, number, weak=match[0] in marks.weak)


def _denied(text: str) -> Iterator[int]:
    """Yield where the marks of a clause stand that it denies."""
    for match in _FORWARD.finditer(text):
        end = len(text)
        if text.rfind("(", 0, match.start()) > text.rfind(")", 0, match.start()):
            end = text.find(")", match.end()) % (len(text) + 1)
        if match.start() < 2 and _PREPOSITION.match(match[0]):
            end = (text.find(",") + 1 or len(text) + 1) - 1
        resumed = _RESUMES.search(text, match.end(), end)
        if resumed and (
            resumed[0] in "=≈" or _RELATIVE.search(text, max(0, match.start() - 60), match.start())
        ):
            end = resumed.start()
        yield from (m.start() for m in _MARK.finditer(text, match.end(), end))
        if end == len(text):
            break
    for match in _BACKWARD.finditer(text):
        before = text[max(0, match.start() - 300) : match.start()]
        places = [m.start() for m in _MARK.finditer(before)]
        if not places or _CONTRAST.search(before, places[-1] + 1):
            continue
        offset = match.start() - len(before)
        group = re.search(rf"{_GROUP}$", before[: places[-1] + 1])
        first = group.start() if group else places[-1]
        yield from (offset + place for place in places if place >= first)
