"""`check_engine`: silent on the engines of the package, all faults of others at once."""

from dataclasses import replace

import numpy as np
import pytest
from support.engines import tiny_engine
from support.toy_engine import ToyEngine

from neuromas_env.agents.engines.mock import MockEngine, mock
from neuromas_env.agents.learners.tabular import TabularEngine
from neuromas_env.errors import InputError
from neuromas_env.policy import Completion, Cost, Engine
from neuromas_env.testing import check_engine


class Changed(MockEngine):
    """A sound engine, apart from what is done to its replies."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def generate(self, requests):
        return self.change(super().generate(requests))


class Sloppy(Engine):
    """Wrong in several ways."""

    settings = {"device": {"cpu"}}
    name = None

    def __init__(self):
        self.cost = Cost()

    def generate(self, requests):
        logprobs = np.zeros(0)
        return [Completion("x" * i, np.arange(3), np.arange(99), logprobs) for i in range(4)]


class Plain:
    cost = Cost()

    def generate(self, requests):
        return []


def each(**fields):
    return lambda replies: [replace(reply, **fields) for reply in replies]


@pytest.mark.parametrize("make", [MockEngine, mock, lambda: TabularEngine("AB")])
def test_engines_without_a_model_have_no_fault(make):
    check_engine(make())


@pytest.mark.slow
def test_an_engine_that_trains_has_no_fault():
    engine = tiny_engine("llama")
    names = list(engine.adapters.names)
    check_engine(engine)
    assert engine.adapters.names == names


@pytest.mark.slow
def test_an_engine_that_trains_on_other_numbers_is_told(monkeypatch):
    engine = tiny_engine("llama")
    training = engine.training
    monkeypatch.setattr(engine, "training", lambda rows: training(rows, temperature=3.0))
    with pytest.raises(InputError, match="sampling and training differ by .* nats"):
        check_engine(engine)


def test_an_adapter_that_starts_otherwise_than_its_seed_says_is_told(monkeypatch):
    engine = ToyEngine()
    check_engine(engine)
    monkeypatch.setattr(engine.adapters, "initial", lambda seed: "another")
    with pytest.raises(InputError, match="of a fresh adapter must be adapters.initial"):
        check_engine(engine)


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        (Plain(), ["it is no engine: subclass"]),
        (Changed(lambda replies: None), ["generate([]) must return [], not None", "a list of"]),
        (Changed(lambda replies: replies[:1]), ["returns 1 completions of 5 requests"]),
        (Changed(lambda replies: replies[::-1]), ["are not in the requests' order"]),
        (Changed(each(ids=None)), ["ids must be an integer array"]),
        (Changed(each(error="down")), ["every call fails; the first: down", "books 5 calls"]),
        (Changed(each(logprobs=np.ones(9))), ["logprobs must be at most 0, not 1"]),
        (MockEngine(["a", "b", "c"]), ["the same call twice in a batch has two replies"]),
        (
            Sloppy(),
            [
                "name must be a text, empty where it is not known, not None",
                "settings and versions must be tables that JSON can hold",
                "generate([]) must return []",
                "returns 4 completions of 5 requests",
            ],
        ),
    ],
)
def test_all_faults_are_said_at_once(engine, says):
    with pytest.raises(InputError) as error:
        check_engine(engine)
    assert [part for part in says if part not in str(error.value)] == []


def test_an_engine_that_draws_by_no_seed_may_be_inexact():
    check_engine(MockEngine(["a", "b", "c"]), exact=False)
