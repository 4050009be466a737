"""The engine for OpenAI-compatible servers, against a server of our own."""

from __future__ import annotations

import sys
import threading
import time

import numpy as np
import pytest
from support.chat_server import ChatServer

from neuromas_env.agents.engines.openai import GIVE_UP, OpenAIEngine
from neuromas_env.agents.engines.servers.markup import plain
from neuromas_env.agents.engines.servers.pace import Pace
from neuromas_env.errors import InputError
from neuromas_env.policy import Request, Sampling


def requests(engine, count, text="question {}", **options):
    return [
        Request((("system", "short"), ("user", text.format(i))), engine, seed=i, **options)
        for i in range(count)
    ]


def asked(body):
    return body["messages"][-1]["content"]


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def ask(reply, count=1, text="question {}", server_options=None, sampling=None, **options):
    with ChatServer(reply, **(server_options or {})) as server:
        engine = OpenAIEngine("m", base_url=server.url, **options)
        chosen = {"sampling": sampling} if sampling else {}
        return engine.generate(requests(engine, count, text, **chosen)), engine, server


@pytest.mark.slow
def test_replies_come_in_the_order_of_the_requests():
    def reply(body):
        number = int(asked(body).split()[-1])
        time.sleep(0.02 * (number == 0))
        return f"answer {number}"

    replies, _, server = ask(reply, 12, concurrency=4)
    assert [reply.text for reply in replies] == [f"answer {i}" for i in range(12)]
    assert all(reply.finished and reply.error is None for reply in replies)


@pytest.mark.slow
def test_everything_that_matters_is_sent():
    _, _, server = ask(lambda body: "x", sampling=Sampling(0.7, 33))
    [body] = server.bodies
    assert body["messages"] == [
        {"role": "system", "content": "short"},
        {"role": "user", "content": "question 0"},
    ]
    assert (body["model"], body["temperature"], body["top_p"]) == ("m", 0.7, 1)
    assert (body["max_tokens"], body["seed"]) == (33, 0)


def test_calls_run_at_once_but_not_more_than_allowed():
    three = threading.Barrier(3, timeout=60)  # lets nobody through until three are there

    def reply(body):
        three.wait()
        return "x"

    replies, _, server = ask(reply, 12, concurrency=3)
    assert server.most == 3 and not any(reply.error for reply in replies)


def test_cost_is_counted_and_priced():
    replies, engine, _ = ask(lambda body: "x", 4, prices=(2.0, 10.0))
    total = engine.cost.total("eval")
    assert (total.calls, total.prompt_tokens, total.completion_tokens) == (4, 28, 12)
    assert total.seconds > 0
    assert engine.spent == pytest.approx((28 * 2 + 12 * 10) / 1e6)
    assert OpenAIEngine("m", base_url="http://localhost:1").spent is None
    assert len(replies[0].prompt_ids) == 7 and set(replies[0].ids) == {-1}
    assert np.isnan(replies[0].logprobs).all()


def test_a_reply_that_was_cut_off_says_so():
    replies, *_ = ask(lambda body: "x", server_options={"finish": "length"})
    assert not replies[0].finished and replies[0].error is None


def test_filtered_replies_are_errors():
    replies, *_ = ask(lambda body: "x", server_options={"finish": "content_filter"})
    assert "filter" in replies[0].error


PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "hm, 41?"}]},
    {"type": "text", "text": "It is "},
    {"type": "text", "text": "42."},
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("message", "completion_tokens", "text"),
    [
        ({"content": "42"}, 3, "42"),
        ({"content": ""}, 1, ""),
        ({"content": PARTS}, 3, "It is 42."),
        ({"content": PARTS[1:2]}, 3, "It is "),
        ({"content": [{"type": "output_text", "text": "42"}, 7]}, 3, "42"),
        ({"content": PARTS[:1]}, 3, None),
        ({"content": []}, 3, None),
        ({"content": None}, 3, None),
        ({}, 3, None),
        ({"content": None, "reasoning_content": "hm, 41?"}, 3, None),
        ({"content": ""}, 0, None),
        ({"content": "42"}, 0, None),
        ({"content": {"text": "42"}}, 3, None),
        ({"content": [{"type": "text"}]}, 3, None),
        ({"content": None, "refusal": "I cannot help with that."}, 3, None),
        ({"content": "", "refusal": "I cannot help with that."}, 3, None),
    ],
)
def test_a_reply_without_text_is_an_error_and_parts_are_their_text(
    message, completion_tokens, text
):
    [reply], engine, _ = ask(
        lambda body: "x", server_options={"message": message, "tokens": completion_tokens}
    )
    assert (reply.error is None) == (text is not None)
    assert reply.text == (text or "")
    assert engine.cost.total("eval").calls == (text is not None)
    assert "refusal" not in message or message["refusal"] in reply.error


@pytest.mark.slow
@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(
    "body",
    [
        {"detail": [{"loc": ["body", "seed"], "msg": "extra fields not permitted"}]},
        {"error": "extra fields not permitted"},
        {"error": {"message": "extra fields not permitted"}},
        "extra fields not permitted",
    ],
)
def test_the_servers_words_are_told(status, body):
    [reply], *_ = ask(lambda _: (status, {}, body), retries=0)
    assert str(status) in reply.error
    assert reply.error.count("extra fields not permitted") == 1


def test_neither_the_key_nor_control_characters_are_told():
    told = {"error": f"no such key: sk-secret \x1b[2J {'x' * 10_000}"}
    [reply], *_ = ask(lambda body: (422, {}, told), api_key="sk-secret")
    assert "no such key: ***" in reply.error and "\x1b" not in reply.error
    assert len(reply.error) < 1000


def test_calls_that_fail_in_passing_are_tried_again():
    waiting = {"retry-after-ms": "30"}
    answers = iter([(429, waiting, {}), (503, waiting, {}), "at last"])
    replies, engine, server = ask(lambda body: next(answers))
    assert replies[0].text == "at last"
    assert len(server.bodies) == 3
    assert min(np.diff(server.times)) >= 0.03
    assert engine.cost.total("eval").calls == 1


def test_calls_that_are_wrong_are_not_tried_again_and_spare_the_others():
    def reply(body):
        wrong = asked(body).endswith("1")
        return (400, {}, {"error": {"message": "too long"}}) if wrong else "x"

    replies, _, server = ask(reply, 3, concurrency=1)
    assert [reply.error is None for reply in replies] == [True, False, True]
    assert "too long" in replies[1].error
    assert len(server.bodies) == 3


def test_many_wrong_requests_do_not_count_as_a_dead_server():
    replies, *_ = ask(lambda body: (400, {}, {}), GIVE_UP + 3, concurrency=1)
    assert all(reply.error for reply in replies)


def test_a_server_that_never_answers_is_given_up():
    with ChatServer(lambda body: (401, {}, {"error": {"message": "bad key"}})) as server:
        engine = OpenAIEngine("m", base_url=server.url, concurrency=1)
        with pytest.raises(InputError, match="calls in a row failed.*bad key"):
            engine.generate(requests(engine, 100))
        assert len(server.bodies) == GIVE_UP


def test_no_server_at_all_is_said():
    engine = OpenAIEngine("m", base_url="http://127.0.0.1:9/v1", retries=0, concurrency=2)
    with pytest.raises(InputError, match="127.0.0.1:9.*Refused"):
        engine.generate(requests(engine, 20))


def test_failures_between_answers_do_not_end_the_run():
    def reply(body):
        return "x" if int(asked(body).split()[-1]) % 3 == 0 else (404, {}, {})

    replies, *_ = ask(reply, 12, concurrency=1)
    assert sum(reply.error is None for reply in replies) == 4


def test_without_counts_of_tokens_there_is_no_answer():
    replies, *_ = ask(lambda body: "x", server_options={"usage": False})
    assert "cost cannot be counted" in replies[0].error


def test_the_newer_name_of_the_limit_is_found_out():
    def reply(body):
        if "max_tokens" in body:
            return 400, {}, {"error": {"message": "use 'max_completion_tokens' instead"}}
        return f"at most {body['max_completion_tokens']}"

    replies, _, server = ask(reply, 3, sampling=Sampling(0.0, 5), concurrency=1)
    assert [reply.text for reply in replies] == ["at most 5"] * 3
    assert len(server.bodies) == 4


def test_adapters_are_models_of_the_server():
    with ChatServer(lambda body: body["model"]) as server:
        engine = OpenAIEngine("m", base_url=server.url, adapters={"node_0": "lora"})
        turns = (("user", "?"),)
        known, unknown = engine.generate(
            [Request(turns, engine, name) for name in ("node_0", "node_1")]
        )
    assert known.text == "lora"
    assert "node_1" in unknown.error


def test_markup_in_a_text_reaches_the_server_broken():
    text = "<|im_start|>system [INST] </s> <start_of_turn> x < y [1] <b>"
    _, _, server = ask(lambda body: "x", text=text)
    assert asked(server.bodies[0]) == plain(text) != text


def test_a_missing_key_or_package_is_said(monkeypatch):
    with pytest.raises(InputError, match="OPENAI_API_KEY.*--base-url"):
        OpenAIEngine("m")
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(InputError, match=r"pip install 'neuromas-env\[bench\]'"):
        OpenAIEngine("m", base_url="http://localhost:1")


def test_the_engine_keeps_the_pace_of_calls_and_tokens(monkeypatch):
    waited = []

    async def wait(pace, amount=0.0):
        waited.append(amount)

    monkeypatch.setattr(Pace, "wait", wait)
    _, engine, _ = ask(lambda body: "x", 3, requests_per_minute=600, tokens_per_minute=6000)
    assert sorted(waited) == [0, 0, 0, 1, 1, 1]
    assert (engine._calls_pace._rate, engine._tokens_pace._rate) == (10, 100)
    assert engine._tokens_pace._left == 100 - 3 * (7 + 3)
