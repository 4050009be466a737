"""What tools do: run Python in the sandbox, calculate, call a function."""

from __future__ import annotations

import ast
import operator
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal, DecimalException, localcontext
from functools import partial

from neuromas_env.agents.engines.tools import MOST_CHARACTERS, Run, ToolEngine
from neuromas_env.tasks import sandbox
from neuromas_env.tasks.sandbox import Program, Verdict

_AT_ONCE = 64
_SECONDS = 3
_PROGRAM = (
    "To run a Python program, write it in a block of three backticks: you then read what it prints."
)
_EXPRESSION = (
    "To calculate, write an arithmetic expression in a block of three backticks: you then read its "
    "value."
)


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
    return ToolEngine("python", partial(_run_python, allow_unsandboxed), _PROGRAM)


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
    return ToolEngine("calculator", partial(map, calculate), _EXPRESSION)
