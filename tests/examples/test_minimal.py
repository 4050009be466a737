"""The paper in one screen: its prompts, samples and gradient are those of the package."""

import dataclasses
import importlib.util

import pytest
import torch
from peft import LoraConfig
from support.engines import NODES, tiny_engine, tiny_folder
from support.paths import ROOT
from support.tiny_models import symbol_model

from neuromas_env import Topology, neuromas_v0
from neuromas_env.agents.learners.reinforce import Reinforce
from neuromas_env.agents.llm import llm_network
from neuromas_env.agents.prompts import build_prompt
from neuromas_env.policy import Sampling
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task

FILE = ROOT / "examples" / "minimal.py"


@pytest.fixture
def script():
    """The script as a module of its own, whose constants a test may replace."""
    spec = importlib.util.spec_from_file_location("minimal", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_fits_on_a_screen_and_the_docs_show_its_core():
    text = FILE.read_text()
    assert len(text.splitlines()) <= 150
    shown = (ROOT / "docs" / "index.md").read_text().split("```python\n")[1].split("```")[0]
    assert len(shown.splitlines()) >= 15 and shown in text


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_prompts_are_those_of_the_package(script, family):
    task, engine = make_task("hierarchy/max"), tiny_engine(family)
    _, tokenizer = script.load(str(tiny_folder(family)), NODES, 4)
    env = neuromas_v0.parallel_env(task, "2-2-1")
    observed, _ = env.reset(options={"index": 3})
    for layer in env.topology.layers:
        for node in layer:
            chat = script.write_prompt(observed[node], task.answer_format)
            turns = build_prompt(observed[node], task.answer_format)
            assert [(turn["role"], turn["content"]) for turn in chat] == list(turns)
            prompt = tokenizer.apply_chat_template(chat, **script.ASKING)
            assert prompt == engine.chat.encode(turns)
        observed, *_ = env.step(dict.fromkeys(layer, "the largest is 12"))


def test_replies_are_samples_of_the_policy_that_is_trained(script, tmp_path):
    model, tokenizer = script.load(symbol_model(tmp_path, "ABC", 0), NODES[:2], 1)
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "A"}], **script.ASKING)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt])).logits[0, -1]
    replies = torch.tensor(script.generate(model, tokenizer, [prompt] * 4000))[:, 0]
    found = replies.bincount(minlength=len(logits)) / len(replies)
    assert torch.allclose(found, (logits / script.TEMPERATURE).softmax(-1), atol=0.03)


def test_a_reply_stops_with_the_token_that_ends_it(script):
    model, tokenizer = script.load(str(tiny_folder("llama")), NODES[:1], 40)
    chats = [[{"role": "user", "content": "yes " * (1 + i % 3)}] for i in range(64)]
    prompts = tokenizer.apply_chat_template(chats, **script.ASKING)
    replies = script.generate(model, tokenizer, prompts)
    ended = [reply for reply in replies if reply[-1] == tokenizer.eos_token_id]
    assert 0 < len(ended) < len(replies)
    assert not any(tokenizer.eos_token_id in reply[:-1] for reply in replies)
    assert {len(reply) for reply in replies if reply not in ended} == {40}


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3"])
def test_its_gradient_is_that_of_the_learner(script, family):
    script.LORA = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear")
    engine, task = tiny_engine(family), make_task("hierarchy/max")
    method = llm_network(Topology.parse("2-1"), task, engine, Sampling(script.TEMPERATURE, 6))
    runs = run_episodes(method, task, task.examples("train")[:4], rollouts=script.ROLLOUTS)
    # A random model never scores: rewards that differ within questions, but for the last.
    runs = [
        dataclasses.replace(run, reward=i % 3 / 2 if run.group < 3 else 0.5)
        for i, run in enumerate(runs)
    ]
    Reinforce(engine, NODES, temperature=script.TEMPERATURE, clip=1e9).gradient(runs)
    exact = dict(engine.adapters._peft.named_parameters())

    model, _ = script.load(str(tiny_folder(family)), NODES, 6)
    own = {name: p for name, p in model.named_parameters() if ".lora_" in name}
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(exact[f"base_model.model.{name}"])
    turns = [
        [
            script.Turn(t.node, t.completion.prompt_ids.tolist(), t.completion.ids.tolist())
            for t in run.turns
        ]
        for run in runs
    ]
    script.backward(model, turns, torch.tensor([run.reward for run in runs]))
    for node in NODES:
        names = [name for name in own if f".{node}." in name]
        found = torch.cat([own[name].grad.ravel() for name in names])
        wanted = torch.cat([exact[f"base_model.model.{name}"].grad.ravel() for name in names])
        assert wanted.norm() > 0 and (found - wanted).norm() < 1e-5 * wanted.norm()
    assert all(p.grad is None for name, p in model.named_parameters() if name not in own)


@pytest.mark.slow
def test_a_random_network_learns_to_signal(script, tmp_path, capsys, one_thread):
    script.LORA = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")
    script.LEARNING_RATE, script.TEMPERATURE = 1e-2, 1.0
    options = {"model": symbol_model(tmp_path, "AB", 0), "task": "signal:symbols=2"}
    options |= {"topology": "1-1", "questions": "8", "steps": "20"}
    script.main([text for name, value in options.items() for text in (f"--{name}", value)])
    rewards = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
    # A network that says nothing about what it saw scores one half.
    assert len(rewards) == 20 and rewards[0] < 0.5 and min(rewards[-5:]) > 0.75
