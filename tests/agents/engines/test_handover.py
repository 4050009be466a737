"""An adapter that does not arrive where replies are drawn stops the run, by its name."""

from __future__ import annotations

import pytest
import torch
from support.engines import NODES, tiny_engine, tiny_folder
from support.tiny_models import make_tiny
from support.tiny_runs import At, lines, tiny_config
from support.vllm_stand_in import StandIn, make, put_in_place

from neuromas_env.agents.engines import handover
from neuromas_env.agents.engines.forward import adapters as adapter_set
from neuromas_env.agents.engines.forward.adapters import AdapterSet
from neuromas_env.agents.engines.models import load_base
from neuromas_env.agents.engines.two_devices import SplitEngine
from neuromas_env.agents.training.api import resume, train
from neuromas_env.errors import InputError

pytestmark = [pytest.mark.slow, pytest.mark.vllm, pytest.mark.usefixtures("one_thread")]


@pytest.fixture
def vllm(monkeypatch):
    return put_in_place(monkeypatch)


def config(out, **options):
    chosen = {"engine": "vllm", "alpha": 8.0, "targets": "all-linear", "eval_questions": 0}
    return tiny_config(tiny_folder("llama"), out, **chosen | {"learning_rate": 0.05} | options)


def trained_steps(run):
    path = run / "metrics.jsonl"
    return [row for row in lines(path) if "event" not in row] if path.is_file() else []


def after_arrival(monkeypatch, change):
    """Do something to the copy of an adapter, right after it has come to the sampler."""
    real = StandIn.add_lora

    def add_lora(self, adapter):
        real(self, adapter)
        with torch.no_grad():
            change(self.twin.adapters, f"adapter {adapter.lora_int_id}")

    monkeypatch.setattr(StandIn, "add_lora", add_lora)


def spoken_by(monkeypatch, choose):
    """Let another adapter than the one that is asked for answer."""
    real = StandIn.answer
    monkeypatch.setattr(StandIn, "answer", lambda s, p, how, asked: real(s, p, how, choose(asked)))


def scaled(factor):
    def change(adapters, name):
        for key, parameter in adapters.parameters(name).items():
            parameter.mul_(factor if key.endswith("B") else 1.0)

    return change


def merged(adapters, name):
    weights = list(adapters.parameters(name).values())
    for layer, a, b in zip(adapters._layers, weights[::2], weights[1::2], strict=True):
        layer.base_layer.weight.add_(layer.scaling[name] * b @ a)


def not_loaded(monkeypatch, tmp_path):
    spoken_by(monkeypatch, lambda asked: None)


def old_name(monkeypatch, tmp_path):
    """An adapter keeps its name, and the prefix cache what its former weights have computed."""
    import vllm.lora.request as module

    real = module.LoRARequest
    monkeypatch.setattr(module, "LoRARequest", lambda name, *rest: real(name.split("-")[0], *rest))


def one_of_several(monkeypatch, tmp_path):
    first = []

    def choose(asked):
        if asked and asked.lora_name.startswith("node_0"):
            first[:] = [asked]
        return asked and first[0]

    spoken_by(monkeypatch, choose)


def zero_weights(monkeypatch, tmp_path):
    after_arrival(monkeypatch, scaled(0.0))


def wrong_scale(monkeypatch, tmp_path):
    after_arrival(monkeypatch, scaled(0.5))


def merged_twice(monkeypatch, tmp_path):
    after_arrival(monkeypatch, merged)


def wrong_base(monkeypatch, tmp_path):
    other = load_base(str(make_tiny("llama", tmp_path / "other", seed=1)), "float32", quiet=True)
    real = StandIn.__init__

    def init(self, *args, **options):
        real(self, *args, **options)
        weights = {k: v for k, v in self.twin.model.named_parameters() if "lora" not in k}
        for value, right in zip(weights.values(), other.model.parameters(), strict=True):
            value.data.copy_(right.data)

    monkeypatch.setattr(StandIn, "__init__", init)


def other_seed(monkeypatch, tmp_path):
    real = AdapterSet.add
    monkeypatch.setattr(AdapterSet, "add", lambda self, name, seed: real(self, name, seed + 1))


def before_the_seed(monkeypatch, tmp_path):
    """The seed is set when something has been drawn, as by a library that draws before."""
    real = torch.manual_seed
    calls = []

    def manual_seed(seed):
        if calls.append(seed) or len(calls) == 1:
            real(seed), torch.rand(1)
        else:
            real(seed)

    monkeypatch.setattr(adapter_set.torch, "manual_seed", manual_seed)


FAULTS = {
    not_loaded: "adapter 'node_0' is not what .* nats apart.*it answers as the bare base",
    old_name: "adapter 'node_0' is not what",
    one_of_several: "adapter 'node_1' is not what .*it answers as adapter 'node_0' does",
    zero_weights: "adapter 'node_0' is not what .*it answers as the bare base",
    wrong_scale: "adapter 'node_0' is not what .*its weights or their scale",
    merged_twice: "adapter 'node_0' is not what",
    wrong_base: "adapter 'node_0' is not what .*its base is another",
    other_seed: "adapter 'node_0' does not start with the weights of its seed",
    before_the_seed: "adapter 'node_0' does not start with the weights of its seed",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_stops_a_run_before_its_first_step(vllm, monkeypatch, tmp_path, fault):
    fault(monkeypatch, tmp_path)
    with pytest.raises(InputError, match=FAULTS[fault]):
        train(config(tmp_path / "run"))
    assert trained_steps(tmp_path / "run") == []
    assert all(llm.closed for llm in vllm)


LATER = (not_loaded, old_name, one_of_several, zero_weights, wrong_scale, merged_twice)


@pytest.mark.parametrize("fault", LATER, ids=lambda fault: fault.__name__)
def test_a_fault_that_comes_later_stops_the_run_at_its_step(vllm, monkeypatch, tmp_path, fault):
    run = tmp_path / "run"
    break_it = At(1, lambda: fault(monkeypatch, tmp_path))
    with pytest.raises(InputError, match=r"step [23]: adapter 'node_[01]' is not what"):
        train(config(run, checkpoint_every=1, steps=5), report=break_it)
    # A cache is stale from the second hand-over under one name on.
    assert len(trained_steps(run)) == (2 if fault is old_name else 1)


@pytest.mark.parametrize("schedule", [None, "1:1, 1-1:2"], ids=["resumed", "grown"])
def test_resumed_and_grown_runs_are_checked_before_their_first_step(
    vllm, monkeypatch, tmp_path, schedule
):
    run = tmp_path / "run"
    if schedule is None:
        with pytest.raises(ZeroDivisionError):
            train(config(run, checkpoint_every=1), report=At(1, lambda: 1 / 0))
        one_of_several(monkeypatch, tmp_path)
        begin = lambda: resume(run)  # noqa: E731
    else:
        one_of_several(monkeypatch, tmp_path)  # with one node nothing is wrong yet
        begin = lambda: train(config(run, schedule=schedule))  # noqa: E731
    with pytest.raises(InputError, match="adapter 'node_1' is not what"):
        begin()
    assert len(trained_steps(run)) == 1


def test_saved_weights_that_are_not_taken_over_stop_a_resumed_run(vllm, monkeypatch, tmp_path):
    with pytest.raises(ZeroDivisionError):
        train(config(tmp_path / "run", checkpoint_every=1), report=At(1, lambda: 1 / 0))
    monkeypatch.setattr(adapter_set, "set_peft_model_state_dict", lambda *a, **k: None)
    with pytest.raises(InputError, match="adapters/node_0 is not the one that was saved"):
        resume(tmp_path / "run")


def split_engine(model=None, dtype="float32", targets="all-linear"):
    model = str(model or tiny_folder("llama"))
    one, two = (load_base(model, dtype=dtype, quiet=True) for _ in "ab")
    engine = SplitEngine(one, two, rank=4, alpha=8.0, targets=targets)
    for seed, node in enumerate(NODES[:2]):
        handover.add(engine, node, seed)
    return engine


def never(engine):
    engine._hand_over()
    engine._hand_over = lambda: None


def one_only(engine):
    real = engine._hand_over

    def hand_over():
        real()
        engine.sampler.adapters.copy("node_0", "node_1")

    engine._hand_over = hand_over


def other_scale(engine):
    engine._hand_over()
    for layer in engine.sampler.adapters._layers:
        layer.scaling["node_1"] /= 2


def other_base(engine):
    engine.sampler.model.get_input_embeddings().weight.data.add_(0.01)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (never, "adapter 'node_0' .*it answers as the bare base does"),
        (one_only, "adapter 'node_1' .*it answers as adapter 'node_0' does"),
        (other_scale, "adapter 'node_1' .*its weights or their scale"),
        (other_base, "its base is another"),
    ],
)
def test_a_second_device_is_checked_alike(fault, says):
    engine = split_engine()
    before = {node: engine.adapters.digest(node) for node in NODES[:2]}
    handover.prove(engine)
    fault(engine)
    with pytest.raises(InputError, match=says):
        handover.prove(engine)
    assert {node: engine.adapters.digest(node) for node in NODES[:2]} == before


def test_adapters_that_nothing_computes_with_are_told_without_any_copy(monkeypatch):
    engine = tiny_engine("llama")
    handover.prove(engine)
    monkeypatch.setattr(
        AdapterSet, "_forward", lambda self, layer, x: layer.base_layer(x), raising=True
    )
    for layer in engine.adapters._layers:
        layer.forward = layer.base_layer.forward
    with pytest.raises(InputError, match="adapter 'node_0' changes nothing where it is trained"):
        handover.prove(engine)


def test_an_engine_that_cannot_answer_is_told(vllm):
    engine = make()
    handover.compare(engine)
    vllm[0].fail = RuntimeError("EngineCore died.")
    with pytest.raises(InputError, match="cannot be checked: vLLM failed: .*EngineCore died"):
        handover.compare(engine)


@pytest.mark.parametrize(
    ("dtype", "steps"),
    [("float32", 50), pytest.param("float32", 950, marks=pytest.mark.whole), ("bfloat16", 50)],
)
def test_honest_steps_raise_no_alarm(tmp_path, dtype, steps):
    """Steps of AdamW along random gradients, from fresh adapters to ones of any size."""
    model = make_tiny("llama", tmp_path / "model", num_hidden_layers=1)
    engine = split_engine(model, dtype, targets=["q_proj", "v_proj"])
    handover.prove(engine)
    generator = torch.Generator().manual_seed(0)
    weights = [p for node in NODES[:2] for p in engine.adapters.parameters(node).values()]
    optimiser = torch.optim.AdamW(weights, lr=1e-2)
    gaps = []
    for _ in range(steps):
        for parameter in weights:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimiser.step()
        gaps.append(handover.compare(engine))
    assert max(gaps) < engine.rounding / 2
    handover.prove(engine)
    assert engine.cost.total("train").calls == engine.cost.total("eval").calls == 0


def test_what_it_costs_is_not_the_networks(vllm, tmp_path):
    result = train(config(tmp_path / "run", steps=2))
    assert result.cost["train"]["calls"] == 2 * 2 * 2 * 2
    rows = trained_steps(tmp_path / "run")
    assert all(0 <= row["handover_gap"] < 0.01 for row in rows) and len(rows) == 2
