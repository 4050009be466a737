"""MetaGPT: product manager, architect, project manager and engineer hand documents on.

Source: Hong et al., 2023 (arXiv 2308.00352) and the authors' code. A message is a document:
requirements, a design read from them, tasks read from the design, and a solution read from design
and tasks. The solution is reviewed and, unless the review ends in LGTM, rewritten, `reviews=2`
times; the last one is the answer.

We differ: short documents in words of ours (theirs have fixed sections, with diagrams, and list
files); every role reads the question, too; one file, so one call for the solution; no fifth
role, the QA engineer who runs tests, which the authors' own command leaves out by default; and no
later rounds, in which nothing is left to do. Its temperature is 0, theirs a provider's setting.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from neuromas_env.agents.prompts import Prompt, Turns
from neuromas_env.baselines.net import Net, Script, Setup, texts
from neuromas_env.baselines.prompts import reasoned, told
from neuromas_env.method import Method
from neuromas_env.policy import Observation

PASSED, FAILED = "LGTM", "LBTM"
_ROLES = {
    "requirements": "You are the product manager: say what exactly is asked for and what a good "
    "solution must fulfil, in a few short points.",
    "design": "You are the architect: from the requirements design how to solve it, in a few short "
    "points, without solving it.",
    "tasks": "You are the project manager: break the design down into tasks in the order in which "
    "they must be done, one a line.",
}


def metagpt(setup: Setup, reviews: int = 2) -> Method:
    """Build the line of roles, and the reviews of the engineer's solution."""
    setup.check(0, 16, reviews=reviews)
    final, net = reasoned(setup.task), Net()

    def add(label: str, instruction: str, reads: Collection[str], control: bool = False) -> str:
        shown = {net.labels[node].split()[0].capitalize(): node for node in reads}
        return net.add(label, setup.ask(_about(instruction, shown), 0.0, control=control), reads)

    documents: list[str] = []
    for label, instruction in _ROLES.items():
        documents.append(add(label, instruction, documents[-1:]))
    design = documents[1:]
    engineer = "You are the engineer: solve it as the design and the tasks say."
    solutions, judges = [add("solution 0", f"{engineer} {final}", design)], list[str]()
    for t in range(1, reviews + 1):
        review = (
            "You are the engineer who reviews: check the solution against the design and the "
            f"tasks, and say what to change. If nothing is wrong, end with '{PASSED}' alone on a "
            f"line, otherwise with '{FAILED}'."
        )
        judges.append(add(f"review {t}", review, [*design, solutions[-1]], control=True))
        rewrite = f"You are the engineer: rewrite the solution as the review says. {final}"
        solutions.append(add(f"solution {t}", rewrite, [*design, solutions[-1], judges[-1]]))
    output = net.add("last solution", Script(lambda seen: texts(seen, solutions)[-1]), solutions)

    def schedule(messages: Mapping[str, str]) -> Collection[str] | None:
        return {output} if any(passes(messages.get(judge, "")) for judge in judges) else None

    return net.method(schedule=schedule if reviews else None)


def passes(review: str) -> bool:
    """Whether the last of the two marks in a review is that of a solution that passes."""
    return re.findall(f"{PASSED}|{FAILED}", review)[-1:] == [PASSED]


def _about(instruction: str, shown: Mapping[str, str]) -> Prompt:
    def prompt(observation: Observation) -> Turns:
        given = [f"{name}:\n{texts(observation, [node])[0]}" for name, node in shown.items()]
        return told(instruction, observation, *given)

    return prompt
