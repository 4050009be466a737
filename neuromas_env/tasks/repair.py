"""Code with repair: a program is run on the examples in its question, and the outcome fed back.

After each action the world runs the program in it on the examples of use in the question, the
same that any reader sees: calls in HumanEval's docstrings with what they should return, MBPP's one
shown test. It answers with a line for each: passed, wrong and what was returned, the first line of
an error, or which limit was reached. No times, paths or addresses stand there, so that an
answer is the same on every machine. An episode is over when all examples pass or after `rounds`
actions. Its last program is scored by the benchmark's own hidden tests, as in `humaneval` and
`mbpp`.

Where a docstring shows calls without results, the world only says whether they run; where it shows
none, whether there is such a function. Four docstrings show wrong results (`WRONG`); these are not
run.
Data: `openai/openai_humaneval` and `google-research-datasets/mbpp`, licence MIT and CC BY 4.0.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from os import PathLike
from typing import Literal, NamedTuple

from neuromas_env.errors import unknown
from neuromas_env.tasks import humaneval, mbpp, sandbox
from neuromas_env.tasks.base import Example, Score
from neuromas_env.tasks.code import CodeTask, as_found
from neuromas_env.tasks.humaneval import HumanEval
from neuromas_env.tasks.interactive import InteractiveTask, Response
from neuromas_env.tasks.mbpp import Mbpp
from neuromas_env.tasks.names import check_choice, check_int, full_name
from neuromas_env.tasks.sandbox import Verdict
from neuromas_env.tasks.sources import Source

WRONG = frozenset(("HumanEval/47", "HumanEval/116", "HumanEval/130", "HumanEval/148"))
"""Rows whose docstring shows results that the reference solution does not return."""
_MOST = 8
_WIDTH = 400
_RETURNS = re.compile(r"\s*(?:#\s*)?(?:=+>|==|->|➞|→|=|returns?\b|should return\b)\s*(?=\S)")
_AFTER = re.compile(r"\s*(?:$|[.,;)#]|(?<=\s)[a-zA-Z(])")  # no operator: 19 - 5 - 6 = 8
_OBJECT = re.compile(r"<\S+\.Ref object at 0x[0-9a-f]+>")
_PLACES = re.compile(r"0x[0-9a-fA-F]+|(?:/[\w.-]+){2,}")
_SECONDS = 1


class Shown(NamedTuple):
    """An example that a question shows.

    Attributes:
        text: As it is repeated in a response.
        tests: Run for it; see `sandbox.Program`.
    """

    text: str
    tests: str


class Repair(InteractiveTask, CodeTask):
    """A code task that tells what the examples in its question return."""

    rounds = 3

    def reply(self, example: Example, actions: tuple[str, ...]) -> Response:
        """Run the last program on the examples that the question shows."""
        return self.reply_many([example], [actions])[0]

    def reply_many(
        self, examples: Sequence[Example], actions: Sequence[tuple[str, ...]]
    ) -> list[Response]:
        """Run the programs at once, on all workers of the sandbox."""
        shown = [shown_examples(example) for example in examples]
        programs = [
            as_found(_with_tests(example, one.tests), taken[-1])
            for example, taken, each in zip(examples, actions, shown, strict=True)
            for one in each
        ]
        distinct = list(dict.fromkeys(programs))
        verdicts = sandbox.shared(self._allow_unsandboxed).judge(distinct)
        found = dict(zip(distinct, verdicts, strict=True))
        told = iter(found[program] for program in programs)
        responses = []
        for taken, each in zip(actions, shown, strict=True):
            lines = [(one.text, outcome(next(told))) for one in each]
            done = all(how == "passed" for _, how in lines) or len(taken) >= self.rounds
            responses.append(Response("\n".join(map(": ".join, lines)), done=done))
        return responses

    def outcome_many(
        self, examples: Sequence[Example], actions: Sequence[tuple[str, ...]]
    ) -> list[Score]:
        """Score the last programs by the hidden tests, at once."""
        return self.score_many(examples, [taken[-1] for taken in actions])


class HumanEvalRepair(Repair, HumanEval):
    """HumanEval's questions."""


class MbppRepair(Repair, Mbpp):
    """MBPP's questions."""


_BENCHMARKS: dict[str, type[HumanEvalRepair | MbppRepair]] = {
    "humaneval": HumanEvalRepair,
    "mbpp": MbppRepair,
}


def variants(data: object = None) -> dict[str, str]:
    """Return the one variant with a line about it."""
    return {"repair": "repair a program by what the question's examples return"}


def tables(variant: str = "") -> list[Source]:
    """Return the tables of both benchmarks."""
    return list({table.path: table for table in (*humaneval.tables(), *mbpp.tables())}.values())


def make_repair(
    variant: str,
    benchmark: str = "humaneval",
    rounds: int = 3,
    data: str | PathLike[str] | None = None,
    allow_unsandboxed: Literal[False, True] = False,
    skip_bad_rows: bool = False,
) -> Repair:
    """Make the task; rows are loaded when a split is first asked for.

    Args:
        variant: `repair`.
        benchmark: Whose questions, splits and hidden tests: `humaneval` or `mbpp`.
        rounds: After how many programs an episode is over, 1 to 20.
        data: Folder with the rows.
        allow_unsandboxed: Run replies with resource limits only where no sandbox works.
        skip_bad_rows: Leave broken rows out, instead of refusing the table.

    Raises:
        InputError: A parameter is unknown or out of range, or untrusted code cannot be isolated
            here; see `sandbox.Sandbox`.
    """
    if variant != "repair":
        raise unknown("task", f"code/{variant}", ["code/repair"])
    check_choice("code/repair", "benchmark", benchmark, _BENCHMARKS)
    check_int("code/repair", "rounds", rounds, 1, 20)
    task = _BENCHMARKS[benchmark](
        data, allow_unsandboxed=allow_unsandboxed, skip_bad_rows=skip_bad_rows
    )
    task.rounds = rounds
    given, usual = {"benchmark": benchmark, "rounds": rounds}, {"benchmark": "humaneval"}
    task.name = full_name("code/repair", given, usual | {"rounds": 3})
    return task


def outcome(verdict: Verdict) -> str:
    """Say what became of a program: `passed`, or what went wrong in a line without its place."""
    match verdict.outcome, verdict.limit:
        case ("passed", _):
            return "passed"
        case ("timeout", _):
            return "out of time"
        case (_, "memory"):
            return "out of memory"
        case ("unreadable", _):
            return "no function of this name is in the program"
        case ("error", _):
            return "it could not be run"
    said = verdict.detail.removeprefix("the tests: AssertionError: ")
    if said != verdict.detail:
        return f"wrong: {_line(said)}".rstrip(": ")
    return _line(said.removeprefix("the program: ").removeprefix("the tests: "))


def _line(said: str) -> str:
    first = next(iter(said.strip().splitlines()), "")
    return _PLACES.sub("...", _OBJECT.sub("an object", first))


def shown_examples(example: Example) -> list[Shown]:
    """Return what of the examples in a question can be run; at least whether there is a function.

    Nothing hidden is looked at: equal questions have equal examples.
    """
    if test := mbpp.shown_test(example.question):
        return [_observed(test)]
    found = [] if example.id in WRONG else list(_in_docstring(example.question))
    known = [_observed(f"assert {call} == {wanted}") for call, wanted in found if wanted]
    calls = [Shown(call, f"{call}\n") for call, _ in found]
    there = Shown(example.extra["names"][0], "")
    return list(dict.fromkeys(known or calls))[:_MOST] or [there]


def _with_tests(example: Example, tests: str) -> Example:
    """Return the example with other tests, and without calls."""
    return replace(example, extra=example.extra | {"tests": tests, "seconds": _SECONDS})


def _observed(test: str) -> Shown:
    """Return the last assertion of a test, and the test so that it tells what is returned.

    It is written in what leaves a judge as it was; see `sandbox.plain`.
    """
    *before, last = ast.parse(test).body
    text = ast.unparse(last).removeprefix("assert ")
    text = text if len(text) <= _WIDTH else f"{text[:_WIDTH]}..."
    match last:
        case ast.Assert(ast.Compare(left, [ast.Eq()], [right])):
            told = "'got ' + str([found])[1:-1]"
            lines = [
                f"found = {ast.unparse(left)}",
                f"assert found == {ast.unparse(right)}, {told}",
            ]
            return Shown(text, "\n".join([*map(ast.unparse, before), *lines, ""]))
    return Shown(text, test)


def _in_docstring(prompt: str) -> Iterator[tuple[str, str | None]]:
    """Yield the calls with plain values in a prompt's docstring, each with its result if shown."""
    if (asked := humaneval.docstring(prompt)) is None:
        return
    function, document, least = asked
    for start in [found.start() for found in re.finditer(rf"\b{function.name}\(", document)]:
        if (read := humaneval.first_call(document[start:], least)) is None:
            continue
        call, (line, _, following) = read[0], read[1].partition("\n")
        if document[:start].endswith(">>> ") and not line.strip():
            yield call, _value(following.partition("\n")[0])
        else:
            told = _RETURNS.match(line)
            yield call, _value(line[told.end() :]) if told else None


def _value(text: str) -> str | None:
    """Return the longest plain value that a text begins with, None if it is a calculation."""
    for end in range(len(text.rstrip()), 0, -1):
        try:
            ast.literal_eval(text[:end].strip())
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        return text[:end].strip().rstrip(",") if _AFTER.match(text, end) else None
    return None
