"""Tiny random models of three families, with chat templates of their families' forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

FAMILIES = ("llama", "qwen3", "gemma3")

# As SmolLM2's: a default system turn, and one token that pads, ends a turn and ends a text.
LLAMA_TEMPLATE = """
{%- if not messages or messages[0].role != 'system' -%}
    {{ '<|im_start|>system\\nYou are helpful.<|im_end|>\\n' }}
{%- endif -%}
{%- for message in messages -%}
    {{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<|im_start|>assistant\\n' }}
{%- endif -%}
"""

# As Qwen3's: past thoughts are cut out, and thinking is switched off by an empty thought.
QWEN3_TEMPLATE = """
{%- for message in messages -%}
    {%- set text = message.content -%}
    {%- if message.role == 'assistant' and '</think>' in text -%}
        {%- set text = text.split('</think>')[-1].lstrip('\\n') -%}
    {%- endif -%}
    {{ '<|im_start|>' + message.role + '\\n' + text + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false -%}
        {{ '<think>\\n\\n</think>\\n\\n' }}
    {%- endif -%}
{%- endif -%}
"""

# As Gemma's: no system turn, strict alternation, trimmed texts, an own name for the assistant.
GEMMA3_TEMPLATE = """
{{- bos_token -}}
{%- for message in messages -%}
    {%- if message.role == 'system' -%}
        {{ raise_exception('System role not supported') }}
    {%- endif -%}
    {%- if (message.role == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception('Roles must alternate user/assistant/user/assistant/...') }}
    {%- endif -%}
    {%- set role = 'model' if message.role == 'assistant' else message.role -%}
    {{ '<start_of_turn>' + role + '\\n' + message.content | trim + '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<start_of_turn>model\\n' }}
{%- endif -%}
"""

TEMPLATES = {"llama": LLAMA_TEMPLATE, "qwen3": QWEN3_TEMPLATE, "gemma3": GEMMA3_TEMPLATE}
SPECIAL = {
    "llama": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "qwen3": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "gemma3": ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"],
}
NOT_SPECIAL = {"llama": [], "qwen3": ["<think>", "</think>", "<tool_call>"], "gemma3": ["\n\n\n"]}
NAMED = {
    "llama": {"bos": "<|im_start|>", "eos": "<|im_end|>", "pad": "<|im_end|>"},
    "qwen3": {"eos": "<|im_end|>", "pad": "<|endoftext|>"},
    "gemma3": {"bos": "<bos>", "eos": "<eos>", "pad": "<pad>"},
}
ENDS = {
    "llama": ["<|im_end|>"],
    "qwen3": ["<|im_end|>", "<|endoftext|>"],
    "gemma3": ["<eos>", "<end_of_turn>"],
}
CONFIGS: dict[str, Any] = {"llama": LlamaConfig, "qwen3": Qwen3Config, "gemma3": Gemma3TextConfig}
FAMILY_OPTIONS: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": True},
    "qwen3": {"tie_word_embeddings": False},
    "gemma3": {
        "sliding_window": 16,
        "layer_types": ["sliding_attention", "full_attention"],
        "query_pre_attn_scalar": 32,
    },
}
CORPUS = """You are one node of a network. Answer with the answer only: yes, no, true or false.
Which of these numbers is the largest? The message of the node before you reads as follows.
system user assistant model"""


def tiny_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer of about 330 tokens with the family's control tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=[AddedToken(text, special=True) for text in SPECIAL[family]],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([CORPUS], trainer)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in NOT_SPECIAL[family]])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        chat_template=TEMPLATES[family],
        **{f"{name}_token": token for name, token in NAMED[family].items()},
    )


def make_tiny(family: str, folder: Path, seed: int = 0, **options: Any) -> Path:
    """Write a tiny random float32 model of a family into a folder and return the folder.

    `options` replace values of the model's configuration.
    """
    tokenizer = tiny_tokenizer(family)
    ends = tokenizer.convert_tokens_to_ids(ENDS[family])
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "max_position_embeddings": 2048,
        "initializer_range": 0.05,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": ends,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = CONFIGS[family](**(shape | FAMILY_OPTIONS[family] | options))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.generation_config = GenerationConfig(
        eos_token_id=ends, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def symbol_model(folder, symbols, seed):
    """A random model whose whole vocabulary are the symbols; it is blind to any other word.

    In a prompt of a hundred random words one symbol would hardly move a random model.
    """
    words = ["<unk>", "<|im_start|>", "<|im_end|>", *symbols]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(Regex(r"\w\w+|[^\w\s]|[0-9]"), " ")
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in words[1:3]])
    torch.manual_seed(seed)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    config = LlamaConfig(
        vocab_size=len(words),
        num_attention_heads=2,
        num_key_value_heads=1,
        initializer_range=0.5,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        **shape,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        chat_template=LLAMA_TEMPLATE,
    ).save_pretrained(folder)
    return str(folder)
