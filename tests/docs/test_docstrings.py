"""Docstrings of the face say what a caller must know: every argument, field and error."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator

import pytest
from support.paths import ROOT

SPEC = importlib.util.spec_from_file_location("parts", ROOT / "docs" / "reference_pages.py")
PARTS = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(PARTS)


def face() -> Iterator[tuple[str, str]]:
    """Module and name of everything that the package and the modules of its face offer."""
    for name, module in PARTS._names(PARTS.PACKAGE / "__init__.pyi").items():
        path = f"{module}.{name}".lstrip(".")
        if PARTS._source(path).is_file():
            yield from ((path, offered) for offered in PARTS._offered(path))
        else:
            yield module, name


def defined(module: str, name: str) -> tuple[str, ast.stmt] | None:
    """Where a name comes from, through the modules that pass it on; None outside the package."""
    for node in PARTS._tree(module).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return module, node
    stub = PARTS._source(module).with_suffix(".pyi")
    for file, inside in ((PARTS._source(module), ""), (stub, f"{module}.")):
        source = PARTS._names(file).get(name) if file.is_file() else None
        if source is not None and PARTS._source(inside + source).is_file():
            return defined(inside + source, name)
    return None


FOUND = {f"{found[0]}.{found[1].name}": found for where in face() if (found := defined(*where))}
VALUES = [where for where in face() if not defined(*where)]


def methods(node: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    made = {one.name: one for one in node.body if isinstance(one, ast.FunctionDef)}
    return {name: one for name, one in made.items() if name == "__init__" or name[0] != "_"}


def inherited(module: str, node: ast.ClassDef) -> set[str]:
    """The methods of a class that its bases explain."""
    known = set()
    for base in node.bases:
        if found := defined(module, ast.unparse(base)):
            known |= methods(found[1]).keys() | inherited(*found)
    return known - {"__init__"}


def wrong_with(function: ast.FunctionDef, owner: str, *, strict: bool) -> Iterator[str]:
    """What the docstring of a function, or of the class around it, leaves out.

    A function lists its arguments. A method may name them in its first words instead.
    """
    text = f"{ast.get_docstring(function) or ''}\n{owner}"
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    for one in (one.arg for one in every if one and one.arg not in ("self", "cls")):
        listed = re.search(rf"^ +\*{{0,2}}{one}: \S", text, re.M)
        if not listed and (strict or not re.search(rf"\b{one.rstrip('s')}", text)):
            yield f"{function.name} does not explain {one}"
    raised = (ast.unparse(node) for node in ast.walk(function) if isinstance(node, ast.Raise))
    if any(re.search(r"InputError\(|unknown\(", one) for one in raised):
        if not re.search(r"^ *Raises:\n +InputError: \S", text, re.M):
            yield f"{function.name} does not say when it raises an InputError"


@pytest.mark.parametrize("name", sorted(FOUND))
def test_docstring_is_whole(name):
    module, node = FOUND[name]
    assert ast.get_docstring(node)
    if isinstance(node, ast.FunctionDef):
        assert not list(wrong_with(node, "", strict=True))
        return
    own = ast.get_docstring(node)
    wrong = [
        message
        for method, function in methods(node).items()
        if method not in inherited(module, node)
        for message in wrong_with(
            function, own if method == "__init__" else "", strict=method == "__init__"
        )
    ]
    fields = [one.target.id for one in node.body if isinstance(one, ast.AnnAssign)]
    if "Options" not in map(ast.unparse, node.bases):  # whose fields have a help each
        wrong += [
            f"{one} is no attribute of the docstring" for one in fields if f"{one}: " not in own
        ]
    assert not wrong


@pytest.mark.parametrize("where", VALUES, ids=".".join)
def test_value_is_explained(where):
    assert PARTS._about(*where)
