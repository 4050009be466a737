"""Generated tokens per second beside transformers' own `generate` with PEFT's adapters.

Both answer the same requests in the same per-layer batches with the same number of
new tokens each (end tokens are ignored on both sides), sampled at temperature 1, for
networks of 1, 3 and 7 nodes. The bare base without adapters stands beside them:

    python benchmarks/rollout_speed.py [--quick] [--networks 1 2-1 2-2-2-1]
"""

import copy
import warnings

import torch
from model_setup import RANK, Recorder, alternate, make_engine, options
from peft import LoraConfig, get_peft_model

from neuromas_env.agents.engines.models import load_base
from neuromas_env.agents.llm import llm_network
from neuromas_env.policy import Sampling
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task
from neuromas_env.topology import Topology

TARGET = 0.9
NETWORKS = ("1", "2-1", "2-2-2-1")


def record(engine, network, questions, rollouts, new_tokens):
    """Run some episodes and return the engine's batches, one per layer."""
    topology, task = Topology.parse(network), make_task("hierarchy/max")
    recorder = Recorder(engine)
    network = llm_network(topology, task, recorder, Sampling(1.0, new_tokens))
    examples = task.examples("train")[:questions]
    run_episodes(network, task, examples, rollouts=rollouts)
    return recorder.batches


class Theirs:
    """transformers' `generate`, with PEFT's own choice of adapter for each row."""

    def __init__(self, chosen, chat, adapters):
        self.base = load_base(chosen.model, dtype=chosen.dtype, quiet=True)
        self.chat, self.adapters = chat, adapters
        self.model = self.base.model
        if adapters:
            config = LoraConfig(
                r=RANK, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.model = get_peft_model(self.model, config, adapter_name="node_0")
                for number in range(1, adapters):
                    self.model.add_adapter(f"node_{number}", copy.deepcopy(config))
        self.model.eval()

    def run(self, batches, new_tokens):
        for batch in batches:
            prompts = [self.chat.encode(request.turns) for request in batch]
            width = max(map(len, prompts))
            pad = self.base.tokenizer.pad_token_id
            ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts])
            mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
            names = {"adapter_names": [r.adapter for r in batch]} if self.adapters else {}
            with torch.inference_mode():
                self.model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    do_sample=True,
                    temperature=1.0,
                    top_p=1.0,
                    top_k=0,
                    min_new_tokens=new_tokens,
                    max_new_tokens=new_tokens,
                    pad_token_id=pad,
                    **names,
                )


def main():
    chosen = options(__doc__, networks=NETWORKS)
    rollouts, new_tokens = (2, 4) if chosen.quick else (8, 32)
    worst = float("inf")
    for network in chosen.networks:
        nodes = len(Topology.parse(network))
        questions = 1 if chosen.quick else max(1, 6 // nodes)  # about as many calls for each
        engine = make_engine(chosen, nodes)
        engine.chat.end_ids = frozenset()  # every reply has its full length
        batches = record(engine, network, questions, rollouts, new_tokens)
        theirs = Theirs(chosen, engine.chat, nodes)
        bare = Theirs(chosen, engine.chat, 0)

        def ours(engine=engine, batches=batches):
            for batch in batches:
                engine.generate(batch)

        seconds = alternate(
            {
                "ours": ours,
                "theirs": lambda run=theirs.run, b=batches: run(b, new_tokens),
                "bare": lambda run=bare.run, b=batches: run(b, new_tokens),
            },
            1 if chosen.quick else 2,
        )
        tokens = sum(map(len, batches)) * new_tokens
        ratio = seconds["theirs"] / seconds["ours"]
        worst = min(worst, ratio)
        print(
            f"{nodes} nodes: ours {tokens / seconds['ours']:.1f} tokens/s, generate with adapters "
            f"{tokens / seconds['theirs']:.1f}, without adapters {tokens / seconds['bare']:.1f}; "
            f"ratio {ratio:.2f}"
        )
    print(f"worst ratio: {worst:.2f} (target: at least {TARGET})")
    return worst


if __name__ == "__main__":
    raise SystemExit(main() < TARGET)
