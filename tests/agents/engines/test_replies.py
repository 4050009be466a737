"""A node's own replies in its next prompt: the exact tokens, whatever the template writes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_models import ENDS, TEMPLATES, tiny_tokenizer

from neuromas_env.agents.engines.chat import ChatEncoder
from neuromas_env.errors import InputError

# Of Qwen3 and Gemma 3 as published, without tools and pictures: a thought is written for what
# follows the last question; the system's text begins the first user turn.
QWEN3 = """
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == 'user' %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == 'assistant' %}
        {%- set reasoning = '' %}
        {%- if '</think>' in content %}
            {%- set reasoning = content.split('</think>')[0].split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or reasoning) %}
            {{- '<|im_start|>assistant\\n<think>\\n' + reasoning + '\\n</think>\\n\\n' + content }}
        {%- else %}
            {{- '<|im_start|>assistant\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""
GEMMA3 = """
{{- bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- set first = messages[0]['content'] + '\\n\\n' -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first = '' -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- endif -%}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
    {{ '<start_of_turn>' + role + '\\n' + (first if loop.first else '') }}
    {{- message['content'] | trim }}
    {{- '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<start_of_turn>model\\n' }}
{%- endif -%}
"""
FORMS = {
    "llama": TEMPLATES["llama"],
    "qwen3": TEMPLATES["qwen3"],
    "qwen3 as published": QWEN3,
    "gemma3": TEMPLATES["gemma3"],
    "gemma3 as published": GEMMA3,
}


def tokenizer_of(name):
    tokenizer = tiny_tokenizer(name.split()[0])
    tokenizer.chat_template = FORMS[name]
    return tokenizer


def encoder(name):
    ends = TOKENIZERS[name].convert_tokens_to_ids(ENDS[name.split()[0]])
    return ChatEncoder(TOKENIZERS[name], name, end_ids=ends)


TOKENIZERS = {name: tokenizer_of(name) for name in FORMS}
ENCODERS = {name: encoder(name) for name in FORMS}
TURNS = (
    ("system", "Answer with the number only."),
    ("user", "2 + 3?"),
    ("assistant", "4"),
    ("user", "[round 2 of 3]\nnode_2: 6"),
    ("assistant", "5"),
    ("user", "[round 3 of 3]"),
)


def turn_end(name):
    """The token that the template writes after an assistant's text."""
    end = "<end_of_turn>" if name.startswith("gemma3") else "<|im_end|>"
    return TOKENIZERS[name].convert_tokens_to_ids(end)


def spelled(name, text):
    return TOKENIZERS[name].encode(text, add_special_tokens=False)


def text_of(name, ids):
    return TOKENIZERS[name].decode(ids, skip_special_tokens=False)


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=20)
@given(
    replies=st.lists(st.lists(st.integers(10, 250), max_size=6), min_size=2, max_size=2),
    ended=st.lists(st.booleans(), min_size=2, max_size=2),
)
def test_a_prompt_begins_with_the_one_before_and_its_reply(name, replies, ended):
    chat = ENCODERS[name]
    end = turn_end(name)
    ids = [
        np.array([*reply, end] if ends or not reply else reply)
        for reply, ends in zip(replies, ended, strict=True)
    ]
    before = []
    for turn in range(3):
        prompt = chat.encode(TURNS[: 2 + 2 * turn], ids[:turn])
        assert prompt[: len(before)] == before
        # One end of turn between a reply and what follows it, whoever has written it.
        if turn:
            assert prompt[len(before) - ids[turn - 1].tolist().count(end) :].count(end) == 2
        before = prompt + (ids[turn].tolist() if turn < 2 else [])


@pytest.mark.parametrize("name", FORMS)
def test_a_text_may_be_written_otherwise_than_it_was_sampled(name):
    chat = ENCODERS[name]
    sampled = [*spelled(name, "1"), *spelled(name, "0 "), turn_end(name)]
    prompt = chat.encode(TURNS[:4], [sampled])
    asked = chat.encode(TURNS[:2])
    after = prompt[len(asked) + len(sampled) :]
    assert prompt[: len(asked)] == asked
    assert text_of(name, after).startswith("\n<") and "[round 2 of 3]" in text_of(name, after)


def test_an_empty_thought_stays_where_it_was_asked_for():
    for name in ("qwen3", "qwen3 as published"):
        chat = ENCODERS[name]
        reply = [*spelled(name, "4"), turn_end(name)]
        assert text_of(name, chat.encode(TURNS[:4], [reply])) == (
            "<|im_start|>system\nAnswer with the number only.<|im_end|>\n"
            "<|im_start|>user\n2 + 3?<|im_end|>\n"
            "<|im_start|>assistant\n<think>\n\n</think>\n\n4<|im_end|>\n"
            "<|im_start|>user\n[round 2 of 3]\nnode_2: 6<|im_end|>\n"
            "<|im_start|>assistant\n<think>\n\n</think>\n\n"
        )
        rendered = text_of(name, chat.encode(TURNS[:4]))
        assert rendered.count("<think>") == 1


@pytest.mark.parametrize("name", ["llama", "gemma3", "gemma3 as published"])
def test_the_very_tokens_of_a_text_make_the_prompt_of_the_text(name):
    chat = ENCODERS[name]
    replies = [[*spelled(name, text), turn_end(name)] for text in ("4", "5")]
    assert chat.encode(TURNS, replies) == chat.encode(TURNS)


@pytest.mark.parametrize("name", FORMS)
def test_a_reply_that_is_not_known_is_written_from_its_text(name):
    chat = ENCODERS[name]
    assert chat.encode(TURNS, [[], []]) == chat.encode(TURNS, ()) == chat.encode(TURNS)
    ids = np.array([*spelled(name, "five"), turn_end(name)])
    mixed = chat.encode(TURNS, [np.zeros(0, int), ids])
    assert mixed[: len(chat.encode(TURNS[:4]))] == chat.encode(TURNS[:4])
    assert "five" in text_of(name, mixed) and "4" in text_of(name, mixed)
    first = chat.encode(TURNS, [ids, []])
    assert first[: len(chat.encode(TURNS[:2]))] == chat.encode(TURNS[:2])
    assert text_of(name, first).count("five") == 1 and "5" in text_of(name, first)


def test_another_end_than_the_templates_is_followed_by_the_templates():
    chat = ENCODERS["gemma3"]
    eos, end = TOKENIZERS["gemma3"].convert_tokens_to_ids(["<eos>", "<end_of_turn>"])
    prompt = chat.encode(TURNS[:4], [[30, eos]])
    asked = len(chat.encode(TURNS[:2]))
    assert prompt[asked : asked + 3] == [30, eos, end]


def test_what_a_template_writes_before_its_end_is_left_out_after_an_end():
    tokenizer = tiny_tokenizer("llama")
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '<|im_start|>' + m.content + ' .<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>' }}{% endif %}"
    )
    chat = ChatEncoder(tokenizer, "own")
    turns = [("user", "a"), ("assistant", "b"), ("user", "c")]
    for reply, written in (("b<|im_end|>", "b<|im_end|>"), ("b", "b .<|im_end|>")):
        ids = tokenizer.encode(reply, add_special_tokens=False)
        assert tokenizer.decode(chat.encode(turns, [ids])) == (
            f"<|im_start|>a .<|im_end|><|im_start|>{written}<|im_start|>c .<|im_end|><|im_start|>"
        )


@pytest.mark.slow
@pytest.mark.model
def test_the_default_models_digits_stay_as_they_were_sampled(smollm2):
    chat = ChatEncoder(smollm2.tokenizer, smollm2.name)
    first = chat.encode(TURNS[:2])
    sampled = [*smollm2.tokenizer.encode(" 4 2", add_special_tokens=False), *chat.end_ids]
    second = chat.encode(TURNS[:4], [sampled])
    assert second[: len(first) + len(sampled)] == [*first, *sampled]
    assert smollm2.tokenizer.decode(second[len(first) + len(sampled) :]) == (
        "\n<|im_start|>user\n[round 2 of 3]\nnode_2: 6<|im_end|>\n<|im_start|>assistant\n"
    )
    assert chat.encode(TURNS, [sampled, sampled])[: len(second)] == second


@pytest.mark.parametrize("replies", [[[5]], [[5], [5], [5]]])
def test_there_are_as_many_replies_as_assistant_turns(replies):
    with pytest.raises(InputError, match=f"as many as assistant turns, 2, got {len(replies)}"):
        ENCODERS["llama"].encode(TURNS, replies)
