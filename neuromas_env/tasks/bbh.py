"""BBH: hard tasks of BIG-bench (Suzgun et al., 2022), one table each, input as it is.

The benchmark has no training rows, so a fifth of each table (50 of 250 rows on average)
is the training pool, a fifth of that the validation split, and the rest is
reported. A row's split follows from the hash of its own input and nothing else: rows
with the same input stay together, and no subset of the rows, order or machine moves a
row from one split to another. Exactly 50 rows would take a ranking of hashes, in which
one row more or less moves others between training and test. Sizes hence vary by table.
Two tables are made of variants of one story or sentence; there only what the variants
share is hashed, so that they stay together: in `causal_judgement` the first four words of
the story, in `disambiguation_qa` the options. Pool rows that are still near to a reported
one (see `near_duplicates`) are in no split.

With `shots=n` the first n training rows, solved, precede every question; they are then
not trained on.

How an answer is read follows from the targets of the table: option labels, one of a pair
of words, whole numbers, or free text. Free text is compared with case folded and white
space, commas and outer quotes ignored: sorted words must all be there, in order, whatever
separates them, and closing brackets are compared as one whole sequence.
Data: `lukaemon/bbh`, licence MIT.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from os import PathLike

from neuromas_env.checks import Natural, arguments
from neuromas_env.errors import unknown
from neuromas_env.tasks import answers
from neuromas_env.tasks.base import SPLITS, Example, Task
from neuromas_env.tasks.names import full_name
from neuromas_env.tasks.near_duplicates import NEAR_DUPLICATES
from neuromas_env.tasks.pools import (
    check_shots,
    fingerprint,
    numbered,
    share,
    take_shots,
    with_shots,
)
from neuromas_env.tasks.readers import Form
from neuromas_env.tasks.rows import Row
from neuromas_env.tasks.sources import Source, data_folder, load_rows

UPSTREAM = (
    "boolean_expressions causal_judgement date_understanding disambiguation_qa dyck_languages "
    "formal_fallacies geometric_shapes hyperbaton logical_deduction_five_objects "
    "logical_deduction_seven_objects logical_deduction_three_objects movie_recommendation "
    "multistep_arithmetic_two navigate object_counting penguins_in_a_table "
    "reasoning_about_colored_objects ruin_names salient_translation_error_detection snarks "
    "sports_understanding temporal_sequences tracking_shuffled_objects_five_objects "
    "tracking_shuffled_objects_seven_objects tracking_shuffled_objects_three_objects web_of_lies "
    "word_sorting"
).split()
"""The tables of the hub's dataset, to list where no data is at hand."""

_SPLIT_AT_COMMA = "upstream split the options at a comma, so that no listed letter is right"
FLAWS = {
    "causal_judgement": dict.fromkeys(
        ("7cb710e8172c", "7cb710e8172c-2", "f56278427edd", "f56278427edd-2"),
        "the same input occurs twice, with opposite targets",
    ),
    "movie_recommendation": {"09d9c338463e": _SPLIT_AT_COMMA},
    "ruin_names": dict.fromkeys(("24f52a2337e1", "c99abc02c92f"), _SPLIT_AT_COMMA),
}
"""Table to the ids of its rows that are wrong upstream, with the reason."""

_PAIRS = (("True", "False"), ("Yes", "No"), ("yes", "no"), ("valid", "invalid"))
_VALIDATION, _TRAIN = 0.04, 0.2


@arguments
class Bbh(Task):
    """One task of BBH, such as `navigate`; the target is upstream's, such as `(B)` or `Yes`.

    Attributes:
        form: How an answer is read: `choice`, `word`, `number` or `text`.
    """

    def __init__(
        self,
        variant: str,
        data: str | PathLike[str] | None = None,
        shots: Natural = 0,
        skip_bad_rows: bool = False,
    ) -> None:
        """Load the rows.

        Args:
            variant: A table, such as `navigate`.
            data: Folder with the rows.
            shots: How many solved examples precede a question.
            skip_bad_rows: Leave broken rows out, instead of refusing the table.

        Raises:
            InputError: There is no such table or no data.
        """
        folder = data_folder(data)
        known = variants(folder) if folder and (folder / "bbh").is_dir() else ()
        if known and variant not in {*known, *UPSTREAM}:
            raise unknown("task", f"bbh/{variant}", (f"bbh/{name}" for name in known))
        if not re.fullmatch(r"\w+", variant):
            raise unknown("task", f"bbh/{variant}", (f"bbh/{name}" for name in UPSTREAM))
        base = f"bbh/{variant}"
        check_shots(base, shots)
        self.name = full_name(base, {"shots": shots}, {"shots": 0})
        rows = load_rows(_source(variant), data, skip_bad_rows)
        self.note(rows)
        self.flaws = FLAWS.get(variant, {})
        self.answer_form = _form([row["target"] for row in rows])
        self.form = self.answer_form.kind
        self.answer_format = {
            "choice": "Answer with the letter of the right option only.",
            "word": f"Answer {' or '.join(self.answer_form.words)} only.",
            "number": "Answer with the number only.",
            "text": "Give the answer only, without explanation.",
        }[self.form]
        self._examples = self._divide(rows, _SAME_FOR_VARIANTS.get(variant, str), shots)

    def _divide(
        self, rows: Sequence[Row], kept_together: Callable[[str], str], shots: int
    ) -> dict[str, list[Example]]:
        splits: dict[str, list[Example]] = {split: [] for split in SPLITS}
        ids = numbered(fingerprint(row["input"])[-12:] for row in rows)
        for id, row in zip(ids, rows, strict=True):
            text = row["input"]
            place = share(fingerprint(kept_together(text) or text))
            split = "validation" if place < _VALIDATION else "train" if place < _TRAIN else "test"
            if split == "test" or id not in NEAR_DUPLICATES["bbh"]:
                options = _options(text) if self.form == "choice" else ()
                splits[split].append(Example(id, text, row["target"], options=options))
        shown = take_shots(self.name, splits["train"], shots)
        del splits["train"][:shots]
        return {name: [with_shots(e, shown) for e in split] for name, split in splits.items()}

    def examples(self, split: str) -> Sequence[Example]:
        """Return the rows of a split, in upstream's order."""
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        return self._examples[split]

    def majority(self, split: str) -> float:
        """Return the accuracy of the best constant answer on a split."""
        return answers.majority_share(example.target for example in self.examples(split))


def variants(data: str | PathLike[str] | None = None) -> dict[str, str]:
    """Describe the tables that a data folder holds, else those that upstream has."""
    folder = data_folder(data)
    names = UPSTREAM
    if folder and (folder / "bbh").is_dir():
        names = sorted({file.name.partition(".")[0] for file in (folder / "bbh").glob("*.jsonl*")})
    return {name: f"BIG-bench Hard: {name.replace('_', ' ')}" for name in names}


def tables(variant: str = "") -> list[Source]:
    """Return one table, or all that upstream has."""
    return [_source(name) for name in ([variant] if variant else UPSTREAM)]


def _source(variant: str) -> Source:
    columns = {"input": str, "target": str}
    return Source(f"bbh/{variant}", ("lukaemon/bbh", variant, "test"), columns)


def _options(text: str) -> tuple[tuple[str, str], ...]:
    listed = text.rpartition("\nOptions:\n")[2]
    return tuple(re.findall(r"^\(([A-Z])\) ?(.*)$", listed, re.MULTILINE))


_SAME_FOR_VARIANTS: dict[str, Callable[[str], str]] = {
    "causal_judgement": lambda text: " ".join(text.partition("\n")[2].split()[:4]).casefold(),
    "disambiguation_qa": lambda text: "\n".join(sorted(option for _, option in _options(text))),
}


def _form(targets: Sequence[str]) -> Form:
    # Upstream's three malformed targets must not turn a table of choices into free text.
    labels = sum(re.fullmatch(r"\([A-Z]\)", target) is not None for target in targets)
    if labels > len(targets) / 2:
        return Form("choice")
    for pair in _PAIRS:
        if set(targets) <= set(pair):
            return Form("word", pair)
    if all(re.fullmatch(r"-?[0-9]+", target) for target in targets):
        return Form("number")
    return Form("text")
