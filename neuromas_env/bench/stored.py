"""The tables of a store, and what their rows must hold, by which it is checked when opened."""

# Without annotations as texts, in which a TypedDict would not see what is not required.
import sqlite3
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NotRequired, TypedDict

from neuromas_env.checks import Natural, NonNegative, Share, shown
from neuromas_env.errors import InputError
from neuromas_env.files import parse

VERSION = 2
APPLICATION = 0x4E4D4153  # "NMAS", so that nobody else's database is taken for ours
SCHEMA = """
CREATE TABLE cells (
    id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE,
    method TEXT NOT NULL, task TEXT NOT NULL, split TEXT NOT NULL, seed INTEGER,
    settings TEXT NOT NULL, facts TEXT NOT NULL
);
CREATE TABLE questions (
    task TEXT, split TEXT, row_id TEXT, question TEXT NOT NULL, target TEXT NOT NULL,
    parts TEXT NOT NULL, PRIMARY KEY (task, split, row_id)
) WITHOUT ROWID;
CREATE TABLE answers (
    cell INTEGER REFERENCES cells, row INTEGER, row_id TEXT NOT NULL,
    answer TEXT NOT NULL, strict REAL NOT NULL, extracted REAL NOT NULL, reason TEXT,
    tie INTEGER, error TEXT, calls INTEGER NOT NULL, cached INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, seconds REAL NOT NULL,
    sandbox TEXT, transcript TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 1, reader TEXT,
    PRIMARY KEY (cell, row)
) WITHOUT ROWID;
CREATE TABLE matches (
    task TEXT, split TEXT, method TEXT, conditions TEXT, matched TEXT NOT NULL,
    PRIMARY KEY (task, split, method, conditions)
) WITHOUT ROWID;
CREATE VIEW results AS
    SELECT method, task, split, seed, answers.*, questions.question, questions.target,
        settings ->> '$.weights_hash' AS weights_hash, facts ->> '$.versions' AS versions
    FROM answers JOIN cells ON cells.id = answers.cell
    JOIN questions USING (task, split, row_id);
"""
STARTS = """
CREATE TABLE IF NOT EXISTS starts (
    command TEXT NOT NULL, commit_ TEXT NOT NULL, machine TEXT NOT NULL, date TEXT NOT NULL,
    PRIMARY KEY (command, commit_, machine)
) WITHOUT ROWID
"""
"""By what answers were made; stores have it since version 0.2.0."""
_TEXT, _COUNT = "typeof({0}) = 'text'", "typeof({0}) = 'integer' AND {0} >= 0"
_SHARE = "typeof({0}) IN ('real', 'integer') AND {0} BETWEEN 0 AND 1"
_JSON = "typeof({0}) = 'text' AND json_valid({0}) AND json_type({0}) = "
_MAYBE = "({0} IS NULL OR {1})"
_RIGHT = {
    "cells": {
        **dict.fromkeys(("hash", "method", "task", "split"), _TEXT),
        "seed": _MAYBE.format("{0}", _COUNT),
        "settings": _JSON + "'object'",
        "facts": _JSON + "'object'",
    },
    "questions": {
        **dict.fromkeys(("task", "split", "row_id", "question", "target"), _TEXT),
        "parts": _JSON + "'array'",
    },
    "answers": {
        **dict.fromkeys(("row_id", "answer"), _TEXT),
        **dict.fromkeys(("strict", "extracted"), _SHARE),
        **dict.fromkeys(("reason", "error", "sandbox"), _MAYBE.format("{0}", _TEXT)),
        "tie": _MAYBE.format("{0}", "{0} IN (0, 1)"),
        **dict.fromkeys(("row", "calls", "cached", "prompt_tokens", "completion_tokens"), _COUNT),
        "seconds": "typeof({0}) IN ('real', 'integer') AND {0} BETWEEN 0 AND 1e12",
        "transcript": _JSON + "'array'",
    },
    "matches": dict.fromkeys(("task", "split", "method", "conditions", "matched"), _TEXT),
}
"""Table to column to what must be true of it, in SQL: as fast as reading the file."""


def check_rows(db: sqlite3.Connection) -> None:
    """Check the types and ranges of all columns.

    Raises:
        InputError: A value is wrong; the message names its column.
    """
    for table, columns in _RIGHT.items():
        for name, right in columns.items():
            query = f"SELECT {name} FROM {table} WHERE NOT ({right.format(name)}) LIMIT 1"
            for (value,) in db.execute(query):
                raise InputError(f"column {name} of table {table} cannot hold {shown(value)}")


class Facts(TypedDict):
    """What a report needs of a cell beside its answers."""

    topology: dict[str, Any]
    labels: dict[str, str]
    trainable: Natural
    asked: Natural
    majority: Share | None
    blind: Share | None
    prices: tuple[NonNegative, NonNegative] | None
    training: NotRequired[dict[str, Natural | NonNegative] | None]
    skipped_rows: NotRequired[list[str]]
    tried: NotRequired[bool]


class Said(TypedDict):
    """What one node said; `tokens` in a model call, `cut` where the length limit ended it."""

    node: str
    text: str
    round: NotRequired[Natural]
    tokens: NotRequired[Natural]
    cut: NotRequired[bool]


def read_said(transcript: str) -> list[Said]:
    """Read the transcript of an answer.

    Raises:
        InputError: It is none.
    """
    return parse(transcript, list[Said])


def actions_of(said: Sequence[Said], nodes: int | None) -> list[Said]:
    """Return of each round the message that was its action, as `Episode.actions` does.

    Args:
        said: All messages, in order of speaking.
        nodes: How many the network has, the last of which is the output node; None for unknown.
    """
    rounds = [list(group) for _, group in groupby(said, lambda one: one.get("round", 0))]
    return [_answering(one, nodes) for one in rounds]


def answer_in(said: Sequence[Said], nodes: int | None) -> Said | None:
    """Return the message that was the answer, as `Episode.answer` does; None without messages."""
    if not said:
        return None
    answer = _answering(said, nodes)
    if "tokens" not in answer and any(
        one.get("cut") and one["text"] == answer["text"] for one in said
    ):
        # A vote passes on a reply as it is, which older stores do not say of its message.
        return {**answer, "cut": True}
    return answer


def _answering(said: Sequence[Said], nodes: int | None) -> Said:
    known = [f"node_{number}" for number in range(nodes or 0)]
    # MALT trains three nodes and answers by a vote over chains of them, whose nodes are more.
    if not known or any(one["node"] not in known for one in said):
        return said[-1]
    return next((one for one in reversed(said) if one["node"] == known[-1]), said[-1])
