"""Pretrain a character-level model on questions of the hierarchy family, in chat form.

    python experiments/pretrain_chars.py FOLDER

It sees the prompts that nodes of small networks get, on training questions of another seed
than the experiments use, and learns to answer them in form. Only `RIGHT` of the answers that it
is taught are right, the others are another number of the question, so that there is something
left to learn from rewards. The folder is a model that `neuromas train --model` takes.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
)

from neuromas_env.agents.prompt import build_prompt
from neuromas_env.episode import Episode
from neuromas_env.tasks import make_task
from neuromas_env.tasks.answers import extract_number
from neuromas_env.topology import Topology

SEED = 12345
STEPS, BATCH, RATE = 1000, 32, 3e-3
RIGHT = 0.7
TASKS = {"hierarchy/max:leaves=4": 0.4, "hierarchy/max": 0.5, "hierarchy/select": 0.1}
NETWORKS = ("1", "2-1", "1-1-1", "2-2-1", "2-2-1:skip", "2-2-2-1", "4-1", "1-1-1-1-1")
SHAPE = {
    "hidden_size": 96,
    "intermediate_size": 192,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 1024,
}
PROMPT_WEIGHT = 0.05
"""Of a token of the prompt in the loss, where one of the answer has 1."""
TEMPLATE = """
{%- for message in messages -%}
    {{ '<|im_start|>' + message.role[0] + message.content + '<|im_end|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>a' }}{%- endif -%}
"""


def tokenizer() -> PreTrainedTokenizerFast:
    """A token for every byte, and those that begin and end a turn."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + len(special),
        special_tokens=[AddedToken(text, special=True) for text in special],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    made.train_from_iterator([""], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        chat_template=TEMPLATE,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        bos_token="<|im_start|>",
    )


def lesson(rng: np.random.Generator, tasks: dict, networks: list[Topology]) -> tuple[str, str]:
    """Return the prompt and the answer of one node in one episode."""
    task = tasks[rng.choice(list(tasks), p=list(TASKS.values()))]
    topology = networks[rng.integers(len(networks))]
    examples = task.examples("train")
    example = examples[int(rng.integers(len(examples)))]
    episode = Episode(topology, task, example)
    stop = topology.nodes[rng.integers(len(topology))]
    while True:
        node = episode.active[0]
        seen = episode.observe(node)
        text = answer(rng, task.variant, seen, example.target)
        if node == stop:
            (_, system), (_, user) = build_prompt(seen, task.answer_format)
            return (
                f"<|im_start|>s{system}<|im_end|><|im_start|>u{user}<|im_end|><|im_start|>a",
                text,
            )
        episode.say(node, text)


def answer(rng: np.random.Generator, kind: str, seen: dict, target: str) -> str:
    """What the node is taught to say: the right number of those that it reads, or any of them."""
    words = [message["text"] for message in seen["inbox"]]
    words += [w.strip("?.,;:[]()") for w in seen["question"].replace("[", " ").split()]
    numbers = [word for word in words if extract_number(word) == word]
    if not numbers:
        return target
    if rng.random() >= RIGHT:
        return numbers[rng.integers(len(numbers))]
    if kind == "max":
        return max(numbers, key=int)
    return target if target in numbers else numbers[rng.integers(len(numbers))]


def batches(words: PreTrainedTokenizerFast):
    """Yield token ids and the weight of each token in the loss, padded."""
    rng = np.random.default_rng(SEED)
    tasks = {name: make_task(f"{name}{',' if ':' in name else ':'}seed={SEED}") for name in TASKS}
    networks = [Topology.parse(text) for text in NETWORKS]
    while True:
        ids, weights = [], []
        for _ in range(BATCH):
            prompt, text = lesson(rng, tasks, networks)
            head = words(prompt, add_special_tokens=False)["input_ids"]
            tail = words(f"{text}<|im_end|>", add_special_tokens=False)["input_ids"]
            ids.append(head + tail)
            weights.append([PROMPT_WEIGHT] * len(head) + [1.0] * len(tail))
        width = max(map(len, ids))
        yield (
            torch.tensor([row + [words.pad_token_id] * (width - len(row)) for row in ids]),
            torch.tensor([row + [0.0] * (width - len(row)) for row in weights]),
        )


def pretrain(folder: Path, steps: int = STEPS) -> None:
    """Train the model and write it into the folder."""
    words = tokenizer()
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=len(words), tie_word_embeddings=True, bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id, **SHAPE,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, steps, pct_start=0.1)
    started = time.monotonic()
    for step, (ids, weights) in zip(range(1, steps + 1), batches(words), strict=False):
        # Padding stands on the right, where no token looks, so it needs no mask.
        logits = model(ids).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
        )
        loss = (losses * weights[:, 1:].flatten()).sum() / weights[:, 1:].sum()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step == steps:
            passed = time.monotonic() - started
            print(
                f"step {step}/{steps}  loss {float(loss.detach()):.3f}  {passed:.0f} s", flush=True
            )
    model.generation_config = GenerationConfig(
        eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id
    )
    model.save_pretrained(folder)
    words.save_pretrained(folder)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python experiments/pretrain_chars.py FOLDER")
    pretrain(Path(sys.argv[1]))
