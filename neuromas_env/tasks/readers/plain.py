r"""What a reply says, in plain lines: without thoughts, LaTeX, Markdown, tags and JSON.

A box, a tag, a JSON key or GSM8K's `####` that marks the answer becomes a line `answer: ...`,
so that one rule reads them all. Only the last 20,000 characters are read, in linear time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

from neuromas_env.tasks.readers.characters import plain_characters
from neuromas_env.tasks.readers.thoughts import answering

READ = 20_000
_KEYS = re.compile(
    r"(?:(?:final|correct|right|my|the|best)[ _-]?){0,3}"
    r"(?:answer|ans|result|solution|choice|option|label|output|prediction|antwort|lösung|ergebnis"
    r"|r[ée]ponse|respuesta|resposta|risposta)",
    re.IGNORECASE,
)
_OBJECT = re.compile(r"(?<!\w)\{\s{0,9}[\"'](?=[^\n:]{1,60}:)")
_OBJECTS = 20  # so many are looked at
# What stands for itself in a string of JSON that a model wrote, such as LaTeX's.
_BACKSLASH = re.compile(r"\\(?=[^\"\\/bfnrtu]|[bf][a-z]|times|text|right)")
# A member of an object that is no JSON: cut off, with a comma too many, with Python's constants.
_MEMBER = re.compile(
    rf"[\"'](?:{_KEYS.pattern})[\"']\s{{0,3}}:\s{{0,3}}"
    r"(?:\"([^\"\n]{0,300})|'([^'\n]{0,300})|([^\"'\n]{1,300}?)"
    r"(?=\s{0,3}(?:,\s{0,3}[\"'][^\"'\n]{1,60}[\"']\s{0,3}:|,?\s{0,3}\}|$)))",
    re.IGNORECASE | re.MULTILINE,
)
_TAG = re.compile(
    r"[<\[](/?)(?:final|(?:final[_ -]?)?(?:answer|result|solution|output))[>\]]", re.I
)
_FORMAT_TAG = re.compile(
    r"</?(?:b|i|u|em|strong|p|span|code|sub|sup|mark|div|center)(?: [^<>\n]{0,100})?>", re.I
)
_WORKING = re.compile(r"<<[^<>\n]{0,200}>>")  # GSM8K's
_BREAK = re.compile(r"<br ?/?>|<\|[^|<>\n]{1,40}\|>|</?s>|<eos>|\[EOS\]", re.IGNORECASE)

_SYMBOLS = {
    name: symbol
    for symbol, names in {
        "×": "times", "÷": "div", "*": "cdot ast", "±": "pm", "°": "degree circ", "✓": "checkmark",
        "≈": "approx simeq sim", "≠": "ne neq", "≤": "le leq leqslant", "≥": "ge geq geqslant",
        "<": "lt", "√": "sqrt", "π": "pi", ">": "gt",
        "→": "to rightarrow Rightarrow implies", " ": "quad qquad newline thinspace",
        "": "left right displaystyle big Big bigl bigr",
    }.items()
    for name in names.split()
}  # fmt: skip
_WRAPPED = re.compile(
    r"\\(?:text(?:bf|it|rm|tt|sf)?|math(?:rm|bf|it|sf|tt|bb|cal)|operatorname|mbox|bm|underline)"
    r"\s?\{([^{}\n]{0,300})\}"
)
_FRACTION = re.compile(
    r"\\[dtc]?frac\s?\{([^{}\n]{0,99})\}\s?\{([^{}\n]{0,99})\}|\\[dtc]?frac ?(\d)(\d)"
)
_BEFORE_FRACTION = re.compile(r"(?<=\d)(?=\\[dtc]?frac)")  # a mixed number
_COMMAND = re.compile(r"\\([A-Za-z]{1,20})|\\(.)", re.DOTALL)
_BRACES = re.compile(r"\\(?:boxed|fbox)\s?\{|\\[{}]|[{}\n]")
_TIE = re.compile(r"(?<=\d)~(?=\d{3}(?!\d))")
_POWER = re.compile(r"\^\s?\{\s?([+-]?\d{1,9})\s?\}")
_MATH = re.compile(r"(?<![\\\w])\$\$?(?=[^\s$])([^$\n]{0,300}[^\s$\\])\$\$?(?!\d)")
_JSON = json.JSONDecoder(strict=False, parse_int=str, parse_float=str)
_HIDDEN_DOLLAR = "\x00"  # control characters are gone by then

_FENCE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[^\n]*$", re.MULTILINE)
_RESULT = re.compile(r"^[ \t]*#{4}[ \t]*(?=[-+$€£.]{0,2}\d[^\n]{0,60}$)", re.MULTILINE)
_STRUCK = re.compile(r"~~(?=[^\s~])[^~\n]{1,300}~~(?!~)")
_HEADING = re.compile(r"^[ \t]*#{1,6}(?:[ \t]+|$)", re.MULTILINE)
_ANSWER_LINE = re.compile(rf"^[ \t]*[*_]{{0,3}}(?:{_KEYS.pattern})[*_]{{0,3}}[ \t]*$", re.I | re.M)
_QUOTED = re.compile(r"^[ \t]*(?:>[ \t]?){1,9}(?=[\w*(\"'$])", re.MULTILINE)
_LINK = re.compile(r"\[([^\[\]\n]{1,200})\]\((?=\w{2,9}:|[/#])[^()\s]{1,300}\)")
# Runs of asterisks or underscores with a space or punctuation on one side at least, and not on
# both: `a*b`, `2**3`, `snake_case` and `5 * 4` stay.
_EMPHASIS = re.compile(
    r"(?<![\w*])\*{1,3}(?=[^\s*])|(?<=[^\s*])\*{1,3}(?![\w*])"
    r"|(?<![\w_])_{1,3}(?=[^\s_])|(?<=[^\s_])_{1,3}(?![\w_])"
)
_LETTER = re.compile(
    r"(?<![A-Za-z0-9])[*$`\"'\[{<_]{1,3}\(?([A-Za-z0-9])[).:]{0,2}[*$`\"'\]}>_]{1,3}(?![A-Za-z0-9])"
)
_ROW = re.compile(r"\s*\|.*\|\s*")
_RULE = re.compile(r"[\s|:-]+")


@lru_cache(maxsize=512)  # a reply is read by several readers, and by votes again
def plain(reply: str, letters: bool = False) -> str:
    """Return the lines of a reply that are read, in plain characters.

    Args:
        reply: Any text.
        letters: Put a single letter or digit that quotes, brackets or markup set apart into
            parentheses.
    """
    text = plain_characters(answering(reply)[-READ:])
    if not any(map(str.isalnum, text)):
        return _FENCE.sub("", text).strip("*`_ \n")
    text = _without_json(text)
    if "<" in text or "[" in text:
        text = _TAG.sub(lambda match: "\n" if match[1] else "\nanswer: ", text)
        text = _BREAK.sub("\n", _FORMAT_TAG.sub("", _WORKING.sub("", text)))
    text = _STRUCK.sub("", text) if "~~" in text else text
    text = _without_markdown(_without_latex(text, letters))
    lines = (" ".join(line.split()) for line in _without_tables(text.split("\n")))
    return "\n".join(filter(None, lines))


def unwrapped(text: str) -> str:
    r"""Drop the commands that only dress a text, such as `\text{...}`."""
    for _ in range(2):  # one may stand in another
        text = _WRAPPED.sub(r"\1", text)
    return text


def without_markup(text: str) -> str:
    """Drop what sets words off, such as emphasis and backticks; what is part of them stays."""
    text = text.replace("`", "")
    return _EMPHASIS.sub("", text) if "*" in text or "_" in text else text


def _without_latex(text: str, letters: bool) -> str:
    if "```" in text or "~~~" in text:
        text = _FENCE.sub("", text)
    if letters:
        text = _LETTER.sub(r" (\1) ", text)
    if "\\" in text or "{" in text:
        text = re.sub(r"\{([,.']|\\?[,;: ])\}", r"\1", unwrapped(_POWER.sub(r"^\1", text)))
        text = _BEFORE_FRACTION.sub(" ", text)
        text = _FRACTION.sub(lambda m: f"{m[1] or m[3]}/{m[2] or m[4]}", text)
        text = _without_boxes(text)
    if "$" in text:
        text = _MATH.sub(r"\1", text)
    text = _TIE.sub(" ", text) if "~" in text else text
    return _COMMAND.sub(_command, text).replace(_HIDDEN_DOLLAR, "$") if "\\" in text else text


def _without_boxes(text: str) -> str:
    """Make each box a line; its brace is the one that closes it, within the same line."""
    pieces: list[str] = []
    opened: list[bool] = []  # for each open brace whether it is a box's
    last = 0
    for match in _BRACES.finditer(text):
        mark = match[0]
        if mark == "\n":
            opened.clear()
        elif mark == "{":
            opened.append(False)
        elif len(mark) > 2:
            pieces += [text[last : match.start()], "\nanswer: "]
            last = match.end()
            opened.append(True)
        elif mark == "}" and opened and opened.pop():
            pieces += [text[last : match.start()], "\n"]
            last = match.end()
    return "".join([*pieces, text[last:]])


def _command(match: re.Match[str]) -> str:
    name, char = match.groups()
    if name:
        return _SYMBOLS.get(name, match[0])
    if char in "()[],;: \n":
        return "\n" if char == "\n" else " "
    return {"!": "", "\\": "\n", "$": _HIDDEN_DOLLAR}.get(char, char)


def _without_markdown(text: str) -> str:
    if "#" in text:
        text = _HEADING.sub("", _RESULT.sub("answer: ", text))
    text = _ANSWER_LINE.sub("answer:", text)
    if ">" in text:
        text = _QUOTED.sub("", text)
    if "](" in text:
        text = _LINK.sub(r"\1", text)
    return without_markup(text)


def _without_tables(lines: list[str]) -> Iterator[str]:
    header: list[str] = []
    for number, line in enumerate(lines):
        if "|" not in line or not _ROW.fullmatch(line):
            header = []
            yield line
        elif _RULE.fullmatch(line):
            header = _cells(lines[number - 1]) if number else []
        elif not _RULE.fullmatch("".join(lines[number + 1 : number + 2]) or "x"):
            cells = _cells(line)
            named = zip(header, cells, strict=False)
            answer = next((cell for name, cell in named if _KEYS.fullmatch(name)), None)
            between = ": " if len(cells) == 2 else ", "
            yield between.join(cells) if answer is None else f"answer: {answer}"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _without_json(text: str) -> str:
    """Replace the object that a reply holds by the answer in it."""
    for opened in islice(_OBJECT.finditer(text), _OBJECTS):
        start = opened.start()
        answer, end = _read_object(_BACKSLASH.sub(r"\\\\", text[start:]))
        if answer is not None:
            return f"{text[:start]}\nanswer: {answer}\n{end}"
    return text


def _read_object(text: str) -> tuple[str | None, str]:
    """Return the answer in the object with which a text begins, and the text after it."""
    for candidate in (text, text.replace("'", '"')):
        try:
            found, end = _JSON.raw_decode(candidate)
        except (ValueError, RecursionError):
            continue
        if (answer := _answer(found)) is not None:
            return answer, candidate[end:]
    *_, member = (None, *islice(_MEMBER.finditer(text), _OBJECTS))
    if member is None:
        return None, ""
    return member[member.lastindex or 0].strip(), text[member.end() :].partition("}")[2]


def _answer(found: dict[str, Any], depth: int = 3) -> str | None:
    """Return the answer in an object, None if no key says which it is."""
    for key in reversed(found):  # "final answer" mostly comes after "answer"
        if _KEYS.fullmatch(key) or len(found) == 1:
            value = found[key]
            if isinstance(value, dict):
                return _answer(value, depth - 1) if depth else None
            items = value if isinstance(value, list) else [value]
            return ", ".join("" if item is None else str(item) for item in items)
    nested = [value for value in found.values() if isinstance(value, dict)]
    return _answer(nested[-1], depth - 1) if nested and depth else None
