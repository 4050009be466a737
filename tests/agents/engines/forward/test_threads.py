"""Tiny models compute with one thread, unless somebody has chosen a number."""

import os

import pytest
import torch
from support.engines import mixed_requests, rows_of, tiny_engine

from neuromas_env.agents.engines.forward import threads
from neuromas_env.agents.engines.forward.threads import chosen_threads, using


@pytest.fixture(autouse=True)
def cores(monkeypatch):
    """As many threads as torch takes of itself on eight cores."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    before = torch.get_num_threads()
    torch.set_num_threads(8)
    yield
    torch.set_num_threads(before)


TINY = torch.nn.Linear(4, 4)


def test_the_size_decides(monkeypatch):
    assert chosen_threads(TINY) == 1
    monkeypatch.setattr(threads, "_TINY", 15)
    assert chosen_threads(TINY) is None


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_a_number_in_the_environment_wins(monkeypatch, name):
    monkeypatch.setenv(name, "8")
    assert chosen_threads(TINY) is None


def test_a_number_set_in_torch_wins():
    torch.set_num_threads(7)
    assert chosen_threads(TINY) is None


def test_others_compute_with_as_many_as_before():
    with pytest.raises(ZeroDivisionError), using(1):
        assert torch.get_num_threads() == 1
        _ = 1 / 0
    assert torch.get_num_threads() == 8
    with using(None):
        assert torch.get_num_threads() == 8


@pytest.mark.slow
def test_all_passes_of_a_tiny_model_take_one():
    engine = tiny_engine("llama")
    seen = set()
    hook = engine.model.base_model.register_forward_hook(
        lambda *_: seen.add(torch.get_num_threads())
    )
    requests = mixed_requests(engine, count=2, length=3)
    replies = engine.generate(requests)
    with engine.training(rows_of(requests, replies)) as scored:
        scored.logprobs.sum().backward()
    hook.remove()
    assert seen == {1} and torch.get_num_threads() == 8
