"""What the site needs besides its plugins: formulas without a script, and parts that are made."""

from __future__ import annotations

import re
import tomllib
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from latex2mathml.converter import convert
from reference_pages import filled

_MATH = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
_PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def on_config(config: Any) -> Any:
    """Show the version and, where the project has an address, a link to the repository."""
    project = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]
    config.site_name += f" {project['version']}"
    if address := project["urls"].get("Repository"):
        config.repo_url, config.repo_name = address, urlsplit(address).path.strip("/")
    return config


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put in what is made when the site is built."""
    return filled(markdown)


def on_page_content(html: str, **_: object) -> str:
    """Replace what arithmatex has marked."""
    return _MATH.sub(_formula, html)


def _formula(match: re.Match[str]) -> str:
    display = "block" if match[1] == "div" else "inline"
    return convert(unescape(match[2]), display=display)
