"""Tests that can change nothing but names of their own, so that a judge outlasts them.

Most tests compare what calls return with values that they spell out. Without any attribute, and
with the names below alone, code reaches no object that it has not made: after it the judge is
what it was before. A judge that has run other tests judges nothing after them.
"""

from __future__ import annotations

import ast
import builtins

_NODES = (
    ast.Module, ast.Expression, ast.Expr, ast.Assert, ast.Assign, ast.AugAssign, ast.For,
    ast.If, ast.Pass, ast.FunctionDef, ast.arguments, ast.arg, ast.Return,
    ast.Constant, ast.Name, ast.expr_context, ast.Call, ast.keyword, ast.Starred,
    ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Subscript, ast.Slice,
    ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension,
    ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp,
    ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip
_BUILT_IN = frozenset(
    "abs all any bin bool bytes chr complex dict divmod enumerate filter float frozenset hash hex "
    "int isinstance len list map max min next oct ord pow print range reversed round set slice "
    "sorted str sum tuple zip".split()
)
_OTHERS = frozenset(dir(builtins)) - _BUILT_IN
_ANNOTATIONS = frozenset("Any Dict Iterable List Optional Sequence Set Tuple Union".split())


def is_plain(tree: ast.AST) -> bool:
    """Whether code can change nothing but names of its own."""
    return all(map(_is_plain, ast.walk(tree)))


def _is_plain(node: ast.AST) -> bool:
    match node:
        case ast.Name(name) | ast.FunctionDef(name) | ast.arg(name):
            return not name.startswith("__") and name not in _OTHERS
        case ast.ImportFrom("typing", names, 0):
            return all(alias.name in _ANNOTATIONS and alias.asname is None for alias in names)
        case ast.alias():
            return True  # of an import that is looked at itself
    return isinstance(node, _NODES)
