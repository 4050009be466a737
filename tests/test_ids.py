"""A test's id is the same in every process: workers of pytest-xdist must collect the same tests."""

import os
import re
import subprocess
import sys

import pytest
from support.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.whole]

# An address, or a set as Python writes it: two hash seeds need not differ in a set of two.
PASSING = re.compile(r"\b0x[0-9a-f]{6,}|\bobject at\b|frozenset|\{(?:'[^:]*'|\d+, .*)\}")


def test_ids_depend_on_no_hash_seed_and_no_folder(request, tmp_path):
    """Compare what is collected here with what another process collects.

    xdist itself stops where its workers, whose hash seeds differ, collect in another order.
    """
    fixed = {"PYTHONHASHSEED": "3", "TMPDIR": str(tmp_path)}
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | fixed
    options = "--collect-only -q -n 0 -p no:cacheprovider --import-mode=importlib -o addopts="
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options.split(), "tests"],
        cwd=ROOT, env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    ids = {line for line in done.stdout.splitlines() if "::" in line}
    assert len(ids) > 1000 and {item.nodeid for item in request.session.items} <= ids
    places = str(ROOT), str(tmp_path)
    assert not [id for id in ids if PASSING.search(id) or any(place in id for place in places)]
