"""Generating on one device and training on another, with two copies on one processor."""

import pytest
import yaml
from support.engines import mixed_requests, tiny_engine, tiny_folder
from support.tiny_runs import At, Killed, kill, lines, tiny_config

from neuromas_env.agents.engines.models import load_base
from neuromas_env.agents.engines.two_devices import SplitEngine
from neuromas_env.agents.training.api import resume, train
from neuromas_env.agents.training.checkpoint import latest
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.errors import InputError

pytestmark = pytest.mark.slow


def split_engine():
    one, two = (load_base(str(tiny_folder("llama")), dtype="float32", quiet=True) for _ in "ab")
    return SplitEngine(one, two, rank=4, alpha=8.0)


def same(found, expected):
    return [reply.ids.tolist() for reply in found] == [reply.ids.tolist() for reply in expected]


def test_the_copy_says_what_the_trained_model_would():
    engine, plain = split_engine(), tiny_engine("llama")
    for seed, node in enumerate(plain.adapters.names):
        engine.adapters.add(node, seed)
        engine.adapters.add_noise(node, 0.3, seed)
    requests = mixed_requests(plain)
    first = engine.generate(requests)
    assert same(first, plain.generate(requests))
    assert engine.cost.total("eval").calls == len(requests)
    for moved in (engine, plain):  # as a step, and as growth that renames a node
        moved.adapters.add_noise("node_1", 2.0, 5)
        moved.adapters.remove("node_0")
        moved.adapters.add("node_0", 7)
    second = engine.generate(requests)
    assert same(second, plain.generate(requests)) and not same(second, first)


@pytest.mark.parametrize("schedule", [None, "1:2, 1-1:2"])
def test_a_run_ends_with_the_weights_of_one_on_a_single_device(tmp_path, schedule):
    model = tiny_folder("llama")

    def config(name, **more):
        return tiny_config(
            model,
            tmp_path / name,
            schedule=schedule,
            checkpoint_every=1,
            importance_cap=0.0,
            **more,
        )

    train(config("one"))
    train(config("two", rollout_device="cpu"))
    with pytest.raises(Killed):
        train(config("killed", rollout_device="cpu"), report=At(2, kill))
    resume(tmp_path / "killed")
    one = latest(tmp_path / "one")
    files = sorted(file.relative_to(one) for file in one.rglob("adapter_model.safetensors"))
    assert len(files) == 2
    for file in files:
        for name in ("two", "killed"):
            assert (latest(tmp_path / name) / file).read_bytes() == (one / file).read_bytes()


def test_importance_is_weighed_by_default(tmp_path):
    train(tiny_config(tiny_folder("llama"), tmp_path / "run", rollout_device="cpu"))
    steps = [line for line in lines(tmp_path / "run/metrics.jsonl") if "event" not in line]
    assert all("importance_capped" in step for step in steps)
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["rollout_device"] == "cpu"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rollout_device": "gpu"}, "unknown value of rollout_device: 'gpu'"),
        ({"device": "cuda:x"}, "unknown value of device: 'cuda:x'"),
        (
            {"engine": "vllm", "rollout_device": "cpu"},
            "rollout_device must be left out",
        ),
    ],
)
def test_wrong_devices_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        TrainConfig.from_mapping(options)
