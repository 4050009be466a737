"""Tools as engines: what stands at a node is a program, and its calls are batched and counted.

A `Tool` is the policy of a node that sends the last fenced block of what it has read to a
`ToolEngine` and says what comes back. Calls of all episodes run at once, are booked under
`tool:NAME`, and are no model calls: they have no tokens and no adapter, so nothing trains on them.
A call that fails, hangs or prints without end has an answer that says so; it ends no episode.

`python` runs a program in the sandbox of code tasks, a new one for each call, and returns what it
prints and the value of a last expression. `calculator` evaluates arithmetic in decimal numbers.
"""

from __future__ import annotations

import ast
import operator
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, DecimalException, localcontext
from functools import partial
from typing import Any

from neuromas_env.checks import arguments
from neuromas_env.policy import (
    Completion,
    Cost,
    Engine,
    Observation,
    Policy,
    Request,
    Usage,
)
from neuromas_env.registry import Registry, built_in
from neuromas_env.tasks import sandbox
from neuromas_env.tasks.code import fenced
from neuromas_env.tasks.sandbox import Program, Verdict

MOST_CHARACTERS = 2000
"""Of an answer; what is longer is cut."""
_AT_ONCE = 64
_SECONDS = 3
NOTHING = "There is no fenced block to run."

Run = Callable[[Sequence[str]], Sequence[str]]
"""Answers the texts of many calls, in their order."""


class ToolEngine(Engine):
    """Answers calls by a program.

    Attributes:
        cost: Calls and seconds, under `tool:NAME`.
        tool: True: no model answers.
    """

    tool = True

    @arguments
    def __init__(self, name: str, run: Run) -> None:
        """Take what runs the calls.

        Args:
            name: A plain word.
            run: Answers many at once and never raises, such as `each(function)`.
        """
        self.name, self._run = name, run
        self.cost = Cost()

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Run what the last turn of each request holds, all at once."""
        started = time.perf_counter()
        found = self._run([request.turns[-1][1] for request in requests])
        usage = Usage(len(requests), seconds=time.perf_counter() - started)
        self.cost.book(f"tool:{self.name}", usage)
        return [
            Completion(text[:MOST_CHARACTERS], finished=len(text) <= MOST_CHARACTERS)
            for text in found
        ]


@dataclass(frozen=True)
class Tool(Policy):
    """A node that runs the last fenced block of what it has read.

    Attributes:
        engine: Runs it.
        most: Calls of an episode at most, None for as many as it has turns. A node without memory
            does not know of its calls before.
    """

    engine: ToolEngine  # type: ignore[assignment]
    most: int | None = None
    sampled = False

    def request(self, observation: Observation, seed: int) -> str | Request:
        """Send the block; without one there is no call."""
        own = f"node_{observation['place']['node']}"
        heard = [message["text"] for message in observation["inbox"] if message["source"] != own]
        if (code := last_block(heard)) is None:
            return NOTHING
        called = sum(message["source"] == own for message in observation["inbox"])
        if self.most is not None and called >= self.most:
            return f"No call is left of {self.most}."
        return Request((("user", code),), self.engine, seed=seed)


def last_block(texts: Sequence[str]) -> str | None:
    """Return the last fenced block in the last of some texts that has one."""
    for text in reversed(texts):
        if blocks := [code for _, code, _ in fenced(text) if code.strip()]:
            return blocks[-1].strip("\n")
    return None


def each(function: Callable[[str], str], seconds: float = 10.0) -> Run:
    """Return what runs a function on every text, side by side, for so long at most.

    One that raises or takes too long has an answer that says so. A function that hangs cannot
    be ended: it holds a thread until the process ends.
    """
    return partial(_each, function, seconds)


def _each(function: Callable[[str], str], seconds: float, texts: Sequence[str]) -> list[str]:
    found = [f"out of time: {seconds:g} s"] * len(texts)

    def work(number: int) -> None:
        try:
            found[number] = str(function(texts[number]))
        except Exception as error:
            found[number] = f"{type(error).__name__}: {error}"

    for first in range(0, len(texts), _AT_ONCE):
        numbers = range(len(texts))[first : first + _AT_ONCE]
        threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in numbers]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
    return list(found)  # what comes later changes nothing


_SHELL = """
import ast, contextlib, io, traceback

def run(source):
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        try:
            body = ast.parse(source, "<code>").body
            last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
            names = {"__name__": "__main__"}
            exec(compile(ast.Module(body, []), "<code>", "exec"), names)
            if last is not None:
                value = eval(compile(ast.Expression(last.value), "<code>", "eval"), names)
                if value is not None:
                    print(repr(value))
        except SystemExit:
            pass
        except BaseException as error:
            frames = traceback.extract_tb(error.__traceback__)
            lines = [frame.lineno for frame in frames if frame.filename == "<code>"]
            line = getattr(error, "lineno", lines[-1] if lines else 1)
            print(f"line {line}: {type(error).__name__}: {getattr(error, 'msg', error)}")
    return told.getvalue()[:LIMIT]
""".replace("LIMIT", str(MOST_CHARACTERS + 1))


def python(allow_unsandboxed: bool = False) -> ToolEngine:
    """Make the tool that runs Python; the first call starts the sandbox.

    Args:
        allow_unsandboxed: Run programs with resource limits only where no sandbox works; where
            none does, a call raises an InputError otherwise.
    """
    return ToolEngine("python", partial(_run_python, allow_unsandboxed))


def _run_python(allow_unsandboxed: bool, texts: Sequence[str]) -> list[str]:
    programs = [
        Program(((_SHELL,),), ("run",), "", seconds=_SECONDS, wall_seconds=10 * _SECONDS,
                calls=(f"run({text!r})",), shows=MOST_CHARACTERS + 1)
        for text in texts
    ]  # fmt: skip
    verdicts = sandbox.shared(allow_unsandboxed).judge(programs)
    return [_printed(verdict) for verdict in verdicts]


def _printed(verdict: Verdict) -> str:
    if verdict.outcome == "passed":
        return verdict.returned or "It printed nothing."
    if verdict.outcome == "timeout":
        return f"out of time: {_SECONDS} s"
    return "out of memory" if verdict.limit == "memory" else verdict.detail


_OPERATORS: Mapping[type[ast.AST], Callable[..., Decimal]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
    ast.Pow: operator.pow, ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip
_FUNCTIONS: Mapping[str, Callable[..., Decimal]] = {
    "sqrt": Decimal.sqrt, "exp": Decimal.exp, "ln": Decimal.ln, "log10": Decimal.log10,
    "abs": abs, "min": min, "max": max, "round": lambda x, digits=Decimal(0): round(x, int(digits)),
}  # fmt: skip
_LONGEST = 1000
_DIGITS = 28


def calculate(text: str) -> str:
    """Return the value of an arithmetic expression, to 28 digits, or what is wrong with it.

    `+ - * / // % **`, parentheses, and `sqrt exp ln log10 abs min max round`; `^` is a power.
    """
    text = " ".join(text.replace("^", "**").split())
    if len(text) > _LONGEST:
        return f"An expression has at most {_LONGEST} characters."
    try:
        with localcontext(Context(prec=_DIGITS)):
            value = _value(ast.parse(text, mode="eval").body)
            if not value.is_finite():
                raise ValueError
            return f"{value.normalize():f}" if abs(value.adjusted()) < _DIGITS else f"{value}"
    except (DecimalException, ValueError, TypeError, RecursionError, MemoryError) as error:
        return f"{type(error).__name__}: it has no value"
    except SyntaxError:
        return f"This is no arithmetic expression: {text[:80]}"


def _value(node: ast.AST) -> Decimal:
    match node:
        case ast.Constant(int() | float() as number) if not isinstance(number, bool):
            return Decimal(str(number))
        case ast.BinOp(left, sign, right) if type(sign) in _OPERATORS:
            return _OPERATORS[type(sign)](_value(left), _value(right))
        case ast.UnaryOp(sign, operand) if type(sign) in _OPERATORS:
            return _OPERATORS[type(sign)](_value(operand))
        case ast.Call(ast.Name(name), given, []) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*map(_value, given))
    raise SyntaxError


def calculator() -> ToolEngine:
    """Make the tool that evaluates arithmetic; see `calculate`."""
    return ToolEngine("calculator", lambda texts: [calculate(text) for text in texts])


TOOLS: Registry[Callable[..., ToolEngine]] = Registry(
    "tool",
    "neuromas_env.tools",
    built_in(
        __package__,
        {
            "python": ("tools:python", "runs a program in the sandbox, returns what it prints"),
            "calculator": ("tools:calculator", "evaluates an arithmetic expression"),
        },
    ),
)


@arguments
def register_tool(
    name: str, make: Callable[..., ToolEngine] | None = None, *, about: str = ""
) -> Any:
    """Make a tool known under a name, in this process.

    Args:
        name: A plain word that no tool of this project has.
        make: Returns the engine. Left out, what comes back is a decorator.
        about: One line for lists; by default the first line of the docstring.

    Raises:
        InputError: The name is no plain word, or is one of this project's.
    """
    return TOOLS.register(name, make, about=about)


def list_tools() -> dict[str, str]:
    """Return name and one-line description of every tool."""
    return TOOLS.abouts()


@arguments
def make_tool(name: str) -> ToolEngine:
    """Make a tool by name.

    Raises:
        InputError: There is none of that name.
    """
    return TOOLS.find(name)()
