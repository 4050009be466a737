"""Replies of identical calls, kept in a file that several benchmarks can share.

Calls are identical if engine, weights of base and adapter, chat turns, decoding and the
call's own seed are: k samples of one prompt stay k different calls. Failed calls are never
kept. In low precision a reply depends a little on what else was in its batch, so a reply
from the cache can differ in a rounding from the one that a new call would give.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from neuromas_env.checks import arguments
from neuromas_env.errors import InputError
from neuromas_env.files import path_of
from neuromas_env.policy import Completion, Engine, Request

_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key BLOB PRIMARY KEY, text TEXT NOT NULL, prompt_ids BLOB NOT NULL, ids BLOB NOT NULL,
    logprobs BLOB NOT NULL, finished INTEGER NOT NULL
) WITHOUT ROWID
"""


class CachedCompletion(Completion):
    """A completion that cost nothing now."""


class CachedEngine(Engine):
    """Asks an engine only what the cache does not hold.

    Attributes:
        cost: What the calls to the engine have cost; replies from the cache add nothing.
        engine: Whom it asks.
        adapters: Adapter name to a hash of its weights.
    """

    @arguments
    def __init__(self, engine: Engine, identity: Mapping[str, Any], path: str | Path) -> None:
        """Open the cache.

        Args:
            engine: Answers what is not in the cache.
            identity: Everything about the engine that can change a reply, for JSON.
            path: The file; made if it is missing.

        Raises:
            InputError: The file is no cache or cannot be written.
        """
        self.cost, self.engine = engine.cost, engine
        self.adapters: Mapping[str, str] = {}
        self.name, self.weights_hash = engine.name, engine.weights_hash
        self.settings, self.versions = engine.settings, engine.versions
        self._path = path_of("cache", path)
        self._identity = json.dumps(identity, sort_keys=True)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self._path, timeout=60)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(_SCHEMA)
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests, in their order, as many as possible from the cache."""
        keys = [self._key(request) for request in requests]
        try:
            found = [self._find(key) for key in keys]
            missing = [i for i, reply in enumerate(found) if reply is None]
            new = self.engine.generate([requests[i] for i in missing]) if missing else []
            self._keep([keys[i] for i in missing], new)
        except sqlite3.Error as error:
            raise self._broken(error) from error
        fresh = iter(new)
        return [next(fresh) if reply is None else reply for reply in found]

    def _key(self, request: Request) -> bytes:
        weights = None if request.adapter is None else self.adapters[request.adapter]
        parts = [request.turns, weights, asdict(request.sampling), request.seed]
        text = json.dumps([self._identity, *parts], sort_keys=True)
        return blake2b(text.encode(), digest_size=16).digest()

    def _find(self, key: bytes) -> CachedCompletion | None:
        query = "SELECT text, prompt_ids, ids, logprobs, finished FROM replies WHERE key = ?"
        row = self._db.execute(query, (key,)).fetchone()
        if row is None:
            return None
        text, prompt_ids, ids, logprobs, finished = row
        return CachedCompletion(
            text,
            np.frombuffer(prompt_ids, dtype=np.int32).astype(np.int64),
            np.frombuffer(ids, dtype=np.int32).astype(np.int64),
            np.frombuffer(logprobs, dtype=np.float32),
            bool(finished),
        )

    def _keep(self, keys: Sequence[bytes], replies: Sequence[Completion]) -> None:
        rows = [
            (
                key,
                reply.text,
                np.asarray(reply.prompt_ids, dtype=np.int32).tobytes(),
                np.asarray(reply.ids, dtype=np.int32).tobytes(),
                np.asarray(reply.logprobs, dtype=np.float32).tobytes(),
                reply.finished,
            )
            for key, reply in zip(keys, replies, strict=True)
            if reply.error is None
        ]
        with self._db:
            self._db.executemany("INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _broken(self, error: sqlite3.Error) -> InputError:
        return InputError(
            f"cache {self._path}: {error}; it needs free space and a file that "
            "'neuromas bench --cache' made, or a new one"
        )
