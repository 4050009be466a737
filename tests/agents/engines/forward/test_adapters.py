import json
import re
import warnings
from dataclasses import replace

import pytest
import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from support.engines import NODES, Reference, sampled_rows, tiny_engine, tiny_folder
from support.tiny_models import FAMILIES

from neuromas_env.agents.engines.models import load_base, origin
from neuromas_env.agents.engines.transformers import TransformersEngine
from neuromas_env.errors import InputError

IDS = [[7, 30, 31, 80, 90, 100], [40, 41, 42, 43, 44, 45], [9] * 6, [50, 60, 70, 80, 90, 99]]


def forward(engine, adapters, ids=IDS):
    with torch.no_grad(), engine.adapters.loaded(adapters):
        engine.adapters.select(adapters)
        return engine.model(input_ids=torch.tensor(ids), use_cache=False).logits


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("times", [1, 20], ids=["few tokens", "many tokens"])
@pytest.mark.parametrize(
    "mix",
    [
        ["node_0", "node_1", None, "node_2"],
        ["node_2", "node_2", "node_0", "node_0"],
        ["node_0", "node_0", "node_1", "node_0"],
        ["node_1"] * 4,
        [None, None, "node_1", None],
        [None] * 4,
    ],
)
def test_a_mixed_batch_computes_what_peft_computes(family, mix, times):
    engine = tiny_engine(family)
    ids = [row * times for row in IDS]
    expected = Reference(engine, family).logits(ids, mix)
    assert torch.allclose(forward(engine, mix, ids), expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_no_adapter_and_a_fresh_adapter_are_the_bare_base(family):
    bare = load_base(str(tiny_folder(family)), dtype="float32", quiet=True).model
    with torch.no_grad():
        expected = bare(input_ids=torch.tensor(IDS), use_cache=False).logits
    engine = tiny_engine(family, noise=0.0)
    assert torch.allclose(forward(engine, [None] * 4), expected, atol=1e-5)
    assert torch.allclose(
        forward(engine, ["node_0", None, "node_1", "node_0"]), expected, atol=1e-5
    )
    engine.adapters.add_noise("node_0", 0.1, seed=0)
    noisy = forward(engine, ["node_0", None, "node_1", "node_0"])
    assert torch.allclose(noisy[1:3], expected[1:3], atol=1e-5)
    assert (noisy[0] - expected[0]).abs().max() > 1e-3


def test_outside_of_loaded_the_model_is_the_base_also_after_an_error():
    engine = tiny_engine("llama")
    base = forward(engine, [None] * 4)
    with pytest.raises(RuntimeError, match="stop"), engine.adapters.loaded(["node_0"]):
        raise RuntimeError("stop")
    with torch.no_grad():
        assert torch.equal(engine.model(input_ids=torch.tensor(IDS), use_cache=False).logits, base)


def test_an_unknown_adapter_is_named_with_a_suggestion():
    engine = tiny_engine("llama")
    with pytest.raises(InputError, match="node_1"):
        forward(engine, ["node_11"] * 4)


def test_a_new_adapter_depends_on_its_seed_and_leaves_the_global_randomness_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    engine = tiny_engine("llama", nodes=(), noise=0.0)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        engine.adapters.add(name, seed)
    assert torch.equal(torch.rand(1), expected)
    a, b, c = (engine.adapters.parameters(name) for name in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert any(not torch.equal(a[key], c[key]) for key in a)
    assert all(not a[key].any() for key in a if key.endswith("B"))


def test_copies_are_equal_and_independent():
    engine = tiny_engine("llama")
    engine.adapters.copy("node_0", "node_1")
    assert torch.equal(*(forward(engine, [node] * 4) for node in ("node_0", "node_1")))
    engine.adapters.add_noise("node_1", 0.1, seed=5)
    assert not torch.equal(*(forward(engine, [node] * 4) for node in ("node_0", "node_1")))


def test_a_removed_adapter_is_gone_and_the_others_stay():
    engine = tiny_engine("llama")
    before = forward(engine, ["node_2"] * 4)
    engine.adapters.remove("node_0")
    assert engine.adapters.names == ["node_1", "node_2"]
    assert torch.equal(forward(engine, ["node_2"] * 4), before)
    with pytest.raises(InputError):
        forward(engine, ["node_0"] * 4)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_saved_adapters_load_into_an_engine_and_into_plain_peft(family, tmp_path):
    engine = tiny_engine(family)
    for node in NODES:
        engine.adapters.save(node, tmp_path / node)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(NODES)
    twin = tiny_engine(family, noise=0.9)
    assert not torch.allclose(forward(twin, ["node_1"] * 4), forward(engine, ["node_1"] * 4))
    for node in NODES:
        twin.adapters.load(node, tmp_path / node)
    mix = ["node_2", "node_1", None, "node_0"]
    assert torch.equal(forward(twin, mix), forward(engine, mix))
    base = load_base(str(tiny_folder(family)), dtype="float32", quiet=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT's own use of transformers
        plain = PeftModel.from_pretrained(base.model, tmp_path / "node_1").eval()
    with torch.no_grad():
        logits = plain(input_ids=torch.tensor(IDS), use_cache=False).logits
    assert torch.allclose(logits, forward(engine, ["node_1"] * 4), atol=1e-4)


def test_weights_that_do_not_fit_or_do_not_exist_change_nothing(tmp_path):
    engine = tiny_engine("llama")
    engine.adapters.save("node_0", tmp_path / "node_0")
    base = load_base(str(tiny_folder("llama")), dtype="float32", quiet=True)
    other = TransformersEngine(base, rank=2)
    other.adapters.add("node_0", 0)
    before = {k: v.detach().clone() for k, v in other.adapters.parameters("node_0").items()}
    with pytest.raises(InputError, match="rank 4.*does not fit.*rank 2"):
        other.adapters.load("node_0", tmp_path / "node_0")
    with pytest.raises(InputError, match="no adapter can be read"):
        other.adapters.load("node_0", tmp_path / "nowhere")
    (tmp_path / "node_0" / "adapter_model.safetensors").write_bytes(b"half")
    with pytest.raises(InputError, match="no adapter can be read|does not fit"):
        engine.adapters.load("node_0", tmp_path / "node_0")
    after = other.adapters.parameters("node_0")
    assert all(torch.equal(before[key], after[key]) for key in before)


def change(folder, changed):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("lora_alpha", 16, "alpha 16, but alpha is 8.0 here; give alpha 16"),
        ("r", 8, "rank 8) does not fit"),
        ("peft_type", "IA3", "peft_type must be 'LORA', got 'IA3'"),
        ("peft_type", None, "peft_type must be 'LORA', got None"),
        ("bias", "all", "bias must be 'none', got 'all'"),
        ("init_lora_weights", "pissa", "init_lora_weights must be True or False or 'gaussian'"),
        ("init_lora_weights", "pissa_niter_4", "got 'pissa_niter_4'"),
        ("init_lora_weights", "olora", "got 'olora'"),
        ("init_lora_weights", "corda", "got 'corda'"),
        ("init_lora_weights", "loftq", "got 'loftq'"),
        ("init_lora_weights", "lora_ga", "got 'lora_ga'"),
        ("use_rslora", True, "scaled by alpha / sqrt"),
        ("use_dora", True, "use_dora must be off, got True"),
        ("lora_bias", True, "lora_bias must be off"),
        ("fan_in_fan_out", True, "fan_in_fan_out must be off"),
        ("alpha_pattern", {"q_proj": 32}, "alpha_pattern must be off, got {'q_proj': 32}"),
        ("rank_pattern", {"q_proj": 4}, "rank_pattern must be off"),
        ("modules_to_save", ["lm_head"], "modules_to_save must be off"),
        ("alora_invocation_tokens", [1, 2], "alora_invocation_tokens must be off"),
        ("layer_replication", [[0, 2]], "layer_replication must be off"),
        ("trainable_token_indices", [3], "trainable_token_indices must be off"),
        ("of_a_newer_version", {"scale": 2}, "of_a_newer_version must be off"),
    ],
)
def test_an_adapter_that_peft_would_compute_otherwise_is_refused(tmp_path, key, value, message):
    engine = tiny_engine("llama")
    engine.adapters.save("node_0", tmp_path / "node_0")
    change(tmp_path / "node_0", {key: value})
    before = forward(engine, ["node_0"] * 4)
    with pytest.raises(InputError, match=re.escape(message)):
        engine.adapters.load("node_0", tmp_path / "node_0")
    assert torch.equal(forward(engine, ["node_0"] * 4), before)


def test_settings_that_change_nothing_are_taken(tmp_path):
    engine = tiny_engine("llama")
    engine.adapters.save("node_0", tmp_path / "node_0")
    change(
        tmp_path / "node_0",
        {"init_lora_weights": "gaussian", "lora_dropout": 0.1, "lora_alpha": 8, "revision": "main"}
        | {"of_a_newer_version": None, "target_modules": ["q_proj"], "peft_version": "9.9"},
    )
    before = forward(engine, ["node_0"] * 4)
    engine.adapters.add_noise("node_0", 0.1, seed=7)
    engine.adapters.load("node_0", tmp_path / "node_0")
    assert torch.equal(forward(engine, ["node_0"] * 4), before)


@pytest.mark.slow
def test_an_adapter_names_its_base_so_that_peft_loads_both(tmp_path, monkeypatch):
    folder = tiny_folder("llama")
    monkeypatch.chdir(folder.parent)
    base = load_base(folder.name, dtype="float32", quiet=True)  # a relative path
    engine = TransformersEngine(base, rank=4)
    for node in ("node_0", "node_1"):
        engine.adapters.add(node, 0)
        engine.adapters.add_noise(node, 0.3, 0)
    engine.adapters.save("node_0", tmp_path / "node_0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT's own use of transformers
        plain = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "node_0").eval()
    with torch.no_grad():
        logits = plain(input_ids=torch.tensor(IDS), use_cache=False).logits
    assert torch.allclose(logits, forward(engine, ["node_0"] * 4), atol=1e-4)


def named(tmp_path, model):
    """Return the base that a saved adapter of a model names."""
    base = load_base(str(tiny_folder("llama")), dtype="float32", quiet=True)
    engine = TransformersEngine(replace(base, name=model), rank=4)
    engine.adapters.add("node_0", 0)
    engine.adapters.save("node_0", tmp_path / "node_0")
    config = json.loads((tmp_path / "node_0" / "adapter_config.json").read_text())
    return config["base_model_name_or_path"]


@pytest.mark.parametrize(
    ("model", "hub_id"),
    [("smollm2-135m", "HuggingFaceTB/SmolLM2-135M-Instruct"), ("Qwen/Qwen3-0.6B",) * 2],
)
def test_an_adapter_of_a_model_of_the_hub_names_it_as_the_hub_does(tmp_path, model, hub_id):
    assert named(tmp_path, model) == hub_id


def test_the_base_of_a_gguf_file_is_the_folder_that_it_was_converted_into(tmp_path):
    (tmp_path / "tiny.gguf").touch()
    assert named(tmp_path, str(tmp_path / "tiny.gguf")) == str(tiny_folder("llama"))


def test_a_snapshot_in_the_hubs_cache_is_known_to_be_the_hubs(tmp_path):
    snapshot = tmp_path / "models--Qwen--Qwen3-0.6B" / "snapshots" / "c1899de"
    snapshot.mkdir(parents=True)
    assert origin(str(snapshot), str(snapshot)) == "Qwen/Qwen3-0.6B"


def test_targets_that_the_base_lacks_are_refused():
    base = load_base(str(tiny_folder("llama")), dtype="float32", quiet=True)
    with pytest.raises(InputError, match="no_such_layer"):
        TransformersEngine(base, targets=["no_such_layer"])


def test_adapters_on_some_layers_only_work_in_both_passes():
    base = load_base(str(tiny_folder("llama")), dtype="float32", quiet=True)
    engine = TransformersEngine(base, rank=4, targets=["q_proj", "v_proj"])
    for seed, node in enumerate(NODES):
        engine.adapters.add(node, seed)
        engine.adapters.add_noise(node, 0.2, seed)
    assert len(engine.adapters.parameters("node_0")) == 2 * 2 * 2
    rows = sampled_rows(engine)
    with engine.training(rows) as scored:
        scored.logprobs.sum().backward()
    assert all(p.grad is not None for p in engine.adapters.parameters("node_1").values())
