"""Reading an answer out of a reply, by several published sets of rules.

A task says by a `Form` what kind of answer it asks for, a `Reader` finds that answer in a
free reply, and `grade_reply` compares it with the gold answer.
"""

from __future__ import annotations

from neuromas_env.checks import arguments
from neuromas_env.errors import unknown
from neuromas_env.tasks.readers.form import Form, Reader, grade_reply
from neuromas_env.tasks.readers.inspect_evals import INSPECT
from neuromas_env.tasks.readers.later import later
from neuromas_env.tasks.readers.lm_eval import LM_EVAL

__all__ = ["READERS", "Form", "Reader", "get_reader", "grade_reply"]

READERS = {
    "neuromas": Reader(
        "neuromas",
        "5",
        choice=later("choices:extract_choice"),
        number=later("numbers:extract_number"),
        word=later("words:extract_word"),
        text=later("texts:extract_text"),
    ),
    "lm_eval": LM_EVAL,
    "inspect": INSPECT,
}
"""Readers by name: the suite's own and those of other harnesses."""


@arguments
def get_reader(name: str) -> Reader:
    """Return the reader of a name.

    Raises:
        InputError: There is none of that name.
    """
    if name not in READERS:
        raise unknown("reader", name, READERS)
    return READERS[name]
