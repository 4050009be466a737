"""Characters: one form for all that looks alike, decided by Unicode's own properties."""

from __future__ import annotations

import re
import unicodedata

# Quotes become the plain ones; the em dash and its kin stay one mark that separates clauses.
_KNOWN = {
    **dict.fromkeys(map(ord, "“”„«»〝〞″「」『』《》〈〉"), '"'),
    **dict.fromkeys(map(ord, "【〔"), "["),
    **dict.fromkeys(map(ord, "】〕"), "]"),
    **dict.fromkeys(map(ord, "‘’‚‹›′`´"), "'"),
    **dict.fromkeys(map(ord, "—―﹘⸺⸻"), "—"),
    **dict.fromkeys(map(ord, "−➖"), "-"),
    **dict.fromkeys(map(ord, "。．｡"), "."),
    ord("、"): ",",
    ord("⁄"): "/",
    ord("∶"): ":",
    ord("\n"): "\n",
    ord("\r"): "\n",
    ord("\u2028"): "\n",
    ord("\u2029"): "\n",
    ord("`"): "`",  # Markdown's
    ord("\u0130"): "\u0130",
}
_LIKE = ("<wide>", "<narrow>", "<font>", "<noBreak>", "<circle>", "<small>")
_RAISED = re.compile(r"[⁰¹²³⁴-⁹⁺⁻]+")
_RAISED_TO = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_HALVES = re.compile(r"(\d?)([¼-¾⅐-⅞])")
_SCRIPTS = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # written without spaces
_NO_SPACE = re.compile(rf"(?<=[{_SCRIPTS}])(?=[A-Za-z0-9+$-])|(?<=[A-Za-z0-9%)])(?=[{_SCRIPTS}])")


class _Table(dict[int, str]):
    """Each character's plain form, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category, like = unicodedata.category(char), unicodedata.decomposition(char)
        if category == "Zs" or char in "\t\v\f\x85":
            plain = " "
        elif category == "Pd":
            plain = "-"
        elif category in ("Cf", "Cc", "Co"):  # no width, control, private: tokens are made of these
            plain = ""
        elif like.startswith(_LIKE):
            # Again, for wide forms of what is known by name.
            plain = "".join(_KNOWN.get(ord(c), c) for c in unicodedata.normalize("NFKC", char))
        else:
            plain = char
        self[code] = plain
        return plain


_TABLE = _Table(_KNOWN)


def plain_characters(text: str) -> str:
    """Replace what looks like a plain character by it.

    Dashes are hyphens (the em dash separates clauses and stays, unless it is a number's sign),
    spaces of all widths are spaces, what has no width is dropped, wide, bold and circled forms
    are the letters themselves, raised digits are powers, `½` is `1/2`.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _RAISED.sub(lambda match: "^" + match[0].translate(_RAISED_TO), text)
    text = _HALVES.sub(_fraction, text).translate(_TABLE)
    text = re.sub(r"(?:(?<=\s)|(?<![^\n]))—(?=[$€£]?\d)", "-", text)
    return _NO_SPACE.sub(" ", text)


def _fraction(match: re.Match[str]) -> str:
    parts = unicodedata.normalize("NFKC", match[2]).replace("⁄", "/")
    return f"{match[1]} {parts}" if match[1] else parts
