"""Inputs that nobody has thought of: any text, any JSON, any value."""

from __future__ import annotations

import json
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuromas_env import InputError, Topology, TrainConfig, make_task
from neuromas_env.agents.training.records import Head, Metrics, Result, Stand, Transcript
from neuromas_env.baselines import make_baseline
from neuromas_env.bench.stored import Facts, Said
from neuromas_env.checks import check
from neuromas_env.config import read_config
from neuromas_env.files import parse, read, read_lines

RECORDS = [Head, Result, Transcript, Metrics, Stand, Facts, list[Said]]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
)
TASK = make_task("signal")


def clean(function, *args):
    """Whether a call gives something or says in one line what is right."""
    try:
        function(*args)
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000


@given(text=st.text(), record=st.sampled_from(RECORDS))
def test_any_text_as_a_record(text, record):
    clean(parse, text, record)


@pytest.mark.slow
@given(value=VALUES, record=st.sampled_from(RECORDS))
def test_any_json_as_a_record(value, record):
    clean(parse, json.dumps(value), record)


@pytest.mark.slow
@settings(max_examples=30)
@given(data=st.data(), record=st.sampled_from(RECORDS[:-1]))
def test_a_record_with_any_values(data, record):
    """All keys are there, so that what stands under them is looked at."""
    keys = typing.get_type_hints(record)
    made = data.draw(st.fixed_dictionaries({key: VALUES for key in keys}))
    clean(check, "it", made, record)


@given(content=st.binary())
def test_any_bytes_as_a_file(content, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_bytes(content)
    for function in (read, read_lines, read_config):
        clean(function, file)


@pytest.mark.slow
@given(text=st.text(alphabet="ab:-,=[]{}&*!%'\"0123456789.~<> \n\t#|?@"))
def test_any_text_of_yaml_s_own_characters(text, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(text)
    clean(read_config, file)


@given(text=st.text(alphabet="0123456789-:treskipdn "))
def test_any_topology(text):
    clean(Topology.parse, text)


@pytest.mark.slow
@settings(max_examples=50)
@given(name=st.sampled_from(["sc", "debate", "hierarchy/max"]), text=st.text("abk=,:-0123456789."))
def test_any_options_in_a_name(name, text):
    clean(make_task, f"{name}:{text}")
    clean(make_baseline, f"{name}:{text}", TASK, None)


@pytest.mark.slow
@given(option=st.sampled_from(sorted(TrainConfig().to_mapping())), value=VALUES)
def test_any_value_of_an_option(option, value):
    clean(TrainConfig.from_mapping, {option: value})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 10_000, "it is nested too deeply"),
        ('{"a": 1, "a": 2}', "the key 'a' must be given once, got it twice"),
        ("[]", "it must be a mapping, got []"),
        ("", "it is no JSON"),
    ],
)
def test_what_is_wrong_is_said(text, says, tmp_path):
    file = tmp_path / "run.json"
    file.write_text(text)
    with pytest.raises(InputError) as error:
        read(file, right="give a run folder")
    assert says in str(error.value) and str(error.value).startswith(f"{file} cannot be read: ")
    assert str(error.value).endswith("; give a run folder")


def test_a_byte_order_mark_is_no_text(tmp_path):
    for name, content in {"a.json": '{"steps": 1}', "a.yaml": "steps: 1"}.items():
        (tmp_path / name).write_text(content, encoding="utf-8-sig")
    assert read(tmp_path / "a.json") == read_config(tmp_path / "a.yaml") == {"steps": 1}


def test_times_and_dates_of_yaml_are_texts(tmp_path):
    """To YAML 1.1 `1:10` is the number 70."""
    file = tmp_path / "run.yaml"
    file.write_text("schedule: 1:10\ntask: 2001-12-14\n")
    assert read_config(file) == {"schedule": "1:10", "task": "2001-12-14"}


def test_a_key_given_twice_is_named_with_its_line(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("seed: 1\nsteps: 2\nseed: 3\n")
    with pytest.raises(InputError, match="run.yaml, line 3: seed must be given once"):
        read_config(file)
