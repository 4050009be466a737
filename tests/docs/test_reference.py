"""What pages make of code and data when the site is built is whole."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import fields

import pytest
import typer
from support.paths import ROOT

import neuromas_env
from neuromas_env.agents.engines.base import ENGINES
from neuromas_env.agents.engines.tools import TOOLS
from neuromas_env.agents.learners.names import LEARNERS
from neuromas_env.agents.tables.registry import ALGORITHMS
from neuromas_env.agents.training.metrics import METRICS
from neuromas_env.baselines import BASELINES, list_baselines
from neuromas_env.cli.app import app
from neuromas_env.cli.schema import OPTIONS
from neuromas_env.config import REQUIRED
from neuromas_env.envs.discrete.tasks import DISCRETE_TASKS
from neuromas_env.tasks import TASKS

DOCS = ROOT / "docs"
REGISTRIES = (ENGINES, TOOLS, LEARNERS, ALGORITHMS, BASELINES, DISCRETE_TASKS, TASKS)


@pytest.fixture(scope="module")
def parts():
    spec = importlib.util.spec_from_file_location("parts", DOCS / "reference_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(parts, name):
    return parts.filled((DOCS / name).read_text())


def test_every_part_that_a_page_wants_is_made(parts):
    wanted = {m for file in DOCS.rglob("*.md") for m in parts.MADE.findall(file.read_text())}
    assert {name for name, _ in wanted} == set(parts.PARTS)
    assert all(parts.PARTS[name](*words.split()) for name, words in wanted)


def test_every_command_has_a_section_with_its_options(parts):
    text = page(parts, "reference/commands.md")
    sections = dict(re.findall(r"^## `neuromas (.+?)`\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    for name, command in typer.main.get_command(app).commands.items():
        shared = {one.name for one in fields(OPTIONS[name])} if name in OPTIONS else set()
        own = getattr(command, "commands", None) or {"": command}
        for rest, one in own.items():
            section = sections[f"{name} {rest}".strip()]
            for parameter in one.params:
                shown = f"`{max(parameter.opts, key=len)}" in section
                assert shown != (parameter.name in shared), f"{name}: {parameter.name}"


@pytest.mark.parametrize("command", OPTIONS)
def test_every_option_stands_with_its_default(parts, command):
    rows = parts.options(OPTIONS[command]).splitlines()
    for one in fields(OPTIONS[command]):
        [row] = [row for row in rows if row.startswith(f"| `--{one.name.replace('_', '-')}` |")]
        assert one.metadata["help"] in row
        if one.default is REQUIRED:
            assert row.endswith("| must be given |")
        elif isinstance(one.default, int | float) and not isinstance(one.default, bool):
            assert row.endswith(f"| `{one.default}` |")
        assert all(f"`{choice}`" in row for choice in one.metadata["choices"] or ())
        assert all(f"{limit:g}" in row for limit in one.metadata["bounds"].values())


def test_every_figure_and_every_name_of_the_face_stands_once(parts):
    text, face = page(parts, "reference/metrics.md"), page(parts, "api/index.md")
    for metric in (metric for group in METRICS.values() for metric in group):
        assert text.count(f"| `{metric.name}` | {metric.unit} |") == 1
    listed = re.findall(r"^\| \[?`(\w+)`", face.split("## All modules")[0], re.M)
    assert sorted(listed) == sorted(set(neuromas_env.__all__) - {"__version__"})


def test_every_baseline_has_a_line_with_its_calls(parts):
    for name, about in list_baselines().items():
        assert about.rpartition("; ")[2] in parts.baseline(name)


def test_the_table_of_things_to_add_names_files_and_groups_that_exist():
    table = (ROOT / "CONTRIBUTING.md").read_text().split("## To add something")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([a-z` ]+) \| (.+?) \| (.+?) \| (.+?) \| (.*?) \|$", table, re.M)
    assert len(rows) == 13
    for what, file, _, _, _ in rows:
        for path in re.findall(r"`([\w/.]+)`", file):
            place = ROOT / path if path.startswith("docs") else ROOT / "neuromas_env" / path
            assert (place.parent if "NAME" in path else place).exists(), f"{what}: {path}"
    groups = set(re.findall(r"`(neuromas_env\.\w+)`", table))
    assert groups == {registry.group for registry in REGISTRIES}
