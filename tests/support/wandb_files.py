"""Reads what Weights & Biases writes while it is offline: its records in LevelDB's log format."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK, HEADER = 32768, 7
FULL, LAST = 1, 4


def records(file: Path) -> Iterator[Any]:
    """Yield the records of a `.wandb` file, which begins with a header as long as a record's."""
    data, place, held = file.read_bytes(), HEADER, b""
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:  # a record does not begin in so short a rest
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        held += data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(held)
            held = b""
            yield record


def tracked(file: Path) -> tuple[dict[str, Any], dict[str, dict[int, Any]]]:
    """Return the configuration in a file, and of each figure its values by step."""
    config: dict[str, Any] = {}
    figures: dict[str, dict[int, Any]] = {}
    for record in records(file):
        kind = record.WhichOneof("record_type")
        if kind in ("run", "config"):
            update = record.run.config.update if kind == "run" else record.config.update
            config |= {item.key: json.loads(item.value_json) for item in update}
        elif kind == "history":
            row = {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            for name, value in row.items():
                if not name.startswith("_"):
                    figures.setdefault(name, {})[row["_step"]] = value
    return config, figures
