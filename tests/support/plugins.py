"""Installed packages that exist for one test: a `.dist-info` and modules, in a folder."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest


def install(
    patch: pytest.MonkeyPatch,
    folder: Path,
    package: str,
    points: Mapping[str, Mapping[str, str]],
    modules: Mapping[str, str] | None = None,
) -> None:
    """Install a package whose entry points are `{group: {name: "module:attribute"}}`.

    Args:
        patch: Takes the package and its modules away again.
        folder: Where packages lie, such as `tmp_path`.
        package: Its name.
        points: What it offers.
        modules: Name to source; modules of the tests need none.
    """
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [
        line
        for group, named in points.items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in named.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    for name, source in (modules or {}).items():
        (folder / f"{name}.py").write_text(source)
        patch.setitem(sys.modules, name, None)  # so that the undoing forgets what the test imports
        patch.delitem(sys.modules, name)
    patch.syspath_prepend(str(folder))
