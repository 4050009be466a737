"""The table of all benchmarks: what it reads from a script's output, and that it fits them."""

from __future__ import annotations

import importlib.util
import json
import re
import sys

import pytest
from support.paths import ROOT

FOLDER = ROOT / "benchmarks"


@pytest.fixture(scope="module")
def table():
    spec = importlib.util.spec_from_file_location("benchmark_table", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_figures_are_read_and_judged(table):
    output = "3 nodes: ratio: 2.50 (target: 6.0)\nshare: 0.027 (target: at most 0.03)\n"
    found = {
        what: (value, verdict) for what, value, _, verdict in table.figures("peer", output, True)
    }
    assert sorted(found.values()) == [("0.027", "ok"), ("2.5", "MISSED")]
    # A full run also expects the figure for seven nodes.
    assert ("-", "MISSED") in [(row[1], row[3]) for row in table.figures("peer", output, False)]
    (_, off, goal, verdict), *_ = [
        row
        for row in table.figures("joint_step", "ratio: 1.10\noff by 12.5%\nshare: 1.00%", True)
        if row[0].startswith("memory")
    ]
    assert (off, goal, verdict) == ("0.125", "<= 0.1", "MISSED")


def test_every_pattern_occurs_in_its_script(table):
    for row in table.ROWS:
        text = (FOLDER / f"{row.script}.py").read_text(encoding="utf-8")
        last = re.sub(r"[: ]*N.*$", "", row.pattern).split(".*")[-1].split(": ")[-1]
        assert last in text, (row.script, row.pattern)


def test_a_run_replaces_the_former_one_of_its_kind(table, tmp_path):
    path, kind = tmp_path / "speed.json", {"machine": "a", "instructions": "AVX2", "size": "quick"}
    for run in (
        {**kind, "minutes": 1.0},
        {**kind, "instructions": "AVX2 (emulated)", "minutes": 2.0},
        {**kind, "minutes": 3.0},
    ):
        table.keep(path, run)
    assert [run["minutes"] for run in json.loads(path.read_text())] == [2.0, 3.0]
