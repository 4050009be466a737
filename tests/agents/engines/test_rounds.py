"""A network of several rounds on models: prompts that go on, and what training computes."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from support.chat_server import ChatServer
from support.engines import NODES, assert_same_gradients, collect_gradients, tiny_engine
from support.tiny_models import FAMILIES
from support.toy_tasks import Whole
from support.vllm_stand_in import make, put_in_place

from neuromas_env.agents.engines.base import Row
from neuromas_env.agents.engines.cached import CachedEngine
from neuromas_env.agents.engines.openai import OpenAIEngine
from neuromas_env.agents.learners.reinforce import Reinforce
from neuromas_env.agents.llm import llm_network
from neuromas_env.policy import Request, Sampling
from neuromas_env.rollout import run_episodes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=FAMILIES)
def engine(request):
    return tiny_engine(request.param)


@pytest.fixture(scope="module")
def runs(engine):
    return episodes(engine)


def episodes(engine, topology="2-1:rounds=3"):
    task = Whole()
    network = llm_network(topology, task, engine, Sampling(1.0, 6))
    return run_episodes(network, task, task.rows[:1], rollouts=2)


def test_a_prompt_begins_with_the_one_before_and_its_reply(runs):
    ended = set()
    for run in runs:
        for node in NODES:
            for one, next in pairwise(run.by_node(node)):
                begin = [*one.completion.prompt_ids, *one.completion.ids]
                assert next.completion.prompt_ids[: len(begin)].tolist() == begin
                assert len(next.completion.prompt_ids) > len(begin)
                ended.add(one.completion.finished)
    assert False in ended


def test_round_0_is_the_network_of_one_round(engine, runs):
    for short, long in zip(episodes(engine, "2-1"), runs, strict=True):
        for one, other in zip(short.turns, long.turns, strict=False):
            assert (one.node, one.text) == (other.node, other.text) and other.round == 0
            assert one.completion.prompt_ids.tolist() == other.completion.prompt_ids.tolist()
            assert one.completion.ids.tolist() == other.completion.ids.tolist()


def test_training_computes_a_conversation_once_with_the_same_gradient():
    runs = [replace(r, reward=float(i % 2)) for i, r in enumerate(episodes(tiny_engine("llama")))]
    rows, last = (
        [
            Row(turn.adapter, turn.completion.prompt_ids, turn.completion.ids)
            for run in runs
            for turn in run.turns
            if turn.round >= first
        ]
        for first in (0, 2)
    )
    found, computed = [], []
    for share in (True, False):
        engine = tiny_engine("llama", share_prefixes=share)
        metrics = Reinforce(engine, NODES, clip=1e9).gradient(runs)
        assert metrics["sampler_gap"] < 1e-4 and metrics["train_rows"] == len(rows) == 2 * 9
        found.append(collect_gradients(engine))
        computed.append(engine.computed(rows))
        assert share == (engine.computed(last) == computed[-1])
    assert_same_gradients(*found, 1e-6)
    assert computed[0] < 0.5 * computed[1]


def test_a_cache_tells_replies_apart(tmp_path):
    engine = tiny_engine("llama")
    cached = CachedEngine(engine, {"engine": "tiny"}, tmp_path / "cache.sqlite")
    turns = (("user", "yes"), ("assistant", "4"), ("user", "no"))
    sampling = Sampling(0.0, 2)
    replies = [(), (np.array([20, 21]),), (np.array([20, 22]),)]
    asked = [Request(turns, engine, None, sampling, replies=ids) for ids in replies]
    first = cached.generate(asked)
    assert len({tuple(reply.prompt_ids) for reply in first}) == 3
    calls = engine.cost.total("eval").calls
    again = cached.generate(asked)
    assert engine.cost.total("eval").calls == calls == 3
    assert [r.ids.tolist() for r in again] == [r.ids.tolist() for r in first]
    cached.close()


@pytest.mark.vllm
def test_vllm_gets_the_tokens_that_it_has_drawn(monkeypatch):
    put_in_place(monkeypatch)
    ours, theirs = (episodes(e, "1:rounds=2") for e in (tiny_engine("llama"), make()))
    for one, other in zip(ours, theirs, strict=True):
        assert [t.text for t in one.turns] == [t.text for t in other.turns]
        asked = [[t.completion.prompt_ids.tolist() for t in run.turns] for run in (one, other)]
        assert asked[0] == asked[1]


def test_a_server_gets_the_texts():
    with ChatServer(lambda body: f"said {len(body['messages'])}") as server:
        engine = OpenAIEngine("m", base_url=server.url)
        task = Whole()
        network = llm_network("1:rounds=2", task, engine, Sampling(0.0, 4), adapter_of={})
        run_episodes(network, task, task.rows[:1])
        engine.close()
    assert [message["content"] for message in server.bodies[1]["messages"][1:]] == [
        "say yes",
        "said 2",
        "[round 2 of 2]",
    ]
