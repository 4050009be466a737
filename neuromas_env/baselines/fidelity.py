"""How near every baseline is to its source: a card each, read from `fidelity.yaml`.

A card compares settings one by one, says which files of the authors' code were read and at which
commit, why there are no numbers side by side, and names the tests that compare behaviour. The
tests compare what a card says of ours with the code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from neuromas_env.checks import WHOLE, made
from neuromas_env.config import read_config
from neuromas_env.errors import InputError, placed, unknown

FILE = Path(__file__).with_name("fidelity.yaml")
Value = str | int | float | bool


@dataclass(frozen=True)
class Card:
    """What is known of a baseline's fidelity.

    Attributes:
        paper: Its source.
        settings: By name `[theirs, ours]` or `[theirs, ours, why they differ]`.
        checks: Tests that compare its behaviour with the source's, by their ids.
        code: The authors' repository on GitHub, `owner/name`, or what there is instead.
        read: Files of it that were compared, with the commit they were read at.
        numbers: The authors' results and ours, or why there are none on the same data and model.
    """

    paper: str
    settings: dict[str, list[Value]]
    checks: list[str]
    code: str = "none published"
    read: dict[str, str] = field(default_factory=dict)
    numbers: str = "none; there is no source"


def read_cards(path: Path = FILE) -> dict[str, Card]:
    """Return the card of every baseline and trained row, by name.

    Raises:
        InputError: The file is broken; the message names the card.
    """
    known = [one.name for one in fields(Card)]
    found = {}
    for name, section in read_config(path).items():
        with placed(f"{path}, card {name!r}"):
            for key in section if isinstance(section, Mapping) else ():
                if key not in known:
                    raise unknown("field", str(key), known)
            card = made(WHOLE, section, Card)
            for setting, values in card.settings.items():
                if len(values) not in (2, 3):
                    raise InputError(
                        f"settings.{setting} must be theirs, ours and perhaps why they differ, got "
                        f"{len(values)} entries"
                    )
            if not card.checks:
                raise InputError("checks must name a test")
            found[name] = card
    return found


def written(cards: Mapping[str, Card]) -> str:
    """Return the cards in Markdown: a table of all, then a section for each."""
    rows = [
        (f"[`{name}`](#{name})", linked(card.paper), len(card.read) or "", len(card.checks))
        for name, card in cards.items()
    ]
    parts = [_table(("row", "source", "files read", "checks"), rows)]
    for name, card in cards.items():
        settings = [(key, *values, "")[:4] for key, values in card.settings.items()]
        read = [
            f"[`{file}`](https://github.com/{card.code}/blob/{commit}/{file}) at `{commit[:10]}`"
            for file, commit in card.read.items()
        ]
        parts += [
            f"## `{name}`",
            f"Source: {linked(card.paper)}. Code: {linked(card.code)}"
            + (f", of which {' and '.join(read)} were compared." if read else "."),
            _table(("setting", "theirs", "ours", "why they differ"), settings),
            f"Numbers: {card.numbers}.",
            "Checks: " + ", ".join(f"`{check}`" for check in card.checks) + ".",
        ]
    return "\n\n".join(parts) + "\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[Value]]) -> str:
    lines = [list(head), *([_cell(value) for value in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Value) -> str:
    return (str(value).lower() if isinstance(value, bool) else str(value)).replace("|", "\\|")


def linked(text: str) -> str:
    """Return a text whose papers and repository are links."""
    if re.fullmatch(r"[\w-]+/[\w.-]+", text):
        return f"[{text}](https://github.com/{text})"
    return re.sub(r"arXiv (\d{4}\.\d{5})", r"[arXiv \1](https://arxiv.org/abs/\1)", text)
