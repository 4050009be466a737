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
from neuromas_env.tasks import Example, Task, make_task
from neuromas_env.topology import Topology

SEED = 12345
STEPS, BATCH, RATE = 450, 32, 3e-3
FURTHER = 4
RIGHT = 0.8
TASKS = ("hierarchy/max:leaves=4,", "hierarchy/max:")
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


def lesson(rng: np.random.Generator, tasks: list, networks: list[Topology]) -> list[list[str]]:
    """Return pairs of what is read and what is to be said: one node's turn, then more questions.

    The further questions of the same chat share its system turn, so that there is more to learn
    from in as many characters.
    """
    task = tasks[rng.integers(len(tasks))]
    episode = Episode(networks[rng.integers(len(networks))], task, draw(rng, task))
    stop = episode.topology.nodes[rng.integers(len(episode.topology))]
    while True:
        node = episode.active[0]
        seen = episode.observe(node)
        text = answer(rng, seen)
        if node == stop:
            break
        episode.say(node, text)
    (_, system), (_, user) = build_prompt(seen, task.answer_format)
    turns = [[f"<|im_start|>s{system}<|im_end|><|im_start|>u{user}<|im_end|><|im_start|>a", text]]
    for _ in range(FURTHER):
        example = draw(rng, task)
        question = f"{example.query}\n{example.parts[rng.integers(len(example.parts))]}"
        text = answer(rng, {"question": question, "inbox": ()})
        turns.append([f"<|im_start|>u{question}<|im_end|><|im_start|>a", text])
    return turns


def draw(rng: np.random.Generator, task: Task) -> Example:
    """Return a random training question."""
    examples = task.examples("train")
    return examples[int(rng.integers(len(examples)))]


def answer(rng: np.random.Generator, seen: dict) -> str:
    """What is taught: the largest of the numbers that are read, or any of them."""
    words = [message["text"] for message in seen["inbox"]]
    words += [word.strip("?,") for word in seen["question"].split()]
    numbers = [word for word in words if word.isdecimal()]
    right = rng.random() < RIGHT
    return max(numbers, key=int) if right else numbers[rng.integers(len(numbers))]


def batches(words: PreTrainedTokenizerFast):
    """Yield token ids and the weight of each token in the loss, padded."""
    rng = np.random.default_rng(SEED)
    tasks = [make_task(f"{name}seed={SEED}") for name in TASKS]
    networks = [Topology.parse(text) for text in NETWORKS]
    while True:
        ids, weights = [], []
        for _ in range(BATCH):
            ids.append([])
            weights.append([])
            for prompt, text in lesson(rng, tasks, networks):
                head = words(prompt, add_special_tokens=False)["input_ids"]
                tail = words(f"{text}<|im_end|>", add_special_tokens=False)["input_ids"]
                ids[-1] += head + tail
                weights[-1] += [PROMPT_WEIGHT] * len(head) + [1.0] * len(tail)
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
