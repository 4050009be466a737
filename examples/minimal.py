"""NeuroMAS in one screen: a network of language models, trained like a neural network.

The nodes of a topology are language models, its edges carry text, and the last node's text is the
answer. One frozen base serves all nodes, each through a LoRA adapter of its own. The answer's
score R is the one reward, and REINFORCE moves all adapters at once (NeuroMAS, arXiv 2605.16757):

    grad J = E[ sum over nodes and tokens of  grad log p(token | prompt) (R - b) ]

with b the mean reward of the other rollouts of the same question. The learner of the package has
this gradient, too (`tests/examples/test_minimal.py`); it is faster, as all adapters share a pass.

    python examples/minimal.py --model smollm2-135m --task hierarchy/max --topology 2-1
"""

import argparse
import warnings
from collections import namedtuple

import numpy as np
import torch
from peft import LoraConfig
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from neuromas_env import Topology, neuromas_v0
from neuromas_env.agents.engines.models import resolve_model
from neuromas_env.tasks import make_task

ROLLOUTS = 4  # of each question: they are one another's baseline
TEMPERATURE = 0.5
LEARNING_RATE = 1e-3  # falls linearly to zero
LORA = LoraConfig(r=16, lora_alpha=32, target_modules=["q_proj", "v_proj"])
MICRO_BATCH = 8  # rows of a backward pass, bounds the memory of their logits
ASKING = {"add_generation_prompt": True, "enable_thinking": False, "return_dict": False}
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Turn = namedtuple("Turn", "node prompt reply")  # as token ids, that which ends the reply included


def write_prompt(observation, answer_format):
    """Say where the node stands and no role: what it is good for is left to training."""
    place = observation["place"]
    reads = ["question", *(f"node_{i}" for i in np.flatnonzero(place["sources"]))]
    readers = ", ".join(f"node_{i}" for i in np.flatnonzero(place["readers"]))
    structure = (
        f"[node_{place['node']} | layer {place['layer']} | index {place['index']} | "
        f"reads {', '.join(reads)} | {f'read by {readers}' if readers else 'gives the answer'}]"
    )
    inbox = [f"{message['source']}: {message['text']}" for message in observation["inbox"]]
    return [
        {"role": "system", "content": f"{structure}\n{answer_format}"},
        {"role": "user", "content": "\n".join([observation["question"], *inbox])},
    ]


def load(name, nodes, max_new_tokens):
    """Load a frozen base and give each node an adapter, which starts as the bare base."""
    folder = resolve_model(name)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    # What is sampled must be what is trained, softmax(logits / T): no top-k, no penalties.
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=TEMPERATURE, top_k=0, max_new_tokens=max_new_tokens,
        eos_token_id=model.generation_config.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    warnings.filterwarnings("ignore", "Already found a `peft_config`")  # of a second adapter
    for node in nodes:
        model.add_adapter(LORA, node)
    return model.eval().to(DEVICE), tokenizer


@torch.no_grad()
def generate(model, tokenizer, prompts):
    """Sample a reply to each prompt, up to the first token that ends it."""
    batch = tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(DEVICE)
    rows = model.generate(**batch)[:, batch["input_ids"].shape[1] :].tolist()
    ends = np.atleast_1d(model.generation_config.eos_token_id)
    return [row[: next((i for i, t in enumerate(row, 1) if t in ends), None)] for row in rows]


def play(model, tokenizer, task, topology, questions):
    """Play an episode of each question, all side by side; return their turns and rewards."""
    envs = [neuromas_v0.parallel_env(task, topology, reward="both") for _ in questions]
    seen = [env.reset(options={"index": q})[0] for env, q in zip(envs, questions, strict=True)]
    turns = [[] for _ in envs]
    for layer in topology.layers:  # a step of the environment
        said = [{} for _ in envs]
        for node in layer:
            model.set_adapter(node)
            chats = [write_prompt(observed[node], task.answer_format) for observed in seen]
            prompts = tokenizer.apply_chat_template(chats, **ASKING)
            replies = generate(model, tokenizer, prompts)
            for i, (prompt, reply) in enumerate(zip(prompts, replies, strict=True)):
                turns[i].append(Turn(node, prompt, reply))
                said[i][node] = tokenizer.decode(reply, skip_special_tokens=True).strip()
        steps = [env.step(messages) for env, messages in zip(envs, said, strict=True)]
        seen, rewards, *_ = zip(*steps, strict=True)
    return turns, torch.tensor([each[node] for each in rewards])  # all nodes get the same


def backward(model, turns, rewards):
    """Add the gradient of -1/N sum_episodes (R - b) sum_nodes sum_tokens log p to the adapters'."""
    table = rewards.view(-1, ROLLOUTS)  # a row per question
    others = (table.sum(1, keepdim=True) - table) / (ROLLOUTS - 1)
    advantages = (table - others).flatten().tolist()
    rows = [(turn, a) for each, a in zip(turns, advantages, strict=True) for turn in each if a]
    for node in dict.fromkeys(turn.node for turn, _ in rows):
        model.set_adapter(node)
        own = [(turn, a) for turn, a in rows if turn.node == node]
        for first in range(0, len(own), MICRO_BATCH):
            batch = own[first : first + MICRO_BATCH]
            # Padding stands on the right, where a causal model does not look.
            texts = [torch.tensor(turn.prompt + turn.reply) for turn, _ in batch]
            ids = pad_sequence(texts, batch_first=True).to(DEVICE)
            logits = model(input_ids=ids, use_cache=False).logits[:, :-1] / TEMPERATURE
            logp = logits.log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
            weight = torch.zeros_like(logp)
            for i, (turn, a) in enumerate(batch):
                weight[i, len(turn.prompt) - 1 :][: len(turn.reply)] = a
            (-(weight * logp).sum() / len(turns)).backward()


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m", help="or a folder, or a hub id")
    parser.add_argument("--task", default="hierarchy/max", help="see `neuromas list tasks`")
    parser.add_argument("--topology", default="2-1", help="layer widths, input side first")
    parser.add_argument("--questions", type=int, default=16, help="of a step")
    parser.add_argument("--steps", type=int, default=30)
    args = parser.parse_args(argv)

    torch.manual_seed(0)
    topology, task = Topology.parse(args.topology), make_task(args.task)
    model, tokenizer = load(args.model, topology.nodes, task.max_new_tokens)
    adapters = [p for name, p in model.named_parameters() if ".lora_" in name]
    optimizer = torch.optim.AdamW(adapters, weight_decay=0.0)
    for step in range(args.steps):
        questions = torch.randint(len(task.examples("train")), (args.questions,))
        questions = questions.repeat_interleave(ROLLOUTS).tolist()
        turns, rewards = play(model, tokenizer, task, topology, questions)
        backward(model, turns, rewards)
        torch.nn.utils.clip_grad_norm_(adapters, 1.0)
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / args.steps)
        optimizer.step()
        optimizer.zero_grad()
        print(f"step {step + 1:3d}   reward {rewards.mean():.3f}", flush=True)


if __name__ == "__main__":
    main()
