"""A reply and its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from neuromas_env.checks import Share, check, shown
from neuromas_env.errors import InputError, unknown

Reason = Literal["ok", "wrong", "no_answer", "unparsable", "error"]
_REASONS = get_args(Reason)


class Reply(str):
    """A text that knows whether the length limit cut it off; a plain `str` was not.

    Attributes:
        cut_off: Whether the model was stopped before it had finished.
    """

    cut_off: bool

    def __new__(cls, text: str, cut_off: bool = False) -> Reply:
        """Make a reply of a text.

        Raises:
            InputError: It is no text.
        """
        if not isinstance(text, str):
            raise InputError(f"a reply must be a text, got {shown(text)}")
        if type(cut_off) is not bool:
            check("cut_off", cut_off, bool)
        reply = super().__new__(cls, text)
        reply.cut_off = cut_off
        return reply

    def __getnewargs__(self) -> tuple[Any, ...]:
        """Return what makes an equal reply, for `pickle` and `copy`."""
        return (str(self), self.cut_off)


def cut_off(reply: str) -> bool:
    """Return whether a reply is known to be cut off."""
    return isinstance(reply, Reply) and reply.cut_off


@dataclass(frozen=True)
class Score:
    """How an answer was read and what it earns.

    Both scores are from 0.0, for nothing, to 1.0, for all: what lies between is partial credit,
    which rewards and means take as it is.

    Attributes:
        strict: 1.0 if the whole reply equals the target after normalisation
            (the way the NeuroMAS paper scores), else 0.0 or partial credit.
        extracted: 1.0 if the answer found inside a free reply equals the target, else 0.0
            or partial credit.
        reason: `ok`, `wrong`, `no_answer` (empty reply) or `unparsable` (a reply
            in which no single answer could be found), all judged on the extracted
            reading; `error` if the scorer itself failed, as a sandbox can. An answer that earns
            all is `ok`, partial credit `ok` or `wrong`.
        answer: The extracted answer, None if there is none.

    Raises:
        InputError: A score is no number from 0 to 1, the reason is unknown, or the answer no text.
    """

    strict: float
    extracted: float
    reason: Reason
    answer: str | None = None

    def __post_init__(self) -> None:
        """Check the values, and make plain floats of truth values and numpy's numbers."""
        for name in ("strict", "extracted"):
            if type(value := getattr(self, name)) is not float or not 0.0 <= value <= 1.0:
                object.__setattr__(self, name, check(name, _plain(value), Share))
        if self.reason not in _REASONS:
            raise unknown("reason", self.reason, _REASONS)
        if self.answer is not None:
            check("answer", self.answer, str)


def _plain(value: object) -> object:
    """Return a truth value, also one of numpy's, as a float; numpy is loaded for it alone."""
    import numpy as np

    return float(value) if isinstance(value, bool | np.bool_) else value
