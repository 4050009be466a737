"""Replies and how they are read."""

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.replies import CHOICES, MANY, REPLIES, WORDS
from support.timing import seconds

from neuromas_env.tasks.answers import (
    extract_number,
    extract_text,
    extract_word,
    grade,
    list_form,
    majority_share,
    normalise,
)
from neuromas_env.tasks.choices import extract_choice

READ = {
    "number": extract_number,
    "text": lambda reply: list_form(extract_text(reply) or "") or None,
    **{name: partial(extract_choice, options=options) for name, options in CHOICES.items()},
    **{name: partial(extract_word, allowed=words) for name, words in WORDS.items()},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "reply", "expected", "reason"), REPLIES, ids=lambda value: repr(value)[:40]
)
def test_a_reply_is_read_as_the_table_says(asked, reply, expected, reason):
    assert READ[asked](reply) == expected, reason


def test_the_table_of_replies_is_large_and_has_no_row_twice():
    assert len(REPLIES) >= 150
    assert len({(asked, reply) for asked, reply, _, _ in REPLIES}) == len(REPLIES)
    assert all(reason for *_, reason in REPLIES)
    assert {asked for asked, *_ in REPLIES} == READ.keys()


def test_strict_is_equality_after_normalisation():
    assert normalise(" (B)\n") == normalise("b") == normalise('"B".') == "b"
    assert normalise("] ] >") == "] ] >" and normalise("(A) or (B)") == "(a) or (b)"
    assert grade("The answer is B", "B", "B").strict == 0.0
    assert grade("(b).", "B", "B").strict == 1.0
    assert grade("", "B", None).reason == "no_answer"
    assert grade("?", "B", None).reason == "unparsable"
    assert grade("C", "B", "C").reason == "wrong"


def test_majority_share():
    assert majority_share("aab") == 2 / 3
    assert majority_share([]) == 0.0


PIECES = [
    *"AbI(){}[]*$`'\".,:;=-/&\\_<> \n\t\0\ud800\u0130é9",
    *("the ", "answer is ", "not ", "option ", "\\boxed{", "\\text{", "1,234,", "A, ", "B or "),
    *("valid ", "No ", "is the most correct ", "pure iron", "answer: A. "),
]
READERS = [
    lambda reply: extract_choice(reply, MANY) in (None, *"ABCDEFGHIJ"),
    lambda reply: extract_word(reply, ("valid", "invalid")) in (None, "valid", "invalid"),
    lambda reply: extract_number(reply) is None or float(extract_number(reply)) is not None,
    lambda reply: (
        extract_text(reply) != "" and isinstance(list_form(extract_text(reply) or ""), str)
    ),
]


@pytest.mark.slow
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text())
@settings(max_examples=300, deadline=None)
@pytest.mark.parametrize("reader", READERS, ids=["choice", "word", "number", "text"])
def test_any_text_is_read(reader, reply):
    assert reader(reply)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS, ids=["choice", "word", "number", "text"])
def test_a_megabyte_is_read_in_a_moment(reader):
    # One pass over each text; anything quadratic would take minutes.
    for piece in PIECES:
        text = piece * (1_000_000 // len(piece)) + "z"
        assert seconds(reader, text, bound=2) < 2, piece
