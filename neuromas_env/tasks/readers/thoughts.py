"""What of a reply answers: not a thought, finished or not, and no answer to a further question."""

from __future__ import annotations

import re

_DIALECTS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<reflection>", "</reflection>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<analysis>", "</analysis>"),
    ("<seed:think>", "</seed:think>"),
    ("[think]", "[/think]"),
    ("[thinking]", "[/thinking]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|thinking|>", "<|/thinking|>"),
    ("<|start_thinking|>", "<|end_thinking|>"),
    ("<unused94>thought", "<unused95>"),
    ("<|channel|>analysis", "<|channel|>final"),
    ("<|channel|>commentary", "<|channel|>final"),
)
"""Opening and closing mark of a thought, as open models write them."""

# Harmony's channels after a decoder that drops special tokens.
_BARE_OPEN, _BARE_CLOSE = re.compile(r"analysis(?=\S)"), "assistantfinal"
_CLOSED_BY = dict(_DIALECTS)
# Where a model goes on with a question of its own, as few-shot prompts do.
_FURTHER = re.compile(
    r"(?<=[^\s:!])\s*\n(?:(?:q|question|problem|exercise|human|user)(?: ?\d{1,3})? ?:"
    r"|<\|im_start\|>user)",
    re.IGNORECASE,
)
_MARK = re.compile("|".join(re.escape(mark) for pair in _DIALECTS for mark in pair), re.IGNORECASE)


def answering(reply: str) -> str:
    """Return a reply without its thoughts, up to a further question that it asks itself.

    A question that an announcement leads to ("Let us restate it:") is the one that was asked.
    """
    text = without_thoughts(reply)
    further = _FURTHER.search(text)
    return text[: further.start()] if further else text


def without_thoughts(reply: str) -> str:
    """Return a reply without its thoughts.

    A thought that is not closed goes on to the end. A closing mark that nothing opens ends a
    thought that the prompt opened, which is all that stands before it. A reply that was cut off
    within such a thought cannot be told from an answer.
    """
    if _BARE_OPEN.match(reply):
        return reply.rpartition(_BARE_CLOSE)[2] if _BARE_CLOSE in reply else ""
    kept: list[str] = []
    opened, start = "", 0
    for match in _MARK.finditer(reply):
        mark = match[0].lower()
        if opened:
            if mark == _CLOSED_BY[opened]:
                opened, start = "", match.end()
        elif mark in _CLOSED_BY:
            kept.append(reply[start : match.start()])
            opened = mark
        else:
            kept.clear()
            start = match.end()
    if not opened:
        kept.append(reply[start:])
    return "".join(kept)
