"""Reading a free-form answer out of a reply.

What can be answered is not known, so sentences are taken apart: what follows "the answer is", the
complement of "is", the subject of "... is the capital", a fragment that stands alone, a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile

from neuromas_env.tasks.readers.assertion import CUE, Clause, clauses, denies
from neuromas_env.tasks.readers.grading import list_form
from neuromas_env.tasks.readers.plain import plain, unwrapped
from neuromas_env.tasks.readers.thoughts import without_thoughts
from neuromas_env.tasks.reply import cut_off

_ITEM = re.compile(r"(?:[-*•]|\d{1,3}[.)])\s+\S|[\w'-]+$")
_CUT = re.compile(
    r"\s?(?:—|--)\s?"
    r"|,?\s(?=(?:but|so|therefore|thus|hence|whereas|although|though|however|because|since|which|rather than"
    r"|instead of|unlike|if)\b)"
    r"|,?\s(?=and (?:it|they|he|she|this|that|has|is|lies)\b)"
    r"|,\s(?=(?:not|it|it's|that's|the (?:\w+ ){0,3}answer|actually|wait|no|sorry|i mean)\b)",
    re.IGNORECASE,
)
_OPENING = re.compile(
    r"\W{0,9}(?:(?:so|thus|therefore|hence|then|well|ok|okay|sure|certainly|of course|definitely|probably|clearly|surely|obviously|(?:most |very )?likely|you mean|yes|and|but|because|wait|actually"
    r"|no|sorry|correction|on second thoughts?|i mean|i meant|scratch that|hold on|in fact|rather|oops"
    r"|i (?:would |'d )?(?:think|believe|say|guess|choose|pick)|i'd (?:say|guess|choose|pick)|that)\b[\s,:.!]{0,9}"
    r"|[=→]\s?){1,6}",
    re.IGNORECASE,
)
_COMPLEMENT = re.compile(
    r"(?P<subject>.{0,200}?)(?:(?:\b(?:is|are|was|were|(?:would|must|should|will) be|equals|called|named"
    r"|use|choose|pick)\b|\b(?:it|that|what|here|there|he|she)'s\b)(?!n't)|[:=]\s)\s*(?P<rest>.+)",
    re.IGNORECASE | re.DOTALL,
)
_HEDGE = re.compile(
    r"(?:(?:most|very)\s)?(?:likely|probably|definitely|clearly|simply|just|indeed|therefore|thus|called|named"
    r"|as follows|it is|it's|that|to be)\b[\s:,]*",
    re.IGNORECASE,
)
_PRONOUN = re.compile(r"(?:i think |i believe )?(?:it|this|that|these|those|they|he|she)", re.I)
_IDENTIFIES = re.compile(r"(?:the|an?|your|my|correct|right|what|who|where)\b", re.IGNORECASE)
_APPOSITION = re.compile(
    r"\s\(|,\s(?=(?:the|an?|in|on|at|located|known|with|as|who|where|of)\b)", re.I
)
_VERB = re.compile(
    r"\b(?:is|are|was|were|be|has|have|had|do|does|did|can|could|will|would|should|may|might|must|i|it|they"
    r"|we|you|he|she|this|these|that|there|here|let's)\b|'s\b",
    re.IGNORECASE,
)
_AND = re.compile(r"\b(?:and|then|finally|followed by)\b", re.IGNORECASE)
_BY = re.compile(r"\w+(?:ed|en|wn) by (?=\S)", re.IGNORECASE)
_ENDED = re.compile(r"[.!?][\"')]{0,2}$")
_LONGEST = 2_000  # of a sentence
_EDGES = " \t\n,;:.!\"'()"


def extract_text(reply: str, gold: str | None = None) -> str | None:
    """Return the text that a reply gives as its answer, else None.

    Args:
        reply: Any text.
        gold: The gold answer, if it may be looked at. It settles which of the readings of one
            statement is meant ("Paris, the capital of France"), and is never looked for.
    """
    readings = list(dict.fromkeys(filter(None, _readings(reply))))
    if gold is not None:
        readings = [r for r in readings if len(r) < _LONGEST + 2 * len(gold)]
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
    if (
        len(text) < _LONGEST
        and "\n" not in text
        and ": " not in text
        and not (_VERB.search(text) or CUE.search(text) or denies(text))
    ):
        if not any(clause.corrects or not clause.asserts for clause in clauses(text, _CUT)):
            opened = _OPENING.match(text)
            yield from [text, *_trimmed(text[opened.end() if opened else 0 :])]
            return
    explicit, others = _statements(text, cut_off(reply))
    if explicit:
        yield from explicit[-1]
        return
    for readings in others:
        yield from readings


def _box(reply: str) -> str | None:
    _, box, after = unwrapped(without_thoughts(reply)).rpartition("\\boxed{")
    # Up to the last brace of the line, since braces may be what is answered.
    inner, brace, _ = after.partition("\n")[0].rpartition("}")
    return re.sub(r"\\([{}])", r"\1", inner).strip() if box and brace else None


def _statements(text: str, cut: bool) -> tuple[list[list[str]], list[list[str]]]:
    """Return the readings of explicit statements, and those of the decisive other ones."""
    explicit: list[list[str]] = []
    copular: list[list[str]] = []
    fragments: list[str] = []
    said: list[str] = []
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        line, number = lines[number][-_LONGEST:], number + 1
        items = list(takewhile(_ITEM.match, lines[number : number + 500]))
        cue = None
        for cue in CUE.finditer(line[-200:]):
            pass
        announced = (line.endswith(":") or (cue and cue.end() == len(line[-200:]))) and lines[
            number:
        ]
        if announced and not denies(line) and len(line) < 300:
            listed = "\n".join(items) if items else lines[number]
            number += len(items) or 1
            if not cut or number < len(lines) or _ENDED.search(listed):
                explicit.append([listed])
            continue
        if _ITEM.match(line) and items:
            fragments.append("\n".join([line, *items]))
            said.append(fragments[-1])
            number += len(items)
            continue
        for clause in clauses(line, _CUT):
            last = number == len(lines) and line.endswith(clause.text)
            if not clause.asserts or (cut and last and not _ENDED.search(clause.text)):
                continue
            found = _explicit(clause)
            if found is not None:
                explicit += [found] if found else []
            elif found := _copular(clause):
                (explicit if clause.corrects else copular).append(found)
                said.append(clause.text)
            elif not denies(clause.text):
                opened = _OPENING.match(clause.text)
                rest = clause.text[opened.end() if opened else 0 :].strip(_EDGES)
                rest = rest or clause.text.strip(_EDGES)
                if rest and clause.corrects:
                    explicit.append([rest])
                elif rest:
                    said.append(rest)
                    if not _VERB.search(rest) and len(rest.split()) <= 8:
                        fragments.append(rest)
    others = copular[-1:]
    if said and fragments and (not copular or text.strip(_EDGES).startswith(fragments[0])):
        others = [fragments[:1], *others] if len(said) > 1 else others
    if not copular and said:
        others = others or [[" ".join(said)]]
        if fragments and len(said) > 1:
            others = [
                [fragments[-1] if not text.strip(_EDGES).startswith(fragments[0]) else fragments[0]]
            ]
    return explicit, others


def _explicit(clause: Clause) -> list[str] | None:
    """Return the readings after "the answer is", an empty list if that is denied."""
    match = None
    for match in CUE.finditer(clause.text[:1000]):
        pass
    if match is None:
        return None
    rest = clause.text[match.end() :]
    if denies(clause.text[: match.end()]) or denies(rest[:12]):
        return []
    return [*_trimmed(rest), *(_copular(Clause(rest.strip())) or [])]


def _copular(clause: Clause) -> list[str] | None:
    match = _COMPLEMENT.fullmatch(clause.text)
    if not match:
        return None
    subject, rest = match["subject"].strip(_EDGES), match["rest"]
    if denies(clause.text, match.end("subject"), match.start("rest") + 4):
        return None
    opened = _OPENING.match(subject + " ")
    subject = (subject + " ")[opened.end() if opened else 0 :].strip(_EDGES)
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
    short = _APPOSITION.split(rest, maxsplit=1)[0].strip(_EDGES)
    agent = rest[by.end() :].strip(_EDGES) if (by := _BY.match(rest)) else ""
    return [reading for reading in (agent, short, rest.strip(_EDGES), rest.strip()) if reading]
