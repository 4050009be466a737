"""Our joint step beside the least that the libraries would need for it, 3 and 7 nodes.

The floor is transformers' `generate` of the bare base for those tokens, and one forward and
backward pass of the bare base over the deduplicated tokens (each node's prompt once), with the
faster of transformers' attention and ours. The same run compares rollout tokens/s with that
`generate`:

    python benchmarks/floor.py [--quick] [--threads 2]
"""

import argparse
import time

import torch
from model_setup import alternate
from workload import MODEL, NEW, PROMPT, ROLLOUTS, Ours

from neuromas_env.agents.engines.forward.attention import use_own_attention
from neuromas_env.agents.engines.models import load_base

STEP_TARGET, STEP_STRETCH, ROLLOUT_TARGET, ROLLOUT_STRETCH = 1.25, 1.0, 2.5, 3.5


class Floor:
    """The bare base, with transformers alone."""

    def __init__(self, grouped, device="cpu", model=MODEL):
        self.model = load_base(model, device=device, quiet=True).model
        if grouped:
            use_own_attention(self.model)
        self.embed = self.model.get_input_embeddings()

    def generate(self, nodes, new=NEW):
        ids = torch.randint(100, 40_000, (nodes * ROLLOUTS, PROMPT), device=self.model.device)
        with torch.inference_mode():
            self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                temperature=1.0,
                top_p=1.0,
                top_k=0,
                min_new_tokens=new,
                max_new_tokens=new,
                pad_token_id=0,
            )

    def train(self, nodes):
        """Forward and backward; rows are laid out so that none of them is padding."""
        rows = nodes * ROLLOUTS
        shape = rows, PROMPT // ROLLOUTS + NEW
        ids = torch.randint(100, 40_000, shape, device=self.model.device)
        embedded = self.embed(ids).requires_grad_(True)
        hidden = self.model.base_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
        logits = self.model.get_output_embeddings()(hidden[:, -NEW:]).float()
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, -NEW:].flatten()).backward()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 nodes alone, one repeat")
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    plain, grouped, missed = Floor(False), Floor(True), False
    for nodes in (3,) if chosen.quick else (3, 7):
        ours = Ours(nodes)
        parts = {"rollout": [], "training": []}

        def step(ours=ours, parts=parts):
            for name, seconds in zip(parts, ours.step(), strict=True):
                parts[name].append(seconds)

        def generate(nodes=nodes):
            plain.generate(nodes)

        tasks = {"step": step, "generate": generate}
        tasks |= {floor: lambda f=floor, n=nodes: f.train(n) for floor in (plain, grouped)}
        seconds = alternate(tasks, 1 if chosen.quick else 3)
        seconds["train"] = min(seconds[plain], seconds[grouped])
        rolled = sorted(parts["rollout"][1:])[len(parts["rollout"][1:]) // 2]
        tokens = nodes * ROLLOUTS * NEW
        ratio = seconds["step"] / (seconds["generate"] + seconds["train"])
        speed = seconds["generate"] / rolled
        missed |= ratio > STEP_TARGET or (nodes == 3 and speed < ROLLOUT_TARGET)
        print(
            f"{nodes} nodes: step {seconds['step']:.2f} s (rollout {rolled:.2f}), bare generate "
            f"{seconds['generate']:.2f} s, bare forward and backward {seconds['train']:.2f} s"
        )
        print(
            f"{nodes} nodes: step over floor: {ratio:.2f} (target: at most {STEP_TARGET}, "
            f"stretch: below {STEP_STRETCH})"
        )
        print(
            f"{nodes} nodes: rollout {tokens / rolled:.0f} tokens/s, bare generate "
            f"{tokens / seconds['generate']:.0f}; rollout over generate: {speed:.2f} (target: at "
            f"least {ROLLOUT_TARGET}, stretch: {ROLLOUT_STRETCH})"
        )
    return missed


if __name__ == "__main__":
    started = time.perf_counter()
    code = main()
    print(f"{time.perf_counter() - started:.0f} s in all")
    raise SystemExit(code)
