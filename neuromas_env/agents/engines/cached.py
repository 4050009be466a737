"""Replies of identical calls, kept in a file that several benchmarks can share.

Calls are identical if engine, weights of base and adapter, chat turns, decoding and the
call's own seed are: k samples of one prompt stay k different calls. Failed calls are never
kept; the others are, each when it is answered, whatever becomes of those beside it. In low
precision a reply depends a little on what else was in its batch, so a reply from the cache can
differ in a rounding from the one that a new call would give.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from neuromas_env.checks import arguments
from neuromas_env.errors import InputError
from neuromas_env.files import path_of
from neuromas_env.policy import Completion, Engine, Request

_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key BLOB PRIMARY KEY, text TEXT NOT NULL, prompt_ids BLOB NOT NULL, ids BLOB NOT NULL,
    logprobs BLOB NOT NULL, finished INTEGER NOT NULL, left_out TEXT NOT NULL DEFAULT '[]'
) WITHOUT ROWID
"""
# Caches of before there was such a column know of no call that lacked something.
_NEW_COLUMN = "ALTER TABLE replies ADD COLUMN left_out TEXT NOT NULL DEFAULT '[]'"
_COLUMNS = "text, prompt_ids, ids, logprobs, finished, left_out"


class CachedCompletion(Completion):
    """A completion that cost nothing now."""


@runtime_checkable
class Kept(Protocol):
    """Where replies are kept, by the hash of their call."""

    def find(self, keys: Sequence[bytes]) -> list[CachedCompletion | None]:
        """Return the reply to each call, None where there is none."""

    def keep(self, key: bytes, reply: Completion) -> None:
        """Keep a reply; when this returns, no end of the process can lose it."""

    def close(self) -> None:
        """Close what is open."""


class Replies:
    """Replies in a file, which several processes of one machine may share."""

    @arguments
    def __init__(self, path: str | Path) -> None:
        """Open the file; made if it is missing.

        Raises:
            InputError: It is no cache or cannot be written.
        """
        self._path = path_of("cache", path)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self._path, timeout=60)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(_SCHEMA)
            if "left_out" not in {row[1] for row in self._db.execute("PRAGMA table_info(replies)")}:
                self._db.execute(_NEW_COLUMN)
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def find(self, keys: Sequence[bytes]) -> list[CachedCompletion | None]:
        """Return the reply to each call, None where there is none.

        Raises:
            InputError: The file cannot be read.
        """
        query = f"SELECT {_COLUMNS} FROM replies WHERE key = ?"
        try:
            rows = [self._db.execute(query, (key,)).fetchone() for key in keys]
        except sqlite3.Error as error:
            raise self._broken(error) from error
        return [None if row is None else _completion(*row) for row in rows]

    def keep(self, key: bytes, reply: Completion) -> None:
        """Keep a reply.

        Raises:
            InputError: The file cannot be written.
        """
        row = (
            key,
            reply.text,
            np.asarray(reply.prompt_ids, dtype=np.int32).tobytes(),
            np.asarray(reply.ids, dtype=np.int32).tobytes(),
            np.asarray(reply.logprobs, dtype=np.float32).tobytes(),
            reply.finished,
            json.dumps(reply.left_out),
        )
        try:
            with self._db:
                self._db.execute(
                    f"INSERT OR IGNORE INTO replies (key, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    row,
                )
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _broken(self, error: sqlite3.Error) -> InputError:
        return InputError(
            f"cache {self._path}: {error}; it needs free space and a file that "
            "'neuromas bench --cache' made, or a new one"
        )


def _completion(
    text: str, prompt_ids: bytes, ids: bytes, logprobs: bytes, finished: int, left_out: str
) -> CachedCompletion:
    return CachedCompletion(
        text,
        np.frombuffer(prompt_ids, dtype=np.int32).astype(np.int64),
        np.frombuffer(ids, dtype=np.int32).astype(np.int64),
        np.frombuffer(logprobs, dtype=np.float32),
        bool(finished),
        left_out=tuple(json.loads(left_out)),
    )


class CachedEngine(Engine):
    """Asks an engine only what the cache does not hold.

    Attributes:
        cost: What the calls to the engine have cost; replies from the cache add nothing.
        engine: Whom it asks.
        identity: Everything besides a request that can change a reply, for JSON.
        adapters: Adapter name to a hash of its weights.
    """

    @arguments
    def __init__(
        self, engine: Engine, identity: Mapping[str, Any], path: str | Path | Kept
    ) -> None:
        """Open the cache.

        Args:
            engine: Answers what is not in the cache.
            identity: Of the engine.
            path: The file, made if it is missing; or what keeps the replies elsewhere.

        Raises:
            InputError: The file is no cache or cannot be written.
        """
        self.cost, self.engine = engine.cost, engine
        self.adapters: Mapping[str, str] = {}
        self.name, self.weights_hash = engine.name, engine.weights_hash
        self.settings, self.versions = engine.settings, engine.versions
        self.identity = identity
        self._kept: Kept = Replies(path) if isinstance(path, str | Path) else path

    def close(self) -> None:
        """Close the file and the engine."""
        self._kept.close()
        self.engine.close()

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, in their order, as many as possible from the cache.

        Raises:
            InputError: The file cannot be read or written.
        """
        keys = [self._key(request) for request in requests]
        found = enumerate(self._kept.find(keys))
        replies: dict[int, Completion] = {place: reply for place, reply in found if reply}
        missing = [place for place in range(len(keys)) if place not in replies]
        asked = [requests[place] for place in missing]
        for number, reply in self.engine.as_completed(asked) if asked else ():
            replies[missing[number]] = reply
            if reply.error is None:
                self._kept.keep(keys[missing[number]], reply)
        return [replies[place] for place in range(len(keys))]

    def _key(self, request: Request) -> bytes:
        weights = None if request.adapter is None else self.adapters[request.adapter]
        parts: list[Any] = [request.turns, weights, asdict(request.sampling), request.seed]
        if request.replies:
            parts.append([ids.tolist() for ids in request.replies])
        identity = json.dumps(self.identity, sort_keys=True)
        text = json.dumps([identity, *parts], sort_keys=True)
        return blake2b(text.encode(), digest_size=16).digest()
