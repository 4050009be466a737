"""Whether the engine that samples has the adapters that are trained.

A fresh LoRA adapter changes nothing, and one that never arrives at the sampler looks like one that
learns slowly. So the two are compared by what they compute. `prove` hands over weights that change
every answer, and then the real ones again; `compare`, after every step, takes the log-probabilities
of the step's own replies, which training has computed beside those of sampling, and asks for a few
drawn tokens under each adapter that has no such replies. Drawn, because vLLM reads its prefix cache
for replies, but not for the log-probabilities of given tokens, and a stale cache is one of the
faults.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from neuromas_env.agents.engines.base import Row, TrainableEngine
from neuromas_env.errors import InputError
from neuromas_env.policy import Engine, Request, Sampling

SAMPLER_GAP = "sampler_gap/"
"""How learners call the mean gap of an adapter over a step's tokens, before its name."""
PROBES = 2
"""Tokens drawn under each adapter, each after a prompt of its own."""
ROUNDING = {torch.float32: 0.01, torch.bfloat16: 0.2}
"""Most nats between log-probabilities of sampling and training, in the mean of some tokens."""

# Longer than a block of vLLM's prefix cache, which holds 16 or 32 tokens.
_SYSTEM = "You are one node of a network of language models."
_QUESTION = "Which of these numbers is the largest: 12, 48, 7 or {}?"
_SHORT = 2  # tokens of a prompt where time counts, and one more for each further probe
_SCALES = (1.0, 4.0, 16.0, 64.0)  # of the known weights, until they can be seen
_SEEN = 8.0  # times the rounding


def add(engine: TrainableEngine, name: str, seed: int) -> None:
    """Add an adapter, and see that it starts with the weights of its seed.

    Raises:
        InputError: It starts with others.
    """
    engine.adapters.add(name, seed)
    if (found := engine.adapters.digest(name)) != (right := engine.adapters.initial(seed)):
        raise InputError(
            f"adapter {name!r} does not start with the weights of its seed {seed}: their hash is "
            f"{found}, not {right}"
        )


def prove_copies(engine: TrainableEngine) -> None:
    """Do what `prove` does if copies of the adapters answer, as for an evaluation.

    Raises:
        InputError: As in `prove`.
    """
    if engine.hands_over:
        prove(engine)


def prove(engine: TrainableEngine) -> None:
    """See that the engine samples with every adapter that it trains, whatever the weights are.

    For a moment the adapters hold random weights of a size at which each changes the answers, so
    that an engine that samples otherwise is told by gaps of that size. Afterwards they hold what
    they held, bit for bit.

    Raises:
        InputError: It samples with another base, or with other weights of an adapter, which is
            named; or an adapter changes nothing.
    """
    names = list(engine.adapters.names)
    if not names:
        return
    with _kept(engine, names):
        for scale in _SCALES:
            _randomise(engine, names, scale)
            tokens = _draw(engine, names, _long(engine))
            bare = _trained(engine, [replace(row, adapter=None) for row in tokens.rows])
            effects = np.abs(_trained(engine, tokens.rows) - bare).reshape(-1, PROBES).mean(1)
            if effects.min() >= _SEEN * engine.rounding:
                break
        for name, effect in zip(names, effects, strict=True):
            if not effect > engine.rounding / _SEEN:
                raise InputError(
                    f"adapter {name!r} changes nothing where it is trained: random weights move "
                    f"log-probabilities by {effect:.3g} nats"
                )
        _compare(engine, names, tokens, effects / _SEEN)
    if engine.hands_over:  # what was computed with the weights of a moment ago must be forgotten
        _compare(engine, names, _draw(engine, names, _long(engine)), _rounding(engine, names))


def compare(
    engine: TrainableEngine,
    names: Sequence[str] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> float:
    """Compare the log-probabilities of sampling and training under adapters.

    Args:
        engine: Holds the adapters.
        names: Of those that sample, by default all.
        metrics: Of a step that has learned from replies sampled with them: an adapter whose
            `sampler_gap/NAME` is there is judged by that, at no further cost.

    Returns:
        The largest mean gap of an adapter, in nats.

    Raises:
        InputError: It exceeds `engine.rounding`; the message names the adapter.
    """
    names = list(engine.adapters.names) if names is None else list(names)
    learned = {name: (metrics or {}).get(f"{SAMPLER_GAP}{name}") for name in names}
    known = {name: gap for name, gap in learned.items() if gap is not None}
    wrong = [name for name, gap in known.items() if not gap <= engine.rounding]
    asked = names if wrong else [name for name in names if name not in known]
    found = [*known.values()]
    if asked:
        found.append(
            _compare(engine, asked, _draw(engine, asked, _short(engine)), _rounding(engine, asked))
        )
    for name in wrong:  # drawn tokens say nothing of it: a cache holds more of longer prompts
        why = "the tokens of its replies show it, and a few drawn ones do not"
        raise InputError(_differs(name, known[name], engine.rounding, why))
    return max(found, default=0.0)


def one_token(engine: Engine, adapters: Sequence[str | None]) -> list[Request]:
    """Return requests for a token of each adapter, whose prompts are given apart from them."""
    return [
        Request((), engine, name, Sampling(1.0, 1), seed=number)
        for number, name in enumerate(adapters)
    ]


class _Tokens(NamedTuple):
    """Drawn tokens and their log-probabilities `[rows]` where they were drawn."""

    rows: list[Row]
    logprobs: np.ndarray


def _long(engine: TrainableEngine) -> list[list[int]]:
    turns = [(("system", _SYSTEM), ("user", _QUESTION.format(i))) for i in range(PROBES)]
    return [engine.encode(each) for each in turns]


def _short(engine: TrainableEngine) -> list[list[int]]:
    # Out of the text: what follows a template's marks is certain, whatever the weights.
    ids = _long(engine)[0]
    middle = len(ids) // 2
    return [ids[middle : middle + _SHORT + number] for number in range(PROBES)]


def _rounding(engine: TrainableEngine, names: Sequence[str]) -> np.ndarray:
    return np.full(len(names), engine.rounding)


def _draw(
    engine: TrainableEngine, names: Sequence[str | None], prompts: Sequence[list[int]]
) -> _Tokens:
    """Draw a token of each adapter after each prompt; a network's account leaves them out."""
    asked = [name for name in names for _ in prompts]
    phase, engine.cost.phase = engine.cost.phase, "check"
    try:
        replies = engine.draw(asked, [*prompts] * len(names))
    finally:
        engine.cost.phase = phase
    if failed := next((reply.error for reply in replies if reply.error), None):
        raise InputError(f"the adapters of the engine cannot be checked: {failed}")
    pairs = zip(asked, replies, strict=True)
    rows = [Row(name, reply.prompt_ids, reply.ids) for name, reply in pairs]
    return _Tokens(rows, np.array([float(reply.logprobs.sum()) for reply in replies]))


def _trained(engine: TrainableEngine, rows: Sequence[Row]) -> np.ndarray:
    """Log-probabilities `[rows]` of completions, as training computes them."""
    found = np.zeros(len(rows))
    for batch in engine.micro_batches(rows):
        with torch.no_grad(), engine.training([rows[i] for i in batch]) as scored:
            for index, logprob in zip(scored.row.tolist(), scored.logprobs.tolist(), strict=True):
                found[batch[index]] += logprob
    return found


def _compare(
    engine: TrainableEngine, names: Sequence[str], tokens: _Tokens, allowed: np.ndarray
) -> float:
    """Return the largest gap of an adapter, unless one exceeds what is allowed for it."""
    found = np.abs(_trained(engine, tokens.rows) - tokens.logprobs).reshape(-1, PROBES).mean(1)
    for number, (name, gap, most) in enumerate(zip(names, found, allowed, strict=True)):
        if not gap <= most:  # not a number is no small one
            own = slice(number * PROBES, (number + 1) * PROBES)
            guess = _guess(engine, _Tokens(tokens.rows[own], tokens.logprobs[own]), most)
            raise InputError(_differs(name, gap, most, guess))
    return float(found.max(initial=0.0))


def _differs(name: str, gap: float, most: float, guess: str) -> str:
    return (
        f"adapter {name!r} is not what the engine samples with: the log-probabilities of sampling "
        f"and training are {gap:.3g} nats apart, of which rounding explains at most {most:.3g}; "
        f"{guess}"
    )


def _guess(engine: TrainableEngine, tokens: _Tokens, allowed: float) -> str:
    """Say what has drawn the tokens of an adapter instead of it."""
    bare = _draw(engine, [None], _long(engine))
    gap = np.abs(_trained(engine, bare.rows) - bare.logprobs).mean()
    if not gap <= engine.rounding:
        return f"without adapters they are {gap:.3g} apart, so that its base is another"
    for name in (None, *engine.adapters.names):
        others = _trained(engine, [replace(row, adapter=name) for row in tokens.rows])
        if np.abs(others - tokens.logprobs).mean() <= allowed:
            return f"it answers as {'the bare base' if name is None else f'adapter {name!r}'} does"
    return "its weights or their scale (alpha / rank) are others"


@contextmanager
def _kept(engine: TrainableEngine, names: Sequence[str]) -> Iterator[None]:
    """Give the adapters back what they held before the block."""
    parameters = [p for name in names for p in engine.adapters.parameters(name).values()]
    before = [p.detach().clone() for p in parameters]
    try:
        yield
    finally:
        for parameter, values in zip(parameters, before, strict=True):
            parameter.detach().copy_(values)


def _randomise(engine: TrainableEngine, names: Sequence[str], scale: float) -> None:
    """Give every adapter Gaussian weights of its own; at scale 1 they keep their input's size."""
    generator = torch.Generator().manual_seed(0)
    for name in names:
        for parameter in engine.adapters.parameters(name).values():
            values = torch.randn(parameter.shape, generator=generator)
            parameter.detach().copy_(values * scale / parameter.shape[-1] ** 0.5)
