"""The cards of fidelity: one for every row, right about our settings, with checks that run."""

import ast
import importlib.util
import inspect
import re
from dataclasses import fields
from functools import cache

import pytest
import yaml
from support.asking import Sums
from support.paths import ROOT

from neuromas_env.agents.llm import LLMPolicy
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.baselines import BASELINES, as_text, builder, make_baseline
from neuromas_env.baselines.fidelity import FILE, read_cards, written
from neuromas_env.baselines.trained import TRAINED
from neuromas_env.errors import InputError

CARDS = read_cards()
OF_THE_SUITE = {"ties", "prompt", "state"}
"""Options that are no setting of a method's source."""


def test_every_row_has_a_card_and_every_card_a_row():
    assert set(CARDS) == {*BASELINES.built_in, *TRAINED}
    assert [name for name in CARDS if name in BASELINES.built_in] == list(BASELINES.built_in)


@pytest.mark.parametrize("name", BASELINES.built_in)
def test_a_card_has_every_option_with_its_default(name):
    ours = {key: as_text(values[1]) for key, values in CARDS[name].settings.items()}
    options = list(inspect.signature(builder(name, name)).parameters.values())[1:]
    for option in options:
        if option.name not in OF_THE_SUITE:
            assert ours[option.name] == as_text(option.default), option.name
    method = make_baseline(name, Sums(), None)
    heat = sorted(
        {round(p.sampling.temperature, 3) for p in method.team.values() if isinstance(p, LLMPolicy)}
    )
    said = (
        "{} to {}".format(*heat[:: len(heat) - 1])
        if len(heat) > 2
        else ", ".join(map(as_text, heat))
    )
    assert ours["temperature"] == said and ours["calls"] == str(method.calls)


@pytest.mark.parametrize("name", TRAINED)
def test_a_card_of_a_trained_row_has_the_defaults_of_training(name):
    words = TRAINED[name].options.split()
    given = {
        key.removeprefix("--"): yaml.safe_load(value)
        for key, value in zip(words[::2], words[1::2], strict=True)
    }
    for option in fields(TrainConfig):
        if option.name in CARDS[name].settings:
            ours = CARDS[name].settings[option.name][1]
            assert ours == given.get(option.name, option.default), option.name


def test_settings_that_differ_in_numbers_say_why():
    for name, card in CARDS.items():
        for setting, (theirs, ours, *why) in card.settings.items():
            numbers = not isinstance(theirs, str | bool) and not isinstance(ours, str | bool)
            assert why or not numbers or theirs == ours, (name, setting)


def test_what_was_read_is_named_by_whole_commits():
    for card in CARDS.values():
        assert not card.read or re.fullmatch(r"[\w-]+/[\w.-]+", card.code)
        assert all(re.fullmatch(r"[0-9a-f]{40}", commit) for commit in card.read.values())


@cache
def functions_of(place):
    body = ast.parse((ROOT / place).read_text()).body
    return [node.name for node in body if isinstance(node, ast.FunctionDef)]


def test_every_check_is_a_test_that_is_collected():
    for name, card in CARDS.items():
        for check in card.checks:
            place, _, test = check.partition("::")
            # What pytest collects by itself: functions of these names in files of these names.
            assert place.startswith("tests/") and re.search(r"/test_\w+\.py$", place), (name, check)
            assert functions_of(place).count(test) == 1 and test.startswith("test_"), (name, check)


def broken(tmp_path, old, new):
    path = tmp_path / "cards.yaml"
    path.write_text(FILE.read_text().replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("  paper: none; the plain", "  papper: none; the plain", "'direct': .*'papper'.*'paper'"),
        ("calls: [1, 1]", "calls: [1]", "'direct': settings.calls must be theirs, ours"),
        ("calls: [1, 1]", "calls: [1, [1]]", "'direct': each of settings.calls must be .*got .1"),
        ("  checks: [tests/baselines/test_methods.py::test_self_consistency_of_one_is_direct_"
         "prompting]", "  checks: []", "'direct': checks must name a test"),
        ("  paper: none; the plain use of a model\n", "", "'direct': it must hold paper"),
        ("direct:\n", "other: 3\ndirect:\n", "'other': it must be a Card, got 3"),
    ],
)  # fmt: skip
def test_a_broken_file_says_which_card_and_what(tmp_path, old, new, says):
    with pytest.raises(InputError, match=says):
        read_cards(broken(tmp_path, old, new))


def test_the_page_is_made_of_the_data():
    spec = importlib.util.spec_from_file_location("parts", ROOT / "docs/reference_pages.py")
    parts = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(parts)
    page = parts.filled((ROOT / "docs/baselines-cards.md").read_text())
    assert page.startswith("# ") and "<!-- made" not in page
    assert parts.filled("# Other\n") == "# Other\n"
    for name in CARDS:
        assert f"[`{name}`](#{name})" in page and f"\n## `{name}`\n" in page
    assert "| beam | 5 | 5 |  |" in page and "| history | the whole conversation | true |" in page
    commit = CARDS["tot"].read["scripts/game24/bfs.sh"]
    place = (
        f"https://github.com/princeton-nlp/tree-of-thought-llm/blob/{commit}/scripts/game24/bfs.sh"
    )
    assert f"({place})" in page and "(https://arxiv.org/abs/2305.10601)" in page
    assert written(CARDS) in page
