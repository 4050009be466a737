"""A server's address: checked before anything is sent, and split into what may be shown and not.

Secrets are the password, values of the query whose names say so (`?api_key=KEY`), and segments of
the path, in which some gateways carry a token: one with 16 letters and digits in a row, a digit
among them; a UUID; and one of 8 characters or more, a digit among them, after a segment that names
it (`/token/KEY/v1`). Names of models and versions (`gpt-4o-mini-2024-07-18`, `v1`) are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from neuromas_env.agents.engines.servers.secrets import MASK
from neuromas_env.errors import InputError
from neuromas_env.text import visible

_SECRET = re.compile(r"key|token|secret|passw|pwd|auth|sig|credential|cookie", re.IGNORECASE)
_NAMES_NEXT = re.compile(r"(api|access|auth)?[-_]?(key|token|secret)s?|auth", re.IGNORECASE)
_DRAWN = re.compile(
    r"(?=[^\W_]*\d)[^\W_]{16}|^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE
)
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\\ud800-\udfff]")


@dataclass(frozen=True)
class Address:
    """Where a server is.

    Attributes:
        url: Scheme, host, port and path.
        user: Name and password for HTTP's basic authentication, None without.
        query: What every request carries behind the `?`.
    """

    url: str
    user: tuple[str, str] | None
    query: dict[str, str]

    @property
    def secrets(self) -> Iterator[str]:
        """Password, a name without one, and secret values of the query and parts of the path."""
        if self.user is not None:
            yield self.user[1] or self.user[0]
        yield from (value for name, value in self.query.items() if is_secret(name))
        yield from (unquote(segment) for segment in _tokens(urlsplit(self.url).path))

    @property
    def shown(self) -> str:
        """The address with `***` for secret segments of its path."""
        return _masked(self.url)


def is_secret(name: str) -> bool:
    """Whether the value of a header or of a part of a query is a secret, by its name."""
    return _SECRET.search(name) is not None


def _tokens(path: str) -> Iterator[str]:
    """Yield the segments of a path that are secrets, as they stand there."""
    before = ""
    for segment in path.split("/"):
        plain = unquote(segment)
        named = _NAMES_NEXT.fullmatch(before) and len(plain) >= 8 and re.search(r"\d", plain)
        if named or _DRAWN.search(plain):
            yield segment
        before = plain


def _masked(url: str) -> str:
    tokens = set(_tokens(url))
    return "/".join([MASK if segment in tokens else segment for segment in url.split("/")])


def read_address(text: str) -> Address:
    """Read the address of a server.

    Args:
        text: Such as `http://localhost:8000/v1` or `https://NAME:PASSWORD@HOST/v1?api_key=KEY`.

    Raises:
        InputError: No request can be sent there; the message shows neither name nor password nor
            query.
    """
    parts = _split(text)
    if parts is None:
        raise InputError(
            "base_url must be http:// or https:// with a host and, where one is given, a port from "
            f"1 to 65535, such as http://localhost:8000/v1, got {_shown(text)!r}"
        )
    user = None
    if "@" in parts.netloc:
        user = unquote(parts.username or ""), unquote(parts.password or "")
    netloc = parts.netloc.rpartition("@")[2]
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Address(f"{parts.scheme}://{netloc}{parts.path}", user, query)


def _split(text: str) -> SplitResult | None:
    if _FORBIDDEN.search(text):
        return None
    try:
        parts = urlsplit(text)
        reachable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number or too large, a bracket without its other
        return None
    return parts if reachable else None


def _shown(text: str) -> str:
    user, at, rest = text.partition("?")[0].rpartition("@")
    return visible(f"{MASK}@{_masked(rest)}" if at else _masked(rest))
