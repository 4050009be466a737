"""Self-Verification: each candidate answer is put to the test by deriving a condition from it.

Source: Weng et al., 2022 (arXiv 2212.09561). `k` solutions are sampled; for each different answer
`derivations` calls are given the question with one number masked and the answer taken as true,
and must find the number; the answer with the most right derivations wins. Answers that are no
numbers are verified by its other form: is it true or false that the answer is right? The
derivations mask the numbers of the question in turn. Temperature 0.7.

We differ: zero-shot; the question and its answer are put side by side where the source has a call
that rewrites both as one statement; equally good answers go by the rule of all baselines, so to the
first. k=5, ten derivations and the temperature are as we know the paper, not checked in its text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from neuromas_env.agents.prompts import Prompt, Turns
from neuromas_env.baselines.net import Net, Script, Setup, texts
from neuromas_env.baselines.prompts import solve, told
from neuromas_env.baselines.vote import Vote, answer_keys
from neuromas_env.method import Method
from neuromas_env.policy import Observation
from neuromas_env.tasks.answers import extract_number
from neuromas_env.tasks.base import Task

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
    derivations: int = 10,
    masked: bool = True,
    prompt: str = "cot",
    ties: str = "index",
) -> Method:
    """Build k solvers and the derivations for each of them; repeated answers need none."""
    setup.check(1, 20, k=k)
    setup.check(1, 40, derivations=derivations)
    net, task = Net(), setup.task
    ask = setup.ask(solve(task, prompt), 0.7, alike=k > 1, short=prompt == "direct")
    solvers = [net.add(f"solution {i}", ask) for i in range(k)]
    listed = net.add("candidates", Script(lambda seen: json.dumps(firsts(task, seen))), solvers)
    tests: list[list[str]] = []
    for i, solver in enumerate(solvers):
        column = []
        for p in range(derivations):
            words = _derive(task, solver, p, masked)
            policy = setup.ask(words, 0.7, alike=derivations > 1, control=True)
            column.append(net.add(f"derivation {i}.{p}", policy, [solver, listed]))
        tests.append(column)

    def weigh(observation: Observation) -> list[float]:
        weights = []
        for solver, column in zip(solvers, tests, strict=True):
            wanted = _wanted(task, observation, solver, masked)
            replies = texts(observation, column)
            found = [_is_right(reply, wanted, p) for p, reply in enumerate(replies)]
            weights.append(float(sum(found)))
        return weights

    net.add("vote", Vote(task, ties, solvers, weigh), [*solvers, *sum(tests, [])])

    def schedule(messages: Mapping[str, str]) -> set[str]:
        if listed not in messages:
            return set(net.team)
        tested = json.loads(messages[listed])
        idle = [column for i, column in enumerate(tests) if i not in tested]
        return net.team.keys() - set(sum(idle, []))

    return net.method(schedule=schedule)


def firsts(task: Task, observation: Observation) -> list[int]:
    """Return the number of the first solution with each different answer."""
    replies = [message["text"] for message in observation["inbox"]]
    keys = answer_keys(task, observation["question"], replies)
    return [i for i, key in enumerate(keys) if key is not None and key not in keys[:i]]


def conditions(question: str) -> list[tuple[str, str]]:
    """Return each number of a question, with the question in which X stands for it."""
    found = _NUMBER.finditer(question)
    return [(m[0], f"{question[: m.start()]}X{question[m.end() :]}") for m in found]


def _wanted(task: Task, observation: Observation, solver: str, masked: bool) -> list[str]:
    """Return the masked numbers of the derivations from a solution, in turn; none: true or false.

    Numbers are masked where the answer is a number, too.
    """
    answer = task.extract(observation["question"], texts(observation, [solver])[0]) or ""
    is_number = re.fullmatch(r"-?\d+(\.\d+)?", answer) is not None
    return [n for n, _ in conditions(observation["question"])] if masked and is_number else []


def _is_right(reply: str, wanted: list[str], p: int) -> bool:
    if wanted:
        return extract_number(reply) == extract_number(wanted[p % len(wanted)])
    said = re.findall(r"\b(?:true|false)\b", reply.lower())
    return said[-1:] == ["true"]


def _derive(task: Task, solver: str, p: int, masked: bool) -> Prompt:
    def prompt(observation: Observation) -> Turns:
        question = observation["question"]
        answer = task.extract(question, texts(observation, [solver])[0])
        if not _wanted(task, observation, solver, masked):
            return told(_TRUE, observation, f"Proposed answer: {answer}")
        found = conditions(question)
        text = found[p % len(found)][1]
        return told(_MASKED, {**observation, "question": text}, f"Answer: {answer}")

    return prompt
