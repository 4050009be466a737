"""The reference table with a tiny random Qwen3: every row, killed and continued."""

import shutil

import pytest
import yaml
from matplotlib.figure import Figure
from support.paths import ROWS
from support.tiny_models import make_tiny
from support.tiny_runs import At, Killed, kill

from neuromas_env.bench.store import Store
from neuromas_env.experiments.load import load
from neuromas_env.experiments.run import run_experiment
from neuromas_env.experiments.spec import HOME

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
TASKS = ["arc/challenge", "bbh/navigate", "humaneval"]


@pytest.fixture
def experiment(tmp_path):
    """The experiment as it is, at a scale of its own under the name of one of its scales."""
    folder = tmp_path / "reference"
    shutil.copytree(HOME / "reference", folder)
    options = {
        "steps": 2, "questions": 1, "rollouts": 2, "max_new_tokens": 4, "eval_questions": 0,
        "checkpoint_every": 1, "transcripts": 0, "dtype": "float32", "rank": 2,
    }  # fmt: skip
    scale = {
        "model": str(make_tiny("qwen3", tmp_path / "model")), "tasks": TASKS, "seeds": 1,
        "rates": [0.001], "questions": 1, "options": options,
    }  # fmt: skip
    (folder / "scales.yaml").write_text(yaml.safe_dump({"rehearsal": {"tiny": scale}}))
    return load(folder, "rehearsal")


def test_every_row_is_trained_asked_and_continued(experiment, tmp_path, monkeypatch):
    monkeypatch.setattr(Figure, "savefig", lambda figure, file, **options: None)
    out = tmp_path / "out"
    with pytest.raises(Killed):
        run_experiment(experiment, out, data=str(ROWS), report=At(1, kill))
    text = run_experiment(experiment, out, data=str(ROWS)).read_text()
    arms = experiment.studies[0].arms
    with Store(out / "tiny") as store:
        rows = store.rows(
            "SELECT method, task, sum(error IS NOT NULL) AS bad FROM results GROUP BY method, task"
        )
    assert {(row["method"], row["task"]) for row in rows} == {
        (arm.name, task) for arm in arms.values() for task in arm.tasks
    }
    assert sum(row["bad"] for row in rows) == 0
    assert "All methods: strict score" in text and "best constant answer" in text
