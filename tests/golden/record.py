"""Records the values of the fixed list: `uv run python tests/golden/record.py [exact|torch]`.

With `--out FILE` they go there instead of into `exact.json` and `torch.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # sums depend on how they are shared out
    os.environ[name] = "1"
os.environ |= {"COLUMNS": "200", "NO_COLOR": "1"}

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import commands  # noqa: E402
from support.cpu import cpu_kind  # noqa: E402

FILES = {part: HERE / f"{part}.json" for part in commands.PARTS}


def compute(part: str) -> dict[str, Any]:
    """Run a part of the list in an empty folder; return its values by path."""
    if part == "torch":
        import torch

        torch.set_num_threads(1)
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            found = json.loads(json.dumps(commands.PARTS[part]()))
        finally:
            os.chdir(home)
    return flat(found)


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return the scalars and flat lists of a nested value by their paths."""
    nested = isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(item, dict | list) for item in value)
    )
    if not nested or not value:
        return {path: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found: dict[str, Any] = {}
    for key, item in items:
        found |= flat(item, f"{path} > {key}" if path else str(key))
    return found


def write(part: str, found: dict[str, Any]) -> None:
    """Record values; those of other kinds of CPU stay."""
    file = FILES[part]
    if part == "torch":
        others = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        kinds = (others | {cpu_kind(): found}).items()
        text = ",\n".join(f"{json.dumps(kind)}: {_lines(values)}" for kind, values in kinds)
        text = f"{{\n{text}\n}}"
    else:
        text = _lines(found)
    file.write_text(text + "\n", encoding="utf-8")


def _lines(values: dict[str, Any]) -> str:
    rows = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in values.items())
    return "{\n" + ",\n".join(rows) + "\n}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help="exact and torch by default")
    parser.add_argument("--out", type=Path, help="file for one part's values")
    given = parser.parse_args()
    for part in given.parts or FILES:
        found = compute(part)
        if given.out:
            given.out.write_text(json.dumps(found), encoding="utf-8")
        else:
            write(part, found)


if __name__ == "__main__":
    main()
