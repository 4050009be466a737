"""Training passes without padding, and models for which rows are padded."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from support.engines import (
    NODES,
    assert_same_gradients,
    gradients,
    gradients_one_by_one,
    tiny_engine,
)
from support.tiny_models import FAMILIES
from support.token_rows import batches

from neuromas_env.agents.engines.base import Row
from neuromas_env.agents.engines.forward import attention, packing, prefix
from neuromas_env.agents.engines.forward.attention import FUSED, NAME, use_own_attention


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@given(batches())
@settings(max_examples=50)
def test_the_groups_of_attention_spell_what_each_token_may_look_at(batch):
    rows, adapters, keep = batch
    levels, order = prefix.plan(rows, adapters, keep, size=prefix.distinct_tokens)
    packed = packing.pack(levels, torch.device("cpu"))
    ids, positions = packed.ids[0], packed.positions[0]
    assert len(ids) == prefix.distinct_tokens(levels) == len(packed.adapters)
    queries = torch.cat([group.queries.flatten() for group in packed.groups])
    assert queries[packed.back].tolist() == list(range(len(ids)))
    seen = {}  # each token's place to the places that it may look at
    for group in packed.groups:
        mask = group.mask(None, torch.float32)
        for segment, places in enumerate(group.queries.tolist()):
            for t, place in enumerate(places):
                looks = group.keys[segment][mask[segment, 0, t] == 0].tolist()
                if place not in seen and looks[-1] == place:
                    seen[place] = looks
    for path, row in zip(packed.paths, order, strict=True):
        assert path.tolist() == seen[path[-1]] and ids[path].tolist() == rows[row]
        assert positions[path].tolist() == list(range(len(rows[row])))
        assert {packed.adapters[place] for place in path} == {adapters[row]}


def mixed_rows(rng, questions=4, rollouts=6):
    """Rows of a network `2-1`: two nodes read a question, one their replies, too."""
    heads = {node: rng.integers(5, 300, 30).tolist() for node in NODES}
    rows = []
    for _ in range(questions):
        question = rng.integers(5, 300, rng.integers(10, 100)).tolist()
        for _ in range(rollouts):
            replies = [rng.integers(5, 300, rng.integers(1, 65)) for _ in NODES]
            for node, reply in zip(NODES, replies, strict=True):
                heard = np.concatenate(replies[:2]).tolist() if node == NODES[2] else []
                rows.append(Row(node, np.array(heads[node] + question + heard), reply))
    return rows


@pytest.mark.slow
def test_a_training_pass_computes_no_padding_and_shared_tokens_once(family):
    engine, seen = tiny_engine(family), []
    rows = mixed_rows(np.random.default_rng(0))
    embed = engine.model.get_input_embeddings()
    embed.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].numel()))
    distinct = len(
        {
            (row.adapter, *text[:end])
            for row in rows
            for text in [(*row.prompt_ids.tolist(), *row.ids[:-1].tolist())]
            for end in range(1, len(text) + 1)
        }
    )
    batches = [[rows[i] for i in batch] for batch in engine.micro_batches(rows, 2048)]
    for batch in batches:
        with torch.no_grad(), engine.training(batch):
            pass
    assert seen == [engine.computed(batch) for batch in batches] and len(seen) > 1
    assert sum(seen) < 1.1 * distinct


@pytest.mark.slow
def test_packed_rows_of_mixed_lengths_have_the_gradient_of_each_alone(family):
    engine = tiny_engine(family)
    rows = mixed_rows(np.random.default_rng(1), questions=2, rollouts=2)
    weights = np.linspace(-1, 1, len(rows))
    together = gradients(engine, rows, weights)
    assert_same_gradients(together, gradients_one_by_one(engine, rows, weights))


@pytest.mark.slow
def test_what_replies_begin_with_is_trained_once_with_the_gradient_of_all(family):
    engine = tiny_engine(family)
    prompt, replies = np.arange(5, 45), ([7, 8, 9], [7, 8, 4], [7], [7, 8, 9], [7, 8, 9, 3, 2])
    rows = [Row(node, prompt, np.array(reply)) for node in NODES[:2] for reply in replies]
    assert engine.computed(rows) < 2 * (40 + len({tuple(reply) for reply in replies}) + 8)
    weights = np.linspace(-1, 1, len(rows))
    together = gradients(engine, rows, weights)
    assert_same_gradients(together, gradients_one_by_one(engine, rows, weights))


def test_a_model_that_cannot_be_packed_is_padded_and_computes_the_same(monkeypatch):
    engine = tiny_engine("llama")
    rows = mixed_rows(np.random.default_rng(2), questions=2, rollouts=2)
    packed = gradients(engine, rows, [1.0] * len(rows))
    monkeypatch.setattr(
        "neuromas_env.agents.engines.transformers.use_own_attention", lambda model: False
    )
    padding = tiny_engine("llama")
    assert padding.computed(rows) > engine.computed(rows)
    assert_same_gradients(packed, gradients(padding, rows, [1.0] * len(rows)))


def test_padded_prompts_of_different_lengths_stand_apart(monkeypatch):
    monkeypatch.setattr(
        "neuromas_env.agents.engines.transformers.use_own_attention", lambda model: False
    )
    engine = tiny_engine("llama", token_budget=4096)
    rng = np.random.default_rng(0)
    rows = [
        Row("node_0", ids, rng.integers(3, 50, 16))
        for length in (500, 100, 480, 110, 490, 105)
        for ids in [rng.integers(3, 50, length)]
        for _ in range(4)
    ]
    real = sum(4 * (length + 15) for length in (500, 100, 480, 110, 490, 105))
    batches = [[rows[i] for i in batch] for batch in engine.micro_batches(rows, 1200)]
    assert sum(map(engine.computed, batches)) < 1.06 * real


@pytest.mark.slow
def test_the_fused_kernel_computes_the_same_from_packed_rows(family):
    engine = tiny_engine(family)
    rows = mixed_rows(np.random.default_rng(3), questions=2, rollouts=2)
    assert engine.model.config._attn_implementation == NAME
    grouped = gradients(engine, rows, [1.0] * len(rows))
    engine.model.set_attn_implementation(FUSED)
    assert_same_gradients(grouped, gradients(engine, rows, [1.0] * len(rows)))


@pytest.mark.slow
def test_long_prompts_have_the_same_gradient_from_either_kernel(family, monkeypatch):
    engine, rng, taken = tiny_engine(family), np.random.default_rng(4), []
    rows = [
        Row(n, rng.integers(5, 300, size), np.array([7, 8])) for n in NODES for size in (150, 290)
    ]
    fused = attention.sdpa_attention_forward

    def counted(module, query, *rest, **options):
        taken.append(query.shape[2])
        return fused(module, query, *rest, **options)

    monkeypatch.setattr(attention, "sdpa_attention_forward", counted)
    long = gradients(engine, rows, [1.0] * len(rows))
    assert taken and min(taken) >= 128
    taken.clear()
    monkeypatch.setattr(attention, "_LONG", 10_000)
    assert_same_gradients(long, gradients(engine, rows, [1.0] * len(rows)))
    assert not taken


def test_what_cannot_be_packed_is_told_by_the_configuration():
    model = tiny_engine("llama").model
    assert use_own_attention(model)
    for name, value in {
        "attn_logit_softcapping": 50.0,
        "layer_types": ["full_attention", "linear_attention"],
    }.items():
        other = copy.deepcopy(model)
        setattr(other.config, name, value)
        assert not use_own_attention(other)
