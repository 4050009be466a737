"""What the site needs besides its plugins: formulas, the baselines' cards, the glossary."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from language import RULES, glossary
from latex2mathml.converter import convert

from neuromas_env.baselines.fidelity import read_cards, written

_MATH = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)

_CARDS = "<!-- cards -->\n"


def on_config(config: Any) -> None:
    """Show the meaning of a term of the glossary wherever it stands, but for ordinary words."""
    terms = {k: v for k, v in glossary().items() if k not in RULES["no_tooltip"]}
    config.markdown_extensions.append("abbr")
    config.mdx_configs["abbr"] = {"glossary": terms | {f"{k}s": v for k, v in terms.items()}}


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put the cards of all baselines where a page wants them."""
    return markdown.replace(_CARDS, written(read_cards())) if _CARDS in markdown else markdown


def on_page_content(html: str, **_: object) -> str:
    """Replace what arithmatex has marked."""
    return _MATH.sub(_formula, html)


def _formula(match: re.Match[str]) -> str:
    display = "block" if match[1] == "div" else "inline"
    return convert(unescape(match[2]), display=display)
