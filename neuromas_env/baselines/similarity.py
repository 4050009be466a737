"""How alike two texts are, by BLEU, for votes on answers that are seldom equal.

Sentence BLEU as the similarity vote of Li et al., 2024 (arXiv 2402.05120) takes it from
sacrebleu: Papineni et al., 2002, n-grams up to four, lower case, tokens of mteval-v13a, exponential
smoothing (Chen and Cherry, 2014, method 3), and no n-grams longer than the text. Written
out here, since a vote compares every pair: the n-grams of a text are counted once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import exp, log

_READ = 20_000
_ORDER = 4
_TOKENS = [
    (re.compile(r"([{-~\[-` -&(-+:-@/])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
]
Grams = list[Counter[tuple[str, ...]]]


def similarities(texts: Sequence[str]) -> list[list[float]]:
    """Return the BLEU in [0, 1] of each text, by row, against each as the reference."""
    counted = [_grams(text) for text in texts]
    return [[_bleu(mine, other) for other in counted] for mine in counted]


def _grams(text: str) -> Grams:
    """Count the n-grams of the first 20,000 characters, by length."""
    line = f" {text[:_READ].lower()} ".replace("-\n", "").replace("\n", " ")
    for pattern, spaced in _TOKENS:
        line = pattern.sub(spaced, line)
    words = line.split()
    shifted = [words[start:] for start in range(_ORDER)]
    return [Counter(zip(*shifted[:n], strict=False)) for n in range(1, _ORDER + 1)]


def _bleu(text: Grams, reference: Grams) -> float:
    length, due = text[0].total(), reference[0].total()
    if not text[0].keys() & reference[0].keys():
        return 0.0
    smooth, logs = 1, list[float]()
    for mine, other in zip(text, reference, strict=True):
        if not (count := mine.total()):
            break
        shared = sum(min(times, other[gram]) for gram, times in mine.items() if gram in other)
        smooth *= 1 if shared else 2
        logs.append(log((shared or 1 / smooth) / count))
    return exp(min(0.0, 1 - due / length) + sum(logs) / len(logs))
