"""The page on baselines names every method, every option and its default, and its example runs."""

import inspect
import re

import pytest
from support.asking import Sums, Told
from support.paths import ROOT

from neuromas_env import baselines
from neuromas_env.baselines import list_baselines, make_baseline
from neuromas_env.rollout import run_episodes

DOCS = ROOT / "docs"
PAGE = (DOCS / "baselines.md").read_text()
SECTIONS = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))


def test_pages_have_all_methods_and_this_one_in_the_order_of_the_list():
    listed = list(list_baselines())
    assert [name for name in listed if name in SECTIONS] == list(SECTIONS)
    pages = "".join(page.read_text() for page in DOCS.glob("*.md"))
    assert [name for name in listed if f"`{name}`" not in pages] == []


@pytest.mark.parametrize("name", SECTIONS)
def test_page_gives_all_defaults(name):
    build = baselines.builder(name, name)
    for option in list(inspect.signature(build).parameters.values())[1:]:
        default = baselines.as_text(option.default)
        said = f"| `{option.name}` | " + (f"`{default}` |" if default else "|")
        assert said in SECTIONS[name] or name == "debate_llm_agg" and said in SECTIONS["debate"]


def test_example_of_the_page_runs():
    code = re.search(r"```python\n(.*?)```", PAGE, re.S)[1]
    space = {}
    exec(code, space)
    task, engine = Sums(), Told()
    method = space["best_of_two_styles"](baselines.Setup("two_styles", task, engine))
    [trajectory] = run_episodes(method, task, task.examples("test")[:1])
    assert trajectory.answer == "The answer is 1." and len(engine.requests) == 4 == method.calls


def test_names_on_the_page_are_right():
    for name in re.findall(r"--baseline (\S+)|`(sc:\S+?)`", PAGE):
        if not (text := "".join(name)).startswith(("two_styles", "NAME")):
            make_baseline(re.sub(r":state=.*", "", text.rstrip("`")), Sums(), None)
