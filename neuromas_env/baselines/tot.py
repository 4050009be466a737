"""Tree of Thoughts: partial solutions are continued, rated, and pruned to the best at every step.

Source: Yao et al., 2023 (arXiv 2305.10601) and the authors' code, its breadth-first search as in
the Game of 24: one call for a state proposes its next thoughts, three calls rate each new state
(sure 20, likely 1, impossible 0.001, summed), and the five best go on; three steps, temperature
0.7. The network has columns for all states that the beam may hold; the schedule leaves out those of
pruned states and of thoughts that were not proposed.

We differ: a last call answers from the best state (theirs write an answer from each of the five,
rate these, too, and score all of them against the gold answer); at most `thoughts=5` of a proposal
are read (theirs: all lines); zero-shot prompts; equal thoughts of a state count once; of equal
ratings the first wins; a rating is the last of the three words in a reply (theirs: its last line).
Their other forms, which sample thoughts, vote among states or search depth first, are not here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from neuromas_env.agents.prompts import Prompt, Turns
from neuromas_env.baselines.net import Net, Script, Setup, texts
from neuromas_env.baselines.prompts import list_items, numbered, reasoned, told
from neuromas_env.method import Method
from neuromas_env.policy import Observation

RATINGS = {"sure": 20.0, "likely": 1.0, "impossible": 0.001}
_PROPOSE = (
    "Solve the question step by step. Propose up to {} different next steps, each on a line of "
    "its own and in one sentence, without the answer."
)
_RATE = (
    "Judge whether the steps taken so far can lead to the right answer of the question. Think "
    "briefly, then write one word on the last line: sure, likely or impossible."
)


@dataclass(frozen=True)
class _Step:
    """The nodes of a step: a proposal for each state, ratings of each thought, what is kept."""

    proposals: list[str]
    ratings: dict[tuple[int, int], list[str]]
    beam: str

    @property
    def told(self) -> list[str]:
        """What a node must read to know the states that this step left."""
        return [*self.proposals, self.beam]


def tot(setup: Setup, steps: int = 3, beam: int = 5, thoughts: int = 5, ratings: int = 3) -> Method:
    """Build all columns that the beam may fill, and the call that answers from its best state."""
    setup.check(1, 8, steps=steps)
    setup.check(1, 16, beam=beam, thoughts=thoughts, ratings=ratings)
    net, tree, width, calls = Net(), list[_Step](), 1, 1
    for step in range(steps):
        past = tree.copy()
        read = [node for one in past for node in one.told]
        proposals = [
            net.add(
                f"proposal {step}.{i}",
                setup.ask(_propose(past, i, thoughts), 0.7, control=True),
                read,
            )
            for i in range(width)
        ]
        rated = {}
        for i, k in [(i, k) for i in range(width) for k in range(thoughts)]:
            prompt = _rate(past, proposals[i], i, k, thoughts)
            ask = setup.ask(prompt, 0.7, alike=ratings > 1, control=True)
            rated[i, k] = [
                net.add(f"rating {step}.{i}.{k}.{n}", ask, [*read, proposals[i]])
                for n in range(ratings)
            ]
        keep = Script(_keep(rated, beam))
        kept = net.add(f"beam {step}", keep, sum(rated.values(), []))
        tree.append(_Step(proposals, rated, kept))
        calls += width * (1 + thoughts * ratings)
        width = min(beam, width * thoughts)

    def answer(observation: Observation) -> Turns:
        past = [one for one in tree if json.loads(texts(observation, [one.beam])[0])]
        return told(reasoned(setup.task), observation, *_shown(observation, past, 0, thoughts))

    net.add("answer", setup.ask(answer, 0.7), [node for one in tree for node in one.told])

    def schedule(messages: Mapping[str, str]) -> set[str]:
        idle = set[str]()
        states = 1
        for one in tree:
            idle.update(one.proposals[states:])
            for (i, k), nodes in one.ratings.items():
                proposed = list_items(messages.get(one.proposals[i], ""), thoughts)
                idle.update(nodes if k >= len(proposed) else ())
            states = len(json.loads(messages.get(one.beam, "[]")))
        return net.team.keys() - idle

    return net.method(schedule=schedule, calls=calls)


def rating(replies: Sequence[str]) -> float:
    """Return the sum of what some replies rate a state, each by the last of the three words."""
    words = [re.findall(rf"\b(?:{'|'.join(RATINGS)})\b", reply.lower()) for reply in replies]
    return sum(RATINGS[found[-1]] for found in words if found)


def _shown(observation: Observation, past: Sequence[_Step], slot: int, most: int) -> list[str]:
    """Return the steps of the state in a slot of the last beam, as a part of a prompt."""
    path = list[str]()
    for one in reversed(past):
        slot, k = json.loads(texts(observation, [one.beam])[0])[slot]
        path.append(list_items(texts(observation, [one.proposals[slot]])[0], most)[k])
    return [f"Steps so far:\n{numbered(reversed(path))}"] if path else []


def _propose(past: Sequence[_Step], slot: int, most: int) -> Prompt:
    def prompt(observation: Observation) -> Turns:
        steps = _shown(observation, past, slot, most)
        return told(_PROPOSE.format(most), observation, *steps)

    return prompt


def _rate(past: Sequence[_Step], proposal: str, slot: int, k: int, most: int) -> Prompt:
    def prompt(observation: Observation) -> Turns:
        thought = list_items(texts(observation, [proposal])[0], most)[k]
        steps = _shown(observation, past, slot, most)
        return told(_RATE, observation, *steps, f"Next step:\n{thought}")

    return prompt


def _keep(rated: Mapping[tuple[int, int], list[str]], beam: int) -> Callable[[Observation], str]:
    def say(observation: Observation) -> str:
        found = {
            place: rating(replies)
            for place, nodes in rated.items()
            if (replies := texts(observation, nodes))
        }
        # Python sorts stably, so that of equals the first wins.
        return json.dumps(sorted(found, key=lambda place: -found[place])[:beam])

    return say
