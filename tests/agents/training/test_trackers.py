"""Trackers hold a run's figures, held-out accuracy among them, also of a run that was killed."""

from __future__ import annotations

import pytest
import wandb
from accelerate.tracking import LOGGER_TYPE_TO_CLASS
from support.tiny_models import symbol_model
from support.tiny_runs import At, Killed, kill, lines, tiny_config
from support.wandb_files import tracked

from neuromas_env.agents.training.api import resume, train
from neuromas_env.agents.training.trackers import SCORES, TRACKERS, check_trackers, read_trackers
from neuromas_env.errors import InputError
from neuromas_env.tasks import make_task


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that is sometimes right."""
    symbols = make_task("signal:symbols=3").symbols
    return symbol_model(tmp_path_factory.mktemp("models") / "tiny", symbols, seed=6)


def killed_and_resumed(model, out, tracker):
    """Return what a run of four steps tells trackers, by name and step.

    It evaluates after the second step, dies after the third one and goes on from the second.
    """
    options = {"steps": 4, "eval_every": 2, "eval_questions": 3, "report_to": tracker}
    with pytest.raises(Killed):
        train(tiny_config(model, out, **options, max_new_tokens=1), report=At(3, kill))
    result = resume(out)
    found = {}
    for row in lines(out / "metrics.jsonl"):
        for name, value in row.items():
            if type(value) in (int, float) and name != "step":
                found.setdefault(name, {})[row["step"]] = value
        for place in ("validation", *(["evaluation"] if "event" in row else [])):
            for name in SCORES if place in row else ():
                tag = f"{place.replace('evaluation', 'held_out')}/{name}"
                found.setdefault(tag, {})[row["step"]] = row[place][name]
    for name in SCORES:
        found[f"held_out/{name}"][4] = getattr(result.after, name)
    assert found["held_out/extracted"].keys() == {0, 2, 4} and any(
        found["held_out/extracted"].values()
    )
    return found


@pytest.mark.slow
def test_tensorboard_holds_each_step_once_and_the_held_out_accuracy(model, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    wanted = killed_and_resumed(model, tmp_path / "run", None)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == wanted.keys()
    for name, values in wanted.items():
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert found == [(step, pytest.approx(value)) for step, value in values.items()], name
    [held] = (tmp_path / "run" / "tensorboard").glob("*/hparams.yml")
    assert "learner: joint" in held.read_text()


@pytest.mark.slow
def test_weights_and_biases_holds_the_same_in_one_run(model, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    wanted = killed_and_resumed(model, tmp_path / "run", "wandb")
    wandb.teardown()  # ends its process
    files = sorted((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
    # Uploaded, the two are one run: they have the same identity.
    assert len(files) == 2 and len({file.name for file in files}) == 1
    (config, first), (_, second) = map(tracked, files)
    assert config["learner"] == "joint" and config["report_to"] == "wandb"
    found = {name: first.get(name, {}) | second.get(name, {}) for name in first | second}
    assert found == {name: pytest.approx(values) for name, values in wanted.items()}


def test_names_of_trackers():
    assert read_trackers("wandb, tensorboard,wandb") == ("wandb", "tensorboard")
    assert read_trackers("none") == () and read_trackers(None) == ("tensorboard",)
    with pytest.raises(InputError, match="unknown tracker in report_to: 'wandbb'. .*'wandb'"):
        read_trackers("tensorboard,wandbb")
    assert set(TRACKERS) <= set(LOGGER_TYPE_TO_CLASS)


def test_a_tracker_that_is_not_installed_is_told_before_a_model_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr("neuromas_env.agents.training.trackers.find_spec", lambda name: None)
    assert read_trackers(None) == ()
    check_trackers("none")
    with pytest.raises(InputError, match="^report_to: wandb is not installed: pip install wandb$"):
        train(tiny_config(tmp_path / "no model", tmp_path / "run", report_to="wandb"))
    assert not (tmp_path / "run").exists()
