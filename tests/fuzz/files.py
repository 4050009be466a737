"""Damaged files: every file that the suite reads, by the ways in which one can be wrong."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

DEEP = 10_000
DIGITS = "9" * 400

TEXTS: dict[str, bytes] = {
    "empty": b"",
    "spaces": b"  \n\n",
    "zeros": b"\0" * 64,
    "latin": b"caf\xe9: 1",
    "half a character": b'{"a": "\xe2\x82',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "mark alone": b"\xef\xbb\xbf",
    "prose": b"once upon a time",
    "half": b'{"a": [1, 2',
    "null": b"null",
    "number": b"3",
    "text": b'"a"',
    "list": b"[1, 2]",
    "object": b"{}",
    "list of lists": b"[[[[]]]]",
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "open lists": b"[" * DEEP,
    "digits": f'{{"steps": {DIGITS}, "step": {DIGITS}}}'.encode(),
    "many digits": b'{"steps": ' + b"9" * 5000 + b"}",
    "twice": b'{"steps": 1, "steps": 2}',
    "constants": b'{"steps": NaN, "seed": Infinity}',
    "surrogate": b'{"model": "\\ud800"}',
    "unquoted": b"{a: 1}",
    "comma": b'{"a": 1,}',
    "two": b'{"a": 1}{"a": 2}',
}
"""What stands in a file instead of its content."""

YAMLS: dict[str, bytes] = {
    "bomb in a key": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in b"bcdefghi"),
    "bomb in a value": b"steps: [&a [x,x,x,x,x,x,x,x,x]"
    + b"".join(b", &%c [%s]" % (c, b",".join([b"*%c" % (c - 1)] * 9)) for c in b"bcdefghi")
    + b"]",
    "bomb in task": b"task: {a: &a [x,x,x,x,x,x,x,x,x]"
    + b"".join(b", %c: &%c [%s]" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in b"bcdefghi")
    + b"}",
    "merge bomb": b"a: &a {x: 1}\n"
    + b"".join(
        b"%c: &%c {<<: [%s]}\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in b"bcdefgh"
    ),
    "in itself": b"steps: &a [*a]",
    "deep indentation": b"\n".join(b" " * i + b"a:" for i in range(3000)),
    "deep dashes": b"- " * DEEP + b"a",
    "deep flow": b"a: " + b"{a: " * DEEP,
    "sexagesimal": b"schedule: 1:10",
    "binary": b"steps: !!binary aGk=",
    "python": b"steps: !!python/object/apply:os.system [id]",
    "documents": b"steps: 1\n---\nsteps: 2",
    "large": b"# " + b"x" * 20_000_000,
    "many lines": b"a: 1\n" * 200_000,
}

VALUES: tuple[Any, ...] = (None, "x", -1, 1.5, True, [], {}, [1], float("nan"), 10**400, 2**63)
"""What stands in a value's place."""


def changed(content: Any, deep: bool, only: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield a file's content with one value after the other left out or replaced.

    Args:
        content: What the file holds.
        deep: Also values inside values.
        only: These keys alone, by default all.
    """
    for path in _paths(content, deep):
        for value in (_GONE, *VALUES) if not only or path[0] in only else ():
            made = _with(content, path, value)
            yield f"{'.'.join(map(str, path))}={str(value)[:20]}", json.dumps(made).encode()


_GONE = type("_Gone", (), {"__str__": lambda self: "left out"})()


def _paths(content: Any, deep: bool) -> Iterator[tuple[Any, ...]]:
    keys = content if isinstance(content, dict) else range(min(1, len(content)))
    for key in keys:
        yield (key,)
        if deep and isinstance(content[key], dict | list):
            yield from ((key, *rest) for rest in _paths(content[key], deep))


def _with(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    made = copy.deepcopy(content)
    place = made
    for key in path[:-1]:
        place = place[key]
    if value is _GONE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return made


@dataclass(frozen=True)
class Damaged:
    """A file and the command that reads it.

    Attributes:
        file: Its path; names in braces are those of `places.build`.
        args: The words of the command.
        contents: What stands in it, by a name, given the content that is right.
    """

    file: str
    args: str
    contents: Callable[[bytes], Iterable[tuple[str, bytes]]]

    def inputs(self, places: Mapping[str, str]) -> Iterator[tuple[str, Path, bytes, list[str]]]:
        """Yield a name, the file, what is to stand in it, and the words of the command."""
        file = Path(self.file.format(**places))
        right = file.read_bytes() if file.is_file() else b""
        words = self.args.format(**places, file=file).split()
        for name, content in self.contents(right):
            yield name, file, content, words


def _whole(right: bytes) -> Iterator[tuple[str, bytes]]:
    yield from TEXTS.items()
    for part in (2, 3):
        if right:
            yield f"the first 1/{part}", right[: len(right) // part]
    if right:
        yield "and more", right + right


def _some(right: bytes) -> Iterator[tuple[str, bytes]]:
    yield from islice(_whole(right), 0, None, 4)


def _yaml(right: bytes) -> Iterator[tuple[str, bytes]]:
    yield from (TEXTS | YAMLS).items()


def _keys(deep: bool = False, only: str = "", each: int = 1) -> Any:
    """Values left out or replaced, of a file of JSON or YAML, or of each line."""

    def contents(right: bytes) -> Iterator[tuple[str, bytes]]:
        first, *rest = right.splitlines(keepends=True) if b"}\n{" in right else [right]
        found = changed(yaml.safe_load(first), deep, only.split())
        for name, content in islice(found, 0, None, each):
            yield name, content + b"\n" * bool(rest) + b"".join(rest)

    return contents


def _sql(*statements: str) -> Any:
    """A database in which something was changed."""

    def contents(right: bytes) -> Iterator[tuple[str, bytes]]:
        for statement in statements:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "db"
                file.write_bytes(right)
                with contextlib.closing(sqlite3.connect(file)) as db, db:
                    db.executescript(statement)
                yield statement, file.read_bytes()

    return contents


def _torch(right: bytes) -> Iterator[tuple[str, bytes]]:
    import torch

    state = torch.load(io.BytesIO(right), weights_only=True)
    for value in (None, 3, "x", [], {}, {"a": 1}, torch.zeros(3)):
        yield f"{type(value).__name__} {str(value)[:20]}", _saved(value)
    for path in _paths(state, False):
        for value in (_GONE, None, 3, "x", [], {}, float("nan"), torch.zeros(2)):
            yield f"{path}={str(value)[:20]}", _saved(_with(state, path, value))


def _saved(value: Any) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def _tensors(right: bytes) -> Iterator[tuple[str, bytes]]:
    from safetensors.torch import load, save

    found = load(right)
    name = next(iter(found))
    yield "no tensors", save({})
    yield "one less", save({key: value for key, value in found.items() if key != name})
    yield "one more", save({**found, "more": found[name].clone()})
    yield "another shape", save({**found, name: found[name][:1].contiguous()})
    yield "not numbers", save({**found, name: found[name] * float("nan")})
    yield "whole numbers", save({**found, name: found[name].int()})
    for length in (0, 1, 2**31, 2**63, 2**64 - 1):
        yield f"header of {length} bytes", length.to_bytes(8, "little") + right[8:]
    for header in (
        b"{}",
        b"[]",
        b"null",
        b'{"a": 1}',
        b'{"a": {"shape": [-1]}}',
        TEXTS["deep lists"],
        b'{"a": {"dtype": "F32", "shape": [99999999999], "data_offsets": [0, 4]}}',
    ):
        yield f"header {header[:40]!r}", len(header).to_bytes(8, "little") + header + b"\0" * 8


SMALL = "--task signal:symbols=3 --dtype float32 --max-new-tokens 2"
EVAL = "eval --run {run} --limit 1"
RESUME = "train --resume {unfinished}"
MOCK = "bench --out {new} --tasks signal:symbols=3 --limit 1 --engine mock --methods neuromas@{run}"
STEP = "checkpoints/step_000002"
ANSWERED = "UPDATE answers SET"

DAMAGED = [
    Damaged("{config}", "train --model ./nowhere --config {file}", _yaml),
    Damaged("{config}", "eval --model ./nowhere --config {file}", _whole),
    Damaged("{config}", "bench --engine mock --config {file}", _whole),
    Damaged("{run}/config.yaml", "eval --limit 1 --model ./nowhere --run {run}", _yaml),
    Damaged("{run}/config.yaml", EVAL, _keys(only="learner topology rank targets seed", each=3)),
    Damaged("{run}/config.yaml", MOCK, _keys(only="learner topology rank questions temperature")),
    Damaged("{unfinished}/config.yaml", RESUME,
            _keys(only="topology model schedule steps task", each=3)),
    Damaged("{run}/run.json", "show {run}", _whole),
    Damaged("{run}/run.json", "show {run}", _keys(deep=True, each=5)),
    Damaged("{unfinished}/run.json", RESUME, _whole),
    Damaged("{unfinished}/run.json", RESUME, _keys(only="stages topology model", each=3)),
    Damaged("{run}/result.json", "show {run}", _whole),
    Damaged("{run}/result.json", "show {run}", _keys(deep=True, each=11)),
    Damaged("{run}/result.json", "train --resume {run}", _whole),
    Damaged("{run}/result.json", "train --resume {run}", _keys(each=3)),
    Damaged("{run}/transcripts.jsonl", "show {run} --step 1", _whole),
    Damaged("{run}/transcripts.jsonl", "show {run} --step 1", _keys(deep=True, each=3)),
    Damaged("{run}/metrics.jsonl", MOCK, _whole),
    Damaged("{run}/metrics.jsonl", MOCK, _keys()),
    Damaged(f"{{run}}/{STEP}/state.json", MOCK, _whole),
    Damaged(f"{{run}}/{STEP}/state.json", MOCK, _keys(deep=True, each=3)),
    Damaged(f"{{unfinished}}/{STEP}/state.json", RESUME, _keys(each=5)),
    Damaged(f"{{run}}/{STEP}/adapters/node_0/adapter_config.json", EVAL, _whole),
    Damaged(f"{{run}}/{STEP}/adapters/node_0/adapter_config.json", EVAL, _keys(each=9)),
    Damaged(f"{{run}}/{STEP}/adapters/node_0/adapter_model.safetensors", EVAL, _tensors),
    Damaged(f"{{run}}/{STEP}/adapters/node_0/adapter_model.safetensors", MOCK, _whole),
    Damaged(f"{{run}}/{STEP}/adapters/node_0/adapter_model.safetensors", MOCK, _tensors),
    Damaged(f"{{unfinished}}/{STEP}/learner.pt", RESUME, _whole),
    Damaged(f"{{unfinished}}/{STEP}/learner.pt", RESUME, _torch),
    Damaged("{bench}/bench.sqlite", "report {bench}", _whole),
    Damaged("{bench}/bench.sqlite", "report {bench}", _sql(
        "DROP TABLE answers", "DROP TABLE cells", "DROP TABLE questions", "DROP TABLE matches",
        "DELETE FROM answers", "DELETE FROM cells", "DELETE FROM questions",
        "PRAGMA user_version = 99", "PRAGMA application_id = 1",
        "UPDATE cells SET settings = 'x'", "UPDATE cells SET settings = '[]'",
        "UPDATE cells SET settings = '{{'", "UPDATE cells SET facts = 'x'",
        "UPDATE cells SET facts = '[]'", "UPDATE cells SET facts = '{}'",
        "UPDATE cells SET facts = '{\"topology\": 3}'", "UPDATE cells SET task = x'ff'",
        "UPDATE cells SET seed = 'x'", "UPDATE cells SET method = 3",
        f"{ANSWERED} strict = 'x'", f"{ANSWERED} strict = 9e999", f"{ANSWERED} extracted = -1",
        f"{ANSWERED} extracted = x'00'", f"{ANSWERED} calls = 'x'", f"{ANSWERED} seconds = 'x'",
        f"{ANSWERED} transcript = 'x'", f"{ANSWERED} transcript = '3'",
        f"{ANSWERED} transcript = '[3]'", f"{ANSWERED} transcript = '[]'",
        f"{ANSWERED} answer = x'ff'", f"{ANSWERED} row = row + 4000000000",
        f"{ANSWERED} tie = 'x'", f"{ANSWERED} prompt_tokens = 9e99",
        "UPDATE questions SET parts = 'x'", "UPDATE questions SET parts = '3'",
        "UPDATE questions SET question = x'ff'",
        "INSERT INTO matches VALUES ('hierarchy/max', 'test', 'direct', 'x', 'y')",
    )),
    Damaged("{bench}/bench.sqlite", "verify {bench}", _some),
    Damaged("{home}/bench.tar.xz", "verify {file}", _whole),
    Damaged("{cache}", "bench --out {new} --methods direct --tasks signal:symbols=3 --limit 1 "
            "--engine mock --cache {file}", _whole),
    Damaged("{adapted}/adapted.json", "bench --out {new} --tasks hierarchy/max --limit 1 --engine "
            "mock --methods gptswarm:agents=1,state={adapted}", _whole),
    Damaged("{adapted}/adapted.json", "bench --out {new} --tasks hierarchy/max --limit 1 --engine "
            "mock --methods gptswarm:agents=1,state={adapted}", _keys(deep=True, each=5)),
    Damaged("{mine}/experiment.yaml", "experiment {mine} --scale mini --out {empty}/x", _yaml),
    Damaged("{mine}/experiment.yaml", "experiment {mine} --scale none --out {tried}", _keys()),
    Damaged("{mine}/experiment.yaml", "experiment {mine} --scale mini --out {tried}",
            _keys(deep=True, only="discrete", each=3)),
    Damaged("{mine}/scales.yaml", "experiment {mine} --scale mini --out {tried}", _whole),
    Damaged("{mine}/scales.yaml", "experiment {mine} --scale mini --out {tried}",
            _keys(deep=True, each=2)),
    Damaged("{tried}/experiment.json", "experiment {mine} --scale mini --out {tried}", _whole),
    Damaged("{tried}/experiment.json", "experiment {mine} --scale mini --out {tried}",
            _keys(each=3)),
    Damaged("{tried}/coded/network/seed_0/result.json",
            "experiment {mine} --scale mini --out {tried}", _whole),
    Damaged("{tried}/coded/network/seed_0/result.json",
            "experiment {mine} --scale mini --out {tried}",
            _keys(each=3)),
    *(Damaged(f"{{model}}/{name}", f"eval --model {{model}} --limit 1 {SMALL}", _some)
      for name in ("config.json", "tokenizer.json", "tokenizer_config.json",
                   "generation_config.json", "model.safetensors", "chat_template.jinja")),
    Damaged("{rows}/arc/ARC-Challenge/test.jsonl",
            "eval --policy gold --task arc/challenge --data {rows}", _whole),
    Damaged("{rows}/arc/ARC-Challenge/test.jsonl",
            "eval --policy gold --task arc/challenge --data {rows}", _keys(deep=True, each=3)),
]  # fmt: skip
