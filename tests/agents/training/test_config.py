"""The options of a run: what is taken, what is refused, and what the message says."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromas_env.agents.learners.base import learner_class
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.config import read_config
from neuromas_env.errors import InputError


def test_every_option_has_a_help_text_and_a_valid_default():
    TrainConfig().validate()
    assert all(option.metadata["help"] for option in fields(TrainConfig))


@pytest.mark.slow
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "steps": st.integers(0, 10**6),
            "learning_rate": st.floats(1e-9, 1, exclude_min=True),
            "gradient_checkpointing": st.booleans(),
            "topology": st.sampled_from(["1", "2-1", "2-2-1:skip"]),
            "max_new_tokens": st.none() | st.integers(1, 1000),
            "reward": st.sampled_from(["both", "strict", "extracted"]),
        },
    )
)
def test_options_survive_the_round_trip(values):
    config = TrainConfig.from_mapping(values)
    assert TrainConfig.from_mapping(config.to_mapping()) == config
    assert values.items() <= config.to_mapping().items()


def test_a_yaml_file_may_use_dashes_and_plain_exponents(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("learning-rate: 1e-2\ntopology: 1\nclip: 2\nsteps: 3\n")
    config = TrainConfig.from_mapping(read_config(file))
    assert (config.learning_rate, config.topology, config.clip, config.steps) == (0.01, "1", 2, 3)
    assert type(config.clip) is float


def test_learners_with_advantages_of_their_own_may_take_one_episode_of_a_question():
    for name in ("collm_cc", "independent"):
        learner_class(name).check(TrainConfig(learner=name, rollouts=1))
    with pytest.raises(InputError, match="at least 2 with advantage 'leave_one_out'.*got 1"):
        learner_class("joint").check(TrainConfig(rollouts=1))


def test_former_names_of_learners_are_options_of_the_joint_one():
    read = TrainConfig.from_mapping
    assert read({"learner": "joint_roles"}) == read({"prompt": "roles"})
    assert read({"learner": "joint_unplaced"}) == read({"prompt": "none"})
    assert read({"learner": "joint_whole"}) == read({"whole_questions": True})


def test_an_empty_file_holds_no_options(tmp_path):
    (tmp_path / "run.yaml").write_text("# nothing\n")
    assert read_config(tmp_path / "run.yaml") == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learnign_rate": 1.0}, "unknown option 'learnign_rate'. Did you mean 'learning_rate'"),
        ({"steps": "many"}, "steps must be a whole number, got 'many'"),
        ({"steps": True}, "steps must be a whole number, got True"),
        ({"steps": 2.5}, "steps must be a whole number, got 2.5"),
        ({"learning_rate": "fast"}, "learning_rate must be a number, got 'fast'"),
        ({"gradient_checkpointing": "maybe"}, "must be true or false, got 'maybe'"),
        ({"max_new_tokens": "x"}, "must be a whole number or nothing, got 'x'"),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be finite, got nan"),
        ({"reward": "strcit"}, "Did you mean 'strict'"),
        ({"topology": "2-2"}, "did you mean '2-2-1'"),
        ({"train_nodes": "node_0,node_7"}, "unknown node in train_nodes: 'node_7'"),
        ({"schedule": "1:10, 2-1"}, "as in '1:10, 2-1:10', got '2-1'"),
        ({"schedule": "2-1:10, 1:10"}, "cannot grow"),
        ({"schedule": "1:2", "train_nodes": "node_0"}, "train_nodes must be 'all' with a schedule"),
        ({"freeze_inherited": True}, "freeze_inherited must be false"),
        ({"grow_init": "noise"}, "grow_init must be left out without grow_from or schedule"),
        (
            {"freeze_inherited": True, "grow_from": "run", "train_nodes": "node_0"},
            "train_nodes must be 'all' with freeze_inherited, which trains the new nodes alone",
        ),
        (
            {"freeze_inherited": True, "schedule": "1-1:1, 1-1:rounds=2:1"},
            "freeze_inherited: growing from '1-1' to '1-1:rounds=2' makes no new node",
        ),
        ({"steps": 1, "st-eps": 2}, "unknown option"),
        ({"chunk_rows": 1, "chunk-rows": 2}, "chunk_rows must be given once"),
    ],
)
def test_wrong_options_are_refused_by_name(values, message):
    with pytest.raises(InputError) as caught:
        TrainConfig.from_mapping(values, "run.yaml")
    assert str(caught.value).startswith("run.yaml: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: 1\nseed: [1\n", "line"),
        ("- a\n- b\n", "holds no options"),
        ("only words", "holds no options"),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, message):
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        read_config(file)
    assert str(file) in str(caught.value) and message in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="there is no .*none.yaml"):
        read_config(tmp_path / "none.yaml")


def test_a_schedule_gives_the_stages():
    config = TrainConfig(schedule="1:10, 2-1:5,2-2-1:skip:20")
    stages = [(topology.name, steps) for topology, steps in config.stages()]
    assert stages == [("1", 10), ("2-1", 5), ("2-2-1:skip", 20)]
