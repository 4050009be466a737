"""How far three readers agree: the tables of docs/readers.md.

The replies are those of tests/fixtures: `replies.jsonl` gives the answer that a person reads in
a reply, or none, and `graded.jsonl` the score that a person gives it.

    uv run python benchmarks/readers.py

Given a benchmark's folder, it sets side by side what `neuromas report DIR` wrote there without
and with `--reader`:

    uv run python benchmarks/readers.py DIR
"""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from neuromas_env.tasks.readers import READERS, Form, Reader, grade_reply

FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures"
KINDS = {"letter": "choice", "bool": "word", "words": "word", "list": "text", "choice10": "choice"}
COLOURS = "red green blue yellow grey pink white black gold tan".split()
OPTIONS = dict(zip("ABCDEFGHIJ", COLOURS, strict=True))


def judged(file: str) -> Iterator[tuple[str, Form, str, str | None, float]]:
    """Yield what each row of a file is about.

    Yields:
        Kind, form, reply, the answer that a person expects (None for no answer at all), and
        the score that the reply deserves.
    """
    for line in (FIXTURES / file).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        name, _, rest = row.get("reader", row.get("form")).partition(":")
        kind = KINDS.get(name, name)
        words = tuple(rest.split("|")) if name == "words" else ("Yes", "No")
        shown = row.get("options", OPTIONS if name == "choice10" else dict([*OPTIONS.items()][:4]))
        form = Form(kind, words if kind == "word" else (), tuple(shown.items()))
        if "gold" in row:
            yield kind, form, row["reply"], row["gold"], row["score"]
        else:
            right = rest if kind == "text" else row["right"]
            yield kind, form, row["reply"], right, float(right is not None)


def paid(reader: Reader, form: Form, reply: str, gold: str | None) -> float:
    """Return the score of a reply; where no answer is right, any that is found counts."""
    score = grade_reply(reader, form, reply, gold or "")
    return float(score.answer is not None) if gold is None else score.extracted


def table() -> str:
    """Return the table in Markdown."""
    asked: Counter[str] = Counter()
    agree: Counter[tuple[str, str]] = Counter()
    wrong: Counter[str] = Counter()
    for file in ("replies.jsonl", "graded.jsonl"):
        for kind, form, reply, gold, deserved in judged(file):
            asked[kind] += 1
            for name, reader in READERS.items():
                got = paid(reader, form, reply, gold)
                agree[kind, name] += got == deserved
                wrong[name] += got > deserved
    rows = [("answers", "replies", *map(str, READERS.values())), ("---", *["---:"] * 4)]
    rows += [(k, str(n), *(str(agree[k, name]) for name in READERS)) for k, n in asked.items()]
    total = (sum(agree[kind, name] for kind in asked) for name in READERS)
    rows.append(("all", str(asked.total()), *map(str, total)))
    rows.append(("paid, though wrong or no answer", "", *(str(wrong[name]) for name in READERS)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def reports(folder: Path) -> str:
    """Return the accuracy of each row of a benchmark by each reader, in Markdown."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in ("report", *(f"report-{reader}" for reader in READERS)):
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                share = f"{100 * float(line['extracted']):.1f}"
                found.setdefault((line["task"], line["method"]), []).append(share)
    rows = [
        ("task", "method", "as stored", *map(str, READERS.values())),
        ("---",) * 2 + ("---:",) * 4,
    ]
    rows += [(task, f"`{method}`", *shares) for (task, method), shares in found.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    print(reports(Path(sys.argv[1])) if sys.argv[1:] else table())
