"""Self-consistency: k sampled solutions of the same prompt, then a vote.

Source: Wang et al., 2022 (arXiv 2203.11171); Li et al., 2024, "More Agents Is All You
Need" (arXiv 2402.05120). 40 samples at temperature 0.7 of a chain-of-thought prompt,
unweighted plurality; `vote=similarity` is the second paper's vote on open-ended answers. We
differ: zero-shot, no top-k, and ties end by the rule of all baselines (the paper leaves them open).

`k` need not be whole: `k=2.4` takes two samples of every question and a third of 40 % of
the questions, chosen by a hash of the question, so that the row can cost on average what
another method costs.
"""

from __future__ import annotations

from hashlib import sha256
from math import ceil
from typing import Any

from neuromas_env.baselines.net import Net, Setup
from neuromas_env.baselines.prompts import solve
from neuromas_env.baselines.vote import Vote
from neuromas_env.checks import NonNegative, Positive, arguments
from neuromas_env.errors import InputError
from neuromas_env.method import Method

MOST = 500
TOLERANCE = 0.05
"""How far the cost of a budget-matched row may be off, as a share of the budget."""


def sc(
    setup: Setup,
    k: float = 40.0,
    prompt: str = "cot",
    ties: str = "index",
    vote: str = "agreement",
) -> Method:
    """Sample k solutions and take the most frequent answer, or the one most like the others."""
    setup.check(1, MOST, k=k)
    net, count = Net(), ceil(k)
    ask = setup.ask(solve(setup.task, prompt), 0.7, alike=k > 1, short=prompt == "direct")
    solvers = [net.add(f"solver {i}", ask) for i in range(count)]
    net.add("vote", Vote(setup.task, ties, by=vote), solvers)

    def drop_last(question: str) -> dict[str, Any]:
        share = int(sha256(question.encode("utf-8", "replace")).hexdigest()[:8], 16) / 2**32
        return {"mask": {solvers[-1]: share < k - (count - 1)}}

    return net.method(options=drop_last if k < count else None)


@arguments
def matched_self_consistency(
    tokens_per_question: Positive, tokens_per_sample: Positive, tolerance: NonNegative = TOLERANCE
) -> dict[str, float]:
    """Return the options with which `sc` spends what another method spent.

    Args:
        tokens_per_question: Mean completion tokens of the other method for a question.
        tokens_per_sample: Mean completion tokens of one sample, measured on the same task,
            engine and settings, for example by a run of `sc`.
        tolerance: How far the expected cost may be off, as a share of the budget.

    Returns:
        `{"k": k}`, whole where that is close enough.

    Raises:
        InputError: A count is not positive, or the budget does not pay for one sample.
    """
    k = tokens_per_question / tokens_per_sample
    if 1 > (1 + tolerance) * k:
        raise InputError(
            f"{tokens_per_question:g} completion tokens per question do not pay for one sample "
            f"of {tokens_per_sample:g}: self-consistency cannot be matched to that budget"
        )
    whole = max(1, round(k))
    return {"k": whole if abs(whole - k) <= tolerance * k else round(k, 3)}
