"""What the site needs besides its plugins: formulas without a script, and the baselines' cards."""

from __future__ import annotations

import re
from html import unescape

from latex2mathml.converter import convert

from neuromas_env.baselines.fidelity import read_cards, written

_MATH = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)

_CARDS = "<!-- cards -->\n"


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put the cards of all baselines where a page wants them."""
    return markdown.replace(_CARDS, written(read_cards())) if _CARDS in markdown else markdown


def on_page_content(html: str, **_: object) -> str:
    """Replace what arithmatex has marked."""
    return _MATH.sub(_formula, html)


def _formula(match: re.Match[str]) -> str:
    display = "block" if match[1] == "div" else "inline"
    return convert(unescape(match[2]), display=display)
