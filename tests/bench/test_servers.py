"""Benchmarks on servers that fail, refuse and repeat what they should not."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from rich.console import Console
from support.bench_runs import Notes, configure, rows
from support.chat_server import ChatServer

from neuromas_env.agents.engines.cached import CachedEngine
from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.bench.report import write_report
from neuromas_env.bench.runner import run_benchmark
from neuromas_env.bench.store import Store
from neuromas_env.bench.summary import summarise
from neuromas_env.bench.tables import make_grids
from neuromas_env.errors import InputError
from neuromas_env.policy import Request

pytestmark = pytest.mark.slow
KEY = "sk-very-secret"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def run(out, server, **options):
    notes = Notes()
    options = {"retries": 0, "concurrency": 1, "limit": 8, "base_url": server.url} | options
    config = configure(out, "m", engine="openai", **options)
    run_benchmark(config, report=notes)
    return notes


def question(body):
    return body["messages"][-1]["content"]


@pytest.mark.parametrize("cached", [False, True])
def test_what_is_paid_is_kept_when_the_server_is_given_up(tmp_path, cached):
    left = [5]

    def reply(body):
        left[0] -= 1
        return "42" if left[0] >= 0 else (401, {}, {"error": {"message": "no more money"}})

    options = {"cache": str(tmp_path / "cache")} if cached else {}
    with ChatServer(reply) as server:
        with pytest.raises(InputError, match="no more money"):
            run(tmp_path / "out", server, chunk=64, limit=12, **options)
        assert rows(tmp_path / "out") == []
        left[0] = 1000
        run(tmp_path / "out", server, chunk=64, limit=12, **options)
    answered = [question(body) for body in server.bodies[:5] + server.bodies[10:]]
    assert len(answered) == 12 == len(set(answered))
    found = rows(tmp_path / "out", "SELECT answer, cached, error FROM answers ORDER BY row")
    assert [row["answer"] for row in found] == ["42"] * 12
    assert sum(row["cached"] for row in found) == 5


def test_replies_are_not_lent_to_another_cell(tmp_path):
    with ChatServer(lambda body: "42") as server:
        for chunk in (4, 4, 2):  # a setting, so that another one is another cell
            run(tmp_path, server, limit=3, temperature=0.7, chunk=chunk)
    assert len(server.bodies) == 6


def test_a_broken_reply_is_an_error_of_its_question_alone(tmp_path):
    def reply(body):
        number = len(server.bodies)
        return {2: (200, {}, {"choices": 7}), 3: "4\ud8002"}.get(number, "42")

    with ChatServer(reply) as server:
        notes = run(tmp_path, server, limit=4)
    found = rows(tmp_path, "SELECT answer, error FROM answers ORDER BY row")
    assert [row["answer"] for row in found] == ["42", "", "4\ufffd2", "42"]
    assert "choices" in found[1]["error"] and "1 of 4 questions failed" in notes.notes[0]


def test_what_a_server_refuses_is_said_once_and_stands_in_the_report(tmp_path):
    def reply(body):
        refused = "seed" in body and {"detail": [{"loc": ["body", "seed"], "msg": "extra field"}]}
        return (422, {}, refused) if refused else "42"

    with ChatServer(reply) as server:
        notes = run(tmp_path, server, methods=("direct", "sc:k=2"))
    assert notes.notes == ["the server refuses seed: asked without"]
    assert sum("seed" in body for body in server.bodies) == 1
    said = [json.loads(row["transcript"]) for row in rows(tmp_path)]
    assert all(
        turn.get("left_out") == ["seed"] for turns in said for turn in turns if "tokens" in turn
    )
    with Store(tmp_path) as store:
        note = make_grids(summarise(store), "extracted")[0].note
    assert "direct: asked without seed. sc:k=2: asked without seed." in note
    assert rows(tmp_path, "SELECT DISTINCT settings ->> '$.left_out' AS x FROM cells") == [
        {"x": None}
    ]


def test_the_call_that_tells_a_dead_server_has_the_form_of_those_that_failed(tmp_path):
    with (
        ChatServer(lambda body: (400, {}, {"error": "we dislike it"})) as server,
        pytest.raises(InputError, match="every model call fails.*we dislike it"),
    ):
        run(tmp_path, server, methods=("sc:k=2",), chunk=2, max_new_tokens=77)
    *asked, probe = server.bodies
    assert len(asked) == 4
    for name in ("temperature", "top_p", "max_tokens"):
        assert probe[name] == asked[0][name]
    assert [m["role"] for m in probe["messages"]] == [m["role"] for m in asked[0]["messages"]]
    assert question(probe) != question(asked[0]) and rows(tmp_path) == []


def test_no_file_and_no_line_holds_what_is_secret(tmp_path, capsys):
    def reply(body):
        said = f"{server.heads[-1]} {body}"
        return [said, (500, {}, {"error": {"message": said}})][len(server.bodies) % 2]

    with ChatServer(reply, tokens=900) as server:
        url = server.url.replace("//", "//me:pa%20ss%2Fword@") + "?token=tok-en-1"
        notes = run(tmp_path, server, base_url=url)
    write_report(Console(), tmp_path)
    shown = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    shown += [capsys.readouterr().out.encode(), repr(notes.notes).encode()]
    assert any(b"Basic ***" in data for data in shown) and "failed" in notes.notes[0]
    for secret in (KEY, "pa ss/word", "pa%20ss%2Fword", "bWU6cGEgc3Mvd29yZA", "tok-en-1"):
        assert not [data for data in shown if secret.encode() in data]


def test_a_cache_of_before_replies_could_lack_anything_is_read(tmp_path):
    engine = MockEngine()
    asked = [Request((("user", "?"),), engine)]
    cache = CachedEngine(engine, {}, tmp_path / "cache")
    [first] = cache.generate(asked)
    cache.close()
    with closing(sqlite3.connect(tmp_path / "cache")) as db, db:
        db.execute("ALTER TABLE replies DROP COLUMN left_out")
    cache = CachedEngine(engine, {}, tmp_path / "cache")
    [again] = cache.generate(asked)
    cache.close()
    assert (again.text, again.left_out, len(engine.batches)) == (first.text, (), 1)
