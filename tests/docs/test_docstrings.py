"""Docstrings say what a caller must know: arguments of the face, fields and errors of all pages."""

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
API = sorted(
    module
    for page in (ROOT / "docs" / "api").glob("*.md")
    for module in re.findall(r"^::: neuromas_env\.(\S+)", page.read_text(), re.M)
)
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


def unexplained(function: ast.FunctionDef, owner: str, *, listed: bool) -> Iterator[str]:
    """The arguments that the docstring of a function, or of the class around it, leaves out.

    A method may name them in its first words instead of a list.
    """
    text = f"{ast.get_docstring(function) or ''}\n{owner}"
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    for one in (one.arg for one in every if one and one.arg not in ("self", "cls")):
        in_list = re.search(rf"^ +\*{{0,2}}{one}: \S", text, re.M)
        if not in_list and (listed or not re.search(rf"\b{one.rstrip('s')}", text)):
            yield f"{function.name} does not explain {one}"


def unnamed(function: ast.FunctionDef, owner: str) -> Iterator[str]:
    """The error that a function raises and does not name."""
    text = f"{ast.get_docstring(function) or ''}\n{owner}"
    raised = (ast.unparse(node) for node in ast.walk(function) if isinstance(node, ast.Raise))
    if any(re.match(r"raise (InputError|unknown)\(", one) for one in raised):
        if not re.search(r"^ *Raises:\n +InputError: \S", text, re.M):
            yield f"{function.name} does not say when it raises an InputError"


def fields(node: ast.ClassDef) -> Iterator[str]:
    """The fields of a data class that its docstring leaves out; options have a help each."""
    kinds = {ast.unparse(one).partition("(")[0] for one in [*node.decorator_list, *node.bases]}
    for one in node.body if kinds & {"dataclass", "NamedTuple"} and "Options" not in kinds else ():
        if isinstance(one, ast.AnnAssign) and one.target.id[0] != "_":
            if not re.search(rf"^ +{one.target.id}: \S", ast.get_docstring(node), re.M):
                yield f"{one.target.id} is no attribute of the docstring of {node.name}"


@pytest.mark.parametrize("name", sorted(FOUND))
def test_arguments_of_the_face_are_explained(name):
    module, node = FOUND[name]
    if isinstance(node, ast.FunctionDef):
        assert not list(unexplained(node, "", listed=True))
        return
    for method, function in methods(node).items():
        first = method == "__init__"
        owner = ast.get_docstring(node) if first else ""
        if method not in inherited(module, node):
            assert not list(unexplained(function, owner, listed=first))


@pytest.mark.parametrize("where", VALUES, ids=".".join)
def test_values_of_the_face_are_explained(where):
    assert PARTS._about(*where)


@pytest.mark.parametrize("module", API)
def test_fields_and_errors_of_a_module_are_named(module):
    wrong = []
    for node in PARTS._tree(module).body:
        if isinstance(node, ast.FunctionDef) and node.name[0] != "_":
            wrong += unnamed(node, "")
        elif isinstance(node, ast.ClassDef) and node.name[0] != "_":
            wrong += fields(node)
            for function in methods(node).values():
                wrong += unnamed(function, ast.get_docstring(node))
    assert not wrong
