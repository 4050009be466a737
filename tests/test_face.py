"""The face of the package: what `from neuromas_env import ...` offers."""

import subprocess
import sys

import pytest

import neuromas_env
from neuromas_env import TrainConfig, make_task, run_episodes
from neuromas_env.agents.training.evaluate import Evaluation
from neuromas_env.agents.training.result import RunResult
from neuromas_env.progress import Reporter, usual_reporter


@pytest.mark.parametrize("name", sorted(neuromas_env.__all__))
def test_every_name_loads(name):
    assert callable(getattr(neuromas_env, name))


def test_names_are_those_of_their_modules():
    from neuromas_env.rollout import run_episodes as own

    assert run_episodes is own and "run_episodes" in dir(neuromas_env)
    with pytest.raises(AttributeError, match="run_episode"):
        _ = neuromas_env.run_episode


@pytest.mark.slow
def test_what_needs_no_torch_loads_none():
    names = "Topology make_task env Policy Method run_episodes evaluate make_baseline LLMPolicy "
    names += "TrainConfig MockEngine llm_network compare BenchConfig check_task"
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
