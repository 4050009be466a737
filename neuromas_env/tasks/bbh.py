"""BBH: hard tasks of BIG-bench (Suzgun et al., 2022), one table each, input as it is.

The benchmark has no training rows, so a fifth of each table (50 of 250 rows on average)
is the training pool, a fifth of that held back as validation rows, and the rest is
reported. A row's split follows from the hash of its own input and nothing else: rows
with the same input stay together, and no subset of the rows, order or machine moves a
row from one split to another. Exactly 50 rows would take a ranking of hashes, in which
one row more or less moves others between training and test. Sizes hence vary by table.

How an answer is read follows from the targets of the table: option labels, one of a pair
of words, whole numbers, or free text. Free text is compared with case folded and white
space, commas and outer quotes ignored, brackets as a whole sequence.
Data: `lukaemon/bbh`, licence MIT.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from os import PathLike
from typing import Literal

from neuromas_env.errors import InputError, unknown
from neuromas_env.tasks import answers
from neuromas_env.tasks.answers import extract_number, extract_text, extract_word, grade
from neuromas_env.tasks.base import SPLITS, Example, Score, Task
from neuromas_env.tasks.choices import extract_choice
from neuromas_env.tasks.sources import Source, data_folder, load_rows

_PAIRS = (("True", "False"), ("Yes", "No"), ("yes", "no"), ("valid", "invalid"))
_VALIDATION, _TRAIN = 0.04, 0.2
Form = Literal["choice", "word", "number", "text"]


class Bbh(Task):
    """One task of BBH, such as `navigate`; the target is upstream's, such as `(B)` or `Yes`.

    Attributes:
        form: How an answer is read: `choice`, `word`, `number` or `text`.
    """

    def __init__(self, variant: str, data: str | PathLike[str] | None = None) -> None:
        """Load the rows; raise an InputError if there is no such task or no data."""
        folder = data_folder(data)
        if folder and (folder / "bbh").is_dir():
            known = {file.name.partition(".")[0] for file in (folder / "bbh").glob("*.jsonl*")}
            if variant not in known:
                raise unknown("task", f"bbh/{variant}", (f"bbh/{name}" for name in known))
        if not re.fullmatch(r"\w+", variant):
            raise InputError(f"unknown task 'bbh/{variant}'; one would be 'bbh/navigate'")
        self.name = f"bbh/{variant}"
        source = Source(self.name, ("lukaemon/bbh", variant, "test"), {"input": str, "target": str})
        rows = load_rows(source, data)
        self.form, self._words = _form([row["target"] for row in rows])
        self.answer_format = {
            "choice": "Answer with the letter of the right option only.",
            "word": f"Answer {' or '.join(self._words)} only.",
            "number": "Answer with the number only.",
            "text": "Give the answer only, without explanation.",
        }[self.form]
        self._examples: dict[str, list[Example]] = {split: [] for split in SPLITS}
        seen: Counter[str] = Counter()
        for row in rows:
            split, key = _place(row["input"])
            seen[key] += 1
            name = key if seen[key] == 1 else f"{key}-{seen[key]}"
            options = _options(row["input"]) if self.form == "choice" else ()
            example = Example(name, row["input"], row["target"], options=options)
            self._examples[split].append(example)

    def examples(self, split: str) -> Sequence[Example]:
        """Return the rows of a split, in upstream's order."""
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        return self._examples[split]

    def score(self, example: Example, reply: str) -> Score:
        """Compare the answer in the reply with the target, in the form of the table."""
        if self.form == "choice":
            return grade(reply, example.target, extract_choice(reply, example.options))
        if self.form == "word":
            return grade(reply, example.target, extract_word(reply, self._words))
        if self.form == "number":
            return grade(reply, example.target, extract_number(reply))
        return grade(reply, example.target, extract_text(reply), form=answers.list_form)

    def majority(self, split: str) -> float:
        """Return the accuracy of the best constant answer on a split."""
        return answers.majority_share(example.target for example in self.examples(split))


def _place(text: str) -> tuple[str, str]:
    """Return the split of an input and the name of its rows."""
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    share = int(digest[:8], 16) / 2**32
    split = "validation" if share < _VALIDATION else "train" if share < _TRAIN else "test"
    return split, digest[-12:]


def _options(text: str) -> tuple[tuple[str, str], ...]:
    listed = text.rpartition("\nOptions:\n")[2]
    return tuple(re.findall(r"^\(([A-Z])\) ?(.*)$", listed, re.MULTILINE))


def _form(targets: Sequence[str]) -> tuple[Form, tuple[str, ...]]:
    # Upstream's three malformed targets must not turn a table of choices into free text.
    labels = sum(re.fullmatch(r"\([A-Z]\)", target) is not None for target in targets)
    if labels > len(targets) / 2:
        return "choice", ()
    for pair in _PAIRS:
        if set(targets) <= set(pair):
            return "word", pair
    if all(re.fullmatch(r"-?[0-9]+", target) for target in targets):
        return "number", ()
    return "text", ()
