"""Turns of a conversation are computed once, with the gradient of each alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engines import (
    NODES,
    assert_same_gradients,
    gradients,
    gradients_one_by_one,
    tiny_engine,
)
from support.tiny_models import FAMILIES
from support.token_rows import TOKENS

from neuromas_env.agents.engines.base import Row
from neuromas_env.agents.engines.forward import batches


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


def conversations(rng, questions=2, rollouts=2, rounds=3, low=5, high=300):
    """Rows of nodes with memory, in the order in which episodes have their turns."""
    heads = {node: rng.integers(low, high, 20) for node in NODES[:2]}
    rows = []
    for _ in range(questions):
        question = rng.integers(low, high, 25)
        for _ in range(rollouts):
            prompts = {node: np.concatenate([heads[node], question]) for node in heads}
            for _ in range(rounds):
                for node in heads:
                    ids = rng.integers(low, high, rng.integers(1, 12))
                    rows.append(Row(node, prompts[node], ids))
                    news = rng.integers(low, high, rng.integers(1, 12))
                    prompts[node] = np.concatenate([prompts[node], ids, news])
    return rows


@st.composite
def rows(draw):
    """Rows whose prompts often go on from others' tokens."""
    found = []
    for _ in range(draw(st.integers(1, 8))):
        start = draw(st.sampled_from([[], *(row.prompt_ids.tolist() for row in found)]))
        ids = draw(st.sampled_from([[], *(row.ids.tolist() for row in found)]))
        prompt = start + (ids if start else []) + draw(TOKENS)
        name = draw(st.sampled_from(["a", None]))
        found.append(Row(name, np.array(prompt), np.array(draw(TOKENS))))
    return found


def goes_on(row, other):
    """Whether another row's prompt goes on from a row's prompt and reply."""
    own = [*row.prompt_ids, *row.ids]
    longer = other.prompt_ids.tolist()
    return row.adapter == other.adapter and len(longer) > len(own) and longer[: len(own)] == own


@given(rows())
@settings(max_examples=50)
def test_a_row_is_read_from_one_that_goes_on_from_it_if_there_is_any(rows):
    chains = batches.chains(rows)
    assert sorted(sum(chains.values(), [])) == list(range(len(rows)))
    for head, chain in chains.items():
        assert head in chain and not any(goes_on(rows[head], other) for other in rows)
        assert all(i == head or goes_on(rows[i], rows[head]) for i in chain)


def test_equal_rows_and_beginnings_of_a_reply_are_computed_each():
    prompt = np.arange(5)
    found = [Row("a", prompt, np.array(ids)) for ids in ([7], [7], [7, 8], [7, 8, 9])]
    assert batches.chains(found) == {i: [i] for i in range(4)}
    other = Row("b", np.array([*prompt, 7, 8, 9, 1]), np.array([2]))
    assert batches.chains([*found, other]) == {i: [i] for i in range(5)}


@pytest.mark.slow
def test_chains_have_the_gradient_of_each_row_alone(family):
    engine = tiny_engine(family)
    rows = conversations(np.random.default_rng(0), questions=1)
    weights = np.linspace(-1, 1, len(rows))
    assert len(batches.chains(rows)) == len(rows) // 3
    together = gradients(engine, rows, weights)
    assert_same_gradients(together, gradients_one_by_one(engine, rows, weights), 1e-6)
    for_each = tiny_engine(family, share_prefixes=False)
    assert_same_gradients(together, gradients(for_each, rows, weights), 1e-6)
    saving = tiny_engine(family, gradient_checkpointing=True)
    assert_same_gradients(together, gradients(saving, rows, weights), 1e-6)


@pytest.mark.slow
def test_chains_are_scored_row_by_row_as_alone(family):
    engine = tiny_engine(family)
    rows = conversations(np.random.default_rng(1), questions=1)[::-1]
    with torch.no_grad(), engine.training(rows, with_kl=True) as scored:
        assert scored.row.tolist() == [i for i, row in enumerate(rows) for _ in row.ids]
    for index, row in enumerate(rows):
        with torch.no_grad(), engine.training([row], with_kl=True) as alone:
            own = scored.row == index
            for name in ("logprobs", "entropy", "kl"):
                one, all_ = getattr(alone, name), getattr(scored, name)[own]
                assert torch.allclose(one, all_, atol=1e-5), name


@pytest.mark.slow
@pytest.mark.parametrize("budget", [1, 150, 400, 100_000])
def test_chains_stay_whole_in_micro_batches_of_any_budget(budget):
    engine, seen = tiny_engine("llama"), []
    rows = conversations(np.random.default_rng(2), questions=3)
    found = engine.micro_batches(rows, budget)
    assert sorted(sum(found, [])) == list(range(len(rows)))
    chains = batches.chains(rows)
    embed = engine.model.get_input_embeddings()
    embed.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].numel()))
    for batch in found:
        own = [chain for head, chain in chains.items() if head in batch]
        assert sorted(sum(own, [])) == sorted(batch)
        tokens = engine.computed([rows[i] for i in batch])
        assert tokens <= budget or len(own) == 1
        with torch.no_grad(), engine.training([rows[i] for i in batch]):
            pass
        assert seen.pop() == tokens
    if budget == 100_000:
        assert [engine.computed(rows)] == [engine.computed([rows[i] for i in chains])]


@pytest.mark.slow
def test_models_whose_rows_are_padded_compute_every_row(monkeypatch):
    rows = conversations(np.random.default_rng(3), questions=1)
    packed = gradients(tiny_engine("llama"), rows, [1.0] * len(rows))
    monkeypatch.setattr(
        "neuromas_env.agents.engines.transformers.use_own_attention", lambda model: False
    )
    padding = tiny_engine("llama")
    longest = max(len(row.prompt_ids) + len(row.ids) - 1 for row in rows)
    assert padding.computed(rows) == len(rows) * longest
    assert_same_gradients(packed, gradients(padding, rows, [1.0] * len(rows)))
