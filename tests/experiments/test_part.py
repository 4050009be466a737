"""An experiment on some of its tasks, then on the others in the same folder."""

import pytest
import yaml
from matplotlib.figure import Figure

from neuromas_env.cli.app import main
from neuromas_env.errors import InputError
from neuromas_env.experiments.backends import discrete
from neuromas_env.experiments.load import load
from neuromas_env.experiments.run import run_experiment
from neuromas_env.experiments.verify import remake

ONE, OTHER = "relay:values=4", "relay:values=3"
TEXT = {
    "title": "Mine",
    "claim": "One is better.",
    "refuted_if": "it is not.",
    "scales": ["mini"],
    "discrete": {
        "options": {"updates": 5, "questions": 4, "rollouts": 2},
        "probes": "elsewhere",
        "arms": {
            "single": {"topology": "1"},
            "network": {"topology": "1-1"},
            "elsewhere": {"topology": "1-1-1", "task": OTHER},
        },
        "compare": [{"better": "network", "than": "single"}],
    },
}
SCALE = {"coded": {"kind": "discrete", "seeds": 2, "rates": [0.5], "tasks": [ONE, OTHER]}}


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(TEXT))
    (tmp_path / "scales.yaml").write_text(yaml.safe_dump({"mini": SCALE}))
    return tmp_path


@pytest.fixture
def trained(monkeypatch):
    """Arms and tasks of the trainings so far."""
    done, train = [], discrete.Discrete.train

    def noting(self, arm, task, seed, *args):
        done.append((arm.name, task))
        train(self, arm, task, seed, *args)

    monkeypatch.setattr(discrete.Discrete, "train", noting)
    monkeypatch.setattr(Figure, "savefig", lambda figure, file, **options: None)
    return done


def test_a_part_is_continued_by_the_whole(mine, trained, tmp_path, capsys):
    out = str(tmp_path / "out")
    with pytest.raises(SystemExit, match="0"):
        main(["experiment", str(mine), "--scale", "mini", "--tasks", ONE, "--out", out])
    part = capsys.readouterr().out
    assert f"Left out: {OTHER}." in part and "elsewhere" not in part
    assert {task for _, task in trained} == {ONE}
    first, trained[:] = list(trained), []
    assert remake(tmp_path / "out", experiment=mine).read_text().strip() in part
    experiment = load(mine, "mini")
    whole = run_experiment(experiment, out).read_text()
    assert (("network", OTHER) in trained) and ("elsewhere", OTHER) in trained
    assert not [run for run in trained if run in first]
    assert "Left out" not in whole and "all tasks" in whole
    assert run_experiment(experiment, tmp_path / "at-once").read_text() == whole
    again = run_experiment(experiment, out, tasks=[ONE]).read_text()
    assert again.strip() == part.split("\nwritten")[0].strip()


def test_parts_must_be_tasks_of_the_experiment(mine, tmp_path):
    with pytest.raises(InputError, match="unknown task of experiment .*'relay'.*relay:values=4"):
        run_experiment(load(mine, "mini"), tmp_path / "out", tasks=["relay"])
    tuned = {"coded": SCALE["coded"] | {"rates": [0.1, 0.5]}}
    (mine / "scales.yaml").write_text(yaml.safe_dump({"mini": tuned}))
    with pytest.raises(InputError, match="its learning rate is chosen over all"):
        run_experiment(load(mine, "mini"), tmp_path / "tuned", tasks=[ONE])
    with pytest.raises(InputError, match="their sample complexity is compared"):
        run_experiment(load("depth", "tiny"), tmp_path / "d", tasks=["knockout:leaves=4"])


def test_an_arm_of_one_task_is_compared_on_it(mine, trained, tmp_path):
    text = yaml.safe_load((mine / "experiment.yaml").read_text())
    claim = {"better": "elsewhere", "than": "network", "decides": False}
    text["discrete"]["compare"].append(claim)
    (mine / "experiment.yaml").write_text(yaml.safe_dump(text))
    report = run_experiment(load(mine, "mini"), tmp_path / "out").read_text()
    start = "| elsewhere - network"
    found, parts = (line for line in report.splitlines() if line.startswith(start))
    assert f"({OTHER})" in found and OTHER in parts and ONE not in found + parts


def test_no_arm_lacks_a_task_on_which_it_is_compared(mine):
    text = yaml.safe_load((mine / "experiment.yaml").read_text())
    text["discrete"]["compare"].append({"better": "network", "than": "elsewhere"})
    (mine / "experiment.yaml").write_text(yaml.safe_dump(text))
    with pytest.raises(InputError, match=f"'elsewhere' must have the tasks of 'network'.*{ONE}"):
        load(mine, "mini")
