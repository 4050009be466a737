"""Results name the commit of the data set that they are about, and go on under that one alone."""

import json
import sqlite3
import sys
import threading
from types import SimpleNamespace

import pytest
from support.bench_runs import run as bench
from support.tiny_models import make_tiny

from neuromas_env import make_task
from neuromas_env.agents.training.api import resume, train
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.bench.store import Store
from neuromas_env.errors import InputError
from neuromas_env.tasks import sources

FIRST, SECOND = "a" * 40, "b" * 40
ROWS = [{"question": f"{n} + {n}?", "answer": f"Twice {n}.\n#### {2 * n}"} for n in range(40)]


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A stand-in for the hub, whose `commit` can be set; nothing that it gave is cached then."""
    hub = SimpleNamespace(commit=FIRST, config=SimpleNamespace(HF_HUB_OFFLINE=False))

    def load_dataset(repository, config, split):
        rows = ROWS if split == "test" else [r | {"question": f"{r['question']}?"} for r in ROWS]
        address = f"hf://datasets/{repository}@{hub.commit}/{config}/{split}.parquet"
        return SimpleNamespace(to_list=lambda: rows, download_checksums={address: {}})

    def move(commit):
        hub.commit = commit
        monkeypatch.setenv("NEUROMAS_CACHE", str(tmp_path / f"cache-{commit}"))

    hub.load_dataset, hub.move = load_dataset, move
    move(FIRST)
    monkeypatch.delenv("NEUROMAS_DATA", raising=False)
    silent = threading.Event()
    silent.set()  # what is asked for comes from the library's own cache
    monkeypatch.setattr(sources, "_silent", silent)
    monkeypatch.setitem(sys.modules, "datasets", hub)
    return hub


def test_a_task_knows_the_commit_of_its_rows(hub):
    assert make_task("gsm8k").origins == {"openai/gsm8k": f"commit {FIRST}"}
    hub.move(SECOND)
    assert make_task("gsm8k").origins == {"openai/gsm8k": f"commit {SECOND}"}


@pytest.mark.slow
def test_a_benchmark_holds_the_commit_and_refuses_another(hub, tmp_path):
    bench(tmp_path / "out", tasks=("gsm8k",), limit=2)
    with sqlite3.connect(tmp_path / "out" / "bench.sqlite") as db:
        [facts] = db.execute("SELECT facts FROM cells").fetchone()
    assert json.loads(facts)["origins"] == {"openai/gsm8k": f"commit {FIRST}"}
    with Store(tmp_path / "out") as store:
        assert store.origins() == {"openai/gsm8k": f"commit {FIRST}"}
    hub.move(SECOND)
    message = rf"openai/gsm8k is not what it was when .* \(commit {FIRST}, now commit {SECOND}\)"
    with pytest.raises(InputError, match=message):
        bench(tmp_path / "out", tasks=("gsm8k",), limit=3)


@pytest.mark.slow
def test_training_holds_the_commit_and_goes_on_under_no_other(hub, tmp_path):
    model = str(make_tiny("llama", tmp_path / "model"))
    run = tmp_path / "run"
    config = TrainConfig(task="gsm8k", model=model, dtype="float32", topology="1-1", steps=1,
                         questions=2, rollouts=2, rank=2, eval_questions=0, max_new_tokens=2,
                         out=str(run))  # fmt: skip
    train(config)
    head = json.loads((run / "run.json").read_text())
    assert head["origins"] == {"openai/gsm8k": f"commit {FIRST}"}
    (run / "result.json").unlink()
    resume(run)
    (run / "result.json").unlink()
    hub.move(SECOND)
    with pytest.raises(InputError, match=f"now commit {SECOND}") as error:
        resume(run)
    assert "\n" not in str(error.value)
