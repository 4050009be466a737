"""What replies have in common is computed once, and that changes nothing."""

import dataclasses

import numpy as np
import pytest
from support.engines import NODES, Reference, mixed_requests, tiny_engine
from support.tiny_models import FAMILIES

from neuromas_env.policy import Request, Sampling

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def engine(family):
    return tiny_engine(family)


def rollouts(engine, count=6, length=16, temperatures=(0.7,)):
    """Several replies to each of two prompts, by two nodes."""
    return [
        Request((("user", text),), engine, node, Sampling(temperature, length), seed)
        for node in NODES[:2]
        for text in ("Which of these numbers is the largest? 12 48", "yes")
        for temperature in temperatures
        for seed in range(count)
    ]


def sharpen(engine, monkeypatch, factor=20.0):
    """Make the model so sure that replies to one prompt stay together for some tokens."""
    plain = engine._head
    monkeypatch.setattr(engine, "_head", lambda hidden: factor * plain(hidden))


def count_tokens(engine, requests):
    """Answer requests; return the replies and how many tokens the model has computed."""
    engine.generate(requests[:1])  # the first call also compares two ways of decoding
    sizes = []
    embed = engine.model.get_input_embeddings()
    hook = embed.register_forward_hook(lambda _, inputs, __: sizes.append(inputs[0].numel()))
    replies = engine.generate(requests)
    hook.remove()
    return replies, sum(sizes)


def test_what_replies_begin_with_is_computed_once(engine, monkeypatch):
    sharpen(engine, monkeypatch)
    requests = rollouts(engine)
    replies, computed = count_tokens(engine, requests)
    prompts, begun = set(), set()  # what is computed before the first draw, and after it
    for request, reply in zip(requests, replies, strict=True):
        prompt, ids = tuple(reply.prompt_ids.tolist()), tuple(reply.ids.tolist())
        prompts |= {(request.adapter, prompt[:end]) for end in range(1, len(prompt) + 1)}
        begun |= {(request.adapter, prompt, ids[:end]) for end in range(1, len(ids))}
    assert computed == len(prompts) + len(begun)
    assert len(begun) < 0.8 * sum(len(reply.ids) - 1 for reply in replies)


def test_each_reply_is_that_of_its_own_stream(engine, family, monkeypatch):
    sharpen(engine, monkeypatch)
    reference = Reference(engine, family)
    plain = reference.logits
    monkeypatch.setattr(reference, "logits", lambda ids, names: 20.0 * plain(ids, names))
    requests = rollouts(engine, count=4, length=10)
    replies = engine.generate(requests)
    assert len({tuple(reply.ids.tolist()) for reply in replies}) > 4
    for request, reply in zip(requests, replies, strict=True):
        ids, logprobs = reference.generate(reply.prompt_ids.tolist(), request)
        assert reply.ids.tolist() == ids
        assert np.allclose(reply.logprobs, logprobs, atol=1e-3)


def test_one_prompt_at_several_temperatures(engine):
    requests = rollouts(engine, count=2, temperatures=(0.0, 0.5, 1.5))
    together = engine.generate(requests)
    for request, reply in zip(requests, together, strict=True):
        (alone,) = engine.generate([request])
        assert reply.ids.tolist() == alone.ids.tolist()
        assert np.allclose(reply.logprobs, alone.logprobs, atol=1e-4)


def test_equal_greedy_requests_are_computed_once(engine):
    (request,) = mixed_requests(engine, temperature=0.0, count=1)
    (_, once) = count_tokens(engine, [request])
    replies, often = count_tokens(
        engine, [dataclasses.replace(request, seed=seed) for seed in range(9)]
    )
    assert once == often
    assert len({reply.text for reply in replies}) == 1
    assert engine.cost.total("eval").calls >= 9  # each is a call all the same
