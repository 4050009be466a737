"""The face of the package: what `from neuromas_env import ...` offers."""

import ast
import subprocess
import sys
from types import ModuleType

import pytest
from markdown_it import MarkdownIt
from support.paths import ROOT

import neuromas_env
from neuromas_env import TrainConfig, make_task, run_episodes
from neuromas_env.agents.training.evaluate import Evaluation
from neuromas_env.agents.training.result import RunResult
from neuromas_env.progress import Reporter, usual_reporter

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "tutorial").glob("*.md"))]


@pytest.mark.parametrize("name", sorted(neuromas_env.__all__))
def test_every_name_loads(name):
    found = getattr(neuromas_env, name)
    assert callable(found) or isinstance(found, ModuleType)


@pytest.mark.parametrize("module", ["engines", "experiments", "learners", "tables"])
def test_every_name_of_its_modules_loads(module):
    found = getattr(neuromas_env, module)
    assert found.__all__ and all(callable(getattr(found, name)) for name in found.__all__)


def test_it_is_small():
    names = [getattr(neuromas_env, name) for name in neuromas_env.__all__]
    assert sum(not isinstance(found, ModuleType) for found in names) <= 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_readme_and_tutorials_import_from_it_alone(page):
    code = [token.content for token in MarkdownIt().parse(page.read_text()) if token.type == "fence"
            and token.info == "python"]  # fmt: skip
    for node in ast.walk(ast.parse("\n".join(code))):
        modules = [node.module] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        ours = [name for name in modules if name.partition(".")[0] == "neuromas_env"]
        assert set(ours) <= {"neuromas_env"}, ours
        if ours and isinstance(node, ast.ImportFrom):
            assert {alias.name for alias in node.names} <= set(neuromas_env.__all__)


def test_names_are_those_of_their_modules():
    from neuromas_env.rollout import run_episodes as own

    assert run_episodes is own and "run_episodes" in dir(neuromas_env)
    with pytest.raises(AttributeError, match="run_episode"):
        _ = neuromas_env.run_episode


@pytest.mark.slow
def test_what_needs_no_torch_loads_none():
    names = "Topology make_task env Policy Method run_episodes evaluate make_baseline LLMPolicy "
    names += "TrainConfig MockEngine llm_network compare BenchConfig testing tasks"
    code = f"import sys, neuromas_env as n; [getattr(n, x) for x in {names.split()!r}]"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_result_reads_as_its_scores(tmp_path):
    half = Evaluation(8, 0.25, 0.5, (0.1, 0.6), (0.2, 0.8), 1.0, {}, 0, None, 0.5, None, {})
    facts = {"topology": {"name": "2-1"}, "task": make_task("signal").name}
    result = RunResult(tmp_path, 3, half, half, {"blanked": half}, [], {}, facts)
    first, *scores = str(result).splitlines()
    assert first == f"2-1 on signal, 3 steps, {tmp_path}"
    assert [line.split("  ")[0].strip() for line in scores] == [
        "before training", "after training", "messages blanked", "best constant answer",
    ]  # fmt: skip
    assert all("50.0% [20.0%, 80.0%] of 8, strict 25.0%" in line for line in scores[:-1])
    assert scores[-1].endswith(" 50.0%")


def test_nothing_is_shown_where_nobody_looks(monkeypatch):
    assert type(usual_reporter()) is Reporter  # standard error is captured here
    assert TrainConfig().steps == 30
