"""A test's id is the same in every process: workers of pytest-xdist must collect the same tests."""

import os
import re
import subprocess
import sys

from support.paths import ROOT

# An address, or a set as Python writes it: two hash seeds need not differ in a set of two.
PASSING = re.compile(r"\b0x[0-9a-f]{6,}|\bobject at\b|frozenset|\{(?:'[^:]*'|\d+, .*)\}")


def collecting(seed, folder):
    """Start collecting with a hash seed and a folder for temporary files."""
    folder.mkdir()
    fixed = {"PYTHONHASHSEED": str(seed), "TMPDIR": str(folder)}
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | fixed
    options = (
        "--collect-only -q -n 0 -p no:cacheprovider --import-mode=importlib -o addopts=".split()
    )
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, "tests"],
        cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_ids_depend_on_no_hash_seed_folder_or_order(tmp_path):
    processes = [collecting(seed, tmp_path / f"seed-{seed}") for seed in (1, 3)]
    one, other = (process.communicate()[0].splitlines() for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    ids = [line for line in one if "::" in line]
    assert len(ids) > 1000 and ids == [line for line in other if "::" in line]
    places = str(ROOT), str(tmp_path)
    assert not [id for id in ids if PASSING.search(id) or any(place in id for place in places)]
