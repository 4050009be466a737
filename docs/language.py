"""Check the language of the docs: sentence length, width of tables, words not to use, the glossary.

    uv run python docs/language.py

prints a line a page and every problem, and exits with 1 if there is one. Limits, words and the
pages that are still over the limits are in `language.yaml`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[1]
GLOSSARY = ROOT / "docs" / "glossary.md"
RULES = yaml.safe_load((ROOT / "docs" / "language.yaml").read_text())
# Inline code and a formula count as one word; links count as their text, pictures not at all.
_SHORTENED = [
    (re.compile(r"(`+)(?!`)(.+?)(?<!`)\1", re.S), lambda m: "x" + "\n" * m[2].count("\n")),
    (re.compile(r"\$\$.+?\$\$|\\\[.+?\\\]", re.S), lambda m: "\n" * m[0].count("\n")),
    (re.compile(r"\$(?!\s)[^$]+\$|\\\(.+?\\\)", re.S), lambda m: "x" + "\n" * m[0].count("\n")),
    (re.compile(r"!\[[^\]]*\]\([^)]*\)", re.S), lambda m: "\n" * m[0].count("\n")),
    (re.compile(r"\[([^\]]*)\](\([^)]*\)|\[[^\]]*\])", re.S), lambda m: m[1]),
    (re.compile(r"<[^>]+>"), lambda m: " "),
    (re.compile(r"[*_]{1,3}(?=\S)|(?<=\S)[*_]{1,3}"), lambda m: ""),
]
_END_OF_SENTENCE = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<!\bal)(?<!\bvs)(?<!\bcf)[.!?][\"”')]*\s+")
_LONGEST_FIRST = "|".join(map(re.escape, sorted(RULES["words"], key=len, reverse=True)))
_NOT_TO_USE = re.compile(rf"\b({_LONGEST_FIRST})\b".replace(r"\ ", r"\s+"), re.I)


@dataclass
class Page:
    """What one page of Markdown measures."""

    sentences: list[int] = field(default_factory=list)  # their lengths in words
    columns: list[tuple[int, int]] = field(default_factory=list)  # line and width of each table
    found: list[tuple[int, str]] = field(default_factory=list)  # line and word not to use

    @property
    def mean(self) -> float:
        """Words a sentence."""
        return sum(self.sentences) / max(1, len(self.sentences))

    @property
    def wide(self) -> list[tuple[int, int]]:
        """Line and width of each table that is too wide."""
        return [(line, width) for line, width in self.columns if width > RULES["columns"]]

    def problems(self) -> Iterator[str]:
        """Every limit that the page breaks, as `LINE: what`."""
        if self.mean > RULES["words_a_sentence"]:
            limit = RULES["words_a_sentence"]
            yield f"1: {self.mean:.1f} words a sentence on average, at most {limit}"
        for line, width in self.wide:
            yield f"{line}: a table of {width} columns, at most {RULES['columns']}"
        for line, word in self.found:
            yield f'{line}: "{word}"; write {RULES["words"][word]}'


def shortened(text: str) -> str:
    """The prose of an inline text, with as many lines as the text has."""
    for pattern, instead in _SHORTENED:
        text = pattern.sub(instead, text)
    return text


def read(text: str) -> Page:
    """Measure a page: prose in full, cells of tables and headings for words not to use alone."""
    text = re.sub(r"\A---\n.*?\n---\n", lambda m: "\n" * m[0].count("\n"), text, flags=re.S)
    page, around = Page(), ""
    for token in MarkdownIt().enable("table").parse(text):
        if token.type == "table_open":
            page.columns.append((token.map[0] + 1, 0))
        elif token.type == "th_open":
            page.columns[-1] = (page.columns[-1][0], page.columns[-1][1] + 1)
        if token.type != "inline":
            around = token.type
            continue
        if token.content.startswith(":::"):  # mkdocstrings puts a docstring here
            continue
        prose = shortened(token.content)
        line = token.map[0] + 1
        page.found += [
            (line + prose[: match.start()].count("\n"), " ".join(match[0].lower().split()))
            for match in _NOT_TO_USE.finditer(prose)
        ]
        if around == "paragraph_open":
            for sentence in _END_OF_SENTENCE.split(prose):
                if length := sum(any(map(str.isalnum, word)) for word in sentence.split()):
                    page.sentences.append(length)
    return page


def glossary() -> dict[str, str]:
    """Each term of the glossary with its meaning, as plain text."""
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", GLOSSARY.read_text(), re.M)
    link = re.compile(r"\[([^\]]*)\]\([^)]*\)|[`*]")
    return {
        link.sub(r"\1", term): link.sub(r"\1", meaning)
        for term, meaning in rows
        if term not in ("term", "---")
    }


def unused(pages: dict[str, str]) -> list[str]:
    """Terms of the glossary that no other page uses."""
    text = "\n".join(pages[name] for name in pages if name != "docs/glossary.md")
    return [term for term in glossary() if not re.search(rf"\b{re.escape(term)}", text, re.I)]


def pages() -> dict[str, str]:
    """All pages by their path from the root."""
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
    files += sorted((ROOT / "docs").rglob("*.md"))
    return {file.relative_to(ROOT).as_posix(): file.read_text() for file in files}


def problems(texts: dict[str, str]) -> list[str]:
    """What is wrong with these pages, as `PAGE:LINE: what`."""
    measured = {name: list(read(text).problems()) for name, text in texts.items()}
    wrong = [
        f"{name}:{problem}"
        for name, found in measured.items()
        for problem in found
        if name not in RULES["over"]
    ]
    for name in RULES["over"]:
        if name in texts and not measured[name]:
            wrong.append(f"{name}:1: within the limits; remove it from `over` in language.yaml")
    return wrong


def main() -> int:
    """Print a line a page, the totals and the problems."""
    texts = pages()
    print(f"{'page':44} {'words':>6} {'a sentence':>10} {'not to use':>10} {'wide tables':>11}")
    measured = {name: read(text) for name, text in texts.items()}
    every = Page([n for page in measured.values() for n in page.sentences])
    for name, page in [*measured.items(), (f"all {len(measured)} pages", every)]:
        found = page.found or [f for p in measured.values() if page is every for f in p.found]
        wide = page.wide or [w for p in measured.values() if page is every for w in p.wide]
        over = " *" if name in RULES["over"] else ""
        print(
            f"{name + over:44} {sum(page.sentences):6} {page.mean:10.1f}"
            f" {len(found):10} {len(wide):11}"
        )
    wrong = problems(texts) + [f"docs/glossary.md:1: no page uses {term}" for term in unused(texts)]
    if RULES["over"]:
        print("* still over the limits")
    print(*wrong, sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
