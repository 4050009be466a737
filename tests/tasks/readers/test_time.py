"""Every reader takes any text in bounded time."""

import random

import pytest
from support.timing import seconds

from neuromas_env.tasks.readers import READERS

pytestmark = pytest.mark.slow

OPTIONS = (("A", "soft gold"), ("B", "pure iron"), ("C", "vitamin C"), ("D", "Li and B"))
LENGTH, SECONDS = 20_000, 1.0  # the slowest takes half of it, in time that grows with the length
SINGLE = [chr(code) for code in range(32, 127)]
SINGLE += list(
    "−—‑…“”½¹²٣é中答ñ\u200b\u00a0\ufeff\u0130\ud800◁▷❌✓\n\t\0\x1b\U000f0001\u0301\u0316"
)
_drawn = random.Random(22)
PAIRS = [_drawn.sample(SINGLE, 2) for _ in range(600)]
PIECES = (
    "A |B. |not A |the answer is A |answer: |\\boxed{|\\text{|\\frac{1}{|1,234,|1 234 |no, |wait |"
    "if A |(A) |one |hundred and |<think>|</think>|A, B or |is not |$1|**a|_a|between 1 and |1/2 |"
    "2^9|9^9^|is is |that |- 1\n|1. a\n|a: |`a|[a](|\"a is|Answer:\n|soft gold |some say |"
    "all but A |{\"a\":|~~~\n|x = |1% of 1 at |1)+|or rather A, |any option but |I disagree: it A |"
    "{\"answer\": x, |1 a b (| - wait|edit: A "
).split("|")  # fmt: skip
TEXTS = {
    "single": [char * LENGTH for char in SINGLE],
    "pairs": [(a + b) * (LENGTH // 2) for a, b in PAIRS[:60]],
    "halves": [a * (LENGTH // 2) + b * (LENGTH // 2) for a, b in PAIRS[60:120]],
    "pieces": [piece * (LENGTH // len(piece)) for piece in (*PIECES, "|a|b|\n")],
    "more pairs": [(a + b) * (LENGTH // 2) for a, b in PAIRS[120:]],
}
READ = {
    "choice": lambda reader, reply: reader.choice(reply, OPTIONS),
    "number": lambda reader, reply: reader.number(reply),
    "word": lambda reader, reply: reader.word(reply, ("Yes", "No")),
    "text": lambda reader, reply: reader.text(reply, "Paris"),
}


@pytest.mark.parametrize(
    "texts",
    [*list(TEXTS)[:-1], pytest.param("more pairs", marks=pytest.mark.whole)],
)
@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("name", READERS)
def test_no_text_takes_long(name, kind, texts):
    slow = {}
    for text in TEXTS[texts]:
        if (took := seconds(READ[kind], READERS[name], text, bound=SECONDS)) > SECONDS:
            slow[text[:8] + text[-4:]] = took
    assert not slow
