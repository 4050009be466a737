"""What kind of answer a task asks for, and the one grading of free replies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from neuromas_env.checks import arguments
from neuromas_env.errors import unknown
from neuromas_env.tasks.readers.grading import grade, list_form, normalise
from neuromas_env.tasks.readers.later import later
from neuromas_env.tasks.reply import Score

Options = tuple[tuple[str, str], ...]
KINDS = ("choice", "number", "word", "text")
_extract_number = later("numbers:extract_number")


class _ReadText(Protocol):
    def __call__(self, reply: str, gold: str | None = None) -> str | None: ...


@dataclass(frozen=True)
class Reader:
    """Rules by which an answer is read out of a reply; each function returns None for none.

    Attributes:
        name: Such as `neuromas`.
        version: Changes with the rules; results record it.
        choice: Reply and `(label, text)` of each option to a label.
        number: Reply to a number in plain digits, such as `-35`.
        word: Reply and the allowed words to one of them.
        text: Reply to a free text. Where the gold answer is given, it is returned if the reply
            asserts it; never because it merely occurs.
        same: Kind of the form, answer and gold answer to whether they are equal, for rules
            that compare otherwise than `Form.compare`.
    """

    name: str
    version: str
    choice: Callable[[str, Options], str | None]
    number: Callable[[str], str | None]
    word: Callable[[str, tuple[str, ...]], str | None]
    text: _ReadText
    same: Callable[[str, str, str], bool] | None = None

    def __str__(self) -> str:
        """Return name and version, as results record them."""
        return f"{self.name} {self.version}"


@arguments
@dataclass(frozen=True)
class Form:
    """What kind of answer is asked for.

    Attributes:
        kind: `choice`, `number`, `word` or `text`.
        words: The allowed words, where the kind is `word`.
        options: `(label, text)` of each option where an example lists none.
    """

    kind: str
    words: tuple[str, ...] = ()
    options: Options = ()

    def __post_init__(self) -> None:
        """Check the kind.

        Raises:
            InputError: It is unknown.
        """
        if self.kind not in KINDS:
            raise unknown("kind of answer", self.kind, KINDS)

    def read(self, reader: Reader, reply: str, options: Options = (), gold: str = "") -> str | None:
        """Return the answer that a reader finds in a reply, None for none.

        Args:
            reader: By whose rules.
            reply: Any text.
            options: `(label, text)` of each option of the question, by default those of the form.
            gold: The gold answer; a free text that asserts it is read as it.
        """
        match self.kind:
            case "choice":
                return reader.choice(reply, options or self.options)
            case "number":
                return reader.number(reply)
            case "word":
                return reader.word(reply, self.words)
        return reader.text(reply, gold or None)

    def compare(self, answer: str) -> str:
        """Return an answer in the form in which answers are compared for equality."""
        if self.kind == "number":
            answer = _extract_number(answer) or answer
        return list_form(answer) if self.kind == "text" else normalise(answer)


def grade_reply(
    reader: Reader, form: Form, reply: str, target: str, options: Options = ()
) -> Score:
    """Score a reply by what a reader finds in it.

    Args:
        reader: By whose rules.
        form: What kind of answer is asked for.
        reply: Any text; a `Reply` says whether it was cut off.
        target: The gold answer.
        options: `(label, text)` of each option of the question.
    """
    found = form.read(reader, reply, options, target)
    if reader.same is None:
        return grade(reply, target, found, form.compare)
    strict = grade(reply, target, None).strict  # the suite's own, whoever reads
    if found is None:
        return Score(strict, 0.0, "unparsable" if reply.strip() else "no_answer")
    right = reader.same(form.kind, found, target)
    return Score(strict, float(right), "ok" if right else "wrong", found)
