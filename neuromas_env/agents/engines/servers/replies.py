"""Replies of servers, read with a type and a range for every field.

A server may send anything. What is not a reply in the form of OpenAI's chat completions is an
error of that call, which names the field.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from neuromas_env.policy import Completion
from neuromas_env.text import valid

MOST_TOKENS = 2**20
"""More tokens than this in a prompt or in a reply are no count of a real one."""

LONGEST_TOKEN = 256
"""Characters: about twice the longest tokens of known vocabularies, which are runs of spaces."""

WORDS = 500
"""So many characters of a server's own words are told."""

_WORDS = (
    "error", "errors", "message", "msg", "detail", "title", "reason", "description",
    "error_description",
)  # fmt: skip
Text = Annotated[str, BeforeValidator(lambda text: valid(text) if isinstance(text, str) else text)]
Tokens = Annotated[int, Field(ge=0, le=MOST_TOKENS)]
M = TypeVar("M", bound=BaseModel)


class Unusable(Exception):
    """A reply that is no answer.

    Attributes:
        down: Whether the next question is likely to end like this one, because the fault is the
            server's and not the question's.
    """

    def __init__(self, why: str, down: bool = True) -> None:
        """Say why."""
        super().__init__(why)
        self.down = down


class _Message(BaseModel):
    content: Text | list[Any] | None = None
    refusal: Text | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: Text | None = None


class _Usage(BaseModel):
    prompt_tokens: Tokens  # 0 where a server counts only what it had not computed before
    completion_tokens: Tokens


class _Reply(BaseModel):
    choices: list[Any] | None = None
    usage: Any = None
    error: Any = None


class _Place(BaseModel):
    index: int | None = None


class _Part(BaseModel):
    type: Text
    text: Text


def read_reply(body: bytes, cut: Callable[[str], str] = str) -> Completion:
    """Read the body of a reply.

    Of several choices the one of the lowest index counts, and the first of those. A text in parts
    is that of its text parts; a thought is no answer. Lone surrogates and bytes that are no UTF-8
    become U+FFFD. Budgets compare tokens, so a reply whose tokens are not counted, or cannot be
    those of its text, is an error.

    Args:
        body: UTF-8.
        cut: Cuts secrets out of all texts.

    Raises:
        Unusable: It is no answer.
    """
    data = _json(body, cut)
    reply = _checked(_Reply, data, "")
    if reply.error is not None and not reply.choices:
        raise Unusable(f"the server answered with an error: {short(cut(words_of(data)))}")
    if not reply.choices:
        raise Unusable("the server answered without a choice")
    first = min(reply.choices, key=lambda one: _checked(_Place, one, "choices.").index or 0)
    choice = _checked(_Choice, first, "choices.")
    if choice.finish_reason == "content_filter":
        raise Unusable("the server's content filter kept the reply back", down=False)
    if choice.message.refusal:
        raise Unusable(f"the server refused: {short(cut(choice.message.refusal))}", down=False)
    if reply.usage is None:
        raise Unusable("the server does not say how many tokens it used, so cost cannot be counted")
    usage = _checked(_Usage, reply.usage, "usage.")
    text = _text(choice.message.content)
    if text is None or not (text or usage.completion_tokens):
        raise Unusable("the server answered without any text", down=False)
    if len(text) > LONGEST_TOKEN * usage.completion_tokens:
        raise Unusable(
            f"the server counts {usage.completion_tokens} tokens in a reply of {len(text)} "
            "characters, so cost cannot be counted"
        )
    return Completion(
        cut(text),
        np.full(usage.prompt_tokens, -1, dtype=np.int64),
        np.full(usage.completion_tokens, -1, dtype=np.int64),
        np.full(usage.completion_tokens, np.nan, dtype=np.float32),
        choice.finish_reason != "length",
    )


def words_of(data: Any) -> str:
    """Return a server's own words about an error, empty where it has none in a known place.

    These are a text, or the texts under the names that servers use for them, at any depth.
    """
    if isinstance(data, str):
        return data
    if isinstance(data, list):
        return "; ".join(filter(None, map(words_of, data)))
    if not isinstance(data, dict):
        return ""
    found = [words_of(data[key]) for key in _WORDS if key in data]
    return "; ".join(dict.fromkeys(filter(None, found)))


def short(text: str) -> str:
    """Return the beginning of a server's words."""
    return text if len(text) <= WORDS else f"{text[:WORDS]}..."


def _json(body: bytes, cut: Callable[[str], str]) -> Any:
    text = body.decode("utf-8-sig", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        what = short(cut(text)) or "nothing"
    raise Unusable(f"the server's reply is no JSON: {what}")


def _checked(model: type[M], data: Any, where: str) -> M:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
    field = where + ".".join(map(str, fault["loc"]))
    raise Unusable(f"the server's reply has another form, at {field or 'its top'}: {fault['msg']}")


def _text(content: str | list[Any] | None) -> str | None:
    """Return the text of a message whose content may come in parts, None if it has none."""
    if not isinstance(content, list):
        return content
    kinds = ("text", "output_text")
    parts = [part for part in map(_part, content) if part is not None and part.type in kinds]
    return "".join(part.text for part in parts) if parts else None


def _part(data: Any) -> _Part | None:
    try:
        return _Part.model_validate(data)
    except ValidationError:
        return None
