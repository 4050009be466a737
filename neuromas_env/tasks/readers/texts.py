"""Reading a free-form answer out of a reply.

What can be answered is not known, so sentences are taken apart: what follows "the answer is", the
complement of "is", the subject of "... is the capital", a fragment that stands alone, a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile

from neuromas_env.tasks.readers.clauses import LONGEST, Clause, clauses, denies
from neuromas_env.tasks.readers.grading import list_form, normalise
from neuromas_env.tasks.readers.lexicon import CORRECTION, CUE
from neuromas_env.tasks.readers.plain import READ, plain, unwrapped
from neuromas_env.tasks.readers.thoughts import answering
from neuromas_env.tasks.reply import cut_off

_ITEM = re.compile(r"(?:[-*•]|\(?(?:\d{1,3}|[a-z])[.)])\s+\S|[\w'-]+$")
_CUT = re.compile(
    r"\s?(?:—|--)\s?"
    r"|,?\s(?=(?:but|so|therefore|thus|hence|whereas|although|though|however|because|since|which"
    r"|rather than|instead of|unlike|if)\b)"
    r"|,?\s(?=and (?:it|they|he|she|this|that|has|is|lies)\b)"
    r"|,\s(?=(?:not|it|it's|that's|the (?:\w+ ){0,3}answer|actually|wait|no|sorry|i mean)\b)",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"\W{0,9}(?:(?:so|thus|therefore|hence|then|well|ok|okay|sure|certainly|of course|definitely"
    r"|probably|clearly|surely|obviously|(?:most |very )?likely|you mean|yes|and|but|because|that"
    rf"|{CORRECTION}|i (?:would |'d )?(?:think|believe|say|guess|choose|pick)"
    r"|i'd (?:say|guess|choose|pick))\b[\s,:.!]{0,9}|[=→]\s?){1,6}",
    re.IGNORECASE,
)
_COMPLEMENT = re.compile(
    r"(?P<subject>.{0,200}?)(?:\b(?:is|are|was|were|been|equals"
    r"|(?:would|must|should|will|can only|has to|have to|turns? out to) be"
    r"|(?-i:ist|est|es|é|è|jest)|called|named|use|choose|pick|go with"
    r"|call it|(?:it|that|what|here|there|he|she)'s)\b(?!n't)"
    r"|[:=]\s)\s?(?P<rest>.+)",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"(?:(?:most|very)\s)?(?:likely|probably|definitely|clearly|simply|just|indeed|therefore|thus"
    r"|actually|really|called|named|as follows|it is|it's|that|to be)\b[\s:,]{0,3}",
    re.IGNORECASE,
)
_PRONOUN = re.compile(
    r"(?:i think |i believe )?(?:it|this|that|these|those|they|he|she|you|we|i|here|there)"
    r"(?: \w+)?",
    re.IGNORECASE,
)
_IDENTIFIES = re.compile(r"(?:the|your|my|correct|right|what|who|where)\b", re.IGNORECASE)
_APPOSITION = re.compile(
    r"\s(?:\(|(?:who|which|that)\b)|,\s(?=(?:the|an?|in|on|at|located|known|with|as|who|where|of)\b)",
    re.I,
)
_VERB = re.compile(
    r"\b(?:is|are|was|were|be|has|have|had|do|does|did|can|could|will|would|should|may|might|must"
    r"|(?-i:ist|est|es|é|è|jest)|i|it|they|we|you|he|she|this|these|that|there|here|let's)\b|'s\b",
    re.IGNORECASE,
)
_AND = re.compile(r"\b(?:and|first|then|finally|followed by)\b", re.IGNORECASE)
_BY = re.compile(r"\w+(?:ed|en|wn|ld) (?:by|in|on|at) (?=\S)", re.IGNORECASE)
_ENDED = re.compile(r"[.!?][\"')]{0,2}$")
_WORDS = re.compile(r"[^\W\d_][\w'-]*(?:,? [\w'-]+)*")
_GRAMMAR = re.compile(
    rf"{_VERB.pattern}|n't\b|\b(?:the|an?|of|to|in|on|at|and|or|but|not|for|with)\b", re.IGNORECASE
)
_FEWEST, _FEW_WORDS = 4, 8
_EDGES = " \t\n,;:.!\"'()"


def extract_text(reply: str, gold: str | None = None) -> str | None:
    """Return the text that a reply gives as its answer, else None.

    Args:
        reply: Any text.
        gold: The gold answer, if it may be looked at. It settles which of the readings of one
            statement is meant ("Paris, the capital of France"), and is never looked for.
    """
    if gold is not None and normalise(reply) == normalise(gold):
        return gold
    readings = list(dict.fromkeys(filter(None, _readings(reply))))
    if gold is not None:
        readings = [r for r in readings if len(r) < LONGEST + 2 * len(gold)]
        wanted = {_form(gold), _form(_AND.sub(",", gold))}
        if any(_form(r) in wanted or _form(_AND.sub(",", r)) in wanted for r in readings):
            return gold
    return readings[0] if readings else None


def _form(text: str) -> str:
    return re.sub(r"^(?:the|an?) (?=.)", "", list_form(text))


def _readings(reply: str) -> Iterator[str]:
    """Yield what the decisive statement can be taken to say, the likeliest first."""
    box = _box(reply)
    if box is not None:
        yield box
        return
    text = plain(reply)
    if not any(map(str.isalnum, text)) or _is_list(text):  # brackets, sorted words
        yield text
        return
    if _is_answer(text):
        opened = _OPENING.match(text)  # "Well, Paris", but not the first of some sorted words
        led = opened and opened[0].rstrip().endswith((",", ":", ".", "!"))
        bare = _unopened(text) if led else text.strip(_EDGES[:-2])
        yield from [
            re.split(r" \(| - ", bare, maxsplit=1)[0],
            bare,
            text,
            *_trimmed(_unopened(text)),
        ]
        return
    said = list(_statements(text, cut_off(reply)))
    explicit = [s.readings for s in said if s.kind is _Kind.EXPLICIT]
    copular = [s.readings for s in said if s.kind is _Kind.COPULAR]
    fragments = [s.readings for s in said if s.kind is _Kind.FRAGMENT]
    first = fragments and _bare(text).startswith(fragments[0][0])
    if explicit:
        yield from explicit[-1]
    elif fragments and len(said) > 1 and (first or not copular):
        yield from fragments[0 if first else -1]
        yield from (reading for readings in copular[-1:] for reading in readings)
    elif copular:
        yield from copular[-1]
    else:
        yield " ".join(statement.readings[0] for statement in said)


def _bare(text: str) -> str:
    """Return a text without the punctuation around it, which is kept where it is all there is."""
    if any(character.isalnum() for character in text):
        return text.strip(_EDGES)
    return text.strip().removesuffix(".")


def _box(reply: str) -> str | None:
    _, box, after = unwrapped(answering(reply)[-READ:]).rpartition("\\boxed{")
    # Up to the last brace of the line, since braces may be what is answered.
    inner, brace, _ = after.partition("\n")[0].rpartition("}")
    return re.sub(r"\\([{}])", r"\1", inner).strip() if box and brace else None


def _is_answer(text: str) -> bool:
    """Return whether a text is one line without a sentence in it."""
    if len(text) > LONGEST or "\n" in text or ": " in text:
        return False
    if _VERB.search(text) or CUE.search(text) or denies(text):
        return False
    return all(clause.asserts and not clause.corrects for clause in clauses(text, _CUT))


def _is_list(text: str) -> bool:
    """Return whether a text is a line of words that make no sentence; "not" may be one."""
    words = text.split()
    if not _FEWEST <= len(words) <= LONGEST or not _WORDS.fullmatch(text):
        return False
    return len(_GRAMMAR.findall(text)) <= (len(words) >= 2 * _FEWEST) * 2


class _Kind(Enum):
    EXPLICIT, COPULAR, FRAGMENT, OTHER = range(4)


@dataclass(frozen=True)
class _Statement:
    kind: _Kind
    readings: list[str]


def _statements(text: str, cut: bool) -> Iterator[_Statement]:
    """Yield what is asserted; a statement at which the reply was cut off may lack its end."""
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        line, number = lines[number][-LONGEST:], number + 1
        items = list(takewhile(_ITEM.match, lines[number : number + 500]))
        if number < len(lines) and _announces(line):
            listed = "\n".join(items) if items else lines[number]
            number += len(items) or 1
            if not cut or number < len(lines) or _ENDED.search(listed):
                yield _Statement(_Kind.EXPLICIT, [listed])
        elif _ITEM.match(line) and items:
            number += len(items)
            yield _Statement(_Kind.FRAGMENT, ["\n".join([line, *items])])
        else:
            for clause in clauses(line, _CUT):
                unfinished = cut and number == len(lines) and line.endswith(clause.text)
                asserts = clause.asserts or _lists(clause, line)
                if asserts and (not unfinished or _ENDED.search(clause.text)):
                    yield from _statement(clause)


def _lists(clause: Clause, line: str) -> bool:
    """Return whether what a clause of a line states is a list, of which "maybe" can be a word."""
    *_, cue = (None, *CUE.finditer(clause.text[:1000]))
    words = _bare(clause.text[cue.end() :]) if cue else ""
    if not _is_list(words) or line.rstrip().endswith("?"):
        return False
    return clauses(line.replace(words, "this"), _CUT)[-1].asserts


def _announces(line: str) -> bool:
    """Return whether the answer is on the lines that follow."""
    end = line[-200:]
    cued = any(cue.end() == len(end) for cue in CUE.finditer(end))
    return len(line) < 300 and (cued or line.endswith(":")) and not denies(line)


def _statement(clause: Clause) -> Iterator[_Statement]:
    found = _explicit(clause)
    if found is not None:
        if found:
            yield _Statement(_Kind.EXPLICIT, found)
        return
    kind, readings = _Kind.COPULAR, _copular(clause)
    if not readings:
        if denies(clause.text):
            return
        rest = _unopened(clause.text) or _bare(clause.text)
        if not rest:
            return
        short = not _VERB.search(rest) and len(rest.split()) <= _FEW_WORDS
        kind, readings = _Kind.FRAGMENT if short else _Kind.OTHER, [rest]
    yield _Statement(_Kind.EXPLICIT if clause.corrects else kind, readings)


def _unopened(text: str) -> str:
    """Return a clause without the words that lead to what it says."""
    opened = _OPENING.match(text)
    return _bare(text[opened.end() if opened else 0 :])


def _explicit(clause: Clause) -> list[str] | None:
    """Return the readings after "the answer is", an empty list if that is denied."""
    *_, match = (None, *CUE.finditer(clause.text[:1000]))
    if match is None:
        return None
    rest = clause.text[match.end() :]
    if denies(clause.text[: match.end()]) or denies(rest[:12]):
        return []
    sentence = _copular(Clause(rest.strip())) or []
    readings = _trimmed(rest)
    return [*sentence, *readings] if match[0].endswith(":") else [*readings, *sentence]


def _copular(clause: Clause) -> list[str] | None:
    match = _COMPLEMENT.fullmatch(clause.text)
    if not match:
        return None
    subject, rest = _bare(match["subject"]), match["rest"]
    if denies(clause.text, match.end("subject"), match.start("rest") + 4):
        return None
    subject = _unopened(subject)
    head, colon, listed = rest.partition(": ")
    readings = _trimmed(listed if colon and len(head) < 60 else rest)
    identified = _IDENTIFIES.match(rest) and subject and not _PRONOUN.fullmatch(subject)
    if identified and not _IDENTIFIES.match(subject):
        return [subject, *readings]
    return readings


def _trimmed(rest: str) -> list[str]:
    rest = rest.strip().lstrip(":= ")
    while hedge := _HEDGE.match(rest):
        rest = rest[hedge.end() :]
    short = _bare(_APPOSITION.split(rest, maxsplit=1)[0])
    agent = _bare(rest[by.end() :]) if (by := _BY.match(rest)) else ""
    return [reading for reading in (agent, short, _bare(rest), rest.strip()) if reading]
