"""The pages keep to the limits of `docs/language.yaml`, and the check sees a broken one."""

import importlib.util
import sys

import pytest
from support.paths import ROOT

spec = importlib.util.spec_from_file_location("language", ROOT / "docs" / "language.py")
language = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = language  # dataclasses look their module up
spec.loader.exec_module(language)

WIDE = "|" + " a |" * 9 + "\n|" + " --- |" * 9 + "\n|" + " 1 |" * 9 + "\n"


@pytest.mark.slow
def test_all_pages_are_within_the_limits():
    assert not language.problems(language.pages())


def test_every_term_of_the_glossary_is_used():
    assert not language.unused(language.pages())


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        ("One two three. Four five!\n", [3, 2]),
        ("`code one` costs $a + b$ seconds, e.g. on a GPU.\n", [8]),
        ("A [link to a page](page.md) of **bold\nwords**.\n", [8]),
        ("# A heading\n\n- one item\n- another\n\nText.\n\n    no prose\n", [2, 1, 1]),
        ("---\ntitle: none\n---\n```python\nx = 1\n```\n| a |\n| --- |\n| b c |\n", []),
        ("$$\na = b\n$$\n\n<!-- not run: why -->\n\n::: neuromas_env.Topology\n", []),
    ],
)
def test_sentences_are_those_of_the_prose(text, lengths):
    assert language.read(text).sentences == lengths


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("word " * 21 + "\n", "1: 21.0 words a sentence on average, at most 20"),
        ("Text.\n\n" + WIDE, "3: a table of 9 columns, at most 8"),
        ("A line.\n\nIt is made\nanew.\n", '4: "anew"; write again'),
        ("What came\nof it.\n", '1: "what came of it"; write the result'),
        ("| told |\n| --- |\n| anew |\n", '3: "anew"; write again'),
    ],
)
def test_a_broken_limit_is_named_with_its_line(text, problem):
    assert problem in list(language.read(text).problems())


def test_words_in_code_are_not_prose():
    assert not list(language.read("`anew`\n\n    anew\n\n```\nanew\n```\n").problems())


def test_the_list_of_pages_over_the_limits_only_shrinks(monkeypatch):
    monkeypatch.setitem(language.RULES, "over", ["bad.md", "good.md"])
    wrong = language.problems({"bad.md": "Anew.\n", "good.md": "Again.\n", "new.md": "Anew.\n"})
    assert wrong == [
        'new.md:1: "anew"; write again',
        "good.md:1: within the limits; remove it from `over` in language.yaml",
    ]
