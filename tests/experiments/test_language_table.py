"""A table of language models: trained, asked once, gone on with, and what its report says."""

import csv
import shutil

import numpy as np
import pytest
import yaml
from support.tiny_models import symbol_model

from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.errors import InputError
from neuromas_env.experiments import language_table
from neuromas_env.experiments.language_table import Reached
from neuromas_env.experiments.load import load
from neuromas_env.experiments.run import run_experiment
from neuromas_env.progress import Reporter
from neuromas_env.tasks import make_task

TEXT = {"title": "Mine", "table": "what two rates reach.", "scales": ["mini"]}
OPTIONS = {
    "topology": "1-1", "dtype": "float32", "steps": 2, "questions": 2, "rollouts": 2, "rank": 4,
    "max_new_tokens": 1, "validate_every": 1, "validate_questions": 3, "report_to": "none",
}  # fmt: skip
ARMS = {"slow": {"learning_rate": 0.001}, "fast": {"learning_rate": 0.05, "keep": "last"}}


def write(folder, model, **more):
    folder.mkdir(exist_ok=True)
    text = TEXT | {"language": {"options": OPTIONS, "arms": ARMS}}
    study = {"model": str(model), "tasks": ["signal:symbols=3"], "seeds": 2} | more
    (folder / "experiment.yaml").write_text(yaml.safe_dump(text))
    (folder / "scales.yaml").write_text(yaml.safe_dump({"mini": {"tiny": study}}))
    return load(folder, "mini")


class Notes(Reporter):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_table_is_trained_asked_once_and_gone_on_with(tmp_path):
    symbols = make_task("signal:symbols=3").symbols
    model = symbol_model(tmp_path / "tiny", symbols, seed=6)
    experiment = write(tmp_path / "mine", model)
    told = Notes()
    page = run_experiment(experiment, tmp_path / "out", report=told)
    first = page.read_text()
    # The time left is known once a run of each kind that is still to do has been timed.
    assert [" left for this" in note for note in told.notes if "training, " in note] == [
        False, True, True, True,
    ]  # fmt: skip
    with (tmp_path / "out" / "mine-tiny.csv").open() as file:
        rows = list(csv.DictReader(file))
    runs = [(row["arm"], row["seed"]) for row in rows]
    assert runs == [("fast", "0"), ("fast", "1"), ("slow", "0"), ("slow", "1")]
    assert {row["constant"] for row in rows} == {"0.3333"}
    for row in rows:
        assert float(row["peak_strict"]) >= max(
            float(row["before_strict"]), float(row["final_strict"])
        )
    assert "| slow | " in first and "| fast | " in first

    lost = next((tmp_path / "out" / "tiny").glob("fast-*/*/seed_1"))
    shutil.rmtree(lost)
    told = Notes()
    again = run_experiment(experiment, tmp_path / "out", report=told).read_text()
    trained = [note for note in told.notes if "training, " in note]
    assert len(trained) == 1 and "fast on signal:symbols=3, seed 1" in trained[0]
    with (tmp_path / "out" / "mine-tiny.csv").open() as file:
        found = list(csv.DictReader(file))
    assert [row | {"seconds": 0} for row in found] == [row | {"seconds": 0} for row in rows]
    assert again.count("| slow | ") == first.count("| slow | ")


def validated(step, strict, extracted):
    return {
        "step": step, "validation": {"strict": strict, "extracted": extracted}, "cut_off": 0.5,
        "rollout_seconds": 1.0, "train_seconds": 2.0, "entropy/node_0": 0.25,
    }  # fmt: skip


@pytest.mark.parametrize(("reward", "peak"), [("strict", (0.5, 0.5)), ("extracted", (0.2, 0.9))])
def test_the_peak_is_that_of_the_weights_that_are_kept(reward, peak):
    lines = [validated(0, 0.1, 0.1), validated(1, 0.5, 0.5), validated(2, 0.2, 0.9)]
    lines[0] = {"event": "validation", **lines[0]}
    config = TrainConfig(reward=reward, questions=4)
    found = language_table.summarise(lines, config, (0.3, 0.4), 0.25)
    assert found == Reached(
        (0.1, 0.1), peak, (0.2, 0.9), (0.3, 0.4), 0.25, 0.25, 0.5, 6.0,
        [(0, 0.1), (4, 0.5), (8, 0.2)],
    )  # fmt: skip


def run(test, before=(0.1, 0.2), constant=0.3, final=None):
    final = final or test
    return Reached(before, test, final, test, constant, 0.1, 0.0, 5.0, [(0, 0.1), (9, test[0])])


def test_a_start_is_compared_with_the_end_on_validation_questions_alone():
    found = {
        ("arm", "fell"): [run((0.5, 0.5), before=(0.9, 0.9), final=(0.8, 0.8))],
        ("arm", "harder test questions"): [run((0.5, 0.5), before=(0.9, 0.9), final=(0.9, 0.9))],
    }
    grid = language_table.targets({"arm": None}, found)
    assert (
        dict(zip(grid.head, grid.rows[0], strict=True))["below its start or a constant answer"]
        == "1"
    )
    assert "both on validation questions" in grid.note


def test_targets_are_counted_by_strict_scores():
    found = {
        ("arm", "good"): [run((0.5, 0.5)), run((0.4, 0.5))],
        ("arm", "worse than a constant"): [run((0.2, 0.9)), run((0.2, 0.9))],
        ("arm", "worse than its start"): [run((0.31, 0.31), before=(0.4, 0.4))] * 2,
    }
    grid = language_table.targets({"arm": None}, found)
    assert grid.rows == (("arm", "2", "1", "2", "+2.0", "10.0"),)
    assert np.allclose(language_table.mean(found["arm", "good"], "test"), (0.45, 0.5))
    single = language_table.reached("arm", {("arm", "good"): [run((0.5, 0.75))]})
    assert single.rows == (
        ("good", "30.0", "10.0, 20.0", "50.0, 75.0", "50.0, 75.0", "50.0, 75.0", "-", "0.100",
         "0.0", "5"),
    )  # fmt: skip


def test_what_a_learner_refuses_is_said_before_any_arm_is_trained(tmp_path):
    mine, out = tmp_path / "mine", tmp_path / "out"
    write(mine, tmp_path / "nowhere")
    text = yaml.safe_load((mine / "experiment.yaml").read_text())
    text["language"]["arms"]["alone"] = {"learner": "counterfactual", "shaping": "length=1"}
    (mine / "experiment.yaml").write_text(yaml.safe_dump(text))
    with pytest.raises(InputError, match="arm 'alone': shaping must be left out with learner"):
        run_experiment(load(mine, "mini"), out)
    assert not (out / "experiment.json").exists()  # what is mended may be run there


def test_a_table_tries_no_rates(tmp_path):
    with pytest.raises(InputError, match="rates must be left out of a table"):
        write(tmp_path / "mine", tmp_path, rates=[0.1])


def test_what_a_table_cannot_show_is_said_before_anything_is_trained(tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    text = yaml.safe_load((write(mine, tmp_path).folder / "experiment.yaml").read_text())

    def changed(**more):
        part = text["language"] | more
        (mine / "experiment.yaml").write_text(yaml.safe_dump(text | {"language": part}))
        return load(mine, "mini")

    with pytest.raises(InputError, match="validate_questions must be at least 1 in a table, got 0"):
        changed(arms={"blind": {"validate_questions": 0}})
    with pytest.raises(InputError, match="a table of language models compares no arms"):
        changed(compare=[{"better": "slow", "than": "fast"}])
    discrete = {"tasks": ["xor"], "arms": {"a": {}}}
    both = {"tiny": {"model": "m", "seeds": 1, "tasks": ["signal"]}}
    both |= {"other": {"kind": "discrete", "seeds": 1}}
    (mine / "scales.yaml").write_text(yaml.safe_dump({"mini": both}))
    (mine / "experiment.yaml").write_text(yaml.safe_dump(text | {"discrete": discrete}))
    with pytest.raises(InputError, match="must be of one kind, got discrete and language"):
        load(mine, "mini")
    (mine / "experiment.yaml").write_text(yaml.safe_dump(text))
    signal = type(make_task("signal"))
    monkeypatch.setattr(
        signal, "examples", lambda self, split: () if split == "validation" else "ab"
    )
    with pytest.raises(InputError, match="'signal' has no validation questions"):
        run_experiment(load(mine, "mini"), tmp_path / "out")


def test_a_folder_takes_no_table_of_another_model(tmp_path):
    for model, said in (
        (tmp_path / "one", "no such file"),
        (tmp_path / "two", "its model of tiny"),
    ):
        with pytest.raises(InputError, match=said):
            run_experiment(write(tmp_path / "mine", model), tmp_path / "out")


@pytest.mark.parametrize("scale", ["tiny", "quick"])
def test_the_recipe_has_all_tasks_and_both_networks(scale):
    [study] = load("recipe", scale).studies
    assert study.table and len(study.tasks) == {"tiny": 13, "quick": 4}[scale]
    shapes = {arm.options["topology"] for arm in study.arms.values()}
    assert shapes == {"1", "2-1"}
    for arm in study.arms.values():
        assert arm.options.get("whole_questions", False) == (arm.options["topology"] == "1")


def test_a_ranking_is_of_arms_that_all_have_its_tasks(tmp_path):
    part = {
        "tasks": ["xor-easy-v0", "xor-hard-v0"],
        "arms": {"a": {}, "b": {"task": "xor-easy-v0"}},
    }
    text = {"title": "Mine", "table": "it.", "scales": ["tiny"], "study": part}
    scales = {"tiny": {"study": {"kind": "discrete", "seeds": 1}}}
    for name, held in (("experiment", text), ("scales", scales)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(held))
    with pytest.raises(InputError, match="must have xor-easy-v0, xor-hard-v0, got xor-easy-v0"):
        load(tmp_path)
