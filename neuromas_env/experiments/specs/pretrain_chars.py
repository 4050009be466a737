"""Pretrain a small model on questions of the hierarchy family, in chat form.

    python -m neuromas_env.experiments.specs.pretrain_chars FOLDER

It sees the prompts that nodes of small networks get, placed, unplaced and with roles alike, on
training questions of another seed than the experiments use. First it is taught to compare numbers,
then to say as often the number that it reads first, so that it has the skill and rewards have
something to teach. It took 92 seconds of one core (AMD EPYC, one thread). Of the 512 validation
questions one untrained node answers 34 %, `2-1` 42 %; 30 steps at the settings of the scale `tiny`
and a rate of 0.003, one seed, moved `2-1` from 45 to 68 % of 256 of them, and one node of its
parameters from 34 to 49 %. The folder is a model that `neuromas train --model` takes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
)

from neuromas_env.agents.engines.chat import ChatEncoder
from neuromas_env.agents.llm import llm_network
from neuromas_env.agents.prompts import Turns, build_prompt, role_prompt, unplaced_prompt
from neuromas_env.agents.training.api import make_engine
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.agents.training.evaluate import evaluate
from neuromas_env.envs.episode import Episode
from neuromas_env.envs.text import TextChannel
from neuromas_env.policy import Observation, Sampling
from neuromas_env.tasks import Task, make_task
from neuromas_env.topology import Topology

DIGEST = "13448c68fb061c4d"
"""By which results and caches know the model: another where a change makes another model."""
SEED = 12345
STEPS, BATCH, RATE = 400, 64, 2e-3
LEANING = 0.5
"""Share of the last third of the lessons that teach to say what is read first, right or not."""
TASK = "hierarchy/max:leaves=4"
NETWORKS = ("1", "2-1", "1-1-1", "2-2-1", "2-2-1:skip", "2-2-2-1", "4-1", "1-1-1-1-1")
PROMPTS = (build_prompt, unplaced_prompt, role_prompt)
MERGES = 300
SHAPE: dict[str, Any] = {
    "hidden_size": 96,
    "intermediate_size": 192,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 1024,
    # With the usual 0.02 so narrow a model spends most of its lessons on growing its weights.
    "initializer_range": 0.1,
}
TEMPLATE = """
{%- for message in messages -%}
    {{ '<|im_start|>' + message.role[0] + message.content + '<|im_end|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>a' }}{%- endif -%}
"""


def tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Make a token for every byte, for turns, and for what prompts repeat; digits stand alone."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Split("\n", "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + len(special) + MERGES,
        special_tokens=[AddedToken(text, special=True) for text in special],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        chat_template=TEMPLATE,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        bos_token="<|im_start|>",
    )


def lesson(
    rng: np.random.Generator, task: Task, networks: list[Topology], leaning: float
) -> tuple[Turns, str]:
    """Return what one node reads, and what it is to say; half of the time an output node.

    Args:
        rng: Of everything random.
        task: Whose training questions.
        networks: Whose nodes.
        leaning: How often the first number is to be said instead of the largest.
    """
    examples = task.examples("train")
    topology = networks[rng.integers(len(networks))]
    episode = Episode(topology, TextChannel(task), examples[int(rng.integers(len(examples)))])
    stop = topology.nodes[rng.integers(len(topology))] if rng.random() < 0.5 else topology.output
    while (node := episode.active[0]) != stop:
        episode.say(node, max(numbers(episode.observe(node)), key=int))
    seen = episode.observe(node)
    said = numbers(seen)
    text = said[0] if rng.random() < leaning else max(said, key=int)
    return PROMPTS[rng.integers(len(PROMPTS))](seen, task.answer_format), text


def numbers(seen: Observation) -> list[str]:
    """Return the numbers that are read, in their order."""
    words = [word.strip(",") for word in seen["question"].split()]
    words += [message["text"] for message in seen["inbox"]]
    return [word for word in words if word.isdecimal()]


def batches(
    lessons: Iterator[tuple[Turns, str]], words: PreTrainedTokenizerFast
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield token ids, and which of them are to be learned, both padded."""
    # Prompts as an engine writes them: texts are cut into tokens apart from the template.
    chat, end = ChatEncoder(words, "chars", context_length=1024), [words.eos_token_id]
    while True:
        rows = [(chat.encode(turns), text) for turns, text in (next(lessons) for _ in range(BATCH))]
        tails = [words(text, add_special_tokens=False)["input_ids"] + end for _, text in rows]
        pairs = [(head, tail) for (head, _), tail in zip(rows, tails, strict=True)]
        width = max(len(head) + len(tail) for head, tail in pairs)
        ids = torch.full((BATCH, width), words.pad_token_id)
        learned = torch.zeros((BATCH, width), dtype=torch.bool)
        for i, (head, tail) in enumerate(pairs):
            ids[i, : len(head) + len(tail)] = torch.tensor(head + tail)
            learned[i, len(head) : len(head) + len(tail)] = True
        yield ids, learned


def pretrain(folder: Path, steps: int = STEPS) -> None:
    """Train the model, write it into the folder, and print how well it answers."""
    rng, task = np.random.default_rng(SEED), make_task(f"{TASK},seed={SEED}")
    networks = [Topology.parse(text) for text in NETWORKS]
    words = tokenizer([text for _ in range(1000) for _, text in lesson(rng, task, networks, 0)[0]])
    lessons = (
        lesson(rng, task, networks, 0 if number < 2 / 3 * steps * BATCH else LEANING)
        for number in count()
    )
    fit(folder, words, lessons, steps)
    for name, share in accuracy(folder).items():
        print(f"{name} answers {share:.1%} of the validation questions")


def fit(
    folder: Path,
    words: PreTrainedTokenizerFast,
    lessons: Iterator[tuple[Turns, str]],
    steps: int,
) -> None:
    """Train a fresh model on lessons, what is read and what is to be said, and write it."""
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=len(words), tie_word_embeddings=True, bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id, **SHAPE,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, steps, pct_start=0.1)
    started = time.monotonic()
    for step, (ids, learned) in zip(range(1, steps + 1), batches(lessons, words), strict=False):
        # Padding stands on the right, where no token looks, so it needs no mask.
        hidden = model.model(ids).last_hidden_state[:, :-1]
        logits = model.lm_head(hidden[learned[:, 1:]])
        loss = torch.nn.functional.cross_entropy(logits, ids[:, 1:][learned[:, 1:]])
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


def accuracy(
    folder: Path, shapes: tuple[str, ...] = ("1", "2-1"), name: str = TASK
) -> dict[str, float]:
    """Return which share of the validation questions untrained networks answer, greedily."""
    engine = make_engine(TrainConfig(model=str(folder), dtype="float32"))
    task, found = make_task(name), {}
    for shape in shapes:
        sampling = Sampling(temperature=0.0, max_new_tokens=6)
        method = llm_network(shape, task, engine, sampling, adapter_of={})
        examples = list(task.examples("validation"))
        found[shape] = evaluate(method, task, examples, split="validation").extracted
    return found


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m neuromas_env.experiments.specs.pretrain_chars FOLDER")
    pretrain(Path(sys.argv[1]))
