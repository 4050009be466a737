"""One SQLite file per benchmark: every answered question, written by one process.

A *cell* is a method on a task with a seed and all settings that can change an answer; their
hash names it, so that a changed setting is another cell. Chunks of answers are committed
whole. What is committed survives a kill at any moment.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from os import PathLike
from pathlib import Path
from typing import Any

from neuromas_env.bench.stored import APPLICATION, SCHEMA, STARTS, VERSION, check_rows
from neuromas_env.checks import arguments
from neuromas_env.errors import InputError, placed
from neuromas_env.files import lock
from neuromas_env.tasks.base import Example, Score

FILE, LOCK = "bench.sqlite", "bench.lock"


@dataclass(frozen=True)
class Cell:
    """A method on a task with one seed.

    Attributes:
        method: As the user named it.
        task: Full name of the task.
        split: Of the task.
        seed: None for a method without randomness.
        settings: Everything that can change an answer, for JSON.
        facts: What else a report needs: topology, majority, versions, prices, and `tried` if
            nobody asked for it; for JSON.
        questions: How many of the split's first questions are asked for now.
    """

    method: str
    task: str
    split: str
    seed: int | None
    settings: dict[str, Any]
    facts: dict[str, Any] = field(compare=False)
    questions: int = field(default=0, compare=False)

    @property
    def conditions(self) -> str:
        """The settings that methods share, as JSON: cells of equal ones are comparable."""
        return conditions(self.settings)

    @property
    def hash(self) -> str:
        """Digest of method, task, split, seed and settings."""
        named = [self.method, self.task, self.split, self.seed, self.settings]
        return blake2b(json.dumps(named, sort_keys=True).encode(), digest_size=16).hexdigest()


def conditions(settings: Mapping[str, Any]) -> str:
    """Return settings without those of a trained network, as JSON."""
    return json.dumps({k: v for k, v in settings.items() if k != "adapters"}, sort_keys=True)


@dataclass(frozen=True)
class Answer:
    """One question, answered.

    Attributes:
        row: Number of the question in its split.
        row_id: The question's own name.
        answer: The text that was scored.
        strict: Strict score.
        extracted: Extracted score.
        reason: Why so, None if the episode failed.
        tie: Whether a vote was tied, None where there was no vote.
        error: Which node's call failed and why.
        calls: Model calls that were answered.
        cached: How many of them from the cache.
        prompt_tokens: Of all calls.
        completion_tokens: Of all calls.
        seconds: The question's share of its chunk's time in the engine.
        sandbox: What isolated the code that was run, None where none was run.
        transcript: What every node said, as JSON.
        reader: Name and version of the reader that scored the answer, empty for a score without
            one, such as that of code.
    """

    row: int
    row_id: str
    answer: str
    strict: float
    extracted: float
    reason: str | None
    tie: bool | None
    error: str | None
    calls: int
    cached: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    sandbox: str | None
    transcript: str
    reader: str = ""


_COLUMNS = tuple(option.name for option in fields(Answer))
_INSERT = (
    f"INSERT INTO answers (cell, {', '.join(_COLUMNS)}) VALUES (?{', ?' * len(_COLUMNS)}) "
    "ON CONFLICT (cell, row) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])
    + ", attempts = attempts + 1 WHERE error IS NOT NULL"
)


class Store:
    """The answers of a benchmark directory. Close it, or use it in a `with`."""

    @arguments
    def __init__(self, folder: str | PathLike[str], *, write: bool = False) -> None:
        """Open a directory's store.

        Args:
            folder: The benchmark directory.
            write: Create what is missing and keep other writers out.

        Raises:
            InputError: Another process writes there, there is no store, it is of a newer
                version, or it cannot be read.
        """
        self.path = Path(folder) / FILE
        self._lock = lock(Path(folder) / LOCK, Path(folder)) if write else None
        try:
            with self._translated():
                self._open(write)
        except BaseException:
            self._release()
            raise

    def __enter__(self) -> Store:
        """Return the store."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the store."""
        self.close()

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        if self._lock is not None:
            # Leaves a single file behind; with a reader still there, the next writer does it.
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("PRAGMA journal_mode = DELETE")
        self._db.close()
        self._release()

    def cell(self, cell: Cell) -> int:
        """Return a cell's number, a new one where there is none yet.

        Its facts become the present ones, but what was once asked for stays asked for when a
        later run only tries it.
        """
        values = (
            cell.hash, cell.method, cell.task, cell.split, cell.seed,
            json.dumps(cell.settings, sort_keys=True), json.dumps(cell.facts),
        )  # fmt: skip
        with self._translated(), self._db:
            self._db.execute(
                "INSERT INTO cells (hash, method, task, split, seed, settings, facts) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (hash) DO UPDATE SET facts = iif(facts ->> '$.tried', "
                "excluded.facts, json_remove(excluded.facts, '$.tried'))",
                values,
            )
            found = self._db.execute("SELECT id FROM cells WHERE hash = ?", values[:1])
            return found.fetchone()[0]

    def done(self, number: int) -> set[int]:
        """Return the rows of a cell that were answered without an error."""
        query = "SELECT row FROM answers WHERE cell = ? AND error IS NULL"
        with self._translated():
            return {row for (row,) in self._db.execute(query, (number,))}

    def add_questions(self, task: str, split: str, examples: Iterable[Example]) -> None:
        """Note the text of questions, once per task.

        Raises:
            InputError: A question of this name is known and reads differently.
        """
        with self._translated(), self._db:
            query = (
                "SELECT row_id, question, target, parts FROM questions WHERE task = ? AND split = ?"
            )
            known = {row[0]: row[1:] for row in self._db.execute(query, (task, split))}
            new = []
            for example in examples:
                content = (example.question, example.target, json.dumps(example.parts))
                if known.setdefault(example.id, content) != content:
                    raise InputError(
                        f"{self.path}: question {example.id!r} of task {task} reads differently "
                        "now than when it was answered; take a new directory for the changed "
                        "rows"
                    )
                new.append((task, split, example.id, *content))
            self._db.executemany(
                "INSERT INTO questions VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", new
            )

    def check_order(self, cell: Cell, examples: Sequence[Example]) -> None:
        """Check that a cell's questions stand where they stood when any were answered.

        Answers are known and paired by the numbers of their rows, so that reordered rows would
        pair answers to different questions. Rows that are left out move the others, but they
        are a setting, and cells that differ in it are not checked against each other.

        Raises:
            InputError: A row holds another question than it did.
        """
        query = """
            SELECT DISTINCT row, row_id FROM answers JOIN cells ON cells.id = answers.cell
            WHERE task = ? AND split = ? AND row < ?
                AND settings ->> '$.skipped_rows' IS ? ->> '$.skipped_rows'
            ORDER BY row
        """
        settings = json.dumps(cell.settings)
        values = (cell.task, cell.split, len(examples), settings)
        for found in self.rows(query, values):
            row, name = found["row"], examples[found["row"]].id
            if found["row_id"] != name:
                raise InputError(
                    f"{self.path}: row {row} of task {cell.task} is question {name!r} now and was "
                    f"{found['row_id']!r} when it was answered; give the rows in their former "
                    "order, or a new directory for the changed ones"
                )

    def add(self, number: int, answers: Sequence[Answer]) -> None:
        """Commit answers of a cell, all or none; an answer without an error is never replaced.

        Raises:
            InputError: They cannot be written; what was committed before is unharmed.
        """
        rows = [(number, *(getattr(answer, name) for name in _COLUMNS)) for answer in answers]
        with self._translated(), self._db:
            self._db.executemany(_INSERT, rows)

    def forget(self, methods: Sequence[str], task: str, seed: int) -> None:
        """Delete the answers of methods on a task with a seed, all or none.

        Raises:
            InputError: They cannot be deleted.
        """
        query = """
            DELETE FROM answers WHERE cell IN (
                SELECT id FROM cells
                WHERE method IN (SELECT value FROM json_each(?)) AND task = ? AND seed = ?
            )
        """
        with self._translated(), self._db:
            self._db.execute(query, (json.dumps(list(methods)), task, seed))

    def readers(self) -> list[str]:
        """Return by which readers the answers were scored; stores of version 1 knew but one."""
        with self._translated():
            columns = [row[1] for row in self._db.execute("PRAGMA table_info(answers)")]
            known = "coalesce(reader, 'neuromas 1')" if "reader" in columns else "'neuromas 1'"
            query = f"SELECT DISTINCT {known} FROM answers WHERE error IS NULL ORDER BY 1"
            return [reader for (reader,) in self._db.execute(query) if reader]

    def origins(self) -> dict[str, str]:
        """Return what the results depend on: data sets, packages and files, and which of each."""
        with self._translated():
            each = "cells, json_each(facts, '$.origins') AS origin"
            query = f"SELECT DISTINCT origin.key, origin.value FROM {each}"
            return dict(sorted(self._db.execute(query)))

    def start(self, command: str, commit: str, machine: str, date: str) -> None:
        """Note by what answers are made from here on; the first date of each stays."""
        with self._translated(), self._db:
            self._db.execute(STARTS)
            values = (command, commit, machine, date)
            self._db.execute("INSERT OR IGNORE INTO starts VALUES (?, ?, ?, ?)", values)

    def starts(self) -> list[dict[str, Any]]:
        """Return `command`, `commit_`, `machine` and `date` of what was noted, by date."""
        if not self.rows("SELECT 1 FROM sqlite_schema WHERE name = 'starts'"):
            return []
        return self.rows("SELECT * FROM starts ORDER BY date")

    def copy(self) -> Store:
        """Return a copy in memory, whose scores can be changed while the file stays as it is."""
        twin = object.__new__(Store)
        twin.path, twin._lock, twin._db = self.path, None, sqlite3.connect(":memory:")
        with self._translated():
            self._db.backup(twin._db)
            twin._check_version(True)
        return twin

    def rescore(self, number: int, scores: Iterable[tuple[int, Score, str]]) -> None:
        """Replace scores of a cell's answers by row, score and reader; see `copy`."""
        query = (
            "UPDATE answers SET strict = ?, extracted = ?, reason = ?, reader = ? "
            "WHERE cell = ? AND row = ?"
        )
        values = [(s.strict, s.extracted, s.reason, by, number, row) for row, s, by in scores]
        with self._translated(), self._db:
            self._db.executemany(query, values)

    def match(self, cell: Cell, matched: str) -> None:
        """Note which method spends what a cell's method spends."""
        with self._translated(), self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO matches VALUES (?, ?, ?, ?, ?)",
                (cell.task, cell.split, cell.method, cell.conditions, matched),
            )

    def rows(self, query: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Return what a query finds, for reports."""
        with self._translated():
            cursor = self._db.execute(query, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def _open(self, write: bool) -> None:
        if not write and not self.path.is_file():
            raise InputError(
                f"there is no {self.path}: a directory that 'neuromas bench --out' wrote would "
                "be right"
            )
        self._db = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={'rwc' if write else 'ro'}",
            uri=True,
            timeout=30,
        )
        try:
            self._check_version(write)
            with placed(str(self.path)):
                check_rows(self._db)
            if write:
                self._db.execute("PRAGMA journal_mode = WAL")
                # A killed process loses nothing so; only a power cut may take the last chunk.
                self._db.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            self._db.close()
            raise

    def _check_version(self, write: bool) -> None:
        [application], [version], [tables] = (
            self._db.execute(query).fetchone()
            for query in (
                "PRAGMA application_id",
                "PRAGMA user_version",
                "SELECT count(*) FROM sqlite_schema",
            )
        )
        if not tables and write:
            script = f"{SCHEMA}PRAGMA application_id = {APPLICATION};"
            self._db.executescript(f"BEGIN;{script}PRAGMA user_version = {VERSION};COMMIT;")
        elif application != APPLICATION:
            raise InputError(f"{self.path} is no benchmark store; give another directory")
        elif version > VERSION:
            raise InputError(
                f"{self.path} was written by a newer neuromas-env: it is of version {version}, "
                f"this one reads up to {VERSION}. Update neuromas-env, or take a new directory."
            )
        elif version < VERSION and write:
            script = "ALTER TABLE answers ADD COLUMN reader TEXT"  # what is new in version 2
            self._db.executescript(f"BEGIN;{script};PRAGMA user_version = {VERSION};COMMIT;")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if not isinstance(error, sqlite3.OperationalError):  # cut off, or written over
                raise InputError(
                    f"{self.path} is damaged: {error}. Put a copy in its place, save what can be "
                    "read with the program sqlite3 and its command .recover, or delete it and "
                    "ask again."
                ) from error
            raise InputError(
                f"{self.path}: {error}. Answers that were stored before are unharmed; with free "
                "space and a healthy file the same command goes on."
            ) from error

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.lock.release()
            self._lock = None
