"""More Agents: the same question asked n times, and a vote that suits the kind of answer.

Source: Li et al., 2024, "More Agents Is All You Need" (arXiv 2402.05120): answers that can be equal
are counted; among open ones, such as programs, that wins whose summed similarity (BLEU) to all
others is largest. So it is `sc` on questions with one answer, and on programs it is not: `sc`
counts what they return. `vote=agreement` and `vote=similarity` force either.

We differ: the paper draws curves over the number of samples, of which n=40 is the right end, and we
do not know its temperature: 0.7, as in `sc`. Its combinations with other methods are theirs with
several of their calls per sample, and not here.
"""

from __future__ import annotations

from neuromas_env.baselines.net import Setup
from neuromas_env.baselines.sc import sc
from neuromas_env.baselines.vote import VOTES
from neuromas_env.method import Method
from neuromas_env.tasks.base import Task


def more_agents(
    setup: Setup, n: int = 40, prompt: str = "cot", ties: str = "index", vote: str = "paper"
) -> Method:
    """Sample n solutions; count answers, or weigh the likeness of open ones."""
    setup.choose(("paper", *VOTES), vote=vote)
    setup.check(1, 500, n=n)
    if vote == "paper":
        # A task whose answers agree in another sense than as texts asks for open ones.
        vote = "agreement" if type(setup.task).agreement is Task.agreement else "similarity"
    return sc(setup, n, prompt, ties, vote)
