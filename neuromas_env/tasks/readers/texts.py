"""Reading a free-form answer out of a reply."""

from __future__ import annotations

import re
from itertools import takewhile

from neuromas_env.tasks.readers.plain import (
    _COMMAND,
    _ITEM,
    _LIST_CUE,
    clean,
    last_statement,
    spoken,
)


def extract_text(reply: str, gold: str | None = None) -> str | None:
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
