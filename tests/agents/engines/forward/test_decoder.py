"""The lean pass computes what transformers' model does, and steps aside where it does not."""

import copy
import dataclasses
import warnings

import numpy as np
import pytest
import torch
from support.engines import NODES, mixed_requests, tiny_engine, tiny_folder
from support.tiny_models import FAMILIES, make_tiny
from transformers import GPT2Config, GPT2LMHeadModel

from neuromas_env.agents.engines.forward import decoder, families, lean, products
from neuromas_env.agents.engines.forward.decoding import LibraryPass
from neuromas_env.agents.engines.forward.lean import LeanPass
from neuromas_env.agents.engines.models import LoadedModel, load_base
from neuromas_env.agents.engines.transformers import TransformersEngine
from neuromas_env.policy import Request, Sampling

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def by_library(engine, requests):
    """What transformers' model draws for the same requests."""
    lean, engine._decoder._frozen = engine._decoder._frozen, None
    try:
        return engine.generate(requests)
    finally:
        engine._decoder._frozen = lean


def both(engine, requests):
    """The replies of both passes, the lean one's first."""
    replies = engine.generate(requests)
    assert engine._decoder._frozen is not None
    return replies, by_library(engine, requests)


def assert_same(replies, expected, tolerance=1e-5):
    for reply, other in zip(replies, expected, strict=True):
        assert reply.ids.tolist() == other.ids.tolist()
        assert np.abs(reply.logprobs - other.logprobs).max() < tolerance


@pytest.fixture(scope="module", params=FAMILIES)
def engine(request):
    return tiny_engine(request.param)


@pytest.mark.parametrize("temperature", [0.0, 1.0, 0.7])
def test_it_draws_what_transformers_draws(engine, temperature):
    # Four adapters, the bare base among them; prompts of four lengths; rows fork and end; replies
    # grow beyond the window of Gemma's layers.
    assert_same(*both(engine, mixed_requests(engine, temperature, length=40, count=16)))


@pytest.mark.parametrize("nodes", [NODES[:1], NODES, (None,)])
def test_rows_that_are_many_or_alone(engine, nodes):
    requests = [
        Request((("user", "yes"),), engine, node, Sampling(1.5, 12), seed)
        for node in nodes
        for seed in range(9)
    ]
    assert_same(*both(engine, requests))
    assert_same(*both(engine, requests[:1]))


def test_replies_that_outgrow_the_room(engine, monkeypatch):
    monkeypatch.setattr("neuromas_env.agents.engines.transformers.ROOM", 3)
    assert_same(*both(engine, mixed_requests(engine, length=20)))


def test_whole_buffers_as_in_bfloat16(engine, monkeypatch):
    monkeypatch.setattr(lean, "_COPIED", {torch.float32})
    monkeypatch.setattr(lean, "_BLOCK", 5)
    # What memory held before must not come through: a product with what is no number is none.
    empty = torch.Tensor.new_empty
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda *a, **k: empty(*a, **k).fill_(torch.nan))
    assert_same(*both(engine, mixed_requests(engine, length=40, count=16)))
    assert_same(*both(engine, mixed_requests(engine, length=20)[:1]))


def test_adapters_are_those_of_the_moment(engine):
    requests = mixed_requests(engine, length=8)
    before = engine.generate(requests)
    saved = copy.deepcopy(list(engine.adapters.parameters(NODES[0]).values()))
    engine.adapters.add_noise(NODES[0], 1.0, seed=9)
    after, expected = both(engine, requests)
    with torch.no_grad():
        for parameter, old in zip(
            engine.adapters.parameters(NODES[0]).values(), saved, strict=True
        ):
            parameter.copy_(old)
    assert_same(after, expected)
    assert [reply.ids.tolist() for reply in before] != [reply.ids.tolist() for reply in after]


@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], ["down_proj"], ["k_proj", "up_proj"]])
def test_adapters_in_some_layers_alone(targets):
    base = load_base(str(tiny_folder("qwen3")), dtype="float32", quiet=True)
    engine = TransformersEngine(base, rank=3, targets=targets)
    for seed, node in enumerate(NODES):
        engine.adapters.add(node, seed)
        engine.adapters.add_noise(node, 0.5, seed)
    assert_same(*both(engine, mixed_requests(engine, length=12)))


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("llama", {"attention_bias": True, "mlp_bias": True}),
        ("llama", {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 16}),
        ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}}),
        ("qwen3", {"layer_types": ["sliding_attention", "full_attention"],
                   "use_sliding_window": True, "sliding_window": 5}),
        ("gemma3", {"final_logit_softcapping": 3.0}),
    ],
)  # fmt: skip
def test_what_configurations_of_a_family_say(tmp_path, family, options):
    base = load_base(str(make_tiny(family, tmp_path, **options)), dtype="float32", quiet=True)
    for name, value in base.model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(value, std=0.2)
    engine = TransformersEngine(base, rank=4)
    for seed, node in enumerate(NODES):
        engine.adapters.add(node, seed)
    assert_same(*both(engine, mixed_requests(engine, length=16)))


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_weights_draw_the_same(family, tmp_path, monkeypatch):
    monkeypatch.setattr(products, "_LARGE", 1)
    engine = tiny_engine(family, packed_weights=True)
    requests = mixed_requests(engine, length=24)
    replies, expected = both(engine, requests)
    held = engine._decoder._frozen.layers[0].qkv[0]
    assert (held._packed is not None) == products.packable(torch.zeros(2, 2))
    assert_same(replies, expected)
    plain = tiny_engine(family)  # in float32 nothing is packed unasked
    assert_same(plain.generate([dataclasses.replace(r, engine=plain) for r in requests]), expected)
    assert plain._decoder._frozen.layers[0].qkv[0]._packed is None


def test_without_torchs_operators_weights_stay_as_they_are(monkeypatch):
    monkeypatch.setattr(products, "_LARGE", 1)
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    engine = tiny_engine("llama", packed_weights=True)
    engine.generate(mixed_requests(engine)[:2])
    assert engine._decoder._frozen.layers[0].qkv[0]._packed is None


def test_in_bfloat16_both_draw_from_the_same_distribution():
    engine = tiny_engine("llama", dtype="bfloat16")
    requests = [
        Request((("user", "yes"),), engine, "node_1", Sampling(0.5, 2), seed)
        for seed in range(1200)
    ]
    replies = engine.generate(requests[:600]), by_library(engine, requests[600:])
    assert engine._decoder._frozen is not None
    first, second = (
        np.bincount([reply.ids[-1] % 16 for reply in side], minlength=16) for side in replies
    )
    chi = ((first - second) ** 2 / (first + second)).sum()
    assert chi < 32.0  # 1 % of samples from one distribution reach 30.6 in 15 degrees of freedom


# --- where it steps aside ---------------------------------------------------------------


def fresh():
    engine = tiny_engine("llama", packed_weights=True)
    return engine, mixed_requests(engine, count=4, length=6)


def by_library_alone(requests):
    engine = tiny_engine("llama")
    engine._decoder._undecided = False
    return engine.generate([dataclasses.replace(request, engine=engine) for request in requests])


def test_another_family_is_said_once():
    base = load_base(str(tiny_folder("llama")), dtype="float32", quiet=True)
    config = GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=len(base.tokenizer))
    other = LoadedModel(GPT2LMHeadModel(config).eval(), base.tokenizer, "gpt2", "")
    engine = TransformersEngine(other, rank=2, targets=["c_fc"])
    engine._decoder = decoder.Decoder(engine.model, engine.adapters, True, packs=True)
    with pytest.warns(UserWarning, match="GPT2Model is none of Llama, Qwen3, Gemma 3"):
        engine._decoder.prepare([None])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine._decoder.prepare([None])
    assert engine._decoder._frozen is None


def test_a_model_with_other_parts_than_known():
    engine, _ = fresh()
    del engine.model.base_model.layers[1].self_attn.scaling
    with pytest.warns(UserWarning, match="slower model decodes: this Llama has other parts"):
        engine._decoder.prepare([None])
    assert engine._decoder._frozen is None


def test_too_little_memory_for_packed_weights_is_said_and_nothing_is_packed(monkeypatch):
    monkeypatch.setattr(products, "_LARGE", 1)
    monkeypatch.setattr(products, "free_bytes", lambda: 1000)
    with pytest.warns(UserWarning, match="not packed for (the head|prompts and training)"):
        engine, requests = fresh()
    with pytest.warns(UserWarning, match="not packed for decoding.*more than half of the memory"):
        replies = engine.generate(requests)
    assert engine._decoder._frozen.layers[0].qkv[0]._packed is None
    assert_same(replies, by_library_alone(requests))


def test_a_version_that_computes_something_else_is_named(monkeypatch):
    engine, requests = fresh()
    norm = families.Norm.__call__
    monkeypatch.setattr(families.Norm, "__call__", lambda self, x: 1.01 * norm(self, x))
    with pytest.warns(UserWarning, match=r"transformers \d.* with torch .* differ by 0.0"):
        replies = engine.generate(requests)
    assert engine._decoder._frozen is None
    assert_same(replies, by_library_alone(requests), 1e-9)


def test_the_passes_are_those_that_are_named(monkeypatch):
    engine, requests = fresh()
    used = []
    for kind in (LeanPass, LibraryPass):
        step = kind.step
        monkeypatch.setattr(kind, "step", lambda *a, s=step, k=kind: used.append(k) or s(*a))
    engine.generate(requests[:1])
    used.clear()
    engine.generate(requests)
    assert set(used) == {LeanPass}


# --- the embedded model -------------------------------------------------------------------


@pytest.mark.model
def test_the_embedded_model_says_the_same(smollm2):
    base = dataclasses.replace(smollm2, model=copy.deepcopy(smollm2.model).float())
    engine = TransformersEngine(base, rank=8)
    for seed, node in enumerate(NODES):
        engine.adapters.add(node, seed)
        engine.adapters.add_noise(node, 0.05, seed)
    requests = [
        Request((("user", "Name a colour."),), engine, node, Sampling(0.5, 8), seed)
        for node in NODES
        for seed in range(2)
    ]
    assert_same(*both(engine, requests), tolerance=1e-4)
