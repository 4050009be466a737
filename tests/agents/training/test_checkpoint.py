"""Checkpoints: PEFT reads them, and nobody reads them into the wrong network."""

from __future__ import annotations

import json

import pytest
import torch
from peft import PeftModel
from support.tiny_models import make_tiny
from support.tiny_runs import tiny_config
from transformers import AutoModelForCausalLM

from neuromas_env.agents.engines.base import Row
from neuromas_env.agents.engines.models import load_base
from neuromas_env.agents.training import checkpoint
from neuromas_env.agents.training.api import make_engine, train
from neuromas_env.errors import InputError
from neuromas_env.topology import Topology


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    model = make_tiny("llama", folder / "model")
    config = tiny_config(model, folder / "run", eval_questions=0, learning_rate=0.05)
    train(config)
    return config, folder / "run"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT's own
def test_peft_alone_reads_the_adapters(run):
    config, folder = run
    path = checkpoint.latest(folder)
    engine = make_engine(config)
    assert checkpoint.load(path, engine).step == 3
    prompt, reply = torch.arange(10, 20).numpy(), torch.arange(30, 34).numpy()
    for node in ("node_0", "node_1"):
        with torch.no_grad(), engine.training([Row(node, prompt, reply)]) as scored:
            ours = scored.logprobs
        bare = AutoModelForCausalLM.from_pretrained(config.model, dtype=torch.float32)
        theirs = PeftModel.from_pretrained(bare, path / "adapters" / node).eval()
        with torch.no_grad():
            logits = theirs(torch.cat([torch.from_numpy(prompt), torch.from_numpy(reply)])[None])
        logp = logits.logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        expected = logp.gather(1, torch.from_numpy(reply)[:, None])[:, 0]
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)
        with torch.no_grad(), engine.training([Row(None, prompt, reply)]) as base:
            assert (base.logprobs - ours).abs().max() > 1e-3


@pytest.mark.slow
def test_another_base_is_refused_by_name(run, tmp_path):
    config, folder = run
    other = make_tiny("llama", tmp_path / "other", seed=1)
    engine = make_engine(tiny_config(other, tmp_path / "out"))
    with pytest.raises(InputError) as caught:
        checkpoint.load(checkpoint.latest(folder), engine)
    message = str(caught.value)
    for name in (config.model, str(other)):
        assert name in message and load_base(name, "float32").weights_hash in message


def test_another_topology_is_refused_by_name(run):
    config, folder = run
    engine = make_engine(config)
    with pytest.raises(InputError, match="holds the topology '1-1', but '2-1' is asked for"):
        checkpoint.load(checkpoint.latest(folder), engine, Topology.parse("2-1"))


def test_another_rank_is_refused(run, tmp_path):
    config, folder = run
    engine = make_engine(tiny_config(config.model, tmp_path, rank=2))
    with pytest.raises(InputError, match="rank 4.* does not fit .* rank 2"):
        checkpoint.load(checkpoint.latest(folder), engine)


def test_a_checkpoint_may_be_named_by_itself_and_half_ones_are_not_seen(run):
    folder = run[1]
    last = checkpoint.latest(folder)
    assert checkpoint.latest(last) == last
    part = folder / "checkpoints" / ".step_000009.part"
    part.mkdir()
    assert checkpoint.latest(folder) == last
    part.rmdir()


def test_a_folder_without_checkpoints_is_refused(tmp_path):
    with pytest.raises(InputError, match="no checkpoint in"):
        checkpoint.latest(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", json.dumps({"topology": 1, "trained": []})])
def test_a_broken_state_is_named(tmp_path, text):
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(InputError, match="state.json cannot be read"):
        checkpoint.read_state(tmp_path)


def test_a_broken_learner_state_is_named(tmp_path):
    (tmp_path / "learner.pt").write_bytes(b"no pickle")
    with pytest.raises(InputError, match="learner.pt is broken"):
        checkpoint.load_learner(tmp_path)
