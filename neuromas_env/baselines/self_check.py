"""Self-Check: every step of every solution is derived anew, and the votes weighted by that.

Source: Miao et al., 2023 (arXiv 2308.00436) and the authors' code. n=10 solutions at
temperature 1. A call lists the question's facts, one for each solution lists its variables
(greedily). For each step, one call says what it tries to do, one which facts and earlier
steps it relies on, one reaches that target from these alone without seeing the step, one
compares the two, and one reduces the comparison to a word: support +1, unrelated 0,
contradict -1. A solution weighs 2 sigmoid(-lam_neg #(-1) - lam_zero #0), so 1 without
objections, and the largest sum of weights wins. lam_neg=1 and lam_zero=0.3, fixed
beforehand (the released evaluation searches its factors on the evaluated set).

The number of steps varies, so the network has columns for `max_steps`, and the schedule
leaves idle ones out; what is longer has its last steps taken as one. `self_check_two_stage`
replaces the five calls per step by one per solution that labels all its steps.

We differ: ties by the rule of all baselines (the scorer there gives part credit), and the
labels are read from replies to prompts of ours.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence

from neuromas_env.agents.prompts import Prompt, Turns
from neuromas_env.baselines.net import Net, Script, Setup, texts
from neuromas_env.baselines.prompts import numbered, reasoned
from neuromas_env.baselines.vote import Vote
from neuromas_env.method import Method
from neuromas_env.policy import Observation


def self_check(
    setup: Setup,
    n: int = 10,
    max_steps: int = 8,
    lam_neg: float = 1.0,
    lam_zero: float = 0.3,
    ties: str = "index",
) -> Method:
    """Build a chain of five calls for every step of every solution."""
    setup.check(1, 16, max_steps=max_steps)
    net, facts, solvers = _start(setup, n, lam_neg, lam_zero)

    def ask(label: str, prompt: Prompt, reads: Sequence[str], temperature: float = 1.0) -> str:
        return net.add(label, setup.ask(prompt, temperature, control=True), reads)

    splits, columns = list[str](), list[list[list[str]]]()
    for k, solver in enumerate(solvers):
        splits.append(net.add(f"steps {k}", Script(_splitter(solver, max_steps)), [solver]))
        variables = ask(f"variables {k}", _variables(solver), [solver], 0.0)
        known = facts, splits[k], variables
        columns.append([_check_step(ask, f"{k}.{s}", s, *known) for s in range(max_steps)])
    labels = [[chain[-1] for chain in column] for column in columns]

    def weigh(observation: Observation) -> list[float]:
        said = [map(verdict, texts(observation, column)) for column in labels]
        return [weight(list(verdicts), lam_neg, lam_zero) for verdicts in said]

    net.add("vote", Vote(setup.task, ties, solvers, weigh), [*solvers, *sum(labels, [])])

    def schedule(messages: Mapping[str, str]) -> set[str]:
        idle: set[str] = set()
        for split, column in zip(splits, columns, strict=True):
            steps = len(json.loads(messages.get(split, "[]")))
            idle.update(sum(column[steps:], []))
        return net.team.keys() - idle

    return net.method(schedule=schedule)


def self_check_two_stage(
    setup: Setup,
    n: int = 10,
    lam_neg: float = 1.0,
    lam_zero: float = 0.3,
    ties: str = "index",
) -> Method:
    """Build one checking call for every solution: the cheap variant, not the source's."""
    net, facts, solvers = _start(setup, n, lam_neg, lam_zero)
    checks = []
    for k, solver in enumerate(solvers):
        ask = setup.ask(_check(facts, solver), 1.0, control=True)
        checks.append(net.add(f"check {k}", ask, [facts, solver]))

    def weigh(observation: Observation) -> list[float]:
        lines = [
            re.findall(r"^\W*(?:step|\d+[.):]).*", text, re.I | re.M) or [text]
            for text in texts(observation, checks)
        ]
        return [weight([verdict(line) for line in column], lam_neg, lam_zero) for column in lines]

    net.add("vote", Vote(setup.task, ties, solvers, weigh), [*solvers, *checks])
    return net.method()


def weight(verdicts: Sequence[int], lam_neg: float, lam_zero: float) -> float:
    """Return how much a solution counts, 0 to 1, from the verdicts on its steps (eq. of s. 3)."""
    against = lam_neg * verdicts.count(-1) + lam_zero * verdicts.count(0)
    return 2 / (1 + math.exp(min(against, 700)))


def verdict(reply: str) -> int:
    """Read a label: -1 contradicts, which is looked for first, 1 supports, else 0."""
    said = reply.lower()
    return -1 if "contradict" in said else int("support" in said)


def split_steps(solution: str, most: int) -> list[str]:
    """Split a solution at lines that begin with "Step", or else into lines; merge the excess."""
    lines = [line.strip() for line in solution.splitlines() if line.strip()]
    starts = [i for i, line in enumerate(lines) if re.match(r"\W*step\b", line, re.I)]
    starts = [0, *(i for i in starts if i)] if starts else list(range(len(lines)))
    starts = starts[:most]
    ends = [*starts[1:], len(lines)]
    return ["\n".join(lines[a:b]) for a, b in zip(starts, ends, strict=True)] if lines else []


def relied_on(reply: str, kind: str) -> list[int]:
    """Return the numbers that a reply gives after "facts" or "steps"."""
    named = re.findall(
        rf"{kind}s?\W{{0,4}}(\d{{1,4}}(?:(?:\W|and|or){{1,6}}\d{{1,4}})*)", reply, re.I
    )
    return sorted({int(number) for group in named for number in re.findall(r"\d+", group)})


def _start(setup: Setup, n: int, lam_neg: float, lam_zero: float) -> tuple[Net, str, list[str]]:
    setup.check(1, 20, n=n)
    setup.check(0, 100, lam_neg=lam_neg, lam_zero=lam_zero)
    net = Net()

    def list_facts(observation: Observation) -> Turns:
        return (
            ("system", "Copy the text faithfully, with every sentence on a line of its own."),
            ("user", observation["question"]),
        )

    def solve(observation: Observation) -> Turns:
        begin = "Begin every step on a new line with 'Step'."
        return ("system", f"{reasoned(setup.task)} {begin}"), ("user", observation["question"])

    facts = net.add("facts", setup.ask(list_facts, 1.0, control=True))
    ask = setup.ask(solve, 1.0, alike=n > 1)
    return net, facts, [net.add(f"solution {k}", ask) for k in range(n)]


def _check_step(
    ask: Callable[[str, Prompt, Sequence[str]], str],
    name: str,
    s: int,
    facts: str,
    split: str,
    variables: str,
) -> list[str]:
    """Add the five calls for step `s` of a solution; the last one's reply is the label."""
    target = ask(f"target {name}", _target(split, s), [split])
    basis = ask(f"basis {name}", _basis(facts, split, s), [facts, split])
    reads = [facts, split, variables, target, basis]
    again = ask(f"anew {name}", _anew(s, *reads), reads)
    compared = ask(f"comparison {name}", _compare(split, again, s), [split, again])
    label = ask(f"label {name}", _label(compared), [compared])
    return [target, basis, again, compared, label]


def _splitter(solver: str, most: int) -> Callable[[Observation], str]:
    return lambda seen: json.dumps(split_steps(texts(seen, [solver])[0], most))


def _facts(observation: Observation, node: str) -> list[str]:
    return [line.strip() for line in texts(observation, [node])[0].splitlines() if line.strip()]


def _steps(observation: Observation, node: str) -> list[str]:
    return json.loads(texts(observation, [node])[0])


def _variables(solver: str) -> Prompt:
    def prompt(observation: Observation) -> Turns:
        system = "List the variables that the solution defines, each with its meaning."
        solution = texts(observation, [solver])[0]
        return (
            ("system", system),
            ("user", f"{observation['question']}\n\nSolution:\n{solution}"),
        )

    return prompt


def _target(split: str, s: int) -> Prompt:
    def prompt(observation: Observation) -> Turns:
        steps = _steps(observation, split)
        return (
            ("system", "Say in one sentence what the last step tries to do. Do not copy it."),
            (
                "user",
                f"{observation['question']}\n\nPart of a solution:\n{numbered(steps[: s + 1])}",
            ),
        )

    return prompt


def _basis(facts: str, split: str, s: int) -> Prompt:
    def prompt(observation: Observation) -> Turns:
        steps = _steps(observation, split)
        system = (
            "Which of the numbered facts and earlier steps does the last step rely on directly? "
            "Reply in the form 'facts 1, 3; steps 2' and nothing else."
        )
        parts = [f"Facts:\n{numbered(_facts(observation, facts))}"]
        parts += [f"Earlier steps:\n{numbered(steps[:s])}"] if s else []
        return ("system", system), ("user", "\n\n".join([*parts, f"Last step:\n{steps[s]}"]))

    return prompt


def _anew(s: int, facts: str, split: str, variables: str, target: str, basis: str) -> Prompt:
    def prompt(observation: Observation) -> Turns:
        named, meant, relied = texts(observation, [variables, target, basis])
        earlier, known = _steps(observation, split)[:s], _facts(observation, facts)
        given = [known[i - 1] for i in relied_on(relied, "fact") if 0 < i <= len(known)]
        given += [earlier[i - 1] for i in relied_on(relied, "step") if 0 < i <= len(earlier)]
        user = f"Variables:\n{named}\n\nGiven:\n{numbered(given)}\n\nTarget:\n{meant}"
        return ("system", "Reach the target with what is given and nothing else."), ("user", user)

    return prompt


def _compare(split: str, again: str, s: int) -> Prompt:
    def prompt(observation: Observation) -> Turns:
        system = (
            "Compare two attempts at the same step, the numbers above all. Does the first one "
            "support the conclusion of the second, contradict it, or not bear on it?"
        )
        first, second = texts(observation, [again])[0], _steps(observation, split)[s]
        return ("system", system), ("user", f"First:\n{first}\n\nSecond:\n{second}")

    return prompt


def _label(compared: str) -> Prompt:
    def prompt(observation: Observation) -> Turns:
        system = "Sum the comparison up in one word: Support, Contradict or Unrelated."
        return ("system", system), ("user", texts(observation, [compared])[0])

    return prompt


def _check(facts: str, solver: str) -> Prompt:
    def prompt(observation: Observation) -> Turns:
        system = (
            "Check every step of the solution against the facts and the earlier steps. Write a "
            "line 'Step 1: Support', 'Step 1: Contradict' or 'Step 1: Unrelated' for every step."
        )
        known, solution = numbered(_facts(observation, facts)), texts(observation, [solver])[0]
        user = f"{observation['question']}\n\nFacts:\n{known}\n\nSolution:\n{solution}"
        return ("system", system), ("user", user)

    return prompt
