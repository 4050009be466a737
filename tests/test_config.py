"""Options declared once: what is taken, what a message names, and what editors are told."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import dataclass

import jsonschema
import pytest
import yaml

from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.bench.config import BenchConfig
from neuromas_env.bench.store import Store
from neuromas_env.cli.app import main
from neuromas_env.config import (
    REQUIRED,
    Options,
    Section,
    checked,
    inherited,
    option,
    read_config,
    schema,
)
from neuromas_env.errors import InputError
from neuromas_env.tasks.base import REWARDS


@dataclass(frozen=True)
class Job(Options):
    name: str = option(REQUIRED, "of the job", also=int)
    rank: int = option(16, "of the adapters", low=1)
    share: float = option(0.5, "of the questions", above=0, high=1)
    mode: str | None = option(None, "how", choices=("fast", "slow"))
    seeds: tuple[int, ...] = option((0,), "of the runs", low=0)
    prices: tuple[float, float] | None = option(None, "of tokens")
    quiet: bool = option(False, "print nothing")
    steps: int = inherited(TrainConfig, "steps")


def test_values_come_in_their_own_types():
    job = Job.from_mapping({"name": 3, "share": "1e-1", "seeds": [1, 2], "prices": "1,0.5"})
    assert job == Job("3", share=0.1, seeds=(1, 2), prices=(1.0, 0.5))
    assert [type(price) for price in job.prices] == [float, float]
    assert Job.from_mapping(job.to_mapping()) == job
    assert Job.from_mapping({"name": "a", "seeds": "3, 4"}).seeds == (3, 4)
    assert job.steps == TrainConfig.steps


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "name must be given: of the job"),
        ({"name": "a", "pricse": 1}, "unknown option 'pricse'. Did you mean 'prices'?"),
        ({"name": "a", "rank": 0}, "rank must be at least 1, got 0"),
        ({"name": "a", "rank": None}, "rank must be a whole number, got None"),
        ({"name": "a", "rank": "3"}, "rank must be a whole number, got '3'"),
        ({"name": "a", "share": 1.5}, "share must be above 0 and at most 1, got 1.5"),
        ({"name": "a", "share": True}, "share must be a number, got True"),
        ({"name": "a", "share": float("inf")}, "share must be finite, got inf"),
        ({"name": "a", "mode": "fsat"}, "unknown value of mode: 'fsat'. Did you mean 'fast'?"),
        ({"name": "a", "mode": 1}, "mode must be a text or nothing, got 1"),
        ({"name": "a", "seeds": 1}, "seeds must be a list, got 1"),
        ({"name": "a", "seeds": [1, -1]}, "each of seeds must be at least 0, got -1"),
        ({"name": "a", "prices": [1.0]}, "prices must have 2 entries, got 1"),
        ({"name": "a", "steps": -1}, "steps must be at least 0, got -1"),
        ({"name": "a", "quiet": 1}, "quiet must be true or false, got 1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(values, message):
    with pytest.raises(InputError) as caught:
        Job.from_mapping(values)
    assert str(caught.value) == message


def test_a_made_object_is_checked_as_well():
    with pytest.raises(InputError, match="share must be a number, got 'half'"):
        Job("a", share="half").validate()
    with pytest.raises(InputError, match="learning_rate must be above 0, got -1.0"):
        TrainConfig(learning_rate=-1.0).validate()


def test_a_message_names_file_and_line(tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text("# a job\nname: a\n\nrank: 0\n")
    with pytest.raises(InputError) as caught:
        Job.from_mapping(read_config(file))
    assert str(caught.value) == f"{file}, line 4: rank must be at least 1, got 0"
    file.write_text("rank: 2\n")
    with pytest.raises(InputError) as caught:
        Job.from_mapping(read_config(file))
    assert str(caught.value) == f"{file}: name must be given: of the job"


def test_keys_keep_their_places_when_files_are_put_together(tmp_path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("name: a\nrank: 0\nshare: 1\n")
    two.write_text("base: &base\n  share: 2\njob:\n  <<: *base\n  rank: 3\n")
    merged = read_config(one).updated(read_config(two).inner("job"))
    assert merged == {"name": "a", "rank": 3, "share": 2}
    with pytest.raises(InputError, match=r"two.yaml, line 2: share must be above 0"):
        Job.from_mapping(merged)
    assert merged.without("share").updated({"rank": -1}).at("rank") == ""
    with pytest.raises(InputError, match=r"one.yaml, line 2: rank must be a mapping, got 0"):
        read_config(one).inner("rank")
    for same in (copy.deepcopy(merged), pickle.loads(pickle.dumps(merged))):
        assert same == merged and same.at("share") == merged.at("share")


def test_the_command_line_wins_over_a_line_that_is_wrong(tmp_path, capsys):
    file = tmp_path / "run.yaml"
    file.write_text("steps: 3\nroll-outs: 2\n")
    assert refused(["train", "--config", str(file)], capsys).startswith(
        f"error: {file}, line 2: unknown option 'roll-outs'. Did you mean 'rollouts'"
    )
    file.write_text("max-new-tokens: 0\nclip: -1\n")
    said = refused(["train", "--config", str(file), "--max-new-tokens", "3"], capsys)
    assert said == f"error: {file}, line 2: clip must be above 0, got -1.0\n"
    file.write_text("steps: 3\n")
    said = refused(["train", "--config", str(file), "--rank", "0"], capsys)
    assert said == "error: rank must be at least 1, got 0\n"


@pytest.mark.slow
def test_a_benchmark_takes_its_options_from_a_file_too(tmp_path, capsys):
    file, out = tmp_path / "bench.yaml", tmp_path / "out"
    file.write_text(
        "methods: [direct, 'sc:k=2,temperature=0.5']\ntasks: hierarchy/max:leaves=4,parts=2\n"
        "engine: mock\nlimit: 3\nseeds: [0, 1]\n"
    )
    with pytest.raises(SystemExit) as end:
        main(["bench", "--config", str(file), "--limit", "2", "--out", str(out)])
    capsys.readouterr()
    assert end.value.code == 0
    with Store(out) as store:
        rows = store.rows("SELECT method, seed FROM results ORDER BY method, seed")
    asked = [(row["method"], row["seed"]) for row in rows]
    sampled = "sc:k=2,temperature=0.5"
    assert asked == [("direct", None)] * 2 + [(sampled, seed) for seed in (0, 0, 1, 1)]
    said = refused(["bench", "--config", str(file)], capsys)
    assert said.startswith(f"error: {file}: out must be given")
    file.write_text("methods: direct\nchunk: 0\n")
    said = refused(["bench", "--config", str(file)], capsys)
    assert said == f"error: {file}, line 2: chunk must be at least 1, got 0\n"


def refused(args, capsys):
    with pytest.raises(SystemExit) as end:
        main(args)
    assert end.value.code == 2
    return capsys.readouterr().err


def described(command, capsys):
    with pytest.raises(SystemExit) as end:
        main(["schema", command])
    assert end.value.code == 0
    return json.loads(capsys.readouterr().out)


def test_the_schema_takes_a_written_configuration_and_refuses_what_is_wrong(tmp_path, capsys):
    told = described("train", capsys)
    jsonschema.Draft202012Validator.check_schema(told)
    check = jsonschema.Draft202012Validator(told)
    config = TrainConfig(learning_rate=1e-5, schedule="1:2, 2-1:3", max_new_tokens=7)
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config.to_mapping(), sort_keys=False))
    check.validate(read_config(file))
    check.validate({"topology": 1})
    for wrong in (
        {"rank": 0}, {"learning_rate": 0}, {"reward": "strcit"}, {"stepz": 1}, {"seed": 1.5},
        {"decay": "yes"}, {"clip": None},
    ):  # fmt: skip
        assert not check.is_valid(wrong), wrong
        with pytest.raises(InputError):
            TrainConfig.from_mapping(wrong)


def test_the_schema_has_help_default_bounds_and_choices_of_every_option(capsys):
    told = described("train", capsys)["properties"]
    assert list(told) == list(TrainConfig().to_mapping())
    assert {name: one["default"] for name, one in told.items()} == TrainConfig().to_mapping()
    assert all(one["description"] for one in told.values())
    assert told["rank"]["minimum"] == 1 and told["clip"]["exclusiveMinimum"] == 0
    assert told["reward"]["enum"] == list(REWARDS)
    assert told["max_new_tokens"]["type"] == ["integer", "null"]


def test_the_schema_of_a_benchmark_knows_lists_and_what_must_be_given(capsys):
    told = described("bench", capsys)
    assert told["required"] == ["out", "methods", "tasks"]
    check = jsonschema.Draft202012Validator(told)
    given = {"out": "x", "methods": ["direct"], "tasks": "signal", "prices": [1, 2]}
    check.validate(given)
    BenchConfig.from_mapping(given)
    for wrong in ({"seeds": [-1]}, {"prices": [1]}, {"temperature": 11}, {"methods": 1}):
        assert not check.is_valid(given | wrong), wrong
        with pytest.raises(InputError):
            BenchConfig.from_mapping(given | wrong)
    assert not check.is_valid({"out": "x"})
    assert "bench" in refused(["schema", "bnech"], capsys)


def test_choices_that_may_be_left_out_are_null_in_a_schema():
    told = schema(Job, "a job")["properties"]["mode"]
    assert told["enum"] == ["fast", "slow", None] and told["type"] == ["string", "null"]


def test_a_value_alone_is_checked_by_its_type():
    assert checked("share", 1, float) == 1.0
    with pytest.raises(InputError, match="share must be a number, got 'x'"):
        checked("share", "x", float)
    assert Section({"a": 1}, "here").at("a") == "here"
