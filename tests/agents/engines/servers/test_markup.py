import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuromas_env.agents.engines.servers.markup import BREAK, plain

MARKS = (
    "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|channel|>", "<|turn>",
    "<turn|>", "<|\"|>", "<|START_OF_TURN_TOKEN|>", "<|reserved_special_token_5|>", "<｜User｜>",
    "<｜begin▁of▁sentence｜>", "<｜tool▁calls▁begin｜>", "<s>", "</s>", "<unk>", "<pad>", "<bos>",
    "<eos>", "<BOS_TOKEN>", "<start_of_turn>", "<end_of_turn>", "<end_of_utterance>", "<tool_call>",
    "</tool_call>", "<extra_id_1>", "<SPECIAL_12>", "<unused7>", "<seed:bos>", "</seed:think>",
    "<fim_prefix>", "<image>", "<用户>", "<<SYS>>", "<</SYS>>", "[INST]", "[/INST]",
    "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/TOOL_RESULTS]", "[SYSTEM_PROMPT]", "[IMG]", "[BOS]",
    "[gMASK]", "[@BOS@]", "[|assistant|]", "[|endofturn|]", "[unused9]", "[control_8]", "[e~[",
    "]~b]", "]~!b[",
)  # fmt: skip
ORDINARY = (
    "a<b>c", "x < y > z", "a <| b", "f <|> g", "a || b", "1 <2|3> 4", "List<String>", "Map<K, V>",
    "vector<size_t>", "Vec<my_type>", "x[0]", "x[i][j]", "table[INDEX]", "[1, 2, 3]", "[x]",
    "[link](url)", "[PAD", "<b>bold</b>", "<p class='s'>", "<br/>", "<div><span>x</span></div>",
    "<h1>", "<S>", "<think>", "</think>", "<answer>", "<!-- x -->", "<|", "|>", "<||>", "a |> b",
    "if (a<b && c>d)", "<user@host>", "[INST", "INST]", "[inst]", "e~[", "]]", "~b", "\u200b<",
)  # fmt: skip
marks, anything = st.sampled_from(MARKS), st.text(max_size=5)
words = st.text(alphabet=st.characters(exclude_characters="<[]"))


@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_is_broken_wherever_it_stands(mark):
    for text in (mark, f"x{mark}y", f"{mark}{mark}", f"<|{mark}|>", f"[{mark}]", f"<{mark}>"):
        assert mark not in plain(text) and plain(text).replace(BREAK, "") == text


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text):
    assert plain(text) == text and plain(f"say {text} twice: {text}") == f"say {text} twice: {text}"


@given(words)
def test_text_without_brackets_is_left_alone(text):
    assert plain(text) == text


@given(st.lists(st.one_of(marks, anything, st.sampled_from(ORDINARY))).map("".join))
def test_no_mark_is_left_and_nothing_else_is_changed(text):
    said = plain(text)
    assert not [mark for mark in MARKS if mark in said]
    assert said.replace(BREAK, "") == text.replace(BREAK, "")
    assert plain(said) == said
