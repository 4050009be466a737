"""Control markup of chat models, kept plain text for servers that take a call as text.

Many servers tokenise the special tokens of their model wherever they stand, also inside a
message, which could so open or close a turn. Whose model it is they do not say: the marks of all
families are broken, and nothing else is changed.
"""

from __future__ import annotations

import re

BREAK = "\u200b"
"""Stands behind the first character of a mark, which then is no special token any more."""

ANGLED = (
    r"s unk pad bos eos cls sep sop eop PAD UNK CLS SEP BOS_TOKEN EOS_TOKEN EOP_TOKEN MASK_TOKEN "
    r"start_of_turn end_of_turn start_of_image end_of_image image_soft_token start_of_audio "
    r"end_of_audio audio_soft_token end_of_utterance fake_token_around_image global-img image "
    r"endoftext end_of_text start_of_role end_of_role fim_prefix fim_middle fim_suffix fim_pad "
    r"file_sep repo_name tool_call tool_calls tool_response function_call start_function_call "
    r"end_function_call TOOLCALL AVAILABLE_TOOLS TOOL_RESPONSE 用户 AI SYS seed:\w+ unused\d+ "
    r"reserved_\d+ extra_id_\d+ SPECIAL_\d+"
).split()
"""Special tokens written `<NAME>` or `</NAME>`, as regular expressions."""

SQUARE = (
    r"INST SYS SYSTEM_PROMPT AVAILABLE_TOOLS TOOL_CALLS TOOL_RESULTS TOOL_CONTENT ARGS CALL_ID "
    r"MODEL_SETTINGS THINK IMG IMG_BREAK IMG_END AUDIO BEGIN_AUDIO TRANSCRIBE PREFIX MIDDLE SUFFIX "
    r"BOS EOS EOT PAD UNK CLS SEP MASK gMASK sMASK @BOS@ multimodal start_header_id end_header_id "
    r"\|(?:system|user|assistant|tool|endofturn)\| unused\d+ UNUSED_TOKEN_\d+ control_\d+"
).split()
"""The same for `[NAME]` and `[/NAME]`."""

_FRAMED = r"(?=[|｜]*[^\s<>|｜\u200b])[^\s<>\u200b]{1,64}"
_MARK = re.compile(
    "|".join(
        (
            rf"<(?=[|｜]{_FRAMED}>|/?{_FRAMED}[|｜]>)",  # <|im_start|>, <｜User｜>, <|turn>
            rf"<(?=/?(?:{'|'.join(ANGLED)})>)",
            rf"\[(?=/?(?:{'|'.join(SQUARE)})\])",
            r"\[(?=e~\[)|\](?=~!?b[\[\]])",  # of MiniMax
        )
    )
)


def plain(text: str) -> str:
    """Break the control markup in a text by a zero-width space, so that it stays plain text.

    Marks are words in angle brackets with a bar at either end, `ANGLED` and `SQUARE`. Other tags,
    comparisons, generic types, indices and the marks of thoughts are left as they are.
    """
    return _MARK.sub(rf"\g<0>{BREAK}", text)
