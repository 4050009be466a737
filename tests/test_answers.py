"""Replies and how they are read."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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

METALS = (("A", "soft gold"), ("B", "pure iron"), ("C", "vitamin C"), ("D", "Li and B"))
DIGITS = (("1", "3"), ("2", "a hammer"), ("3", "7 meters"), ("4", "10 N"))
MANY = tuple((letter, f"item {letter.lower()}x") for letter in "ABCDEFGHIJ")
TWINS = (("A", "same"), ("B", "same"), ("C", "other"))

CHOICES = [
    # nothing but the label, in every dress
    ("B", "B"),
    ("b", "B"),
    (" B\n", "B"),
    ("B.", "B"),
    ("B:", "B"),
    ("(B)", "B"),
    ("(b)", "B"),
    ("( B )", "B"),
    ("B)", "B"),
    ("[B]", "B"),
    ("**B**", "B"),
    ("*B*", "B"),
    ("**(B)**", "B"),
    ("__B__", "B"),
    ("`B`", "B"),
    ("$B$", "B"),
    ("'B'", "B"),
    ('"B".', "B"),
    ("\\(B\\)", "B"),
    ("（B）", "B"),
    ("\\boxed{B}", "B"),
    ("$\\boxed{\\text{B}}$", "B"),
    ("\\boxed{\\text{(B)}}.", "B"),
    ("\\boxed{B. pure iron}", "B"),
    # the label and its option's text
    ("B) pure iron", "B"),
    ("B. pure iron", "B"),
    ("(B) Pure iron.", "B"),
    ("B: pure iron", "B"),
    ("B - pure iron", "B"),
    ("**B) pure iron**", "B"),
    ("C. vitamin C", "C"),
    ("D. Li and B", "D"),
    ("B) soft gold", None),  # label and text name two options
    ("The answer is B. soft gold", None),
    # the text alone
    ("pure iron", "B"),
    ("Pure  Iron.", "B"),
    ("**pure iron**", "B"),
    ("The answer is pure iron.", "B"),
    ("Answer: vitamin C", "C"),
    ("The answer is pure iron. It conducts.", "B"),
    ("impure iron", None),  # never a substring
    ("not pure iron", None),
    # explicit statements
    ("The answer is B.", "B"),
    ("the answer is (b)", "B"),
    ("Answer: B", "B"),
    ("**Answer:** B", "B"),
    ("Answer:\n\nB", "B"),
    ("Final answer - B", "B"),
    ("The correct option is: (B)", "B"),
    ("The answer is most likely B", "B"),
    ("The answer to this question is B because it is hard.", "B"),
    ("So the answer must be option B.", "B"),
    ("B is correct.", "B"),
    ("(B) is the right answer", "B"),
    ("I would say that B is the answer.", "B"),
    ("B. The answer follows from the vitamin C in it.", "B"),
    # a statement wins over mentions and over earlier statements
    ("(A) is soft. (C) is an acid. The answer is B.", "B"),
    ("The answer is B. Option A is wrong.", "B"),
    ("The answer is A. No, wait. The answer is B.", "B"),
    ("\\boxed{A} was my first thought, but the answer is B", "B"),
    ("First (A), then (C).\nB", "B"),
    ("A is wrong, so B is correct", "B"),
    ("The answer is B or C.", None),
    ("The answer is (B) or (C).", None),
    ("The answer is B, C", None),
    ("The answer is B and B", "B"),
    ("A or B is correct", None),
    ("Neither A nor B is correct", None),
    ("The answer is not B", None),
    ("The answer is unknown.", None),
    ("the answer is a dog", None),  # an article, not a label
    # single mentions
    ("I think B", "B"),
    ("I choose B because of its vitamin C", "B"),
    ("Option B", "B"),
    ("It must be (B), I guess", "B"),
    ("B because it is hard", "B"),
    ("I think A is good", "A"),
    ("A, since it is soft", "A"),
    ("not A but B", "B"),
    ("Is it A? No. So B.", "B"),
    ("A dog is an animal", None),
    ("a", "A"),
    ("Vitamin C is healthy", None),  # part of a name
    # several mentions
    ("A and B", None),
    ("A/B", None),
    ("A, B", None),
    ("B C", None),
    ("A\nB", None),
    ("(A) (B)", None),
    ("A) soft gold\nB) pure iron", None),
    ("(B) ... (B)", "B"),
    ("both A and B", None),
    # nothing
    ("", None),
    ("E", None),
    ("(E)", None),
    ("AB", None),
    ("BB", None),
    ("not B", None),
    ("I do not know.", None),
    ("\0", None),
    ("\ud800", None),
]


@pytest.mark.parametrize(("reply", "expected"), CHOICES, ids=lambda value: repr(value)[:40])
def test_choice(reply, expected):
    assert extract_choice(reply, METALS) == expected


@pytest.mark.parametrize(
    ("reply", "options", "expected"),
    [
        ("3", DIGITS, "3"),  # the label, although it is also the text of 1
        ("(3)", DIGITS, "3"),
        ("The answer is 3.", DIGITS, "3"),
        ("The answer is 3. It is far.", DIGITS, "3"),
        ("2) a hammer", DIGITS, "2"),
        ("2. a hammer", DIGITS, "2"),
        ("I choose 2.", DIGITS, "2"),
        ("Option 2", DIGITS, "2"),
        ("2\n\nIt is hard.", DIGITS, "2"),
        ("10 N", DIGITS, "4"),
        ("It has 3 legs", DIGITS, None),  # a quantity
        ("The answer is 3 meters", DIGITS, None),
        ("The answer is 3.5", DIGITS, None),
        ("1 or 2", DIGITS, None),
        ("I think so", MANY, None),
        ("I think I would take B", MANY, None),
        ("I", MANY, "I"),
        ("The answer is I.", MANY, "I"),
        ("(I)", MANY, "I"),
        ("option(s)", MANY, None),
        ("(\u0130) or (\u0131)", MANY, None),  # look like "I" to a pattern that ignores case
        ("J. item jx", MANY, "J"),
        ("same", TWINS, None),
        ("The answer is same", TWINS, None),
        ("A) same", TWINS, "A"),
        ("other", TWINS, "C"),
    ],
)
def test_choice_among_other_options(reply, options, expected):
    assert extract_choice(reply, options) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("12", "12"),
        ("-35", "-35"),
        ("−35", "-35"),
        ("+7", "7"),
        ("007", "7"),
        ("-0", "0"),
        ("1,234", "1234"),
        ("12.50", "12.5"),
        ("12.", "12"),
        ("**12**", "12"),
        ("$\\boxed{-12}$", "-12"),
        ("The largest number is 67.", "67"),
        ("The answer is: 67", "67"),
        ("Answer: **-12**", "-12"),
        ("12 + 45 = 57", "57"),
        ("Of 12, 45 and 67 the largest is 67.", "67"),
        ("The answer is 12. I checked 13.", "12"),
        ("It is 5 apples", "5"),
        ("5, and again 5", "5"),
        ("9" * 5000, "9" * 5000),
        ("12 45 67", None),
        ("12, 45", None),
        ("12,45", None),
        ("5-3", None),
        ("The answer is 12 or 13", None),
        ("67th", None),
        ("X1", None),
        ("1.2.3", None),
        ("٣", None),
        ("twelve", None),
        ("", None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_number(reply, expected):
    assert extract_number(reply) == expected


@pytest.mark.parametrize(
    ("reply", "allowed", "expected"),
    [
        ("Yes", ("Yes", "No"), "Yes"),
        ("no.", ("Yes", "No"), "No"),
        ("**NO**", ("Yes", "No"), "No"),
        ("(Yes)", ("Yes", "No"), "Yes"),
        ("\\boxed{\\text{No}}", ("Yes", "No"), "No"),
        ("The answer is: yes", ("Yes", "No"), "Yes"),
        ("Yes, you return.", ("Yes", "No"), "Yes"),
        ("There is no way back, so the answer is Yes", ("Yes", "No"), "Yes"),
        ("Yes or No", ("Yes", "No"), None),
        ("The answer is Yes or No", ("Yes", "No"), None),
        ("Yes, there is no way", ("Yes", "No"), None),
        ("Nothing", ("Yes", "No"), None),
        ("invalid", ("valid", "invalid"), "invalid"),
        ("The argument is invalid.", ("valid", "invalid"), "invalid"),
        ("The argument is not valid.", ("valid", "invalid"), None),
        ("It is not valid but invalid.", ("valid", "invalid"), "invalid"),
        ("True", ("True", "False"), "True"),
        ("not True", ("True", "False"), None),
        ("İ yeſ", ("Yes", "No"), "Yes"),
        ("", ("Yes", "No"), None),
    ],
)
def test_word(reply, allowed, expected):
    assert extract_word(reply, allowed) == expected


@pytest.mark.parametrize(
    ("reply", "target", "right"),
    [
        ("apple pear", "apple pear", True),
        ("Apple, pear.", "apple pear", True),
        ("The answer is: apple pear", "apple pear", True),
        ("The answer is\napple pear", "apple pear", True),
        ("\\boxed{apple pear}", "apple pear", True),
        ("pear apple", "apple pear", False),
        ("apple pear plum", "apple pear", False),
        ("applepear", "apple pear", False),
        ("] ] >", "] ] >", True),
        ("]]>", "] ] >", True),
        ("The answer is: ] ] >", "] ] >", True),
        ("\\boxed{] \\} >}", "] } >", True),
        ("\\boxed{) }}", ") }", True),
        ("] >", "] ] >", False),
        ("[ [ ] ] >", "] ] >", False),
    ],
)
def test_free_text(reply, target, right):
    assert grade(reply, target, extract_text(reply), form=list_form).extracted == right


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
    lambda reply: extract_text(reply) != "" and isinstance(list_form(reply), str),
]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text())
@settings(max_examples=300, deadline=None)
@pytest.mark.parametrize("reader", READERS, ids=["choice", "word", "number", "text"])
def test_any_text_is_read(reader, reply):
    assert reader(reply)


@pytest.mark.parametrize("reader", READERS, ids=["choice", "word", "number", "text"])
def test_a_megabyte_is_read_in_a_moment(reader):
    start = time.process_time()
    for piece in PIECES:
        assert reader(piece * (1_000_000 // len(piece)) + "z")
    # One pass over each text; anything quadratic would take minutes.
    assert (time.process_time() - start) / len(PIECES) < 0.5
