"""Keys and passwords, cut out of every text that comes back from a server or its client."""

from __future__ import annotations

import html
import json
import logging
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from urllib.parse import quote, quote_plus

MASK = "***"
PLACEHOLDERS = frozenset(
    "none null empty dummy test fake ollama lm-studio llama.cpp not-needed no-key "
    "no-key-required sk-no-key-required changeme".split()
)
"""Keys that servers of one's own tell to give, in lower case; they open nothing."""

SHORTEST = 4
"""A secret of fewer characters is cut only where it stands beside its name: `user:pw@`."""

_LOGGERS = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")
_ENCODERS: tuple[Callable[[str], str], ...] = (
    partial(quote, safe=""),
    quote,
    quote_plus,
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: json.dumps(text)[1:-1].replace("/", r"\/"),
    lambda text: repr(text)[1:-1],
    lambda text: repr(text.encode())[2:-1],
    lambda text: text.replace("\\", r"\\").replace("'", r"\'"),
    html.escape,
)


def cutter(secrets: Iterable[str], pairs: Iterable[tuple[str, str]] = ()) -> Callable[[str], str]:
    """Return the function that replaces secrets in a text by `***`.

    They are found as they are, percent-encoded, escaped as in JSON, HTML or Python's `repr`, each
    of these within another, and in base64, alone or inside a longer text.

    Args:
        secrets: Keys, passwords, tokens. What opens nothing, such as `none`, stays.
        pairs: User names with their passwords, which are cut together, however short they are.
    """
    long = [s for s in secrets if len(s) >= SHORTEST and s.lower() not in PLACEHOLDERS]
    forms = {form for secret in long for form in (*_forms(secret), *_in_base64(secret))}
    for user, password in pairs:
        forms |= {form for form in _forms(f"{user}:{password}") if password}
        forms.add(b64encode(f"{user}:{password}".encode()).decode())
    if not forms:
        return lambda text: text
    longest_first = "|".join(map(re.escape, sorted(forms, key=len, reverse=True)))
    either_case = re.sub("%[0-9A-F]{2}", r"(?i:\g<0>)", longest_first)
    return partial(re.compile(either_case).sub, MASK)


def _forms(text: str) -> set[str]:
    once = {text, *(encode(text) for encode in _ENCODERS)}
    return once | {encode(form) for form in once for encode in _ENCODERS}


def _in_base64(secret: str) -> Iterator[str]:
    """Yield what a secret looks like in base64, whichever byte of a group it starts at."""
    for before in range(3):
        data = bytes(before) + secret.encode()
        # Characters that hold bits of what stands before or behind are left out.
        core = b64encode(data)[-(-before * 4 // 3) : len(data) * 4 // 3].decode()
        if len(core) > SHORTEST:
            yield from (core, core.translate(str.maketrans("+/", "-_")), quote(core, safe=""))


class LogFilter(logging.Filter):
    """Cuts secrets out of the log of the client and of the libraries that send its requests."""

    def __init__(self, cut: Callable[[str], str]) -> None:
        """Take the function of `cutter`."""
        super().__init__()
        self._cut = cut
        self._loggers = [
            logging.getLogger(name)
            for name in list(logging.root.manager.loggerDict)
            if name.partition(".")[0] in _LOGGERS
        ]
        for logger in self._loggers:
            logger.addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace the message by what may be seen of it."""
        record.msg, record.args = self._cut(record.getMessage()), ()
        if record.exc_info:
            text = logging.Formatter().formatException(record.exc_info)
            record.exc_info, record.exc_text = None, self._cut(text)
        return True

    def remove(self) -> None:
        """Leave the loggers as they were."""
        for logger in self._loggers:
            logger.removeFilter(self)
