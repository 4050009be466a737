"""The fixed list of commands gives the recorded numbers, bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.cpu import cpu_kind

HERE = Path(__file__).parent
SHOWN = 40


def recorded(part):
    return json.loads((HERE / f"{part}.json").read_text(encoding="utf-8"))


def computed(part, tmp_path, hash_seed):
    """The values of the present code, from a process of its own."""
    command = [sys.executable, str(HERE / "record.py"), part, "--out", str(tmp_path / "found")]
    env = os.environ | {"PYTHONHASHSEED": hash_seed}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((tmp_path / "found").read_text())


def changes(old, new):
    """What differs, a line each."""
    lines = [f"- {path}: {old[path]!r}" for path in old if path not in new]
    lines += [f"+ {path}: {new[path]!r}" for path in new if path not in old]
    for path in (path for path in old if path in new and old[path] != new[path]):
        lines += [f"! {path}:", f"    was {old[path]!r}", f"    is  {new[path]!r}"]
    return lines


def compare(old, new):
    lines = changes(old, new)
    if len(lines) > SHOWN:
        lines[SHOWN:] = [f"and {len(lines) - SHOWN} lines more"]
    if lines:
        pytest.fail("values have changed:\n" + "\n".join(lines), pytrace=False)


@pytest.mark.slow
@pytest.mark.whole
def test_what_is_the_same_on_every_machine(tmp_path):
    compare(recorded("exact"), computed("exact", tmp_path, "1"))


@pytest.mark.slow
@pytest.mark.whole
def test_what_is_the_same_on_one_kind_of_cpu(tmp_path):
    kind, known = cpu_kind(), recorded("torch")
    if kind not in known:
        pytest.skip(f"no values are recorded for {kind} CPUs, only for {', '.join(known)}")
    compare(known[kind], computed("torch", tmp_path, "2"))


def test_a_change_is_told_by_its_path():
    old, new = {"a > 0": 1, "b": 2.0, "c": "x"}, {"a > 0": 1, "b": 2.5, "d": None}
    assert changes(old, new) == ["- c: 'x'", "+ d: None", "! b:", "    was 2.0", "    is  2.5"]
