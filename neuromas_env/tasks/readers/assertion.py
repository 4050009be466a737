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
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from neuromas_env.tasks.readers import lexicon
from neuromas_env.tasks.readers.clauses import Clause, clauses
from neuromas_env.tasks.readers.marks import MARK, TWO, Marks

_MARK = re.compile(MARK)
_LAST_GROUP = re.compile(rf"{lexicon.GROUP}$", re.IGNORECASE)


class _Rank(IntEnum):
    MENTION, CONCLUSION, EXPLICIT = range(3)


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
    text = lexicon.CUE_AT_END.sub(lambda m: m[0][:-1] + " ", text)
    text = lexicon.BETWEEN.sub(" ", text)
    if lexicon.EXCEPTION.search(text):
        text = lexicon.ALL_WRONG_BUT.sub(lambda m: f"the answer is {m[1] or m[2]}", text)
        text = lexicon.ALL_BUT.sub(r"the answer is \1", text)
        text = lexicon.ANY_BUT.sub("anything but", text)
    readings: list[_Reading] = []
    since = 0  # where the readings of the clause before begin
    for number, clause in enumerate(clauses(text)):
        if not _MARK.search(clause.text):
            if lexicon.TAKES_BACK.fullmatch(clause.text):
                del readings[since:]
            elif clause.asserts and lexicon.NO_ANSWER.search(clause.text):
                readings.append(_Reading(TWO, _Rank.EXPLICIT, number))
            continue
        if clause.asserts:
            since = len(readings)
            readings += _read(clause, number, marks, quantities)
    return _last(readings)


@dataclass(frozen=True)
class _Reading:
    value: str
    rank: _Rank
    clause: int
    alone: bool = False
    aside: bool = False


def _last(readings: list[_Reading]) -> str | None:
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
    firm = [reading for reading in readings if not reading.aside] or readings
    distinct = {reading.value for reading in firm}
    return (distinct.pop() or None) if len(distinct) == 1 else None


def _read(clause: Clause, number: int, marks: Marks, quantities: bool) -> Iterator[_Reading]:
    text = clause.text
    denied = set(_denied(text))

    def value(match: re.Match[str], group: int = 1) -> str | None:
        places = range(match.start(group), match.end(group))
        kept = {marks[text[i]] for i in places if text[i] in marks.values and i not in denied}
        return None if not kept else kept.pop() if len(kept) == 1 else TWO

    alone = lexicon.ALONE.fullmatch(text)
    if alone and (quantities or not alone["unit"]):
        said = value(alone)
        if said is not None:
            rank = _Rank.EXPLICIT if clause.whole or clause.corrects else _Rank.CONCLUSION
            # "But two stayed, so 98 came": what follows from the rest is no equal of it.
            equal = clause.whole and not clause.corrects and not lexicon.SO.match(text)
            yield _Reading(said, rank, number, alone=equal)
        return
    stated = False
    explicit = (lexicon.EXPLICIT, lexicon.CALLED_RIGHT, lexicon.ONLY)
    matches = [match for pattern in explicit for match in pattern.finditer(text)]
    for match in sorted(matches, key=lambda match: match.end(match.lastindex or 1)):
        said = value(match, match.lastindex or 1)
        if said is not None:
            stated = True
            yield _Reading(said, _Rank.EXPLICIT, number)
    if stated:
        return
    reason = lexicon.REASON.match(text) and "," not in text  # is no conclusion
    concludes = _Rank.MENTION if reason else _Rank.CONCLUSION
    for match in lexicon.FRAME.finditer(text):
        said = value(match)
        if said is not None:
            stated = True
            yield _Reading(said, _Rank.EXPLICIT if clause.corrects else concludes, number)
    if stated and quantities:
        return
    left = [m for m in _MARK.finditer(text) if m.start() not in denied and m[0] not in marks.weak]
    if quantities and left:
        firm = [m for m in left if m[0] not in marks.asides]
        if firm and len(re.findall(r"[^\W\d_]{2,}", text)) > 1 and not lexicon.PAIR.search(text):
            yield _Reading(marks[firm[-1][0]], concludes, number)
            return
    for match in left:
        yield _Reading(marks[match[0]], _Rank.MENTION, number, aside=match[0] in marks.asides)


def _denied(text: str) -> Iterator[int]:
    """Yield where the marks of a clause stand that it denies."""
    for match in lexicon.DENIES_NEXT.finditer(text):
        end = _scope(text, match)
        yield from (mark.start() for mark in _MARK.finditer(text, match.end(), end))
        if end == len(text):
            break
    for match in lexicon.DENIES_LAST.finditer(text):
        before = text[max(0, match.start() - 300) : match.start()]
        places = [mark.start() for mark in _MARK.finditer(before)]
        if not places or lexicon.CONTRAST.search(before, places[-1] + 1):
            continue
        offset = match.start() - len(before)
        group = _LAST_GROUP.search(before[: places[-1] + 1])
        first = group.start() if group else places[-1]
        yield from (offset + place for place in places if place >= first)


def _scope(text: str, denial: re.Match[str]) -> int:
    """Return where a denial ends of what follows it."""
    end = len(text)
    if text.rfind("(", 0, denial.start()) > text.rfind(")", 0, denial.start()):  # "C (not D)"
        end = text.find(")", denial.end()) % (len(text) + 1)
    if denial.start() < 2 and lexicon.PREPOSITION.match(denial[0]):  # "Instead of D, choose C"
        end = text.find(",") % (len(text) + 1)
    resumes = lexicon.RESUMES.search(text, denial.end(), end)
    if not resumes:
        return end
    if lexicon.OWN.match(text, resumes.start()):
        return resumes.start()
    compares = denial[0].casefold() == "than"  # "one is larger than 77: 85"
    start = denial.start()
    relative = lexicon.RELATIVE.search(text, max(0, start - 60), start)  # "what is not prime is 18"
    return resumes.start() if compares or relative or resumes[0] in "=≈" else end
