"""Where the tests find the checkout and their files."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
FIXTURES = TESTS / "fixtures"
ROWS = FIXTURES / "rows"
