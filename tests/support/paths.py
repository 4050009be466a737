"""Where the tests find the checkout, their files, and the rows of the benchmarks."""

import os
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
FIXTURES = TESTS / "fixtures"
ROWS = FIXTURES / "rows"
DATA = os.environ.get("NEUROMAS_DATA")
WHOLE = (pytest.mark.slow, pytest.mark.whole)
FOLDERS = {"made": (ROWS, ()), **({"real": (Path(DATA), WHOLE)} if DATA else {})}
"""Folders of made-up rows and, where NEUROMAS_DATA says where, of real ones, with marks."""
folders = pytest.mark.parametrize(
    "folder",
    [pytest.param(folder, id=id, marks=marks) for id, (folder, marks) in FOLDERS.items()],
)
"""Runs a test on each."""
