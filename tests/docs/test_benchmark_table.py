"""The table of all benchmarks: what it reads from a script's output, and that it fits them."""

from __future__ import annotations

import importlib.util
import json
import re
import sys

import pytest
from support.paths import ROOT

sys.path.insert(0, str(ROOT / "docs"))
import make_results  # noqa: E402

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


def test_a_script_replaces_its_former_figures_of_the_same_kind(table, tmp_path):
    path = tmp_path / "speed.json"
    kind = {"machine": "a", "instructions": "AVX2", "size": "quick", "versions": {"torch": "2"}}
    for run in (
        {**kind, "scripts": {"peer": {"seconds": 1}, "floor": {"seconds": 1}}},
        {**kind, "instructions": "AVX2 (emulated)", "scripts": {"peer": {"seconds": 2}}},
        {**kind, "scripts": {"peer": {"seconds": 3}}},
    ):
        table.keep(path, run)
    emulated, own = json.loads(path.read_text())
    assert emulated["scripts"] == {"peer": {"seconds": 2}}
    assert own["scripts"] == {"peer": {"seconds": 3}, "floor": {"seconds": 1}}
    # Figures of other versions do not stand in one table with these.
    table.keep(path, {**kind, "versions": {"torch": "3"}, "scripts": {"floor": {"seconds": 4}}})
    assert json.loads(path.read_text())[-1]["scripts"] == {"floor": {"seconds": 4}}


def test_the_page_has_the_figures_that_are_stored():
    page = (ROOT / "docs" / "results" / "speed.md").read_text(encoding="utf-8")
    assert make_results.speed() in page
