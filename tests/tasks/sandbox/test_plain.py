"""Tests that can change nothing but names of their own are told from all others."""

import ast

import pytest
from support.rows import ROWS
from support.sandboxes import HONEST

from neuromas_env.tasks.sandbox import Program, Sandbox
from neuromas_env.tasks.sandbox.plain import is_plain

PLAIN = [
    "assert f(1) == 2 and not f([1, (2, {3})]) != {'a': 1.5}, 'words'",
    "from typing import List, Optional\ndef check(g: List[int]):\n    assert g(*[1], x=2) is None",
    "for n in range(3):\n    total = sum(n for n in [1, 2]) + n\n    assert abs(f(n) - total) < 1",
    "def helper(x):\n    if x: return sorted(map(str, x))[::-1]\nassert f(1) if helper('a') else 1",
    "table = {}\ntable['a'] = 1\ntable['a'] += 1",
]
OTHER = [
    "x.y", "x.y = 1", "import math", "from math import pi", "from typing import get_type_hints",
    "from typing import List as eval", "from . import typing", "from typing import *", "eval('1')",
    "exec", "__builtins__", "__import__('os')", "getattr(f, 'x')", "setattr", "open", "globals()",
    "type(f)", "vars()", "dir()", "object", "super", "memoryview", "breakpoint()", "input()",
    "try:\n    f()\nexcept: pass", "class A: pass", "lambda: 1", "with f: pass", "global x",
    "while True: pass", "raise f", "del x", "async def g(): pass", "def g(): yield 1", "f'{x}'",
    "def __getattr__(x): pass", "def g(__class__): pass", "if 0: eval = 1\neval('1')",
    "(x := 1)", "match f:\n    case x: pass", "def eval(x): return x", "await f",
]  # fmt: skip


@pytest.mark.parametrize("source", PLAIN)
def test_values_calls_and_comparisons_are_plain(source):
    assert is_plain(ast.parse(source))


@pytest.mark.parametrize("source", OTHER)
def test_whatever_reaches_further_is_not(source):
    assert not is_plain(ast.parse(source))


def test_hostile_rows_are_not_plain_but_for_their_time():
    trees = {name: parsed(tests) for name, (tests, _) in ROWS.items()}
    plain = [name for name, tree in trees.items() if tree and is_plain(tree)]
    assert plain == ["endless plain loop", "a power"]


def parsed(source):
    try:
        return ast.parse(source)
    except (SyntaxError, RecursionError, MemoryError):
        return None


def test_a_judge_lasts_as_long_as_tests_are_plain():
    """What tests leave in the interpreter is seen by the next ones only if nothing was left."""
    leave = "import builtins\nbuiltins.left = 1\nassert f(1)"
    look = "import builtins\nassert not hasattr(builtins, 'left')"
    source = (("def f(x): return x",),)
    with Sandbox(workers=1) as box:
        verdicts = box.judge(
            [HONEST, *[Program(source, ("f",), tests) for tests in (leave, look, leave, look)]]
        )
    assert [v.outcome for v in verdicts] == ["passed"] * 5
