"""A question-answer set of one's own: rows with a question and one right answer each.

A row is an object with a `question` and an `answer`, and with `choices` (a list of texts)
where the answer is to be chosen; `columns` says where the data calls them otherwise, and
`preprocess` makes such a row of one that looks different. The answer is

- `choice`: the number (from 0), the letter or the text of the right one of the choices,
- `number`: a number, or a text that is one, also in a form such as `1e-05`,
- `word`: a text; the answers of all rows together are what can be answered, in any case,
- `text`: a text, compared with case, white space, commas and outer quotes ignored.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import accumulate
from os import PathLike
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from neuromas_env.checks import Count, arguments
from neuromas_env.errors import InputError, unknown
from neuromas_env.tasks.answers import (
    extract_number,
    majority_share,
)
from neuromas_env.tasks.base import SPLITS, Example, Task
from neuromas_env.tasks.choices import list_options
from neuromas_env.tasks.pools import fingerprint, numbered, share
from neuromas_env.tasks.readers import Form
from neuromas_env.tasks.sources import Row, Rows, Source, load_rows

FORMATS = {
    "choice": "Answer with the letter of the right option only.",
    "number": "Answer with the number only.",
    "word": "Answer with the right word only.",
    "text": "Give the answer only, without explanation.",
}
"""Kind of answer to the sentence that asks for it."""

_COLUMNS = {"question": "question", "answer": "answer", "choices": "choices"}
_EXPONENT = re.compile(r"[+-]?[0-9]{1,400}(?:\.[0-9]{0,400})?[eE][+-]?[0-9]{1,3}")
_SHARES = {"train": 5, "validation": 1, "test": 4}


class QuestionAnswer(Task):
    """Questions with one right answer each, from a file or the Hugging Face hub.

    Splits that come from the same table divide it by a hash of the question, so that a row
    stays where it is whatever rows are added: one table for all gives about half of its rows
    to training, a tenth to validation and the rest to the test.
    """

    @arguments
    def __init__(
        self,
        name: str,
        source: PathLike[str] | str | Callable[[str], Source],
        answer: str = "text",
        *,
        tables: Mapping[str, str] | str = "train",
        columns: Mapping[str, str] = _COLUMNS,
        preprocess: Callable[[Row], Row] | None = None,
        answer_format: str = "",
        max_new_tokens: Count = Task.max_new_tokens,
        data: str | PathLike[str] | None = None,
        skip_bad_rows: bool = False,
    ) -> None:
        """Load the rows.

        Args:
            name: Name of the task.
            source: A `Path` of a file with one JSON object a line (`.jsonl` or `.jsonl.gz`),
                with `{table}` in its name where each table has a file; or as a text the
                dataset on the hub, `owner/name` or `owner/name:configuration`; or a function
                from the name of a table to where its rows come from.
            answer: `choice`, `number`, `word` or `text`.
            tables: The table of each split, such as `{"train": "train", "test": "validation"}`;
                a single name if all splits share that table.
            columns: Names of the columns that are not called `question`, `answer`, `choices`.
            preprocess: Makes the row, a dict of these columns, of a raw one as it stands in the
                table. What it raises is said with the row's file and line.
            answer_format: One sentence that says in which form to answer, if not the usual.
            max_new_tokens: How long a reply may be.
            data: Folder to take the tables of a hub dataset from, as `owner/name/TABLE.jsonl`.
            skip_bad_rows: Leave broken rows out, instead of refusing the table.

        Raises:
            InputError: An argument is wrong, two tables are one file, or the rows are missing
                or broken.
        """
        if answer not in FORMATS:
            raise unknown("kind of answer", answer, FORMATS)
        for column in columns:
            if column not in _COLUMNS:
                raise unknown(f"column of task {name!r}:", column, _COLUMNS)
        tables = dict.fromkeys(SPLITS, tables) if isinstance(tables, str) else tables
        for split in tables:
            if split not in SPLITS:
                raise unknown("split", split, SPLITS)
        self.name, self.answer, self.max_new_tokens = name, answer, max_new_tokens
        self.answer_format = answer_format or FORMATS[answer]
        self._columns = {**_COLUMNS, **columns}
        self._examples: dict[str, list[Example]] = {split: [] for split in SPLITS}
        names = list(dict.fromkeys(tables.values()))
        if isinstance(source, PathLike):
            _check_apart(name, source, names)
        skipped: list[str] = []
        for table in names:
            origin, folder = self._origin(source, table, data)
            origin = replace(origin, check=self._misfit, preprocess=preprocess)
            rows = load_rows(origin, folder, skip_bad_rows)
            skipped += rows.skipped
            self._divide(rows, [split for split in SPLITS if tables.get(split) == table])
        self.skipped = skipped
        targets = [example.target for rows in self._examples.values() for example in rows]
        words = {target.casefold(): target for target in targets} if answer == "word" else {}
        self.answer_form = Form(answer, tuple(words.values()))

    def _origin(
        self,
        source: PathLike[str] | str | Callable[[str], Source],
        table: str,
        data: str | PathLike[str] | None,
    ) -> tuple[Source, str | PathLike[str] | None]:
        """Return where a table comes from, and the folder that holds it."""
        wanted: dict[str, Any] = {self._columns["question"]: str}
        if self.answer == "choice":
            wanted[self._columns["choices"]] = [str]
        if isinstance(source, str):
            repository, _, configuration = source.partition(":")
            path = "/".join(filter(None, [repository, configuration, table]))
            return Source(path, (repository, configuration or "default", table), wanted), data
        if not isinstance(source, PathLike):
            return replace(source(table), columns=wanted), data
        file = _file(source, table)
        stem = file.name.removesuffix(".gz").removesuffix(".jsonl")
        if stem == file.name:
            raise InputError(f"{file}: the name must end in .jsonl or .jsonl.gz")
        return Source(stem, ("", "", ""), wanted), file.parent

    def _divide(self, rows: Rows, splits: Sequence[str]) -> None:
        bounds = list(accumulate(_SHARES[split] for split in splits))
        examples = [self._example(row) for row in rows]
        hashes = [fingerprint(example.question) for example in examples]
        ids = numbered(value[-12:] for value in hashes)
        for id, value, example in zip(ids, hashes, examples, strict=True):
            split = splits[bisect(bounds, share(value) * bounds[-1])]
            self._examples[split].append(replace(example, id=id))

    def _misfit(self, row: Row) -> str | None:
        try:
            self._example(row)
        except InputError as error:
            return str(error)
        return None

    def _example(self, row: Row) -> Example:
        """Read a row; an InputError says why it cannot be."""
        column, question = self._columns["answer"], row[self._columns["question"]]
        given = row.get(column)
        if self.answer == "choice":
            choices = row[self._columns["choices"]]
            if len(choices) > len(ascii_uppercase):
                raise InputError(f"there are {len(choices)} choices, but only 26 letters")
            options = tuple(zip(ascii_uppercase, choices, strict=False))
            right = {label for label, text in options if given in (label, label.lower(), text)}
            if type(given) is int and 0 <= given < len(options):
                right = {options[given][0]}
            if len(right) != 1:
                raise InputError(
                    f"column {column!r} must be the number (from 0), the letter or the text of "
                    f"one of the {len(options)} choices, not {given!r}"
                )
            [target] = right
            return Example("", list_options(question, options), target, options=options)
        target = str(given) if type(given) in (str, int, float) else ""
        if self.answer == "number":
            target = _decimal(target)
            target = "" if re.search("[^\\W\\d_]", target) else extract_number(target) or ""
        if not target.strip():
            kind = "a number" if self.answer == "number" else "a text"
            raise InputError(f"column {column!r} must be {kind}, not {given!r}")
        return Example("", question, target)

    def examples(self, split: str) -> Sequence[Example]:
        """Return the rows of a split, in the order of their table."""
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        return self._examples[split]

    def majority(self, split: str) -> float:
        """Return the accuracy of the best constant answer on a split."""
        return majority_share(example.target for example in self.examples(split))


def _file(source: PathLike[str], table: str) -> Path:
    return Path(str(source).replace("{table}", table))


def _check_apart(name: str, source: PathLike[str], tables: Sequence[str]) -> None:
    """Refuse tables that are one file: its rows would be trained on and reported."""
    files: dict[Path, str] = {}
    for table in tables:
        file = _file(source, table)
        other = files.setdefault(file.resolve(), table)
        if other != table:
            raise InputError(
                f"task {name!r}: the tables {other!r} and {table!r} are both {file}; give each a "
                "file with '{table}' in the path, or tables='train' to divide one by a hash"
            )


def _decimal(text: str) -> str:
    """Return a number without its exponent, `0.00001` for `1e-05`; other texts as they are."""
    number = _EXPONENT.fullmatch(text.strip())
    return format(Decimal(number[0]), "f") if number else text
