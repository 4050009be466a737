"""More Agents: the same question asked n times, and a vote that suits the kind of answer.

Source: Li et al., 2024, "More Agents Is All You Need" (arXiv 2402.05120) and the authors' code:
temperature 1; answers that can be equal are counted; among open ones, such as programs, that wins
whose summed similarity (BLEU) to all others is largest. `sc` counts what programs return instead;
`vote=agreement` and `vote=similarity` force either.

We differ: ties and abstentions by the rule of all baselines (theirs: the first, and None is an
answer); n, of which the paper draws curves, is 40. Its combinations with other methods are not
here.
"""

from __future__ import annotations

from neuromas_env.baselines.net import Net, Setup
from neuromas_env.baselines.prompts import solve
from neuromas_env.baselines.vote import VOTES, Vote
from neuromas_env.method import Method
from neuromas_env.tasks.base import Task


def more_agents(
    setup: Setup, n: int = 40, prompt: str = "cot", ties: str = "index", vote: str = "paper"
) -> Method:
    """Sample n solutions; count answers, or weigh the likeness of open ones."""
    setup.check(1, 500, n=n)
    setup.choose(("paper", *VOTES), vote=vote)
    if vote == "paper":
        # A task whose answers agree in another sense than as texts asks for open ones.
        vote = "agreement" if type(setup.task).agreement is Task.agreement else "similarity"
    net = Net()
    ask = setup.ask(solve(setup.task, prompt), 1.0, alike=n > 1, short=prompt == "direct")
    solvers = [net.add(f"solver {i}", ask) for i in range(n)]
    net.add("vote", Vote(setup.task, ties, by=vote), solvers)
    return net.method()
