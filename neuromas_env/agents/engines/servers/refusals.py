"""What a server does not take in a call, by the words with which it refuses it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from typing import Any

from neuromas_env.agents.engines.servers.markup import plain
from neuromas_env.agents.engines.servers.replies import WORDS, words_of
from neuromas_env.policy import Request

Turns = Sequence[tuple[str, str]]

SYSTEM, SEED, TOP_P, LENGTH = "system role", "seed", "top_p", "max_tokens"
NEWER_LENGTH = "max_completion_tokens"
"""OpenAI's newer models know the limit by this name alone."""

_TOO_LARGE = re.compile(
    r"context|too (?:large|long|big|many|high)|exceed|at most|less than|greater|maximum|minimum|"
    r"reduce|range|between|must be|[<>]=",
    re.IGNORECASE,
)
_PATTERNS = {
    SYSTEM: re.compile(
        r"\broles?\b|\bsystem[ _-](?:message|prompt|instruction|turn)|developer instruction",
        re.IGNORECASE,
    ),
    SEED: re.compile(r"\bseed\b", re.IGNORECASE),
    TOP_P: re.compile(r"\btop_?p\b", re.IGNORECASE),
    "temperature": re.compile(r"\btemperature\b", re.IGNORECASE),
    NEWER_LENGTH: re.compile(r"\bmax_(?:completion_|new_)?tokens\b"),
}


def options(request: Request, model: str, without: Collection[str]) -> dict[str, Any]:
    """Return a call in the form of OpenAI's chat completions.

    Args:
        request: What is asked.
        model: The model's name at the server.
        without: What to leave out. Without the system role its text stands before the user turn
            that follows, with an empty line between. Without `max_tokens` alone the limit is given
            by its newer name, without both there is none.
    """
    turns = _folded(request.turns) if SYSTEM in without else request.turns
    asked: dict[str, Any] = {
        "model": model,
        "messages": [{"role": role, "content": plain(text)} for role, text in turns],
    }
    if _temperature(request) not in without:
        asked["temperature"] = request.sampling.temperature
    if TOP_P not in without:
        asked["top_p"] = 1.0
    if SEED not in without:
        asked["seed"] = request.seed % 2**31  # what servers accept
    names = [name for name in (LENGTH, NEWER_LENGTH) if name not in without]
    return asked | {name: request.sampling.max_new_tokens for name in names[:1]}


def refused(body: str, request: Request, without: Collection[str]) -> set[str]:
    """Return what else to leave out of a call that was refused, empty if the words name nothing.

    Of several things the first one named is left out. The limit of tokens is refused where its name
    is, not where its value or the prompt is too large.

    Args:
        body: Of the response.
        request: What was asked.
        without: What was left out of it.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = body
    words = f"{_field(data)} {words_of(data)}"[: 10 * WORDS]
    has = _parts(request) | {NEWER_LENGTH}
    found: dict[str, int] = {}
    for part, pattern in _PATTERNS.items():
        name = _temperature(request) if part == "temperature" else part
        if name in has and name not in without and (match := pattern.search(words)):
            found[name] = match.start()
    if _TOO_LARGE.search(words):
        found.pop(NEWER_LENGTH, None)
    if not found:
        return set()
    first = min(found, key=lambda name: found[name])
    if first != NEWER_LENGTH:
        return {first}
    renamed = LENGTH not in without and NEWER_LENGTH in words
    return {LENGTH} if renamed else {LENGTH, NEWER_LENGTH}


def left_out(without: Collection[str], request: Request | None = None) -> tuple[str, ...]:
    """Return what calls lack, in words for users; of one call what that call would have had."""
    lacks = set(without) - {LENGTH, NEWER_LENGTH}
    if request is not None:
        lacks &= {
            SEED,
            TOP_P,
            _temperature(request),
            *(role + " role" for role, _ in request.turns),
        }
    return tuple(sorted(lacks | ({LENGTH} if NEWER_LENGTH in without else set())))


def _parts(request: Request) -> set[str]:
    system = {SYSTEM for role, _ in request.turns if role == "system"}
    return {SEED, TOP_P, _temperature(request)} | system


def _temperature(request: Request) -> str:
    """Name a temperature with its value: a server may refuse 0 alone."""
    return f"temperature {request.sampling.temperature:g}"


def _field(data: Any) -> str:
    """Return the field that an error is about: OpenAI's `param` or the `loc` of FastAPI."""
    if isinstance(data, list):
        return " ".join(map(_field, data))
    if not isinstance(data, dict):
        return ""
    loc = data.get("loc")
    named = [data.get("param"), *(loc if isinstance(loc, list) else [])]
    inner = [_field(data[key]) for key in ("error", "detail") if key in data]
    return " ".join([*(name for name in named if isinstance(name, str)), *inner])


def _folded(turns: Turns) -> Turns:
    """Put the text of system turns in front of the user turn that follows."""
    folded: list[tuple[str, str]] = []
    waiting: list[str] = []
    for role, text in turns:
        if role == "system":
            waiting.append(text)
        elif role == "user":
            folded.append((role, "\n\n".join([*waiting, text])))
            waiting = []
        else:
            folded.append((role, text))
    return (*folded, *(("user", text) for text in waiting))
