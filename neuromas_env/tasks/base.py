"""What a task is: rows in, question text out, a score of the answer.

A task never knows a node. Where an example can be divided, it carries `parts`
and a public `query`; the environment deals the parts to the input nodes.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import Any

from neuromas_env.checks import arguments
from neuromas_env.errors import InputError, placed, unknown
from neuromas_env.tasks.readers import READERS, Form, Reader, grade_reply
from neuromas_env.tasks.readers.grading import list_form, majority_share, normalise
from neuromas_env.tasks.reply import Reason, Reply, Score
from neuromas_env.tasks.rows import Rows

__all__ = ["REWARDS", "SPLITS", "Example", "Reason", "Reply", "Score", "Task", "listed_options"]

SPLITS = ("train", "validation", "test")
"""Which rows a task has: to train on, to choose by, to report."""
REWARDS = ("both", "strict", "extracted")
"""What an answer earns: one of its scores, or the mean of both."""
_MAJORITY_ROWS = 10_000


@arguments
@dataclass(frozen=True)
class Example:
    """One question with its gold answer.

    Attributes:
        id: Unique within the task, stable across machines and subsets.
        question: The whole question as text, all parts included.
        target: The gold answer in the form in which it is compared.
        parts: What can be dealt to the input nodes, one text each; empty when
            every node reads the whole question.
        query: What everybody may read when parts are dealt: the question
            without what the parts hold.
        options: `(label, text)` of each choice of a multiple-choice question.
        extra: Anything else that scoring needs; never shown to a node.
    """

    id: str
    question: str
    target: str
    parts: tuple[str, ...] = ()
    query: str = ""
    options: tuple[tuple[str, str], ...] = ()
    extra: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)


@lru_cache(maxsize=64)  # asked again for every reply that is read
def listed_options(question: str) -> tuple[tuple[str, str], ...]:
    """Return the options at the end of a question, listed as `A. text` or `(A) text`."""
    options: list[tuple[str, str]] = []
    for label, text in reversed(re.findall(r"^\(?([A-Z]|[0-9])[.)] ?(.*)$", question, re.M)):
        options.insert(0, (label, text))
        if label in ("A", "1"):
            break
    return tuple(options)


class Task:
    """A benchmark: named splits of examples and a scorer.

    Subclasses set `answer_format`, implement `examples`, and either say by `answer_form` how an
    answer is read or implement `score`.

    Attributes:
        name: Full name with parameters, such as `arc/challenge`; set by `make_task` on a task that
            is made by name, as stores and runs know it by that.
        answer_format: One sentence that tells a node in which form to answer.
        max_new_tokens: How long a reply may be unless the user says otherwise.
        disjoint: Whether no question may be in two splits; False for a task in which there is
            nothing to generalise. Training and benchmarks refuse a task that does not keep it.
        origins: What results depend on: a file of one's own to its digest, a data set of the hub
            to its commit once its rows are loaded. Results hold it, and continue under it alone.
        skipped: What is wrong with each broken row that was left out on request.
        flaws: Id of a row that is wrong in the benchmark itself to what is wrong with it.
        answer_form: What kind of answer is read out of a reply; None where `score` is the
            task's own.
        reader: By whose rules it is read.
    """

    name: str = ""
    answer_format: str = ""
    max_new_tokens: int = 200
    disjoint: bool = True
    origins: Mapping[str, str] = MappingProxyType({})
    skipped: Sequence[str] = ()
    flaws: Mapping[str, str] = MappingProxyType({})
    answer_form: Form | None = None
    reader: Reader = READERS["neuromas"]

    def examples(self, split: str) -> Sequence[Example]:
        """Return the rows of a split, in fixed order.

        Args:
            split: `train`, `validation` or `test`.

        Raises:
            InputError: The split is unknown, or its data is missing or broken.
        """
        raise NotImplementedError

    def note(self, rows: Rows) -> None:
        """Keep what results say of the rows of a table: which are left out, and their origin."""
        self.skipped = [*self.skipped, *rows.skipped]
        self.origins = {**self.origins, **rows.origins}

    def find(self, split: str, id: str) -> int:
        """Return the index of the row with an id.

        Raises:
            InputError: The split holds no such row.
        """
        ids = [example.id for example in self.examples(split)]
        if id not in ids:
            raise unknown("example id", id, ids)
        return ids.index(id)

    def score(self, example: Example, reply: str) -> Score:
        """Compare the answer that the reader finds in a reply with the target.

        Args:
            example: The question with its target.
            reply: Any text; a `Reply` knows whether it was cut off.

        Returns:
            Scores from 0 to 1; a wrong answer earns its `credit`. Never raises.
        """
        if self.answer_form is None:
            raise NotImplementedError
        form = self.answer_form
        score = grade_reply(self.reader, form, reply, example.target, example.options)
        if score.reason != "wrong" or score.answer is None or not example.target:
            return score
        if not (credit := self.credit(example, score.answer)):
            return score
        strict = credit if normalise(reply) == normalise(score.answer) else 0.0
        return replace(
            score, strict=strict, extracted=credit, reason="ok" if credit == 1 else "wrong"
        )

    def credit(self, example: Example, answer: str) -> float:
        """Return what an answer that is not the target is worth, from 0 to 1: partial credit.

        Never raises.

        Args:
            example: The question with its target.
            answer: In the form of `answer_form`, such as a number in plain digits.
        """
        return 0.0

    @property
    def read_by(self) -> str:
        """Name and version of the reader, empty where `score` is the task's own."""
        return str(self.reader) if self.answer_form else ""

    def score_many(self, examples: Sequence[Example], replies: Sequence[str]) -> list[Score]:
        """Score a reply to each example, as `score` does; some tasks do it at once.

        Args:
            examples: The questions.
            replies: One for each of them.

        Raises:
            InputError: A score is none, such as one above 1; the message names the example.
        """
        scores = []
        for example, reply in zip(examples, replies, strict=True):
            with placed(f"score of example {example.id!r}"):
                scores.append(self.score(example, reply))
        return scores

    def gold(self, example: Example) -> str:
        """Return the reply to an example that must score 1: its solution, else its target."""
        return example.extra.get("solution", example.target)

    def extract(self, question: str, reply: str) -> str | None:
        """Return the answer found in a reply, None if there is none, without any gold answer.

        Scripted nodes such as votes read replies by it. The default scores the reply to a
        stand-in that has the question's text and the options listed in it; a task whose
        `score` needs more than that has an `extract` of its own. Never raises.

        Args:
            question: The question's text.
            reply: Any text.
        """
        example = Example("", question, "", options=listed_options(question))
        return self.score(example, reply).answer

    def agreement(self, question: str, replies: Sequence[str]) -> list[Hashable | None] | None:
        """Return what answers agree in, for a vote: equal keys for replies that agree.

        A reply without an answer has None, which abstains. The default is the form in which
        extracted answers are compared; a task whose answers are equal in another sense, such
        as programs by what they return, says so here. Knows no gold answer; never raises.

        Args:
            question: The question's text.
            replies: Those that vote on it.

        Returns:
            A key for each reply, or None if nothing tells whether answers to this question agree:
            a vote then takes the answer that is most like the others.
        """
        found = [self.extract(question, reply) for reply in replies]
        return [None if answer is None else list_form(answer) for answer in found]

    def split_sizes(self) -> dict[str, int]:
        """Return how many rows each split has; one whose rows are not available is left out."""
        sizes = {}
        for split in SPLITS:
            try:
                sizes[split] = len(self.examples(split))
            except InputError:
                continue
        return sizes

    def majority(self, split: str) -> float:
        """Accuracy of the best constant answer on a split; of a long one, on its first rows."""
        return majority_share(e.target for e in islice(self.examples(split), _MAJORITY_ROWS))

    def blind_accuracy(self, split: str) -> float | None:
        """Accuracy on a split of the best answer without dealt parts, None where not known."""
        return None

    def chance(self) -> float | None:
        """Expected score of a guess, None where it is not known."""
        return None

    @property
    def tier(self) -> str | None:
        """What isolates programs that replies hold, None for a task that runs none."""
        return None
