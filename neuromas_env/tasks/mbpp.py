"""MBPP: short Python functions from a sentence (Austin et al., 2021).

The splits are the dataset's own: train, validation and test, but training and validation
rows near to a test row (see `near_duplicates`) are left out. The question is that of the
paper's prompt but shows the first test only, which gives the function's name and how it is
called (as Fried et al. 2022 do for InCoder); the others would let a reply answer from a
table. Code that a test needs before it (`test_setup_code`) is shown too. Scored by all of
`test_list`. Arguments that are objects of the reply's own classes are made by the reply.

With `shots=n` rows of the split `prompt`, solved, precede every question: first the
paper's three (2, 3 and 4), then the others.
Data: `google-research-datasets/mbpp` (`full`), licence CC BY 4.0.
"""

from __future__ import annotations

import ast
import builtins
import sys
import warnings
from functools import lru_cache
from os import PathLike
from typing import Literal

from neuromas_env.checks import Natural, arguments
from neuromas_env.tasks.base import Example
from neuromas_env.tasks.code import SECONDS, CodeTask
from neuromas_env.tasks.names import full_name
from neuromas_env.tasks.near_duplicates import NEAR_DUPLICATES
from neuromas_env.tasks.pools import check_shots, take_shots, with_shots
from neuromas_env.tasks.rows import Row, Rows
from neuromas_env.tasks.sources import Source, load_rows

_COLUMNS = {
    "task_id": int, "text": str, "code": str, "test_list": [str], "test_setup_code": str,
}  # fmt: skip
_SLOW = {123: 20}
"""Rows whose own solution takes long: seconds of processor time that they get."""
_PAPER_SHOTS = (2, 3, 4)
_ASKED = "Your code should pass this test:\n"
_BUILT_IN = frozenset(dir(builtins))


@arguments
class Mbpp(CodeTask):
    """MBPP; a reply is the function with what it needs."""

    def __init__(
        self,
        data: str | PathLike[str] | None = None,
        shots: Natural = 0,
        allow_unsandboxed: Literal[False, True] = False,
        skip_bad_rows: bool = False,
    ) -> None:
        """Check that replies can be run; rows are loaded when a split is first asked for.

        Args:
            data: Folder with the rows.
            shots: How many solved examples precede a question.
            allow_unsandboxed: Run replies with resource limits only where no sandbox works.
            skip_bad_rows: Leave broken rows out, instead of refusing the table.

        Raises:
            InputError: Untrusted code cannot be isolated here (see `sandbox.Sandbox`), or
                `shots` is out of range.
        """
        check_shots("mbpp", shots)
        super().__init__(allow_unsandboxed)
        self.name = full_name("mbpp", {"shots": shots}, {"shots": 0})
        self._data, self._shots, self._skip_bad_rows = data, shots, skip_bad_rows

    def _load(self, split: str) -> list[Example]:
        shown: list[Example] = []
        if self._shots:
            pool = self._rows("prompt")
            pool.sort(key=lambda e: e.extra["task_id"] not in _PAPER_SHOTS)
            shown = take_shots(self.name, pool, self._shots)
        return [with_shots(example, shown) for example in self._rows(split)]

    def shown(self, question: str) -> Example | None:
        """Return the calls in the test that the question shows."""
        return shown_calls(question)

    def _rows(self, split: str) -> list[Example]:
        examples, rows = load_mbpp(split, self._data, self._skip_bad_rows)
        self.note(rows)
        return examples


def load_mbpp(
    split: str, data: str | PathLike[str] | None, skip_bad_rows: bool = False
) -> tuple[list[Example], Rows]:
    """Return one of MBPP's splits: its examples, and the rows that they are made of.

    Raises:
        InputError: The rows cannot be had, or one of them is broken.
    """
    rows = load_rows(_source(split), data, skip_bad_rows)
    near = NEAR_DUPLICATES["mbpp"] if split in ("train", "validation") else frozenset()
    return [_example(row) for row in rows if str(row["task_id"]) not in near], rows


def shown_calls(question: str) -> Example | None:
    """Return the function's calls in the test that a question shows, None if it shows none.

    The example is what `CodeTask.shown` returns: nothing of it stands elsewhere.
    """
    body = ast.parse(shown_test(question)).body
    asserted = [node for statement in body if isinstance(statement, ast.Assert)
                for node in ast.walk(statement) if isinstance(node, ast.Call)]  # fmt: skip
    named = [n.func.id for n in asserted if isinstance(n.func, ast.Name)]
    entry = next((name for name in named if name not in _BUILT_IN), None)
    if entry is None:
        return None
    calls = [n for n in asserted if isinstance(n.func, ast.Name) and n.func.id == entry]
    before = ast.Module([s for s in body if not isinstance(s, ast.Assert)], [])
    names = [node for s in body for node in ast.walk(s) if isinstance(node, ast.Name)]
    made = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    others = {node.id for node in names} - made - _BUILT_IN - {entry}
    modules = others & sys.stdlib_module_names
    extra = {
        "prompt": "",
        "names": (entry, *sorted(others - modules)),
        "tests": ast.unparse(before),
        "setup": "".join(f"import {name}\n" for name in sorted(modules)),
        "seconds": 1,
        "calls": tuple(dict.fromkeys(map(ast.unparse, calls))),
    }
    return Example("", question, "", extra=extra)


def shown_test(question: str) -> str:
    """Return the test that a question shows, after what it needs; empty if it shows none."""
    _, asked, shown = question.rpartition(_ASKED)
    try:
        ast.parse(shown)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    return shown if asked else ""


def tables(variant: str = "") -> list[Source]:
    """Return the tables: one for each split, and that of solved examples."""
    return [_source(split) for split in ("train", "validation", "test", "prompt")]


def _source(split: str) -> Source:
    hub = ("google-research-datasets/mbpp", "full", split)
    return Source(f"mbpp/{split}", hub, _COLUMNS, None, _check)


def _example(row: Row) -> Example:
    text, setup = row["text"].strip(), _unix(row["test_setup_code"]).strip()
    shown = "\n".join(filter(None, [setup, row["test_list"][0].strip()]))
    solution, tests = _unix(row["code"]), _tests(row)
    names, modules = _uses(solution, tests)
    extra = {
        "task_id": row["task_id"],
        "prompt": "",
        "names": names,
        "tests": tests,
        "setup": "".join(f"import {name}\n" for name in modules),
        "seconds": _SLOW.get(row["task_id"], SECONDS),
        "solution": solution,
    }
    question = f"{text}\n{_ASKED}{shown}"
    return Example(f"mbpp/{row['task_id']}", question, solution, extra=extra)


def _check(row: Row) -> str | None:
    if not row["test_list"]:
        return "column 'test_list' is empty"
    try:
        names, _ = _uses(_unix(row["code"]), _tests(row))
    except SyntaxError as error:
        return f"column 'code', 'test_setup_code' or 'test_list' is no Python: {error}"
    return None if names else "column 'test_list' calls no function that column 'code' defines"


@lru_cache(maxsize=2048)  # asked twice for each row
def _uses(code: str, tests: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what tests use of a solution, the function first, and which standard modules."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "\\d" in solutions
        tree, body = ast.parse(tests), ast.parse(code).body
    functions = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    defined = functions | {node.name for node in body if isinstance(node, ast.ClassDef)}
    asserted = [node for node in tree.body if isinstance(node, ast.Assert)]
    called = (
        node.func.id
        for node in (n for test in asserted for n in ast.walk(test))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    )
    entry = next((name for name in called if name in functions), None)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    others = sorted(used & defined - {entry})
    modules = (used - defined - _BUILT_IN) & sys.stdlib_module_names
    return (entry, *others) if entry else (), tuple(sorted(modules))


def _tests(row: Row) -> str:
    return _unix("\n".join([row["test_setup_code"], *row["test_list"], ""]))


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n")
