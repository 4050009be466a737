"""Self-Refine: a model criticises its own solution and rewrites it, up to four times.

Source: Madaan et al., 2023 (arXiv 2303.17651). A solution, then feedback and a rewritten
solution in turn, all earlier ones in view, temperature 0.7; it ends early when the feedback
finds nothing wrong. `merged=true` is the authors' form for grade-school maths, in which one
call gives feedback and the repaired solution (1 + iterations calls).

We differ: zero-shot, answers in words where the authors' maths programs are Python, one
temperature (theirs draws that form's first solution greedily), and neutral feedback
(theirs presupposes an error there). It never stops on the gold answer. The forms that score
every iteration and keep the best are for tasks with such a score, and not here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from neuromas_env.agents.prompts import Prompt, Turns
from neuromas_env.baselines.net import Net, Script, Setup, texts
from neuromas_env.baselines.prompts import reasoned, solve
from neuromas_env.method import Method
from neuromas_env.policy import Observation
from neuromas_env.tasks.answers import normalise

STOP = "No errors"


def self_refine(
    setup: Setup,
    iterations: int = 4,
    merged: bool = False,
    history: bool = True,
    stop: bool = True,
    prompt: str = "cot",
) -> Method:
    """A solution is criticised and rewritten until nothing is found wrong."""
    setup.check(1, 32, iterations=iterations)
    check = (
        "Go through the last solution step by step and say, specific and actionable, what is "
        f"wrong with it. If nothing is wrong, write '{STOP}' alone on a line and stop."
    )
    repair = f"Then write the corrected solution. {reasoned(setup.task)}"
    refine = f"Rewrite the last solution so that it heeds the feedback. {reasoned(setup.task)}"
    net = Net()
    answers = [
        net.add("solution 0", setup.ask(solve(setup.task, prompt), 0.7, short=prompt == "direct"))
    ]
    shown, judges = answers.copy(), list[str]()

    def add(label: str, instruction: str, needs: int) -> str:
        reads = shown[0 if history else -needs :]
        node = net.add(label, setup.ask(_about(net, instruction, reads), 0.7), reads)
        shown.append(node)
        return node

    for t in range(1, iterations + 1):
        if merged:
            answers.append(add(f"solution {t}", f"{check} {repair}", 1))
            judges.append(answers[-1])
        else:
            judges.append(add(f"feedback {t}", check, 1))
            answers.append(add(f"solution {t}", refine, 2))

    def last(observation: Observation) -> str:
        first, *later = texts(observation, answers)
        # In the merged form the call that finds nothing wrong writes no solution.
        return [first, *(text for text in later if not (merged and _stops(text)))][-1]

    output = net.add("last solution", Script(last), answers)

    def schedule(messages: Mapping[str, str]) -> Collection[str] | None:
        done = any(_stops(messages.get(judge, "")) for judge in judges)
        return {output} if done else None

    return net.method(schedule=schedule if stop else None)


def _stops(text: str) -> bool:
    return any(normalise(line) == normalise(STOP) for line in text.splitlines())


def _about(net: Net, instruction: str, reads: list[str]) -> Prompt:
    def prompt(observation: Observation) -> Turns:
        parts = [observation["question"]]
        for node, text in zip(reads, texts(observation, reads), strict=True):
            parts.append(f"{net.labels[node].capitalize()}:\n{text}")
        return ("system", instruction), ("user", "\n\n".join(parts))

    return prompt
