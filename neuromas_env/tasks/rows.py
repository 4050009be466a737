"""Rows of a task: read from a file or taken from memory, each checked once.

What is wrong with a row is said with its file and line, or its number in a list. Past this border
every row is a dict whose texts are valid Unicode and whose columns have their types.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

from neuromas_env.errors import InputError

Row = dict[str, Any]
Read = Callable[[Row], Mapping[str, Any]]
Fit = Callable[[Any], Row]
"""Makes a row of a raw one, or raises an InputError that says what is wrong with it."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # as JSON spells it; also half of a valid pair
_UNDECODED = re.compile("[\udc80-\udcff]")  # what `surrogateescape` makes of a byte
_TYPES = {str: "a text", int: "an integer"}


class Rows(list[Row]):
    """Rows of a table.

    Attributes:
        skipped: What is wrong with each broken row that was left out, and its place.
        origins: The data set on the hub or the package that they come from, to its commit or
            version; of rows from a file of the user's nothing.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        """Take rows, none left out."""
        super().__init__(rows)
        self.skipped: list[str] = []
        self.origins: Mapping[str, str] = {}

    def take(self, place: str, raw: Any, fit: Fit, skip_bad_rows: bool) -> None:
        """Add what becomes of a raw row; one that could not be parsed is an InputError.

        Raises:
            InputError: It is broken, and broken rows are not to be left out.
        """
        try:
            if isinstance(raw, InputError):
                raise raw
            self.append(fit(raw))
        except InputError as error:
            self.skipped.append(f"{place}: {error}")
            if not skip_bad_rows:
                raise InputError(self.skipped[-1]) from error

    def checked(self, place: str) -> Rows:
        """Return these rows.

        Args:
            place: Where they come from, for the message.

        Raises:
            InputError: There are none.
        """
        if not self:
            broken = f"; the first is broken: {self.skipped[0]}" if self.skipped else ""
            raise InputError(f"{place} holds no rows{broken}")
        return self


def take_rows(rows: Iterable[Any], place: str, fit: Fit, skip_bad_rows: bool = False) -> Rows:
    """Return the rows of a list or another iterable of mappings.

    Args:
        rows: The raw rows.
        place: What they are rows of, for messages.
        fit: Makes a row of a raw one.
        skip_bad_rows: Leave broken rows out, instead of refusing all.

    Raises:
        InputError: There are none, or one of them is broken.
    """
    taken = Rows()
    for number, raw in enumerate(rows, 1):
        taken.take(f"{place}, row {number}", _plain(raw), fit, skip_bad_rows)
    return taken.checked(place)


def read_rows(file: Path, fit: Fit, skip_bad_rows: bool = False) -> Rows:
    """Return the rows of a file, whose name says what is in it (`FILES`), packed if in `.gz`.

    Args:
        file: UTF-8, with or without a byte order mark.
        fit: Makes a row of a raw one.
        skip_bad_rows: Leave broken rows out, instead of refusing the file.

    Raises:
        InputError: The file cannot be read, holds no rows, or one of them is broken.
    """
    name = file.name.removesuffix(".gz")
    ending = next((ending for ending in FILES if name.endswith(ending)), None)
    if ending is None:
        raise InputError(f"{file}: the name must end in {', '.join(FILES)}, or so and in .gz")
    unpack = gzip.open if file.suffix == ".gz" else open
    # In CSV a cell may hold line ends; JSON lines end in "\n" alone.
    newline = "\n" if ending.startswith(".json") else ""
    rows, line = Rows(), 0
    try:
        # "-sig": some editors write a byte order mark at the beginning.
        # A byte that is not UTF-8 is a fault of its own row alone.
        with unpack(
            file, "rt", encoding="utf-8-sig", errors="surrogateescape", newline=newline
        ) as handle:
            for line, raw in FILES[ending](handle, file):
                rows.take(f"{file}, line {line}", raw, fit, skip_bad_rows)
    except FileNotFoundError:
        within = "" if file.is_absolute() else f" in {Path.cwd()}"
        raise InputError(f"there is no {file}{within}") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{file}, after line {line}: cannot be read: {reason}") from error
    return rows.checked(str(file))


def fitted(
    raw: Any,
    columns: Mapping[str, Any],
    check: Callable[[Row], str | None] | None = None,
    read: Read | None = None,
) -> Row:
    """Return the row that a raw one becomes.

    Args:
        raw: As it stands in the file.
        columns: Column name to type: `str`, `int`, `[type]` for a list, or a dict of such for
            nested columns; of what `read` returns, if that is given.
        check: Says what is wrong with a row whose columns are right, None if nothing is.
        read: Makes the row of the raw one.

    Raises:
        InputError: It has not these columns, `read` fails, or `check` finds something.
    """
    if not isinstance(raw, dict):
        raise InputError(f"must be an object with named columns, not {raw!r:.60}")
    row = _read(raw, read) if read else raw
    wrong = misfit(row, columns) or (check and check(row))
    if wrong:
        raise InputError(wrong)
    return row


def _read(raw: Row, read: Read) -> Row:
    try:
        made = read(raw)
    except InputError:
        raise
    except Exception as error:  # the function is a user's
        has = f"; the row has the columns {', '.join(raw)}" if isinstance(error, KeyError) else ""
        raise InputError(f"read raises {error!r}{has}") from error
    if not isinstance(made, Mapping):
        raise InputError(f"read must return a dict of columns, not {made!r:.60}")
    plain = _plain(made)
    if isinstance(plain, InputError):
        raise plain
    return plain


def _plain(raw: Any) -> Any:
    """Return a mapping as a dict, or as the InputError that says what no file could hold of it."""
    if not isinstance(raw, Mapping):
        return raw
    row = dict(raw)
    try:
        _check_unicode(row)
    except InputError as error:
        return error
    return row


def _check_unicode(row: Row) -> None:
    """Raise an InputError if a text holds a lone surrogate, which no file or tokenizer takes."""
    for column, value in row.items():
        try:
            json.dumps([column, value], ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError as error:
            code = ord(error.object[error.start])
            raise InputError(f"column {column!r} holds a lone surrogate, U+{code:X}") from None
        except (RecursionError, TypeError, ValueError) as error:  # nested too deeply, or in itself
            raise InputError(f"column {column!r} cannot be read: {error}") from error


def misfit(value: object, wanted: Any, column: str = "") -> str | None:
    """Return what is wrong with a value, None if it has the wanted type."""
    if isinstance(wanted, type):
        if type(value) is wanted:
            return None
        return f"column {column!r} must be {_TYPES[wanted]}, not {_short(value)}"
    if isinstance(wanted, Mapping):
        if not isinstance(value, dict):
            return f"column {column!r} must hold {', '.join(wanted)}, not {_short(value)}"
        for key, inner in wanted.items():
            name = f"{column}.{key}" if column else key
            if key not in value:
                there = ", ".join(map(str, value)) or "none"
                return f"the column {name!r} is missing; there are {there}"
            if wrong := misfit(value[key], inner, name):
                return wrong
        return None
    if not isinstance(value, list | tuple):
        return f"column {column!r} must be a list, not {_short(value)}"
    return next(filter(None, (misfit(item, wanted[0], column) for item in value)), None)


def _short(value: object) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}..."


Parsed = Iterator[tuple[int, Any]]
"""Line on which a row begins, and the row, or an InputError if it cannot be parsed."""


def _json_lines(handle: Iterable[str], file: Path) -> Parsed:
    for line, text in enumerate(handle, 1):
        if text.isspace():
            continue
        try:
            row = _undecoded(text) or json.loads(text, object_pairs_hook=_object)
            if _SURROGATE.search(text):
                row = _plain(row)
        except (ValueError, RecursionError) as error:
            row = InputError(f"broken JSON: {error}")
        yield line, row


def _json_list(handle: IO[str], file: Path) -> Parsed:
    """Parse a list, item by item, since each item's line is to be known."""
    text = handle.read()
    place = _gap(text, 0)
    if text[place : place + 1] != "[":
        yield from _json_lines(text.splitlines(keepends=True), file)
        return
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    line, counted, separator = 1, 0, text[place]
    place = _gap(text, place + 1)
    if text[place : place + 1] == "]":
        return
    while separator != "]":
        line, counted = line + text.count("\n", counted, place), place
        try:
            row, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{file}, line {line}: broken JSON: {error}") from error
        yield line, _undecoded(text[place:end]) or _plain(row)
        place = _gap(text, end)
        separator = text[place : place + 1]
        if separator not in (",", "]"):
            line += text.count("\n", counted, place)
            raise InputError(f"{file}, line {line}: broken JSON: ',' or ']' is missing")
        place = _gap(text, place + 1)


def _gap(text: str, place: int) -> int:
    """Return where the white space that begins at a place ends."""
    found = re.compile(r"[ \t\n\r]*").match(text, place)
    return found.end() if found else place


def _undecoded(text: str) -> InputError | None:
    if found := _UNDECODED.search(text):
        byte = ord(found[0]) - 0xDC00
        return InputError(f"the byte 0x{byte:X} is not UTF-8; save the file as UTF-8")
    return None


def _object(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(k for k in keys if keys.count(k) > 1)!r} stands in it twice")
    return row


def _table(handle: Iterable[str], file: Path, delimiter: str) -> Parsed:
    reader = csv.reader(handle, delimiter=delimiter, skipinitialspace=True, strict=True)
    line = 1
    try:
        header = next(reader, [])
        if wrong := _undecoded("".join(header)):
            raise InputError(f"{file}, line 1: {wrong}")
        if len(set(header)) < len(header):
            doubled = next(name for name in header if header.count(name) > 1)
            raise InputError(f"{file}, line 1: the column {doubled!r} stands there twice")
        line = reader.line_num + 1
        for cells in reader:
            if cells:
                yield line, _undecoded("".join(cells)) or _row(header, cells)
            line = reader.line_num + 1
    except csv.Error as error:
        last = reader.line_num
        lines = f"line {line}" if line == last else f"lines {line} to {last}"
        hint = "; a quotation mark is left open" if "end of data" in str(error) else ""
        raise InputError(f"{file}, {lines}: broken CSV: {error}{hint}") from error


def _row(header: list[str], cells: list[str]) -> Row | InputError:
    if len(cells) == len(header):
        return dict(zip(header, cells, strict=True))
    return InputError(f"has {len(cells)} cells where line 1 names {len(header)} columns")


FILES: dict[str, Callable[[IO[str], Path], Parsed]] = {
    ".jsonl": _json_lines,
    ".json": _json_list,
    ".csv": partial(_table, delimiter=","),
    ".tsv": partial(_table, delimiter="\t"),
}
"""Ending of a file's name to what parses it: one JSON object a line, a list of such, a table whose
first line names the columns."""
