"""What the site needs besides its plugins: formulas, parts that are made, the glossary."""

from __future__ import annotations

import re
import tomllib
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from language import RULES, glossary
from latex2mathml.converter import convert
from reference_pages import filled

_MATH = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
_FIGURE = re.compile(r'<img [^>]*src="([^"]+\.svg)"[^>]*>')
_OPTION = re.compile(r"<code>(?=--[^<]{1,28}</code>)")
_PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def on_config(config: Any) -> None:
    """Show the version, a link to the repository if it has an address, and terms of the glossary.

    A term's meaning is shown wherever it stands, but for ordinary words.
    """
    project = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]
    config.site_name += f" {project['version']}"
    if address := project["urls"].get("Repository"):
        config.repo_url, config.repo_name = address, urlsplit(address).path.strip("/")
    terms = {k: v for k, v in glossary().items() if k not in RULES["no_tooltip"]}
    config.markdown_extensions.append("abbr")
    config.mdx_configs["abbr"] = {"glossary": terms | {f"{k}s": v for k, v in terms.items()}}


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put in what is made when the site is built."""
    return filled(markdown)


def on_page_content(html: str, **_: object) -> str:
    """Replace what arithmatex has marked; let figures lead to their full size; mark options."""
    html = _FIGURE.sub(r'<a href="\1">\g<0></a>', _MATH.sub(_formula, html))
    return _OPTION.sub('<code class="option">', html)


def _formula(match: re.Match[str]) -> str:
    display = "block" if match[1] == "div" else "inline"
    return convert(unescape(match[2]), display=display)
