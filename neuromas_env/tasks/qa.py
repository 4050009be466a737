"""A question-answer set of one's own: rows with a question and one right answer each.

A row has a `question` and an `answer`. Where the answer is to be chosen, `choices` is a list of
texts, or the columns A, B, C, ... hold one each. `parts`, a list of texts, are dealt to the input
nodes, and the question is then what all may read beside them. A function, `read`, makes such a row
of one that looks different. The answer is

- `choice`: the number (from 0), the letter or the text of the right one of the choices,
- `number`: a number, or a text that is one, also in a form such as `1e-05`,
- `word`: a text; the answers of all rows together are what can be answered, in any case,
- `text`: a text, compared with case, white space, commas and outer quotes ignored.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from itertools import accumulate, takewhile
from os import PathLike
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from neuromas_env.checks import Count, arguments
from neuromas_env.errors import InputError, unknown
from neuromas_env.tasks.answers import extract_number
from neuromas_env.tasks.base import SPLITS, Example, Task
from neuromas_env.tasks.choices import list_options
from neuromas_env.tasks.pools import fingerprint, numbered, share
from neuromas_env.tasks.readers import Form
from neuromas_env.tasks.rows import FILES, Read, Row, Rows, fitted, misfit, read_rows, take_rows
from neuromas_env.tasks.sources import Source, load_rows

FORMATS = {
    "choice": "Answer with the letter of the right option only.",
    "number": "Answer with the number only.",
    "word": "Answer with the right word only.",
    "text": "Give the answer only, without explanation.",
}
"""Kind of answer to the sentence that asks for it."""

_COLUMNS = {"question": str}
_EXPONENT = re.compile(r"[+-]?[0-9]{1,400}(?:\.[0-9]{0,400})?[eE][+-]?[0-9]{1,3}")
_HUB = re.compile(r"\w[\w.-]*/[\w.-]+(:[\w.-]+)?")
_SHARES = {"train": 5, "validation": 1, "test": 4}

Origin = PathLike[str] | str | Iterable[Mapping[str, Any]]


class QuestionAnswer(Task):
    """Questions with one right answer each, from a file, from memory or from the hub.

    Splits that come from the same table divide it by a hash of the question, so that a row
    stays where it is whatever rows are added: one table for all gives about half of its rows
    to training, a tenth to validation and the rest to the test.
    """

    @arguments
    def __init__(
        self,
        name: str,
        rows: Any,  # checked row by row, which names the row that is wrong
        answer: str = "text",
        *,
        read: Read | None = None,
        tables: Mapping[str, str] | str = "train",
        answer_format: str = "",
        max_new_tokens: Count = Task.max_new_tokens,
        data: str | PathLike[str] | None = None,
        skip_bad_rows: bool = False,
    ) -> None:
        """Load the rows.

        Args:
            name: Name of the task.
            rows: The path of a file in `.jsonl`, `.json`, `.csv` or `.tsv`, each also with `.gz`,
                in which `{table}` stands for a table's name where each has a file; or a list or
                another iterable of mappings; or a dataset of the hub, `owner/name` or
                `owner/name:configuration`; or a dict from split to one of these; or a function
                from the name of a table to where its rows come from.
            answer: `choice`, `number`, `word` or `text`.
            read: Makes the row, a dict of the columns above, of a raw one as it stands in the
                table. What it raises is said with the row's file and line.
            tables: The table of each split, such as `{"train": "train", "test": "validation"}`;
                a single name if all splits share that table.
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
        if isinstance(rows, Mapping):
            tables = {split: split for split in rows}
        tables = dict.fromkeys(SPLITS, tables) if isinstance(tables, str) else tables
        for split in tables:
            if split not in SPLITS:
                raise unknown("split", split, SPLITS)
        self.name, self.answer, self.max_new_tokens = name, answer, max_new_tokens
        self.answer_format = answer_format or FORMATS[answer]
        self._examples: dict[str, list[Example]] = {split: [] for split in SPLITS}
        fit = partial(fitted, columns=_COLUMNS, check=self._misfit, read=read)
        origins = {table: _origin(name, rows, table) for table in dict.fromkeys(tables.values())}
        _check_apart(name, origins)
        for table, origin in origins.items():
            if isinstance(origin, Path):
                found = read_rows(origin, fit, skip_bad_rows)
            elif isinstance(origin, Source):
                origin = replace(origin, columns=_COLUMNS, check=self._misfit, read=read)
                found = load_rows(origin, data, skip_bad_rows)
            else:
                found = take_rows(origin, f"task {name!r}", fit, skip_bad_rows)
            self.note(found)
            self._divide(found, [split for split in SPLITS if tables.get(split) == table])
        targets = [example.target for rows in self._examples.values() for example in rows]
        words = {target.casefold(): target for target in targets} if answer == "word" else {}
        self.answer_form = Form(answer, tuple(words.values()))

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
        question, given, parts = row["question"], row.get("answer"), row.get("parts") or ()
        if not question.strip():
            raise InputError("column 'question' is empty")
        if wrong := misfit(parts, [str], "parts"):
            raise InputError(wrong)
        options: tuple[tuple[str, str], ...] = ()
        if self.answer == "choice":
            options = tuple(zip(ascii_uppercase, _choices(row), strict=False))
            question, target = list_options(question, options), _label(given, options)
        else:
            target = self._target(given)
        whole = "\n".join([question, *parts])
        return Example("", whole, target, tuple(parts), question if parts else "", options)

    def _target(self, given: object) -> str:
        target = str(given) if type(given) in (str, int, float) else ""
        if self.answer == "number":
            target = _decimal(target)
            target = "" if re.search("[^\\W\\d_]", target) else extract_number(target) or ""
        if not target.strip():
            kind = "a number" if self.answer == "number" else "a text"
            raise InputError(f"column 'answer' must be {kind}, not {given!r}")
        return target

    def examples(self, split: str) -> Sequence[Example]:
        """Return the rows of a split, in the order of their table.

        Raises:
            InputError: There is no such split.
        """
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        return self._examples[split]


def _origin(name: str, rows: Any, table: str) -> Path | Source | Iterable[Any]:
    """Return where the rows of a table are."""
    rows = rows[table] if isinstance(rows, Mapping) else rows
    if isinstance(rows, str) and _HUB.fullmatch(rows) and not _is_file(rows):
        repository, _, configuration = rows.partition(":")
        path = "/".join(filter(None, [repository, configuration, table]))
        return Source(path, (repository, configuration or "default", table), _COLUMNS)
    if isinstance(rows, str | PathLike):
        file = Path(str(rows).replace("{table}", table)).expanduser()
        packed = file.with_name(f"{file.name}.gz")
        return packed if packed.is_file() and not file.exists() else file
    if callable(rows):
        return rows(table)
    if not isinstance(rows, Iterable):
        raise InputError(f"task {name!r}: rows must be a path or a list of rows, not {rows!r:.80}")
    return rows


def _is_file(text: str) -> bool:
    return text.removesuffix(".gz").endswith(tuple(FILES)) or Path(text).exists()


def _check_apart(name: str, origins: Mapping[str, object]) -> None:
    """Refuse tables that are one file or list: its rows would be trained on and reported."""
    known: dict[object, str] = {}
    for table, origin in origins.items():
        if isinstance(origin, Source):
            continue
        key = origin.resolve() if isinstance(origin, Path) else id(origin)
        other = known.setdefault(key, table)
        if other != table:
            what = origin if isinstance(origin, Path) else "the same rows"
            raise InputError(
                f"task {name!r}: the tables {other!r} and {table!r} are both {what}; give each a "
                "file with '{table}' in the path, or tables='train' to divide one by a hash"
            )


def _choices(row: Row) -> Sequence[str]:
    """Return the column `choices`, or the columns A, B, C, ... up to the last that is not empty."""
    choices = row.get("choices")
    if choices is None:
        choices = [row[letter] for letter in takewhile(row.__contains__, ascii_uppercase)]
        while choices and choices[-1] == "":
            choices.pop()
        if not choices:
            raise InputError(
                "the column 'choices' (or A, B, ...) is missing; there are " + ", ".join(row)
            )
    if wrong := misfit(choices, [str], "choices"):
        raise InputError(wrong)
    if len(choices) > len(ascii_uppercase):
        raise InputError(f"there are {len(choices)} choices, but only 26 letters")
    return choices


def _label(given: object, options: Sequence[tuple[str, str]]) -> str:
    """Return the label of the option that an answer names."""
    right = {label for label, text in options if given in (label, label.lower(), text)}
    if type(given) is int and 0 <= given < len(options):
        right = {options[given][0]}
    if len(right) != 1:
        raise InputError(
            "column 'answer' must be the letter, the text or the number (from 0, no text) of one "
            f"of the {len(options)} choices, not {given!r}"
        )
    return right.pop()


def _decimal(text: str) -> str:
    """Return a number without its exponent, `0.00001` for `1e-05`; other texts as they are."""
    number = _EXPONENT.fullmatch(text.strip())
    return format(Decimal(number[0]), "f") if number else text
