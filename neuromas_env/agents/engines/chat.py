"""Chat turns to token ids, such that a text can never open or close a turn.

A chat template is rendered with a placeholder for every text. Only what the
template itself wrote is tokenised with its control tokens; the texts are
tokenised apart from it, by a tokenizer that knows no control tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models
from transformers.utils.chat_template_utils import _compile_jinja_template

from neuromas_env.errors import InputError
from neuromas_env.policy import Completion

ROLES = frozenset({"system", "user", "assistant"})
_PLACEHOLDER = "x7c3f51d8e2a0b946n{}x"
_SURROGATE = re.compile("[\ud800-\udfff]")
# Some templates write today's date, unless they are given one as `date_string`.
_TODAY = datetime(2024, 7, 26)
# What templates read besides the turns.
_TEMPLATE_OPTIONS: dict[str, Any] = {
    "enable_thinking": False,
    "date_string": _TODAY.strftime("%d %b %Y"),
}


class ChatEncoder:
    """Writes prompts for one model and reads its replies.

    Texts are inserted exactly as given, also where the template would trim them.
    Lone surrogates become U+FFFD; characters that the tokenizer's vocabulary has no
    bytes for are left out, as the tokenizer itself does.

    Attributes:
        end_ids: The tokens that end a reply.
        context_length: How many tokens, prompt and reply, the model can read.
    """

    def __init__(
        self,
        tokenizer: Any,
        model_name: str,
        *,
        end_ids: Iterable[int] = (),
        context_length: int | None = None,
    ) -> None:
        """Prepare a transformers tokenizer for chat.

        Args:
            tokenizer: Of the fast kind (backed by the `tokenizers` library).
            model_name: For messages.
            end_ids: Tokens at which the model stops, besides the one that its template
                writes after an assistant's turn.
            context_length: Tokens; by default what the tokenizer says.

        Raises:
            InputError: The tokenizer has no chat template or is not a fast one.
        """
        if not getattr(tokenizer, "chat_template", None):
            raise InputError(
                f"model {model_name!r} has no chat template. Take the instruction-tuned (chat) "
                "variant of it, or put a chat_template.jinja into its folder."
            )
        if not hasattr(tokenizer, "backend_tokenizer"):
            raise InputError(
                f"model {model_name!r} has no fast tokenizer. Its folder needs a tokenizer.json."
            )
        self._name = model_name
        self._tokenizer = tokenizer
        self._marked: Tokenizer = tokenizer.backend_tokenizer
        self._plain = _without_added_tokens(self._marked)
        # Added tokens of nothing but white space (Gemma has some) are ordinary text.
        self._control = {
            index: token.content
            for index, token in self._marked.get_added_tokens_decoder().items()
            if token.content.strip(" \t\r\n▁")
        }
        self._patterns: dict[tuple[str, ...], tuple[list[list[int]], list[list[int]]]] = {}
        self._turn_end = self._written_end()
        self.end_ids = frozenset(end_ids) | set(self._turn_end)
        if not self.end_ids:
            raise InputError(f"model {model_name!r} has no token that ends a turn.")
        self.context_length = context_length or tokenizer.model_max_length

    def encode(
        self, turns: Sequence[tuple[str, str]], replies: Sequence[Iterable[int]] = ()
    ) -> list[int]:
        """Write the prompt that asks for the next assistant turn.

        Where a template knows no system turn, its text is put before the text of the
        user turn that follows, with an empty line between.

        Args:
            turns: `(role, text)` each; roles are `system`, `user`, `assistant`.
            replies: Token ids that stand for the texts of the assistant turns, one list for each
                of these, empty where the text is to be tokenised; or none at all. The prompt up to
                a reply is then exactly that which asked for it, so a prompt begins with every
                earlier one of the same conversation. After a reply without an end the
                template's own is written.

        Raises:
            InputError: The model's template cannot write this order of roles, or there are not
                as many replies as assistant turns.
        """
        roles = tuple(role for role, _ in turns)
        said = [index for index, role in enumerate(roles) if role == "assistant"]
        if replies and len(replies) != len(said):
            raise InputError(
                f"replies must be as many as assistant turns, {len(said)}, got {len(replies)}"
            )
        sampled = [(at, [int(i) for i in ids]) for at, ids in zip(said, replies, strict=False)]
        ids, reply, spoken = list[int](), list[int](), -1
        for end, next_reply in [*(one for one in sampled if one[1]), (len(turns), [])]:
            pieces, groups = self._frame(roles[:end])  # what is written up to the next reply
            first = groups.index([spoken]) + 1 if reply else 0
            ids += reply + self._after(reply, pieces[first])
            for piece, group in zip(pieces[first + 1 :], groups[first:], strict=True):
                text = "\n\n".join(turns[index][1] for index in group)
                ids += self._encode_text(_SURROGATE.sub("\ufffd", text))
                ids += piece
            reply, spoken = next_reply, end
        return ids

    def encode_reply(self, text: str) -> list[int]:
        """Write a reply: the tokens of its text and the one that ends an assistant's turn."""
        ends = self._turn_end or sorted(self.end_ids)
        return [*self._encode_text(_SURROGATE.sub("\ufffd", text)), *ends[:1]]

    def _after(self, reply: list[int], piece: list[int]) -> list[int]:
        """Return what of a template's piece after an assistant's text is left after a reply."""
        ended = bool(reply) and reply[-1] in self.end_ids and reply[-1] in piece
        return piece[piece.index(reply[-1]) + 1 :] if ended else piece

    def too_long(self, ids: Sequence[int], reply: int) -> Completion | None:
        """Return the error of a prompt that leaves a reply of so many tokens no room."""
        if len(ids) + reply <= self.context_length:
            return None
        error = (
            f"the prompt has {len(ids)} tokens and the reply may have {reply}, but the context "
            f"of {self._name} holds {self.context_length}"
        )
        return Completion("", np.asarray(ids), error=error)

    def decode(self, ids: Iterable[int]) -> str:
        """Read a reply: its text without the end-of-turn token and other special tokens."""
        return self._marked.decode([int(i) for i in ids if i not in self.end_ids])

    def _encode_text(self, text: str) -> tuple[int, ...]:
        """Tokenise a text in which no control token can match."""
        encoding = self._plain.encode(text, add_special_tokens=False)
        if self._control.keys().isdisjoint(encoding.ids):
            return tuple(encoding.ids)
        # The vocabulary holds a control token as a word of its own: break that word.
        ids: list[int] = []
        for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            word, middle = text[start:end], (start + end) // 2
            spelled = token in self._control and (
                token != self._tokenizer.unk_token_id or word == self._control[token]
            )
            if not spelled:  # an unknown character is nothing that somebody spelled out
                ids.append(token)
            elif len(word) > 1:
                ids += self._encode_text(text[start:middle]) + self._encode_text(text[middle:end])
            else:
                raise InputError(
                    f"model {self._name!r} can write {word!r} as a control token only."
                )
        return tuple(ids)

    def _encode_piece(self, piece: str) -> list[int]:
        """Tokenise what the template wrote, control tokens included."""
        encoding = self._marked.encode(piece, add_special_tokens=False)
        control = [index for index, token in enumerate(encoding.ids) if token in self._control]
        first = control[0] if control else len(encoding.ids)
        # The head continues a text, so it must not get the prefix space of a new one.
        head = piece[: encoding.offsets[first][0]] if control else piece
        return self._plain.encode(head, add_special_tokens=False).ids + encoding.ids[first:]

    def _frame(self, roles: tuple[str, ...]) -> tuple[list[list[int]], list[list[int]]]:
        """Return `_pattern`, kept."""
        if roles not in self._patterns:
            self._patterns[roles] = self._pattern(roles)
        return self._patterns[roles]

    def _pattern(self, roles: tuple[str, ...]) -> tuple[list[list[int]], list[list[int]]]:
        """Token ids around the texts, and which turns' texts are joined into each."""
        if not ROLES.issuperset(roles):
            raise InputError(f"roles of turns are {', '.join(sorted(ROLES))}, not {roles}.")
        groups = [[index] for index in range(len(roles))]
        try:
            pieces = self._render(roles)
        except InputError:
            if "system" not in roles:
                raise
            groups = _join_system(roles)
            pieces = self._render(tuple(roles[group[-1]] for group in groups))
        return [self._encode_piece(piece) for piece in pieces], groups

    def _render(self, roles: tuple[str, ...], ask: bool = True) -> list[str]:
        """What the template writes before, between and after the texts."""
        marks = [_PLACEHOLDER.format(index) for index in range(len(roles))]
        turns = [{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)]
        try:
            _fix_date(self._tokenizer.get_chat_template())
            text = self._tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=ask, **_TEMPLATE_OPTIONS
            )
            pieces = re.split("(" + _PLACEHOLDER.format("[0-9]+") + ")", text)
            if pieces[1::2] != marks:
                raise ValueError("it leaves out, repeats or changes a text")
        except Exception as error:  # a template is somebody else's program
            raise InputError(
                f"the chat template of model {self._name!r} cannot write the turns "
                f"{', '.join(roles) or '(none)'}: {error}. Most templates write an optional "
                "system turn, then user and assistant turns in alternation, user first and last."
            ) from error
        return pieces[::2]

    def _written_end(self) -> list[int]:
        """The first control token after an assistant's text, if there is one."""
        try:
            tail = self._render(("user", "assistant"), ask=False)[-1]
        except InputError:
            tail = ""
        ids = self._marked.encode(tail, add_special_tokens=False).ids
        ends = [token for token in ids if token in self._control]
        ends = ends[:1] or [self._tokenizer.eos_token_id]
        return [token for token in ends if token is not None]


def _fix_date(template: str) -> None:
    """Let a template's `strftime_now` say a fixed date.

    It is a global of the compiled template, which transformers keeps. As an option it would not
    arrive there: newer versions turn functions among the options into texts.
    """
    _compile_jinja_template(template).globals["strftime_now"] = _TODAY.strftime


def _join_system(roles: tuple[str, ...]) -> list[list[int]]:
    """Group the indices of turns such that a system turn is part of the turn after it."""
    groups: list[list[int]] = []
    for index in range(len(roles)):
        if index and roles[index - 1] == "system" and roles[index] != "assistant":
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _without_added_tokens(tokenizer: Tokenizer) -> Tokenizer:
    """The same vocabulary and merges, but without added tokens and without prefix space."""
    shell = Tokenizer(models.BPE())
    if tokenizer.normalizer is not None:
        shell.normalizer = tokenizer.normalizer
    if tokenizer.pre_tokenizer is not None:
        shell.pre_tokenizer = tokenizer.pre_tokenizer
    plain = Tokenizer.from_str(json.dumps(_without_prefix(json.loads(shell.to_str()))))
    plain.model = tokenizer.model
    return plain


def _without_prefix(state: Any) -> Any:
    """Change a tokenizer's serialised state so that nothing is put before a text."""
    if isinstance(state, list):
        return [_without_prefix(item) for item in state if not _is_prepend(item)]
    if not isinstance(state, dict):
        return state
    state = {
        key: None if _is_prepend(item) else _without_prefix(item) for key, item in state.items()
    }
    if "prepend_scheme" in state:
        state["prepend_scheme"] = "never"
    if "add_prefix_space" in state:
        state["add_prefix_space"] = False
    return state


def _is_prepend(state: Any) -> bool:
    return isinstance(state, dict) and state.get("type") == "Prepend"
