"""ChatDev: phases in which two roles talk until they agree, and hand on what they concluded.

Source: Qian et al., 2023 (arXiv 2307.07924) and the authors' code, its default chain. Executive and
product officer settle what is asked for, executive and technology officer how to do it (two turns
of both each, and a call that concludes if no one did); the programmer solves; then up to
`cycles=10` times the reviewer and the programmer agree on a comment and the programmer and the
reviewer on a changed solution, `turns=10` turns each at most. A reply with <INFO> ends a phase, a
change that says <INFO> Finished ends the reviews.

We differ: the first phases settle what a question asks and how to solve it (theirs: the kind of
product and the programming language); phases that fill in unwritten files, run tests, list
requirements and write a manual have nothing to work on here or nothing to do with the answer; a
transcript stands in the user turn; role cards are ours. Its temperature is 0.2, a choice of ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from neuromas_env.agents.prompts import Prompt, Turns
from neuromas_env.baselines.net import Net, Script, Setup, texts
from neuromas_env.baselines.prompts import reasoned, told
from neuromas_env.method import Method
from neuromas_env.policy import Observation

MARK, FINISHED = "<INFO>", "Finished"
_AGREE = f"When you both agree, write '{MARK}' and the conclusion, alone on a line."


class Phase(NamedTuple):
    """The nodes of a talk of two roles, in turn, and what concludes it."""

    talk: list[str]
    conclusion: str


def chatdev(setup: Setup, talk: int = 2, turns: int = 10, cycles: int = 10) -> Method:
    """Build the chain of phases; what an early agreement leaves out is idle."""
    setup.check(1, 10, talk=talk)
    setup.check(1, 20, turns=turns)
    setup.check(0, 16, cycles=cycles)
    office, final = _Office(setup, Net()), reasoned(setup.task)
    net, chief = office.net, "chief executive officer"

    about = f"Settle what the question asks for. {_AGREE}"
    demand = office.phase("demand", ("chief product officer", chief), talk, [], about, True)
    about = f"Settle how to solve it, without solving it. {_AGREE}"
    pair = "chief technology officer", chief
    approach = office.phase("approach", pair, talk, [demand.conclusion], about, True)
    settled = [demand.conclusion, approach.conclusion]
    about = f"Solve it as was settled. {final}"
    solutions = [office.say("solution", "programmer", about, settled, [])]
    phases, changes = [demand, approach], list[Phase]()
    for cycle in range(cycles):
        about = (
            "Check the solution and name the one most important thing to change. If it is perfect, "
            f"write '{MARK} {FINISHED}' alone on a line."
        )
        reads, pair = [*settled, solutions[-1]], ("code reviewer", "programmer")
        comment = office.phase(f"comment {cycle}", pair, turns, reads, about)
        about = (
            f"Change the solution as the comment says and write it whole. {final} If there is "
            f"nothing to change, write '{MARK} {FINISHED}' alone on a line."
        )
        reads = [*reads, comment.conclusion]
        changes.append(office.phase(f"change {cycle}", pair[::-1], turns, reads, about))
        solutions.append(changes[-1].conclusion)
        phases += [comment, changes[-1]]

    def last(observation: Observation) -> str:
        first, *changed = texts(observation, solutions)
        return [first, *(text for text in changed if text and not _is_finished(text))][-1]

    output = net.add("last solution", Script(last), solutions)

    def schedule(messages: Mapping[str, str]) -> set[str]:
        if any(_is_finished(messages.get(phase.conclusion, "")) for phase in changes):
            return {output}
        agreed = [p for p in phases if any(MARK in messages.get(node, "") for node in p.talk)]
        return net.team.keys() - {node for phase in agreed for node in phase.talk}

    return net.method(schedule=schedule)


def _is_finished(text: str) -> bool:
    return text.strip(" .\n").lower() == FINISHED.lower()


@dataclass(frozen=True)
class _Office:
    """Adds what the roles say."""

    setup: Setup
    net: Net

    def say(
        self, label: str, role: str, instruction: str, documents: Sequence[str], talk: Sequence[str]
    ) -> str:
        """Add a call that reads conclusions and the phase's talk so far."""
        prompt = self._about(f"You are the {role}. {instruction}", documents, talk)
        ask = self.setup.ask(prompt, 0.2, control=True)
        return self.net.add(label, ask, [*documents, *talk])

    def phase(
        self,
        name: str,
        pair: tuple[str, str],
        turns: int,
        documents: Sequence[str],
        instruction: str,
        reflects: bool = False,
    ) -> Phase:
        """Add a talk that the first of the pair begins; in one of one turn the other is silent."""
        talk: list[str] = []
        for turn in range(turns):
            for role in pair[: 1 if turns == 1 else 2]:
                label = f"{name} {role} {turn}"
                talk.append(self.say(label, role, instruction, documents, talk.copy()))
        heard = talk[::2] if turns > 1 else talk  # of whom it is the conclusion
        if reflects:
            about = f"Say in one sentence what the talk concluded. {instruction}"
            talk.append(self.say(f"{name} counselor", "counselor", about, documents, talk.copy()))
            heard = talk

        def conclude(observation: Observation) -> str:
            return texts(observation, heard)[-1].rpartition(MARK)[2].strip()

        return Phase(talk, self.net.add(f"{name} conclusion", Script(conclude), talk))

    def _about(self, instruction: str, documents: Sequence[str], talk: Sequence[str]) -> Prompt:
        def prompt(observation: Observation) -> Turns:
            labels = self.net.labels
            parts = [
                f"{labels[node].removesuffix(' conclusion').capitalize()}:\n{text}"
                for node in documents
                for text in texts(observation, [node])
            ]
            said = [
                f"{labels[node]}: {text}" for node in talk for text in texts(observation, [node])
            ]
            return told(instruction, observation, *parts, *(["\n".join(said)] if said else []))

        return prompt
