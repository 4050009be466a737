"""Engines on tiny models for tests, and PEFT's own computation to compare them with."""

import copy
import functools
import re
import tempfile
import warnings

import numpy as np
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from support.tiny_models import make_tiny

from neuromas_env.agents.engines.base import Row
from neuromas_env.agents.engines.forward.lm_head import draw
from neuromas_env.agents.engines.models import load_base
from neuromas_env.agents.engines.transformers import TransformersEngine
from neuromas_env.policy import Request, Sampling

NODES = ("node_0", "node_1", "node_2")
TEXTS = (
    "Which of these numbers is the largest? 12 48",
    "Which of these numbers is the largest? 7",
    "yes",
    "The message of the node before you reads as follows. true or false? true or true?",
)


@functools.cache
def tiny_folder(family):
    return make_tiny(family, tempfile.mkdtemp(prefix="tiny-"))


def tiny_engine(family, dtype="float32", nodes=NODES, noise=0.3, **options):
    """Make an engine whose adapters all differ from the base and from one another."""
    base = load_base(str(tiny_folder(family)), dtype=dtype, quiet=True)
    engine = TransformersEngine(base, rank=4, alpha=8.0, **options)
    for seed, node in enumerate(nodes):
        engine.adapters.add(node, seed)
        if noise:
            engine.adapters.add_noise(node, noise, seed)
    return engine


def mixed_requests(engine, temperature=1.0, length=12, count=8):
    """Make requests of several prompts, lengths and adapters, the bare base among them."""
    adapters = (*NODES, None)
    return [
        Request(
            (("user", TEXTS[i % 4]),),
            engine,
            adapters[(i + i // 4) % 4],
            Sampling(temperature, length - i % 3),
            seed=i,
        )
        for i in range(count)
    ]


def rows_of(requests, replies):
    return [
        Row(request.adapter, reply.prompt_ids, reply.ids)
        for request, reply in zip(requests, replies, strict=True)
    ]


def sampled_rows(engine, count=8, length=12):
    requests = mixed_requests(engine, count=count, length=length)
    return rows_of(requests, engine.generate(requests))


def gradients(engine, rows, weights, **options):
    """Gradient of the weighted sum of log-probabilities, by adapter; None where there is none."""
    with engine.training(rows, **options) as scored:
        weight = torch.as_tensor(weights, dtype=scored.logprobs.dtype)[scored.row]
        (weight * scored.logprobs).sum().backward()
    return collect_gradients(engine)


def gradients_one_by_one(engine, rows, weights):
    """The same gradient, from a pass for each row alone."""
    for row, weight in zip(rows, weights, strict=True):
        with engine.training([row]) as scored:
            (weight * scored.logprobs).sum().backward()
    return collect_gradients(engine)


def collect_gradients(engine):
    found = {}
    for node in engine.adapters.names:
        parameters = engine.adapters.parameters(node).values()
        parts = [p.grad for p in parameters]
        found[node] = None if parts[0] is None else torch.cat([p.ravel() for p in parts])
        for parameter in parameters:
            parameter.grad = None
    return found


def cramp(engine, room):
    """Let memory run out in batches of more than so many tokens."""
    compute = engine._completion_hidden

    def small(rows):
        if engine.computed(rows) > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return compute(rows)

    engine._completion_hidden = small


def fitting(error):
    """The token budget that a message about memory names."""
    return int(re.search(r"token_budget (\d+) fits", str(error.value))[1])


def assert_same_gradients(first, second, tolerance=1e-4):
    assert first.keys() == second.keys()
    for node in first:
        assert (first[node] is None) == (second[node] is None), node
        if first[node] is not None:
            gap = (first[node] - second[node]).norm() / first[node].norm()
            assert first[node].norm() > 0 and gap < tolerance, (node, float(gap))


class Reference:
    """The same model and adapters, run by transformers and PEFT alone."""

    def __init__(self, engine, family):
        base = load_base(str(tiny_folder(family)), dtype="float32", quiet=True)
        bare = copy.deepcopy(base.model)
        config = LoraConfig(r=4, lora_alpha=8.0, target_modules="all-linear", task_type="CAUSAL_LM")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model = get_peft_model(bare, config, adapter_name=NODES[0])
            for node in NODES[1:]:
                self.model.add_adapter(node, copy.deepcopy(config))
            for node in NODES:
                weights = get_peft_model_state_dict(engine.adapters._peft, adapter_name=node)
                set_peft_model_state_dict(self.model, weights, adapter_name=node)
        self.model.eval()
        self.ends = engine.chat.end_ids

    def logits(self, ids, adapters):
        """Logits `[rows, T, vocabulary]` of equally long rows, without cache."""
        names = [name or "__base__" for name in adapters]
        with torch.no_grad():
            return self.model(
                input_ids=torch.tensor(ids), adapter_names=names, use_cache=False
            ).logits.float()

    def generate(self, prompt, request):
        """One row at a time, everything computed anew for every token."""
        uniforms = np.random.default_rng(request.seed).random(request.sampling.max_new_tokens)
        ids, logprobs = [], []
        for uniform in uniforms:
            logits = self.logits([[*prompt, *ids]], [request.adapter])[:, -1]
            temperature = torch.tensor([request.sampling.temperature])
            token, logprob = draw(logits, temperature, torch.tensor([uniform]), torch.tensor([0]))
            ids.append(int(token))
            logprobs.append(float(logprob))
            if ids[-1] in self.ends:
                break
        return ids, logprobs
