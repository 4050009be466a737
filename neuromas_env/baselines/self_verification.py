"""Self-Verification: each candidate answer is put to the test by deriving conditions from it.

Source: Weng et al., 2022 (arXiv 2212.09561) and the authors' code. k=5 solutions at temperature
0.3. For each different answer, each of the first three numbers of the question is masked in turn;
ten calls at temperature 0.2 take the answer as true and must find the number, and the answer with
the most right derivations wins. A lone answer is not tested. Answers that are no numbers are
verified by the source's other form: is it true or false that the answer is right?

We differ: zero-shot; the question and its answer are put side by side where the source has a call
that rewrites them as one statement; any number may be masked (theirs: none of the last sentence);
equally good answers go by the rule of all baselines, so to the first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from neuromas_env.agents.prompts import Prompt, Turns
from neuromas_env.baselines.net import Net, Script, Setup, texts
from neuromas_env.baselines.prompts import solve, told
from neuromas_env.baselines.vote import Vote, answer_keys
from neuromas_env.method import Method
from neuromas_env.policy import Observation
from neuromas_env.tasks.answers import extract_number
from neuromas_env.tasks.base import Task, listed_options

_NUMBER = re.compile(r"(?<![\w.,])\d+(?:[.,]\d+)*(?!\w)")
_MASKED = (
    "In the text below one number was replaced by X. Find X from the rest of the text and the "
    "given answer. Reason in a few short sentences, then write 'The answer is' and the number."
)
_TRUE = (
    "Judge whether the proposed answer to the question is right. Reason in a few short sentences, "
    "then write 'True' or 'False' alone on the last line."
)


def self_verification(
    setup: Setup,
    k: int = 5,
    conditions: int = 3,
    derivations: int = 10,
    masked: bool = True,
    prompt: str = "cot",
    ties: str = "index",
) -> Method:
    """Build k solvers and the derivations for each; the schedule leaves out what is not tested."""
    setup.check(1, 20, k=k)
    setup.check(1, 10, conditions=conditions)
    setup.check(1, 40, derivations=derivations)
    net, read = Net(), _Reader(setup.task, conditions if masked else 0)
    ask = setup.ask(solve(setup.task, prompt), 0.3, alike=k > 1, short=prompt == "direct")
    solvers = [net.add(f"solution {i}", ask) for i in range(k)]
    listed = net.add("candidates", Script(lambda seen: json.dumps(read.candidates(seen))), solvers)
    tests: list[list[list[str]]] = []
    for i, solver in enumerate(solvers):
        asked = [
            setup.ask(read.derive(solver, c), 0.2, alike=derivations > 1, control=True)
            for c in range(conditions)
        ]
        tests.append(
            [
                [
                    net.add(f"derivation {i}.{c}.{n}", a, [solver, listed])
                    for n in range(derivations)
                ]
                for c, a in enumerate(asked)
            ]
        )

    def weigh(observation: Observation) -> list[float]:
        return [
            float(
                sum(
                    read.is_right(observation, solver, c, reply)
                    for c, nodes in enumerate(column)
                    for reply in texts(observation, nodes)
                )
            )
            for solver, column in zip(solvers, tests, strict=True)
        ]

    every = [node for column in tests for nodes in column for node in nodes]
    net.add("vote", Vote(setup.task, ties, solvers, weigh), [*solvers, *every])

    def schedule(messages: Mapping[str, str]) -> set[str]:
        asked = json.loads(messages.get(listed, "[]"))
        tested = {node for i, count in asked for nodes in tests[i][:count] for node in nodes}
        return net.team.keys() - (set(every) - tested)

    return net.method(schedule=schedule)


def masks(question: str) -> list[tuple[str, str]]:
    """Return each number of a question, with the question in which X stands for it."""
    found = _NUMBER.finditer(question)
    return [(m[0], f"{question[: m.start()]}X{question[m.end() :]}") for m in found]


@dataclass(frozen=True)
class _Reader:
    """Reads answers, and says what is derived from them; `most` numbers are masked."""

    task: Task
    most: int

    def candidates(self, observation: Observation) -> list[tuple[int, int]]:
        """Return the first solution with each different answer, and its number of conditions."""
        said = observation["inbox"]
        keys = answer_keys(self.task, observation["question"], [m["text"] for m in said])
        firsts = [i for i, key in enumerate(keys) if key is not None and key not in keys[:i]]
        tested = firsts if len(firsts) > 1 else []
        return [(i, len(self._masks(observation, said[i]["source"])) or 1) for i in tested]

    def derive(self, solver: str, c: int) -> Prompt:
        """Return the prompt that derives a condition from a solution's answer."""

        def prompt(observation: Observation) -> Turns:
            answer, masked = self._answer(observation, solver), self._masks(observation, solver)
            if not masked:
                return told(_TRUE, observation, f"Proposed answer: {answer}")
            return told(_MASKED, {**observation, "question": masked[c][1]}, f"Answer: {answer}")

        return prompt

    def is_right(self, observation: Observation, solver: str, c: int, reply: str) -> bool:
        """Whether a derivation found the number, or holds the answer to be true."""
        if masked := self._masks(observation, solver):
            return extract_number(reply) == extract_number(masked[c][0])
        return re.findall(r"\b(?:true|false)\b", reply.lower())[-1:] == ["true"]

    def _answer(self, observation: Observation, solver: str) -> str | None:
        return self.task.extract(observation["question"], texts(observation, [solver])[0])

    def _masks(self, observation: Observation, solver: str) -> list[tuple[str, str]]:
        """Return what is masked, nothing where the answer is no number."""
        answer = self._answer(observation, solver) or ""
        question = observation["question"]  # a label of an option is no number
        is_number = re.fullmatch(r"-?\d+(\.\d+)?", answer) and not listed_options(question)
        return masks(question)[: self.most] if is_number else []
