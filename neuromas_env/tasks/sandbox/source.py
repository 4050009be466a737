"""What a free reply's code binds: which statements of its pieces make the program, by form alone.

Runs inside the sandbox, so it imports the standard library only. Trees are walked without
recursion, since a program may be deeper than our own stack.
"""

from __future__ import annotations
import __future__

import ast
from collections.abc import Iterator, Sequence

Piece = str | Sequence[str]
"""Source, or several: the first, or where it does not compile those of the others that do."""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)
_SCOPES = (
    *_DEFINITIONS, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp,
)  # fmt: skip


def chosen_body(pieces: Sequence[Piece], name: str) -> list[ast.stmt] | None:
    """Return the statements of some pieces, None if they do not define a function.

    Pieces that do not compile are left out, and so is a bare stub of what is defined before it:
    a signature that is shown once more.
    """
    body: list[ast.stmt] = []
    defined: set[str] = set()
    for statement in (s for piece in pieces for s in _statements(piece)):
        stub = _stub(statement)
        if stub is None or stub not in defined:
            body.append(statement)
        if stub is None:
            defined |= {bound for bound, _ in _bindings(statement)}
    return body if _defines(body, name) else None


def features(body: Sequence[ast.stmt]) -> int:
    """Return the compiler flags of what statements import from `__future__`."""
    flags = 0
    for statement in body:
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            for alias in statement.names:
                flags |= getattr(__future__, alias.name).compiler_flag
    return flags


def _statements(piece: Piece) -> list[ast.stmt]:
    whole, *parts = [piece] if isinstance(piece, str) else piece
    parsed = _parse(whole)
    if parsed is None:
        return [statement for part in parts for statement in _parse(part) or []]
    return parsed


def _parse(source: str) -> list[ast.stmt] | None:
    try:
        compile(source, "<program>", "exec", dont_inherit=True)
        return ast.parse(source).body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _stub(statement: ast.stmt) -> str | None:
    """Return the name of a definition that does nothing, such as one with `...` for its body."""
    if not isinstance(statement, _DEFINITIONS) or statement.decorator_list:
        return None
    return statement.name if all(map(_does_nothing, statement.body)) else None


def _does_nothing(statement: ast.stmt) -> bool:
    match statement:
        case ast.Pass() | ast.Expr(ast.Constant()):
            return True
        case ast.Return(ast.Constant(value)):
            return value is ...
        case ast.Return(ast.Name(name)) | ast.Raise(ast.Name(name) | ast.Call(ast.Name(name))):
            return name in ("NotImplemented", "NotImplementedError")
    return False


def _defines(body: Sequence[ast.stmt], name: str) -> bool:
    """Whether the last binding of a name is a function that returns something, or a value."""
    for statement in reversed(body):
        found = [node for bound, node in _bindings(statement) if bound == name]
        if found:
            return any(map(_may_be_called, found))
    return False


def _bindings(statement: ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    """Yield each name that a statement binds in its own scope, and the node that does so."""
    for node in _own_nodes(statement):
        match node:
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                yield name, node
            case ast.Name(name, ast.Store()):
                yield name, node
            case ast.alias(name, asname):
                yield asname or name.partition(".")[0], node


def _own_nodes(root: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and those within it, but not what stands in a scope within it."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        declared = isinstance(node, ast.AnnAssign) and node.value is None
        if not declared and not isinstance(node, _SCOPES):
            waiting += ast.iter_child_nodes(node)


def _may_be_called(node: ast.AST) -> bool:
    """Whether a binding may be of a function that returns something."""
    if not isinstance(node, _DEFINITIONS) or node.decorator_list:
        return True
    if isinstance(node, ast.ClassDef):
        # The name of a class is no function, unless what it makes is no object of it.
        return any(isinstance(s, _FUNCTIONS) and s.name == "__new__" for s in node.body)
    inside = (inner for statement in node.body for inner in _own_nodes(statement))
    return any(isinstance(n, (ast.Return, ast.Yield, ast.YieldFrom)) for n in inside)
