"""Mixture-of-agents: layers of proposers that read the layer before, then an aggregator.

Source: Wang et al., 2024 (arXiv 2406.04692). 6 proposers in each of 2 layers and an
aggregator (3 layers, 13 calls) at temperature 0.7; `layers=2` is MoA-Lite (7 calls). Later
layers get the answers of the layer before as an unlabelled numbered list in the system
turn, with the advice to judge them critically.

We differ: one model plays all proposers (the single-model form; give nodes of the team
other engines for the full one), solvers are asked for reasoning and the task's answer
format, the aggregator decodes like the others (the authors' last call ignores these
options), and a failed proposer fails the episode where theirs is dropped without a word.
`aggregator=vote` is an ablation: with two layers it is self-consistency.
"""

from __future__ import annotations

from neuromas_env.agents.prompts import Turns
from neuromas_env.baselines.net import Net, Setup
from neuromas_env.baselines.prompts import AGGREGATORS, numbered, reasoned, solve
from neuromas_env.baselines.vote import Vote
from neuromas_env.method import Method
from neuromas_env.policy import Observation


def moa(
    setup: Setup,
    proposers: int = 6,
    layers: int = 3,
    aggregator: str = "llm",
    prompt: str = "cot",
    ties: str = "index",
) -> Method:
    """Layers of proposers improve on the answers of the layer before; one call aggregates."""
    setup.check(1, 64, proposers=proposers)
    setup.check(2, 15, layers=layers)
    setup.choose(AGGREGATORS, aggregator=aggregator)
    net, first, before = Net(), solve(setup.task, prompt), list[str]()

    def improve(observation: Observation) -> Turns:
        answers = numbered(message["text"] for message in observation["inbox"])
        return (
            (
                "system",
                "Below are answers of several models to the user's question. Some may be wrong "
                "or biased: judge them critically, do not just copy one, and write one better "
                f"answer. {reasoned(setup.task)}\n\nAnswers:\n{answers}",
            ),
            ("user", observation["question"]),
        )

    short = prompt == "direct"
    for layer in range(layers - 1):
        words = improve if layer else first
        ask = setup.ask(words, 0.7, alike=proposers > 1, short=short and not layer)
        before = [net.add(f"proposer {i} layer {layer}", ask, before) for i in range(proposers)]
    if aggregator == "vote":
        net.add("vote", Vote(setup.task, ties), before)
    else:
        net.add("aggregator", setup.ask(improve, 0.7), before)
    return net.method()
