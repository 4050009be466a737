"""What becomes of a call to a server that misbehaves: the right text, or an error of that call."""

import json
import logging
from base64 import b64encode
from urllib.parse import quote, quote_plus

import pytest
from support.server_behaviours import BEHAVIOURS, SECRETS, ask, fault, path_of, serve

from neuromas_env.agents.engines.cached import CachedCompletion, CachedEngine

pytestmark = pytest.mark.slow
ECHOES = [name for name in BEHAVIOURS if name.startswith("echoes")]


@pytest.fixture(scope="module")
def server():
    with serve() as server:
        yield server


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_it_is_the_right_text_or_an_error_of_that_call(server, name):
    replies, engine, seconds = ask(server, name)
    engine.close()
    assert not fault(name, replies, seconds)


@pytest.mark.parametrize("name", ECHOES)
def test_no_echo_shows_a_secret(server, name, caplog):
    caplog.set_level(logging.DEBUG)
    replies, engine, _ = ask(server, name)
    shown = [f"{reply.text} {reply.error}" for reply in replies]
    shown += [caplog.text, engine.base_url, json.dumps(engine.settings), repr(engine)]
    engine.close()
    for secret in SECRETS:
        forms = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}
        forms |= {json.dumps(form)[1:-1] for form in forms} | {repr(form)[1:-1] for form in forms}
        forms |= {b64encode(f"me:{secret}".encode()).decode(), b64encode(secret.encode()).decode()}
        assert not [(form, text) for form in forms for text in shown if form in text]


def test_there_are_many():
    assert len(BEHAVIOURS) >= 60
    assert len({path_of(name) for name in BEHAVIOURS}) == len(BEHAVIOURS)


def test_paid_replies_beside_a_failing_one_are_kept(server, tmp_path):
    name = "no reply at all: html"
    for _ in range(2):
        replies, cache, _ = ask(
            server, name, lambda engine: CachedEngine(engine, {}, tmp_path / "x")
        )
        cache.close()
    assert [isinstance(reply, CachedCompletion) for reply in replies] == [True, False, True]
    assert [call.question for call in server.calls[path_of(name)]][-1] == "odd"


def test_what_is_refused_is_left_out_and_said(server):
    name = "refusals: everything"
    before = len(server.calls.get(path_of(name), []))
    (first, odd, after), engine, _ = ask(server, name)
    engine.close()
    left = ("max_tokens", "seed", "system role", "temperature 0", "top_p")
    assert (first.left_out, odd.left_out, after.left_out) == ((), left, left)
    assert engine.settings["left_out"] == list(left)
    last = server.calls[path_of(name)][-1].body
    assert last == {"model": "m", "messages": [{"role": "user", "content": "short\n\neven"}]}
    assert len(server.calls[path_of(name)]) - before == 3 + 5
