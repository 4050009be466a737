"""Every report of training says the peak and the final accuracy on validation questions, and
how large each node's gradient is; training itself does not notice."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console
from support.tiny_models import symbol_model
from support.tiny_runs import At, Killed, kill, lines, tiny_config, untimed

from neuromas_env.agents.training import checkpoint, validation
from neuromas_env.agents.training.api import read_result, resume, train
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.cli.printing import print_run
from neuromas_env.tasks import make_task
from neuromas_env.tasks.base import REWARDS

OPTIONS = {
    "topology": "2-1", "max_new_tokens": 1, "learning_rate": 0.05, "validate_every": 2,
    "validate_questions": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that is sometimes right."""
    symbols = make_task("signal:symbols=3").symbols
    return symbol_model(tmp_path_factory.mktemp("models") / "tiny", symbols, seed=6)


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    return train(tiny_config(model, tmp_path_factory.mktemp("runs") / "run", **OPTIONS))


def steps(run):
    return [line for line in lines(run.folder / "metrics.jsonl") if "event" not in line]


@pytest.mark.slow
def test_peak_and_final_are_those_of_the_log(run):
    rows = [row for row in lines(run.folder / "metrics.jsonl") if "validation" in row]
    assert [row["step"] for row in rows] == [0, 2, 3]
    assert all(row["validation"]["n"] == 3 for row in rows)
    found = [row["validation"]["extracted"] for row in rows]
    assert run.validation["final"] == {"step": 3, **rows[-1]["validation"]}
    assert run.validation["peak"]["extracted"] == max(found)
    assert run.validation["peak"]["step"] == rows[int(np.argmax(found))]["step"]
    assert run.cost["validation"]["calls"] == 3 * 3 * 3 and read_result(run.folder) == run
    assert f"validation, peak     {max(found):6.1%} of 3, strict" in str(run)


@pytest.mark.slow
def test_norms_of_nodes_make_up_the_norm_of_all(run):
    for row in steps(run):
        each = [row[f"gradient_norm/node_{i}"] for i in range(3)]
        assert np.hypot.reduce(each) == pytest.approx(row["gradient_norm"]) and min(each) > 0
    for node, norm in run.gradient_norms.items():
        values = [row[f"gradient_norm/{node}"] for row in steps(run)]
        assert norm == pytest.approx(np.mean(values))
    assert list(run.gradient_norms) == ["node_0", "node_1", "node_2"]


@pytest.mark.slow
def test_training_goes_the_same_way_without_validation(run, model, tmp_path):
    bare = train(tiny_config(model, tmp_path / "bare", **OPTIONS | {"validate_questions": 0}))
    assert bare.validation is None and bare.gradient_norms == run.gradient_norms
    log = untimed(run.folder / "metrics.jsonl")
    assert [row.pop("validation") for row in log if "validation" in row]
    assert log == untimed(bare.folder / "metrics.jsonl")
    digests = [checkpoint.read_state(checkpoint.latest(r.folder)).adapters for r in (run, bare)]
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_every_report_shows_them(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    console = Console(file=StringIO(), width=200)
    print_run(console, run.folder, None, 0)
    shown = console.file.getvalue()
    peak, final = (run.validation[name] for name in ("peak", "final"))
    best, last = (
        f"{100 * found['strict']:.1f} and {100 * found['extracted']:.1f} after step {found['step']}"
        for found in (peak, final)
    )
    assert f"3 validation questions, strict and extracted: peak {best}, final {last}" in shown
    assert f"mean of all steps: node_0 {run.gradient_norms['node_0']:.3g}, node_1 " in shown
    events = EventAccumulator(str(run.folder / "tensorboard"))
    events.Reload()
    points = events.Scalars("validation/extracted")
    assert [point.step for point in points] == [0, 2, 3]
    assert points[-1].value == pytest.approx(final["extracted"])
    assert len(events.Scalars("gradient_norm/node_2")) == 3


def test_validation_questions_are_not_those_that_are_reported():
    task = make_task("hierarchy/max")
    few = {"eval_questions": 3, "validate_questions": 4}
    rows = list(task.examples("validation"))[:7]
    assert validation.questions(TrainConfig(**few), task) == rows[:4]
    assert validation.questions(TrainConfig(**few, eval_split="validation"), task) == rows[3:]
    assert validation.questions(TrainConfig(validate_questions=0), task) == []


def test_a_run_validates_at_its_start_and_end_and_every_so_many_steps():
    def steps(**options):
        config = TrainConfig(steps=25, **options)
        return [step for step in range(26) if validation.due(config, step)]

    assert steps() == [0, 10, 20, 25] and steps(validate_every=0) == [0, 25]


@pytest.mark.slow
def test_a_run_keeps_the_weights_that_are_best_on_validation_questions(
    model, tmp_path, monkeypatch
):
    """The scores of each validation are given, so that the second step of four is the best."""
    scores = {0: 0.1, 1: 0.2, 2: 0.9, 3: 0.3, 4: 0.3}
    real = validation.figures
    seen = iter(scores.values())
    monkeypatch.setattr(
        validation, "figures", lambda found: real(found) | {"extracted": next(seen)}
    )
    monkeypatch.setattr(checkpoint, "KEEP", 1)
    own = {"validate_every": 1, "steps": 4, "reward": "extracted", "decay": False, "keep": "best"}
    options = OPTIONS | own | {"eval_questions": 3}
    run = train(tiny_config(model, tmp_path / "best", **options))
    assert run.kept == 2 and run.validation["peak"]["step"] == 2 and read_result(run.folder) == run
    best, last = checkpoint.kept(run.folder), checkpoint.latest(run.folder)
    assert best.name == "step_000002" and last.name == "step_000004"
    assert "these are the weights after step 2, the best on validation questions" in str(run)

    seen = iter(scores.values())
    other = train(tiny_config(model, tmp_path / "last", **options | {"keep": "last"}))
    assert other.kept == 4 and checkpoint.kept(other.folder).name == last.name
    assert checkpoint.read_state(checkpoint.latest(other.folder)).adapters == (
        checkpoint.read_state(last).adapters
    )
    seen = iter(scores.values())
    short = train(tiny_config(model, tmp_path / "short", **options | {"steps": 2}))
    assert replace(run.after, cost={}) == replace(short.after, cost={})


@pytest.mark.slow
def test_a_run_that_goes_on_from_an_older_checkpoint_keeps_what_is_left(
    model, tmp_path, monkeypatch
):
    """The third step is the best, so the first one's weights are removed; then it is not."""
    seen, real = iter((0.5, 0.4, 0.6, 0.3, 0.45, 0.3)), validation.figures
    monkeypatch.setattr(
        validation, "figures", lambda found: real(found) | {"extracted": next(seen)}
    )
    own = {"validate_every": 1, "checkpoint_every": 1, "keep": "best", "reward": "extracted"}
    options = OPTIONS | own | {"eval_questions": 0, "steps": 3}
    with pytest.raises(Killed):
        train(tiny_config(model, tmp_path / "run", **options), report=At(3, kill))
    assert checkpoint.steps(tmp_path / "run") == {1, 2}
    run = resume(tmp_path / "run", checkpoint=1)
    assert run.kept == 2 and run.validation["peak"]["step"] == 0


def test_the_weights_that_are_kept_are_the_last_networks():
    def line(step, strict, extracted):
        return {"step": step, "validation": {"strict": strict, "extracted": extracted}}

    log = [line(0, 0.9, 0.9), line(1, 0.2, 0.8), line(2, 0.5, 0.7), line(3, 0.4, 0.4)]
    best = {r: validation.best_step(log, TrainConfig(reward=r), 1) for r in REWARDS}
    assert best == {"both": 2, "strict": 2, "extracted": 1}
    assert validation.best_step(log, TrainConfig()) == 0
    assert validation.best_step(log, TrainConfig(keep="last")) is None
    assert validation.best_step([], TrainConfig()) is None


def test_the_earliest_of_equal_peaks_counts():
    scores = [(1, 0.5, 0.2), (2, 0.75, 0.5), (3, 0.75, 0.5), (4, 0.25, 0.25)]
    log = [{"step": s, "validation": {"extracted": e, "strict": x}} for s, e, x in scores]
    found = validation.peak_and_final([{"step": 0, "event": "before"}, *log])
    assert found["peak"]["step"] == 2 and found["final"]["step"] == 4
    assert validation.peak_and_final([]) == {}
