"""Generated tokens per second through our policies beside vLLM's own `generate`.

One vLLM serves both sides: a network of three nodes answers questions, every reply with
the same number of tokens, and vLLM alone is given the very prompts of each layer as token
ids, with the same adapters, but neither seeds nor log-probabilities. Our side also runs the
environment, writes prompts, reads replies and, as after a training step, hands all adapters
over anew. Both begin with an empty prefix cache. Needs the environment of docs/vllm.md:

    python benchmarks/vllm_speed.py [--quick]
"""

import time

from model_setup import RANK, Recorder, alternate, options

from neuromas_env.agents.engines.models import load_base, resolve_model
from neuromas_env.agents.engines.vllm import VLLMEngine
from neuromas_env.agents.llm import llm_network
from neuromas_env.policy import Sampling
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task
from neuromas_env.topology import Topology

TARGET = 0.9
NETWORK = Topology.parse("2-1")


def make_engine(chosen):
    base = load_base(chosen.model, dtype=chosen.dtype, quiet=True)
    folder = resolve_model(chosen.model)
    engine = VLLMEngine(base, folder, nodes=len(NETWORK), cache_gib=1.0, rank=RANK)
    engine.chat.end_ids = frozenset()  # every reply has its full length
    for number, node in enumerate(NETWORK.nodes):
        engine.adapters.add(node, number)
        engine.adapters.add_noise(node, 0.01, number)
    return engine


class Ours:
    """Episodes with adapters that have just changed."""

    def __init__(self, engine, questions, rollouts, new_tokens):
        self.task = make_task("hierarchy/max")
        self.examples = self.task.examples("train")[:questions]
        self.engine, self.rollouts = engine, rollouts
        self.sampling, self.steps, self.hand_over = Sampling(1.0, new_tokens), 0, []

    def run(self, engine=None):
        self.steps += 1
        for node in NETWORK.nodes:
            self.engine.adapters.add_noise(node, 1e-3, self.steps)
        self.engine.llm.reset_prefix_cache()
        started = time.perf_counter()
        self.engine.hand_over(NETWORK.nodes)
        self.hand_over.append(time.perf_counter() - started)
        network = llm_network(NETWORK, self.task, engine or self.engine, self.sampling)
        runs = run_episodes(network, self.task, self.examples, rollouts=self.rollouts)
        assert not any(run.error for run in runs)


def bare(engine, batches):
    """Return a function that lets vLLM alone answer the batches."""
    from vllm import SamplingParams

    length = batches[0][0].sampling.max_new_tokens
    sampling = SamplingParams(max_tokens=length, ignore_eos=True, detokenize=False)
    prompts = [[{"prompt_token_ids": engine.chat.encode(r.turns)} for r in b] for b in batches]

    def run():
        adapters = engine.hand_over(NETWORK.nodes)
        engine.llm.reset_prefix_cache()
        for batch, ids in zip(batches, prompts, strict=True):
            chosen = [adapters[request.adapter] for request in batch]
            engine.llm.generate(ids, sampling, lora_request=chosen, use_tqdm=False)

    return run


def main():
    chosen = options(__doc__)
    questions, rollouts, new_tokens = (2, 4, 16) if chosen.quick else (4, 8, 32)
    engine = make_engine(chosen)
    print(f"vLLM {engine.version}, {questions} questions of {rollouts} rollouts, {len(NETWORK)} "
          f"nodes, {new_tokens} new tokens")  # fmt: skip
    engine.hand_over(NETWORK.nodes)
    ours, recorder = Ours(engine, questions, rollouts, new_tokens), Recorder(engine)
    ours.run(recorder)
    alone = bare(engine, recorder.batches)
    seconds = alternate({"ours": ours.run, "bare": alone}, 3)
    tokens = sum(map(len, recorder.batches)) * new_tokens
    ratio = seconds["bare"] / seconds["ours"]
    print(
        f"ours {tokens / seconds['ours']:.1f} tokens/s ({min(ours.hand_over):.2f} s of "
        f"{seconds['ours']:.2f} s hand adapters over), bare vLLM {tokens / seconds['bare']:.1f}"
    )
    print(f"ratio: {ratio:.2f} (target: at least {TARGET})")
    engine.close()
    return ratio


if __name__ == "__main__":
    raise SystemExit(main() < TARGET)
