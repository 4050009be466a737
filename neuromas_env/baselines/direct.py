"""Direct prompting and chain of thought: one call of the frozen base model.

`direct` is the network of one node without an adapter: question and answer format.
`cot` adds a cue that asks for reasoning before the answer (Kojima et al., 2022,
arXiv 2205.11916), with one call where the source uses a second to extract the answer.
Both decode greedily.
"""

from __future__ import annotations

from neuromas_env.baselines.net import Net, Setup
from neuromas_env.baselines.prompts import solve
from neuromas_env.method import Method


def direct(setup: Setup) -> Method:
    """Answer at once."""
    net = Net()
    net.add("solver", setup.ask(solve(setup.task, "direct"), 0.0, short=True))
    return net.method()


def cot(setup: Setup) -> Method:
    """Reason step by step, then answer."""
    net = Net()
    net.add("solver", setup.ask(solve(setup.task, "cot"), 0.0))
    return net.method()
