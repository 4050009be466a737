import dataclasses

import numpy as np
import pytest
import torch
from support.engines import (
    NODES,
    TEXTS,
    Reference,
    assert_same_gradients,
    collect_gradients,
    gradients,
    mixed_requests,
    rows_of,
    sampled_rows,
    tiny_engine,
)
from support.tiny_models import FAMILIES

from neuromas_env.agents.engines.base import Row
from neuromas_env.agents.engines.forward.lm_head import draw
from neuromas_env.agents.engines.transformers import TransformersEngine
from neuromas_env.agents.llm import llm_network
from neuromas_env.errors import InputError
from neuromas_env.policy import Request, Sampling
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task
from neuromas_env.topology import Topology

pytestmark = pytest.mark.slow

WEIGHTS = [1.0, -0.5, 2.0, 0.3, -1.0, 0.7, 1.5, -0.2]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def engine(family):
    return tiny_engine(family)


@pytest.fixture(scope="module")
def reference(engine, family):
    return Reference(engine, family)


# --- generation -----------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.0, 1.0, 0.7])
def test_generates_what_a_naive_loop_generates(engine, reference, temperature):
    requests = mixed_requests(engine, temperature, length=24)
    replies = engine.generate(requests)
    for request, reply in zip(requests, replies, strict=True):
        ids, logprobs = reference.generate(reply.prompt_ids.tolist(), request)
        assert reply.ids.tolist() == ids
        assert np.allclose(reply.logprobs, logprobs, atol=1e-4)
        assert reply.finished == (ids[-1] in engine.chat.end_ids)
    assert len({len(reply.prompt_ids) for reply in replies}) > 2


def test_rows_that_end_early_do_not_disturb_the_others(engine, reference):
    # So many tokens count as ends that rows stop after every number of tokens.
    ends = engine.chat.end_ids
    engine.chat.end_ids = reference.ends = frozenset(range(0, 330, 6)) | ends
    try:
        requests = mixed_requests(engine, length=24, count=16)
        replies = engine.generate(requests)
        lengths = {len(reply.ids) for reply in replies}
        assert len(lengths) > 3 and 1 in lengths
        for request, reply in zip(requests, replies, strict=True):
            assert reply.ids.tolist() == reference.generate(reply.prompt_ids.tolist(), request)[0]
    finally:
        engine.chat.end_ids = reference.ends = ends


def test_a_row_is_the_same_alone_and_in_a_batch_and_in_any_chunks(family, engine):
    requests = mixed_requests(engine, length=16)
    together = engine.generate(requests)
    assert [c.text for c in engine.generate(requests)] == [c.text for c in together]
    alone = [engine.generate([request])[0] for request in reversed(requests)][::-1]
    assert [c.ids.tolist() for c in alone] == [c.ids.tolist() for c in together]
    chunked = tiny_engine(family, chunk_rows=3, share_prefixes=False)
    same = chunked.generate([dataclasses.replace(r, engine=chunked) for r in requests])
    assert [c.ids.tolist() for c in same] == [c.ids.tolist() for c in together]


def test_another_seed_draws_another_reply(engine):
    requests = [Request((("user", "yes"),), engine, "node_0", seed=seed) for seed in range(6)]
    short = [dataclasses.replace(r, sampling=Sampling(1.0, 6)) for r in requests]
    assert len({c.text for c in engine.generate(short)}) == 6


def test_draw_inverts_the_cumulative_distribution():
    logits = torch.log(torch.tensor([[0.1, 0.6, 0.3]])).repeat(5, 1)
    uniform = torch.tensor([0.0, 0.0999, 0.1001, 0.7001, 0.9999], dtype=torch.float64)
    tokens, logprobs = draw(logits, torch.ones(5), uniform, torch.arange(5))
    assert tokens.tolist() == [0, 0, 1, 2, 2]
    assert torch.allclose(logprobs.exp(), torch.tensor([0.1, 0.1, 0.6, 0.3, 0.3]))
    hot, logprobs = draw(logits, torch.tensor([0.0, 2.0, 0.5, 1.0, 0.0]), uniform, torch.arange(5))
    assert hot.tolist() == [1, 0, 1, 2, 1]
    scaled = torch.tensor([0.1, 0.6, 0.3])
    assert torch.isclose(logprobs[0].exp(), scaled[1])
    assert torch.isclose(logprobs[1].exp(), (scaled.sqrt() / scaled.sqrt().sum())[0])
    assert torch.isclose(logprobs[2].exp(), (scaled**2 / (scaled**2).sum())[1])


def test_the_empirical_distribution_is_the_models(engine, reference):
    requests = [
        Request((("user", "yes"),), engine, "node_1", Sampling(1.0, 1), seed)
        for seed in range(2000)
    ]
    replies = engine.generate(requests)
    logits = reference.logits([replies[0].prompt_ids.tolist()], ["node_1"])[0, -1]
    p = logits.softmax(-1).numpy()
    top = np.argsort(p)[-5:]
    drawn = np.array([reply.ids[0] for reply in replies])
    found = np.array([(drawn == token).mean() for token in top])
    assert np.abs(found - p[top]).max() < 5 * np.sqrt(p[top].max() / 2000)


def test_a_prompt_longer_than_the_context_is_an_error_of_its_own(engine):
    long = Request((("user", "yes " * 3000),), engine, "node_0", Sampling(0.0, 4))
    short = Request((("user", "yes"),), engine, "node_0", Sampling(0.0, 4))
    first, second, third = engine.generate([short, long, short])
    assert first.error is None and first.text == third.text
    assert "context" in second.error and "2048" in second.error and len(second.ids) == 0


def test_a_failed_call_names_the_node_in_the_trajectory(engine):
    class Long(type(make_task("signal"))):
        answer_format = "yes " * 3000

    task, topology = Long(4), Topology.parse("1-1")
    network = llm_network(topology, task, engine, Sampling(1.0, 4))
    (run, *_) = run_episodes(network, task, task.examples("train")[:1])
    assert run.error.startswith("node_0: ") and "context" in run.error
    assert run.score is None and run.turns == ()


def test_no_requests_no_answers(engine):
    assert engine.generate([]) == []


def test_costs_are_booked_by_phase_and_adapter(family):
    engine = tiny_engine(family)
    requests = mixed_requests(engine, count=8)
    replies = engine.generate(requests)
    engine.cost.phase = "train"
    engine.generate(requests[:1])
    for name in (*NODES, None):
        own = [reply for r, reply in zip(requests, replies, strict=True) if r.adapter == name]
        usage = engine.cost.usage["eval", name or "base"]
        assert usage.calls == len(own) == 2
        assert usage.prompt_tokens == sum(len(reply.prompt_ids) for reply in own)
        assert usage.completion_tokens == sum(len(reply.ids) for reply in own)
        assert usage.seconds > 0
    assert engine.cost.total("train").calls == 1 and engine.cost.total("eval").calls == 8


# --- training passes ------------------------------------------------------------------


def test_training_sees_the_samplers_log_probabilities(engine, reference):
    requests = mixed_requests(engine, length=24)
    replies = engine.generate(requests)
    with engine.training(rows_of(requests, replies), with_kl=True) as scored:
        logprobs, row = scored.logprobs.detach().numpy(), scored.row.numpy()
        entropy, kl = scored.entropy.detach().numpy(), scored.kl.detach().numpy()
    assert np.abs(logprobs - np.concatenate([c.logprobs for c in replies])).max() < 1e-4
    for i, (request, reply) in enumerate(zip(requests, replies, strict=True)):
        ids = [*reply.prompt_ids.tolist(), *reply.ids.tolist()]
        cut = slice(len(reply.prompt_ids) - 1, -1)
        logp = reference.logits([ids], [request.adapter])[0, cut].log_softmax(-1)
        base = reference.logits([ids], [None])[0, cut].log_softmax(-1)
        assert np.allclose(entropy[row == i], -(logp.exp() * logp).sum(-1), atol=1e-4)
        assert np.allclose(kl[row == i], (logp.exp() * (logp - base)).sum(-1), atol=1e-4)
        assert (row == i).sum() == len(reply.ids)
    assert kl[np.isin(row, [i for i, r in enumerate(requests) if r.adapter])].min() > 1e-4


def test_sharing_prefixes_does_not_change_the_gradient(family, engine):
    rows = sampled_rows(engine)
    together = gradients(engine, rows, WEIGHTS)
    plain = tiny_engine(family, share_prefixes=False)
    total = {}
    for row, weight in zip(rows, WEIGHTS, strict=True):
        if row.adapter is None:
            continue
        for node, gradient in gradients(plain, [row], [weight]).items():
            if gradient is not None:
                total[node] = total.get(node, 0) + gradient
    assert total.keys() == set(NODES)
    assert_same_gradients(together, total)


def test_the_gradient_is_that_of_finite_differences(engine):
    rows = sampled_rows(engine)
    found = gradients(engine, rows, WEIGHTS)

    def value():
        with torch.no_grad(), engine.training(rows) as scored:
            weight = torch.tensor(WEIGHTS, dtype=torch.float64)[scored.row]
            return float((weight * scored.logprobs).sum())

    generator = torch.Generator().manual_seed(0)
    for node in NODES:
        parameters = list(engine.adapters.parameters(node).values())
        before = [p.detach().clone() for p in parameters]
        direction = [torch.randn(p.shape, generator=generator) for p in parameters]
        slopes = []
        for sign in (1, -1):
            with torch.no_grad():
                for p, old, d in zip(parameters, before, direction, strict=True):
                    p.copy_(old + sign * 1e-3 * d)
            slopes.append(value())
        with torch.no_grad():
            for p, old in zip(parameters, before, strict=True):
                p.copy_(old)
        slope = (slopes[0] - slopes[1]) / 2e-3
        expected = float(found[node] @ torch.cat([d.ravel() for d in direction]))
        assert abs(slope - expected) < 0.02 * abs(expected) + 0.02


def test_only_adapters_in_the_batch_get_a_gradient(engine):
    rows = [row for row in sampled_rows(engine) if row.adapter != "node_1"]
    found = gradients(engine, rows, [1.0] * len(rows))
    assert found["node_1"] is None
    assert found["node_0"].norm() > 0 and found["node_2"].norm() > 0
    assert all(not p.requires_grad for n, p in engine.model.named_parameters() if "lora" not in n)


@pytest.mark.parametrize("budget", [1, 200, 700, 100_000])
def test_micro_batches_of_any_budget_add_up_to_the_same_gradient(family, engine, budget):
    rows = [row for row in sampled_rows(engine) if row.adapter]
    whole = gradients(engine, rows, WEIGHTS[: len(rows)])
    cut = tiny_engine(family, token_budget=budget)
    batches = cut.micro_batches(rows)
    assert sorted(sum(batches, [])) == list(range(len(rows)))
    assert len(batches) == {1: len(rows), 100_000: 1}.get(budget, len(batches))
    for batch in batches:
        assert len(batch) == 1 or cut.computed([rows[i] for i in batch]) <= budget
        with cut.training([rows[i] for i in batch]) as scored:
            weight = torch.tensor([WEIGHTS[i] for i in batch])[scored.row]
            (weight * scored.logprobs).sum().backward()
    assert_same_gradients(whole, collect_gradients(cut))


def test_the_head_in_pieces_gives_the_same_gradient(engine, monkeypatch):
    rows = sampled_rows(engine)
    whole = gradients(engine, rows, WEIGHTS, with_kl=True)
    monkeypatch.setattr("neuromas_env.agents.engines.transformers.HEAD_TOKENS", 5)
    assert_same_gradients(whole, gradients(engine, rows, WEIGHTS, with_kl=True))


def test_gradient_checkpointing_gives_the_same_gradient(family, engine):
    rows = sampled_rows(engine)
    plain = gradients(engine, rows, WEIGHTS)
    saving = tiny_engine(family, gradient_checkpointing=True)
    assert_same_gradients(plain, gradients(saving, rows, WEIGHTS))
    assert not any(module.training for module in saving.model.modules())
    # Generation goes on as before.
    request = mixed_requests(saving)[0]
    twin = dataclasses.replace(request, engine=engine)
    assert saving.generate([request])[0].text == engine.generate([twin])[0].text


def peak_bytes(engine, rows):
    """Largest sum of bytes allocated during a training pass, by the profiler's account."""
    activity = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activity, profile_memory=True) as profile:
        found = gradients(engine, rows, [1.0] * len(rows))
    assert all(gradient is not None for gradient in found.values())
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return np.cumsum([event.nbytes() for event in events]).max()


def test_gradient_checkpointing_lowers_the_peak_of_memory_with_mixed_adapters():
    options = {"share_prefixes": False}
    rng = np.random.default_rng(0)
    rows = [
        Row(node, rng.integers(5, 300, 200), rng.integers(5, 300, 8))
        for node in NODES
        for _ in range(2)
    ]
    plain = peak_bytes(tiny_engine("llama", **options), rows)
    saving = peak_bytes(tiny_engine("llama", gradient_checkpointing=True, **options), rows)
    assert saving < 0.7 * plain


def test_the_last_token_is_trained_and_padding_is_not(engine):
    end = min(engine.chat.end_ids)
    prompt = np.asarray(engine.chat.encode((("user", TEXTS[0]),)))
    long = Row("node_0", prompt, np.arange(20, 40))
    for ids in ([end], [50, 51, end], [60, 61, 62]):
        row = Row("node_1", prompt[-9:], np.array(ids))
        both = gradients(engine, [long, row], [0.0, 1.0])
        assert both["node_0"].norm() == 0
        only = gradients(engine, [row], [1.0])
        assert_same_gradients({"node_1": both["node_1"]}, {"node_1": only["node_1"]})
        with engine.training([long, row]) as scored:
            assert (scored.row == 1).sum() == len(ids)
            last = scored.logprobs[-1]
            assert last == scored.logprobs[scored.row == 1][-1]
            last.backward()
        assert collect_gradients(engine)["node_1"].norm() > 0


def test_an_end_token_that_is_also_the_padding_is_kept_at_the_end_only():
    engine = tiny_engine("llama")
    (end,) = engine.chat.end_ids
    assert end == engine.chat._tokenizer.pad_token_id
    # The same token stands inside the prompt, where it ends a turn: it must be attended to.
    prompt = np.asarray(engine.chat.encode((("user", "yes"),)))
    assert (prompt == end).sum() >= 1
    blind = prompt.copy()
    blind[prompt == end] = 30
    logprobs = []
    for ids in (prompt, blind):
        with torch.no_grad(), engine.training([Row("node_0", ids, np.array([40, end]))]) as scored:
            logprobs.append(scored.logprobs)
            assert len(scored.logprobs) == 2
    assert not torch.allclose(*logprobs)


def test_runs_in_bfloat16(family):
    engine = tiny_engine(family, dtype="bfloat16")
    requests = mixed_requests(engine)
    replies = engine.generate(requests)
    found = gradients(engine, rows_of(requests, replies), WEIGHTS)
    for node in NODES:
        assert engine.adapters.parameters(node)["0.A"].dtype == torch.float32
        assert torch.isfinite(found[node]).all() and found[node].norm() > 0
    with torch.no_grad(), engine.training(rows_of(requests, replies)) as scored:
        drawn = np.concatenate([reply.logprobs for reply in replies])
        assert np.abs(scored.logprobs.numpy() - drawn).mean() < 0.05


def test_an_engine_of_its_own_per_node_works_side_by_side():
    task, topology = make_task("signal"), Topology.parse("1-1")
    first, second = tiny_engine("llama"), tiny_engine("qwen3")
    network = llm_network(topology, task, first, Sampling(1.0, 4))
    other = llm_network(topology, task, second, Sampling(1.0, 4)).team["node_1"]
    network = dataclasses.replace(network, team={**network.team, "node_1": other})
    runs = run_episodes(network, task, task.examples("train"))
    assert not any(run.error for run in runs)
    assert set(first.cost.usage) == {("eval", "node_0")}
    assert set(second.cost.usage) == {("eval", "node_1")}
    assert isinstance(first, TransformersEngine)


def test_too_little_memory_for_a_chunk_says_how_many_rows_to_take(monkeypatch):
    engine = tiny_engine("llama", chunk_rows=6)

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(engine, "_chunk", full)
    with pytest.raises(InputError, match="cpu ran out of memory in generating 6.*chunk_rows 3 or"):
        engine.generate(mixed_requests(engine))
