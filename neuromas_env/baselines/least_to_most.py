"""Least-to-Most: a question is taken apart, and its sub-questions are solved one after the other.

Source: Zhou et al., 2022 (arXiv 2205.10625). A call lists the sub-questions; each is then asked
with all earlier ones and their answers in view, and last the question itself; greedy. How many
there are varies, so the network has a chain of `questions`, and the schedule leaves idle ones out.

We differ: zero-shot, where the source shows solved examples of either stage; at most `questions=8`
sub-questions are asked, and further ones are dropped (the source has no bound). The source's form
of one call for both stages is not here.
"""

from __future__ import annotations

from collections.abc import Mapping

from neuromas_env.agents.prompts import Prompt, Turns
from neuromas_env.baselines.net import Net, Setup, texts
from neuromas_env.baselines.prompts import list_items, reasoned, told
from neuromas_env.method import Method
from neuromas_env.policy import Observation

_DECOMPOSE = (
    "List the smaller questions that must be answered first to answer the question, the easiest "
    "first, each on a line of its own. Do not answer them."
)
_SOLVE = "Answer the last sub-question in a few short sentences, with the answers before it."


def least_to_most(setup: Setup, questions: int = 8) -> Method:
    """Build the call that decomposes, the chain of sub-questions, and the call that answers."""
    setup.check(1, 32, questions=questions)
    net = Net()

    def decompose(observation: Observation) -> Turns:
        return told(_DECOMPOSE, observation)

    plan = net.add("decomposition", setup.ask(decompose, 0.0, control=True))
    solved = list[str]()

    def asked(instruction: str, earlier: list[str], s: int | None = None) -> Prompt:
        def prompt(observation: Observation) -> Turns:
            listed = list_items(texts(observation, [plan])[0], questions)
            pairs = zip(listed, texts(observation, earlier), strict=False)
            shown = [f"Sub-question: {q}\nAnswer: {a}" for q, a in pairs]
            last = [] if s is None else [f"Sub-question: {listed[s]}"]
            return told(instruction, observation, *shown, *last)

        return prompt

    for s in range(questions):
        ask = setup.ask(asked(_SOLVE, solved.copy(), s), 0.0, control=True)
        solved.append(net.add(f"sub-question {s}", ask, [plan, *solved]))
    net.add("answer", setup.ask(asked(reasoned(setup.task), solved), 0.0), [plan, *solved])

    def schedule(messages: Mapping[str, str]) -> set[str]:
        listed = list_items(messages.get(plan, ""), questions)
        return net.team.keys() - set(solved[len(listed) :])

    return net.method(schedule=schedule)
