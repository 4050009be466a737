"""P(True): the model says how likely each of its solutions is true, and the vote is weighted by it.

Source: Kadavath et al., 2022 (arXiv 2207.05221): k samples at temperature 1; for each, a call
reads the question, the samples and the proposed answer, and says (A) True or (B) False. Its weight
is the probability of A: exp(log-probability) of the one token that is sampled if that is A, and 1
minus that if it is B, so that one call suffices; any other reply weighs 0. From a server that gives
no log-probabilities the weight is 1 or 0, and `scores` calls for each solution are averaged.

We differ: the source asks how well such weights are calibrated, and compares samples by them;
the vote weighted by their sums is this suite's. Zero-shot, where its best results show solved
examples. Its five samples are those that the other calls gave, and not drawn again. The option
`max_new_tokens` is of the solutions: a score is always one token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from neuromas_env.agents.llm import LLMPolicy
from neuromas_env.agents.prompts import Prompt, Turns
from neuromas_env.baselines.net import Net, Setup, texts
from neuromas_env.baselines.prompts import numbered, solve, told
from neuromas_env.baselines.vote import Vote
from neuromas_env.method import Method
from neuromas_env.policy import Completion, Observation
from neuromas_env.tasks.base import Task

_ASK = "Is the proposed answer to the question (A) True or (B) False? Reply with A or B alone."


@dataclass(frozen=True)
class Belief(LLMPolicy):
    """A call whose message is the probability that it gives to A."""

    def read(self, completion: Completion) -> str:
        """Write the probability."""
        return f"{probability(completion):.6f}"


def p_true(
    setup: Setup,
    k: int = 5,
    scores: int = 1,
    show: bool = True,
    prompt: str = "cot",
    ties: str = "index",
) -> Method:
    """Build k solvers, the calls that score each of them, and the weighted vote."""
    setup.check(1, 100, k=k)
    setup.check(1, 20, scores=scores)
    # A longer reply costs more and says no more: its first token might even be a blank before A.
    net, short = Net(), replace(setup, max_new_tokens=1)
    ask = setup.ask(solve(setup.task, prompt), 1.0, alike=k > 1, short=prompt == "direct")
    solvers = [net.add(f"solution {i}", ask) for i in range(k)]
    judges = []
    for i, solver in enumerate(solvers):
        reads = solvers if show else [solver]
        asked = short.ask(_score(setup.task, solver, reads), 1.0, alike=scores > 1)
        judge = Belief(asked.engine, asked.prompt, asked.sampling, control=True)
        judges.append([net.add(f"score {i}.{n}", judge, reads) for n in range(scores)])

    def weigh(observation: Observation) -> list[float]:
        return [sum(map(float, texts(observation, column))) / scores for column in judges]

    net.add("vote", Vote(setup.task, ties, solvers, weigh), [*solvers, *sum(judges, [])])
    return net.method()


def probability(completion: Completion) -> float:
    """Return the probability of A by the first token of a reply, 0 if that says neither."""
    said = completion.text.strip()[:1].upper()
    sure = math.exp(completion.logprobs[0]) if len(completion.logprobs) else 1.0
    return {"A": sure, "B": 1.0 - sure}.get(said, 0.0)


def _score(task: Task, solver: str, solvers: list[str]) -> Prompt:
    def prompt(observation: Observation) -> Turns:
        def found(node: str) -> str:
            said = texts(observation, [node])[0]
            return task.extract(observation["question"], said) or said

        samples = f"Possible answers:\n{numbered(map(found, solvers))}"
        shown = [samples] if len(solvers) > 1 else []
        return told(_ASK, observation, *shown, f"Proposed answer: {found(solver)}")

    return prompt
