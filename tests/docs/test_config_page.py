"""The files of the page on configuration are read and run as they stand there."""

import re

import pytest
import yaml
from support.engines import tiny_folder
from support.paths import ROOT

from neuromas_env import BenchConfig, TrainConfig
from neuromas_env.cli.app import main

PAGE = (ROOT / "docs" / "config.md").read_text()
FILES = dict(re.findall(r'^```yaml title="(\S+)"\n(.*?)^```', PAGE, re.M | re.S))
ERRORS = re.search(r"^```text\n(.*?)^```", PAGE, re.M | re.S)[1].splitlines()


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_files_hold_options_that_fit_together():
    assert TrainConfig.from_mapping(yaml.safe_load(FILES["run.yaml"])).rank == 16
    assert len(TrainConfig.from_mapping(yaml.safe_load(FILES["grow.yaml"])).stages()) == 3
    assert BenchConfig.from_mapping(yaml.safe_load(FILES["bench.yaml"])).matched


@pytest.mark.slow
def test_the_run_is_trained_and_repeated_from_its_folder(place):
    small = ["--model", str(tiny_folder("llama")), "--dtype", "float32", "--report-to", "none"]
    small += ["--steps", "1", "--questions", "1", "--rollouts", "2", "--eval-questions", "2"]
    for options in (
        ["run.yaml", *small],
        ["runs/first/config.yaml", "--out", "runs/again"],
    ):
        with pytest.raises(SystemExit) as end:
            main(["train", "--config", *options])
        assert not end.value.code
    first, again = (yaml.safe_load((place / "runs" / n / "config.yaml").read_text())
                    for n in ("first", "again"))  # fmt: skip
    assert first.pop("out") != again.pop("out") and first == again
    assert first["task"] == "hierarchy/max:leaves=8" and first["steps"] == 1


@pytest.mark.parametrize("shown", ERRORS)
def test_errors_are_those_shown(place, capsys, shown):
    number, option = re.search(r"line (\d+): (\w+)", shown).groups()
    lines = FILES["run.yaml"].splitlines(keepends=True)
    right = {"rank": "rank: 16", "steps": "steps: 30"}[option]
    wrong = {"rank": "rank: 0", "steps": "steps: many"}[option]
    assert lines[int(number) - 1].startswith(right)
    (place / "run.yaml").write_text(FILES["run.yaml"].replace(right, wrong))
    with pytest.raises(SystemExit) as end:
        main(["train", "--config", "run.yaml"])
    assert end.value.code == 2
    assert capsys.readouterr().err.replace("\n", " ").strip() == shown
