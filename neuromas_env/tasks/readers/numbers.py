"""Reading a number out of a reply."""

from __future__ import annotations

import re

from neuromas_env.tasks.readers.plain import (
    _MINUS,
    _NUMBER,
    FILL,
    JOIN,
    TWO,
    clean,
    first_line,
    last_statement,
    only,
)


def extract_number(reply: str) -> str | None:
    """Return the number that a reply gives, such as `-35`, or None.

    Thousands commas, a plus sign, leading zeros and trailing zeros of a fraction are
    dropped. Besides statements about an answer, "= 57" or "is 57" at the very end counts.
    """
    text = _MINUS.sub("-", clean(reply))

    def read(text: str, start: int) -> str | None:
        pattern = rf"{FILL}\+?({_NUMBER})(?:(?:{JOIN}| )({_NUMBER}))?"
        match = re.compile(pattern).match(text, start)
        if not match:
            return None
        first, second = _number(match[1]), _number(match[2] or match[1])
        return first if first == second else TWO

    stated = last_statement(text, read)
    if stated is None:
        closing = re.search(rf"(?:\bis|\bare|\bequals|[=:])\s?({_NUMBER})\W*$", text[-200:])
        stated = _number(closing[1]) if closing else None
    if stated is None:
        stated = first_line(text, lambda line: re.fullmatch(_NUMBER, line) and _number(line))
    if stated is None:
        stated = only(_number(match[0]) for match in re.finditer(_NUMBER, text))
    return stated or None


def _number(text: str) -> str:
    # Not int(): it refuses more than 4,300 digits.
    sign = "-" if text.startswith("-") else ""
    whole, _, fraction = text.lstrip("-").replace(",", "").partition(".")
    fraction = fraction.rstrip("0")
    value = (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")
    return value if value == "0" else sign + value
