"""The pages about the tasks say what holds: they are what their generator writes."""

import importlib.util
import os
import re

import pytest
from support.paths import ROOT

from neuromas_env.envs.registration import SINGLE
from neuromas_env.tasks import _FAMILIES

DOCS = ROOT / "docs"
PAGES = sorted((DOCS / "tasks").glob("*.md"))
FAMILY_PAGES = [page for page in PAGES if page.stem != "README"]
DATA_FREE = [name for name, family in _FAMILIES.items() if not family.needs_data]


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("make_task_pages", DOCS / "make_task_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("family", DATA_FREE)
def test_page_is_what_the_generator_writes(generator, family):
    text = generator.PAGE.substitute(generator.describe(family))
    assert (DOCS / "tasks" / f"{family}.md").read_text() == text


@pytest.mark.slow
@pytest.mark.whole
@pytest.mark.skipif(not os.environ.get("NEUROMAS_DATA"), reason="counts the rows of the data")
def test_all_pages_are_what_the_generator_writes(generator):
    written = {page.name: page.read_text() for page in PAGES}
    assert generator.pages() == written, "run: python docs/make_task_pages.py --data DIR"


def test_every_family_has_a_page_with_the_same_headings():
    assert [page.stem for page in FAMILY_PAGES] == sorted(_FAMILIES)
    sections = {tuple(re.findall("^## (.+)$", p.read_text(), re.M)) for p in FAMILY_PAGES}
    assert sections == {("Tasks", "Parameters", "Description", "Versions")}


@pytest.mark.parametrize("page", FAMILY_PAGES, ids=lambda page: page.stem)
def test_page_names_licence_scorer_and_version(page):
    facts = dict(re.findall(r"^\| (\w+) \| (.+) \|$", page.read_text(), re.M))
    assert {"Gymnasium", "scorer", "reward", "data", "licence", "version"} <= facts.keys()
    assert all(fact.strip() for fact in facts.values())
    family = _FAMILIES[page.stem]
    assert (facts["licence"] == "that of this project") != family.needs_data
    newest = f"v{len(family.versions) - 1}"
    assert facts["version"] == newest and f"- {newest}: " in page.read_text()
    ids = [id for id, stands in SINGLE.items() if stands.get("family", "") == page.stem]
    assert all(id.endswith(f"-{newest}") and id in facts["Gymnasium"] for id in ids)


@pytest.mark.parametrize("family", DATA_FREE)
def test_code_on_the_page_runs(family):
    [block] = re.findall("```python\n(.*?)```", (DOCS / "tasks" / f"{family}.md").read_text(), re.S)
    names = {}
    exec(block, names)
    names["env"].reset(seed=0)


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
