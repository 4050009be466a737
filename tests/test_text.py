import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromas_env.text import valid, visible

ANY = st.text(st.characters(exclude_categories=()))


@given(ANY)
def test_a_valid_text_can_be_written_and_is_left_as_it_is(text: str):
    assert valid(text).encode("utf-8").decode("utf-8") == valid(text)
    assert len(valid(text)) == len(text)
    assert valid(valid(text)) == valid(text)


@given(st.text())
def test_unicode_text_is_valid(text: str):
    assert valid(text) == text


@given(ANY)
def test_a_visible_text_has_nothing_that_a_terminal_obeys(text: str):
    shown = visible(text)
    assert not {"\x1b", "\x9b", "\r", "\b", "\x07", "\u202e", "\u2066", "\u2028"} & set(shown)
    assert visible(shown) == shown
    shown.encode("utf-8")


@pytest.mark.parametrize(
    "text, shown",
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\u202eb", r"a\u202eb"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("line\nnext\ttab, Größe, 木, \N{WOMAN}\u200d\N{ROCKET}", None),
    ],
    ids=["escape", "override", "surrogate", "tag", "plain"],
)
def test_controls_are_shown_and_plain_text_is_unchanged(text: str, shown: str | None):
    assert visible(text) == (text if shown is None else shown)
