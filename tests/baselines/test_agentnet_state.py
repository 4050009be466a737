"""AgentNet: what is frozen, resumed and refused."""

import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from support.agentnet_runs import EXECUTE, FORWARD, SPLIT, learn, questions, replies, run, save
from support.asking import Sums, Told, text_of
from support.tiny_models import make_tiny

from neuromas_env.baselines import list_baselines, make_baseline
from neuromas_env.baselines.adapted import FILE
from neuromas_env.baselines.agentnet.pool import fresh
from neuromas_env.baselines.agentnet.walk import (
    RESULT,
    Spot,
)
from neuromas_env.cli import app as cli
from neuromas_env.errors import InputError
from neuromas_env.rollout import run_episodes


@pytest.mark.slow
def test_a_state_is_frozen_when_it_is_tested(tmp_path):
    learn(8, tmp_path)
    saved = (tmp_path / FILE).read_bytes()
    engine = Told(replies("Decision: split\nPart: x", "Decision: continue"))
    method, once = run(tmp_path, engine, count=6)
    again = run_episodes(method, Sums(), Sums().examples("test")[:6])
    _, anew = run(
        tmp_path, Told(replies("Decision: split\nPart: x", "Decision: continue")), count=6
    )
    said = [[step.text for t in runs for step in t.turns] for runs in (once, again, anew)]
    assert said[0] == said[1] == said[2] and (tmp_path / FILE).read_bytes() == saved
    asked = [text_of(request) for request in engine.requests]
    assert asked[: len(asked) // 2] == asked[len(asked) // 2 :]


def mixed(request, number):
    """Routes, solves and fails by what the request says alone."""
    digest = sum(map(ord, text_of(request)))
    route = [EXECUTE, SPLIT, FORWARD, "Decision: forward\nNext: 2"][digest % 4]
    on = ["Decision: continue\nNext: 0", "Decision: done"][digest % 2]
    return replies(route, on, right=lambda _: digest % 3 > 0)(request, number)


@pytest.mark.slow
def test_the_seed_decides(tmp_path):
    found = [
        learn(6, tmp_path / name, engine=Told(mixed), seed=int(name[0]))
        for name in ("0", "0b", "1")
    ]
    assert found[0] == found[1] and found[0].state != found[2].state
    assert len(set(found[0].rewards)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["agentnet", "agentnet:batch=3,memory=2"])
def test_a_killed_adaptation_goes_on_as_if_it_had_not_been(tmp_path, name):
    whole = learn(8, tmp_path / "whole", name, Told(mixed))

    def killed(request, number):
        if number == 30:
            raise KeyboardInterrupt
        return mixed(request, number)

    with pytest.raises(KeyboardInterrupt):
        learn(8, tmp_path / "parts", name, Told(killed))
    assert 0 < json.loads((tmp_path / "parts" / FILE).read_text())["iterations"] < 8
    assert learn(8, tmp_path / "parts", name, Told(mixed)) == whole
    assert (tmp_path / "parts" / FILE).read_bytes() == (tmp_path / "whole" / FILE).read_bytes()


def test_a_batch_is_routed_before_it_is_learned(tmp_path):
    engine = Told(replies())
    done = learn(1, tmp_path, "agentnet:batch=5", engine)
    assert done.cost["questions"] == 5 and engine.batches == [5] * 4
    assert {len(request.turns) for request in engine.requests} == {2}
    assert sum(agent["tried"] for agent in done.state["agents"]) == 5


# What is refused


class Untrained(Sums):
    def examples(self, split):
        return [] if split == "train" else super().examples(split)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("agentnet:alpha=2", "alpha must be from 0 to 1, not 2"),
        ("agentnet:agents=0", "agents must be from 1 to 10, not 0"),
        ("agentnet:memory=0", "memory must be from 1 to 10000"),
        ("agentnet:alfa=1", "'alfa'. Did you mean 'alpha'"),
        ("agentnet:embedding=some/model", "pip install sentence-transformers"),
    ],
)
def test_options_that_do_not_fit(tmp_path, monkeypatch, name, says):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(InputError, match=re.escape(says)):
        learn(1, tmp_path / "x", name)
    assert not (tmp_path / "x" / FILE).exists()


def test_states_that_do_not_fit(tmp_path):
    with pytest.raises(InputError, match="neuromas adapt agentnet --task sums --out DIR"):
        make_baseline("agentnet", Sums(), Told())
    with pytest.raises(InputError, match="there is no .*adapted.json"):
        make_baseline(f"agentnet:state={tmp_path}", Sums(), Told())
    with pytest.raises(InputError, match="no training questions to adapt 'agentnet' to"):
        learn(1, tmp_path, task=Untrained())
    save(tmp_path, fresh(2, "tfidf", questions()), "agentnet:agents=2")
    with pytest.raises(InputError, match="learned with agents=2, not 3; give the same agents"):
        make_baseline(f"agentnet:state={tmp_path}", Sums(), Told())
    with pytest.raises(InputError, match="learned with embedding=tfidf, not x"):
        make_baseline(f"agentnet:agents=2,embedding=x,state={tmp_path}", Sums(), Told())
    with pytest.raises(InputError, match="no role-free form"):
        make_baseline(f"agentnet:agents=2,prompts=role_free,state={tmp_path}", Sums(), Told())
    save(tmp_path, {"theta": []}, "gptswarm")
    with pytest.raises(InputError, match="adapted.json: state must hold"):
        make_baseline(f"agentnet:state={tmp_path}", Sums(), Told())


def test_another_embedding(tmp_path, monkeypatch):
    """What sentence-transformers is asked for, with a stand-in: a letter is a dimension."""

    class Model:
        def __init__(self, name, device):
            if name != "letters":
                raise OSError("no such folder")

        def encode(self, texts, normalize_embeddings, show_progress_bar):
            counts = np.array([[t.count(c) for c in "0123456789 "] for t in texts], np.float32)
            return counts / np.linalg.norm(counts, axis=1, keepdims=True)

    monkeypatch.setitem(
        sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=Model)
    )
    done = learn(3, tmp_path, "agentnet:embedding=letters")
    assert len(done.state["agents"][0]["ability"]) == 12 and done.state["words"] == {}
    [trajectory] = run(tmp_path, Told(replies()), "agentnet:embedding=letters")[1]
    assert trajectory.reward == 1
    with pytest.raises(InputError, match="'other' is no model .* no such folder"):
        learn(3, tmp_path / "x", "agentnet:embedding=other")


def test_tfidf_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(InputError, match=r"pip install 'neuromas-env\[bench\]'"):
        learn(1, tmp_path / "x")


@pytest.mark.slow
def test_the_command_adapts_it(tmp_path, capsys):
    model, out = str(make_tiny("llama", tmp_path)), str(tmp_path / "out")
    name = "agentnet:splits=1,max_new_tokens=3"
    args = ["adapt", name, "--iterations", "2", "--out", out, "--model", model]
    with pytest.raises(SystemExit) as end:
        cli.main([*args, "--dtype", "float32"])
    printed = " ".join("".join(capsys.readouterr()).split())
    assert end.value.code == 0, printed
    test = f"neuromas bench --methods agentnet:state={out} --tasks hierarchy/max --out DIR"
    assert "2 questions, 8 calls" in printed and test in printed
    assert list_baselines()["agentnet"].endswith("at most 30 calls")


def test_spots_have_names():
    assert Spot("router", 1, 2, 0).label == "router of agent 0, hop 1 step 2"
    assert Spot("plan", 1, 0, 2).label == "plan of agent 2, hop 1" and RESULT.label == "result"
