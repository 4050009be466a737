import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engines import NODES, tiny_engine
from support.token_rows import TOKENS, batches

from neuromas_env.agents.engines.forward import prefix


def spelled(levels, leaf):
    """Return all tokens above and in one entry of the last level, and its adapters."""
    ids, adapters, entry = [], set(), leaf
    for level in reversed(levels):
        ids = [*level.ids[entry], *ids]
        adapters.add(level.adapters[entry])
        entry = level.parents[entry]
    return ids, adapters


@pytest.mark.slow
@given(batches(), st.booleans())
def test_levels_spell_the_rows_in_order(batch, share):
    rows, adapters, keep = batch
    levels, order = prefix.plan(rows, adapters, keep, share)
    assert sorted(order) == list(range(len(rows)))
    assert len(levels[-1].ids) == len(rows)
    for leaf, row in enumerate(order):
        assert spelled(levels, leaf) == (list(rows[row]), {adapters[row]})
        assert len(levels[-1].ids[leaf]) >= keep[row]


@pytest.mark.slow
@given(batches())
def test_sharing_never_computes_more_than_plain_padding(batch):
    rows, adapters, keep = batch
    shared = prefix.padded_tokens(prefix.plan(rows, adapters, keep)[0])
    plain = prefix.padded_tokens(prefix.plan(rows, adapters, keep, share=False)[0])
    assert plain == len(rows) * max(map(len, rows))
    assert shared <= plain


def test_sharing_computes_common_beginnings_once():
    system, questions = [9] * 50, [[i] * 20 for i in range(4)]
    rows = [system + q + [30 + i] for q in questions for i in range(8)]
    levels, _ = prefix.plan(rows, ["a"] * 32, [1] * 32)
    assert prefix.padded_tokens(levels) == 50 + 4 * 20 + 32


@given(TOKENS, TOKENS)
def test_common_prefix(first, second):
    length = prefix.common_prefix(first, second)
    assert first[:length] == second[:length]
    assert length == min(len(first), len(second)) or first[length] != second[length]


def saved(shared, base, starts):
    """Count the tokens that a cut into runs saves beyond what all rows share."""
    ends = [*starts[1:], len(shared) + 1]
    return sum(
        (end - start - 1) * (min(shared[start : end - 1]) - base)
        for start, end in zip(starts, ends, strict=True)
        if end - start > 1
    )


@given(st.lists(st.integers(0, 6), min_size=0, max_size=7))
@settings(max_examples=200)
def test_clusters_are_the_best_cut(shared):
    base = min(shared, default=0)
    starts = prefix.clusters(shared, base)
    assert starts[0] == 0 and starts == sorted(set(starts))
    best = max(
        saved(shared, base, [0, *cut])
        for size in range(len(shared) + 1)
        for cut in itertools.combinations(range(1, len(shared) + 1), size)
    )
    assert saved(shared, base, starts) == best


@pytest.fixture(scope="module")
def engine():
    return tiny_engine("llama")


@pytest.mark.slow
@given(batches())
@settings(max_examples=25, deadline=None)
def test_hidden_states_do_not_depend_on_sharing(engine, batch):
    rows, adapters, keep = batch
    names = [{"a": NODES[0], "b": NODES[1], None: None}[name] for name in adapters]
    hidden = {}
    with torch.no_grad(), engine.adapters.loaded(names):
        for share in (True, False):
            levels, order = prefix.plan(rows, names, keep, share)
            running = prefix.run(engine.model, engine.adapters, levels)
            assert running.lengths.tolist() == [len(rows[row]) for row in order]
            assert running.mask.sum(1).tolist() == running.lengths.tolist()
            hidden[share] = {
                row: running.hidden[place, -keep[row] :] for place, row in enumerate(order)
            }
    for row in range(len(rows)):
        assert torch.allclose(hidden[True][row], hidden[False][row], atol=1e-4)


def test_an_adapter_with_a_single_question_pads_no_other():
    rows = [[question] * 63 + [reply] * 16 for question in (1, 2, 3) for reply in range(8)]
    levels, _ = prefix.plan(rows, ["a"] * 16 + ["b"] * 8, [16] * 24)
    assert prefix.padded_tokens(levels) == 3 * 63 + 24 * 16
