"""DyLAN: agents in layers read and rate one another, the best continue, and a team is chosen so.

Source: Liu et al., 2023 (arXiv 2310.02170) and the authors' code. Agents answer; in later rounds
they read the answers of the round before, rate each from 1 to 5, and answer again. It ends when
more than 2/3 of a round agree. From the third round on only those `keep=2` of four agents or more
speak whose answers a ranking call puts first. The last round's answers are counted. 4 agents and
3 rounds, so 11 calls at most.

The team is chosen beforehand, without gold answers, by the agents' importance in runs of all
candidates (`neuromas adapt dylan`): who gave the final answer in the last round shares 1; an agent
of an earlier round gets the importance of its readers in proportion to their ratings of it; summed
over rounds, averaged over questions. `state=` takes the best `agents` of them, and without it the
first role cards play.

Temperature 1.

We differ: the candidates are this suite's six role cards (theirs for MMLU: seven of their own); the
agents of a round speak at once and in a fixed order (theirs in turn, shuffled, and a round ends as
soon as enough agree); the best ranked go on, as the paper has it (in the authors' code the
ranking's numbers are places in a list shuffled again, so any two go on); replies without an answer
agree with nobody; rankings that cannot be read go by index (theirs: two at random); ties by the
rule of all baselines.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from neuromas_env.agents.prompts import Prompt, Turns
from neuromas_env.baselines.adapted import learned
from neuromas_env.baselines.cards import CARDS, card
from neuromas_env.baselines.net import Fitted, Net, Script, Setup, texts
from neuromas_env.baselines.prompts import numbered, reasoned, told
from neuromas_env.baselines.vote import Vote, answer_keys
from neuromas_env.checks import Natural, NonNegative
from neuromas_env.errors import InputError
from neuromas_env.method import Method
from neuromas_env.policy import Observation, Trajectory
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks.base import Example, Task

AGREED = "agreed"
_RATE = "End with a line 'Ratings:' and a number from 1 to 5 for each given answer, in their order."
_RANK = "Which {} of the given answers are best? Reply with their numbers, the best first, alone."


def dylan(
    setup: Setup,
    agents: int = 4,
    rounds: int = 3,
    keep: int = 2,
    ties: str = "index",
    state: str = "",
) -> Method:
    """Ask the team that was found to contribute most, or the first role cards."""
    team: Sequence[int] = range(agents)
    if state:
        found = learned(setup, "dylan", state)["importance"]
        if len(found) < agents:
            raise InputError(
                f"{state}: importance must have {agents} entries or more, got {len(found)}"
            )
        team = sorted(sorted(range(len(found)), key=lambda i: -found[i])[:agents])
    return _layers(setup, team, rounds, keep, ties)[0]


class DylanState(TypedDict):
    """What DyLAN has learned: summed importance of each candidate, and of how many questions."""

    importance: list[NonNegative]
    questions: Natural


class DylanLearning:
    """Sums the importance of all candidates.

    Attributes:
        questions: In an iteration.
        state: See `DylanState`.
    """

    def __init__(
        self,
        setup: Setup,
        candidates: int = len(CARDS),
        rounds: int = 3,
        keep: int = 2,
        ties: str = "index",
        batch: int = 1,
    ) -> None:
        """Start with candidates that have contributed nothing."""
        setup.check(2, len(CARDS), candidates=candidates)
        setup.check(1, 1024, batch=batch)
        self._task, self.questions = setup.task, batch
        self._method, self._nodes = _layers(setup, range(candidates), rounds, keep, ties)
        self.state: dict[str, Any] = {"importance": [0.0] * candidates, "questions": 0}

    def iterate(self, examples: Sequence[Example], seed: int) -> dict[str, float]:
        """Run all candidates on some questions."""
        runs = run_episodes(self._method, self._task, examples, seed=seed, reward="extracted")
        if failed := next((run for run in runs if run.error), None):
            raise InputError(f"question {failed.example.id!r}: {failed.error}")
        found = sum(contribution(self._task, run, self._nodes) for run in runs)
        self.state = {
            "importance": (np.array(self.state["importance"]) + found).tolist(),
            "questions": self.state["questions"] + len(runs),
        }
        return {"reward": float(np.mean([run.reward for run in runs]))}


DYLAN = Fitted(dylan, DylanLearning, DylanState)


@dataclass(frozen=True)
class _Last(Vote):
    """Counts the answers of the last round in which somebody spoke."""

    rounds: Sequence[Sequence[str]] = ()

    def _replies(self, observation: Observation) -> list[str]:
        return next(said for nodes in reversed(self.rounds) if (said := texts(observation, nodes)))


def _layers(
    setup: Setup, team: Sequence[int], rounds: int, keep: int, ties: str
) -> tuple[Method, list[list[str]]]:
    """Return the method and its agents' nodes, by round and agent."""
    agents, task = len(team), setup.task
    setup.check(1, 16, agents=agents, rounds=rounds, keep=keep)
    net, table, gates = Net(), list[list[str]](), list[str]()
    ranker = ""

    def speak(role: str, before: list[str]) -> Prompt:
        def prompt(observation: Observation) -> Turns:
            if not before:
                return told(f"{role} {reasoned(task)}", observation)
            answers = f"Answers:\n{numbered(texts(observation, before))}"
            instruction = f"{role} Improve on the given answers, critically. {reasoned(task)}"
            return told(f"{instruction} {_RATE}", observation, answers)

        return prompt

    def rank(observation: Observation) -> Turns:
        answers = f"Answers:\n{numbered(texts(observation, table[1]))}"
        return told(_RANK.format(keep), observation, answers)

    def agree(observation: Observation) -> str:
        said = [message["text"] for message in observation["inbox"]]
        return AGREED if consensus(answer_keys(task, observation["question"], said)) else ""

    for t in range(rounds):
        before = table[-1] if table else []
        reads = [*before, *gates[-1:]]  # nobody is asked before it is known that they disagree
        if t == 2 and agents > max(keep, 3):
            ranker = net.add("ranking", setup.ask(rank, 1.0, control=True), reads)
        reads += filter(None, [ranker])
        asked = {
            i: setup.ask(speak(card(i), before), 1.0, alike=agents > len(CARDS), control=True)
            for i in team
        }
        table.append([net.add(f"agent {i} round {t}", ask, reads) for i, ask in asked.items()])
        if t < rounds - 1:
            gates.append(net.add(f"consensus {t}", Script(agree), table[-1]))
    output = net.add("vote", _Last(task, ties, rounds=table), [*sum(table, []), *gates])

    def schedule(messages: Mapping[str, str]) -> set[str]:
        if any(messages.get(gate) == AGREED for gate in gates):
            return {output}
        kept = best(messages[ranker], agents, keep) if ranker in messages else range(agents)
        idle = {row[i] for row in table[2:] for i in range(agents) if i not in kept}
        return net.team.keys() - idle

    most = agents * min(rounds, 2) + (min(keep, agents) if ranker else agents) * max(0, rounds - 2)
    return net.method(schedule=schedule, calls=most + bool(ranker)), table


def consensus(keys: Sequence[object]) -> bool:
    """Whether more than 2/3 of some answers agree; one that is None agrees with none."""
    counts = Counter(key for key in keys if key is not None)
    return 3 * max(counts.values(), default=0) > 2 * len(keys)


def best(reply: str, agents: int, keep: int) -> list[int]:
    """Read whom a ranking puts first, numbered from 1; the first agents where it names too few."""
    named = [int(number) - 1 for number in re.findall(r"\d{1,4}", reply)]
    return list(dict.fromkeys([i for i in named if 0 <= i < agents] + [*range(agents)]))[:keep]


def ratings(reply: str, count: int) -> list[float]:
    """Read the ratings of `count` answers, as shares of 1; even ones if they cannot be read."""
    line = re.findall(r"ratings?\b(.*)", reply, re.IGNORECASE)[-1:]
    found = [float(number) for number in re.findall(r"\b[1-5]\b", "".join(line))]
    found = found if len(found) == count else [1.0] * count
    return [number / sum(found) for number in found]


def importance(last: Sequence[float], weights: Sequence[np.ndarray]) -> np.ndarray:
    """Return the importance of each agent, summed over rounds (the paper's backward pass).

    Args:
        last: Importance in the last round, `[agents]`.
        weights: Of each round but the first, in order, how its agents (rows) rate those of the
            round before (columns), `[agents, agents]`; rows of those who spoke sum to 1.
    """
    here = np.array(last, dtype=float)
    total = here.copy()
    for rated in reversed(weights):
        here = here @ rated
        total += here
    return total


def contribution(task: Task, run: Trajectory, table: Sequence[Sequence[str]]) -> np.ndarray:
    """Return the importance of each agent in an episode, `[agents]`."""
    said = {turn.node: turn.text for turn in run.turns}
    spoke = [[i for i, node in enumerate(row) if node in said] for row in table]
    spoke = [row for row in spoke if row]
    final = table[len(spoke) - 1]
    keys = answer_keys(
        task, run.example.question, [said[final[i]] for i in spoke[-1]] + [run.answer]
    )
    right = [
        i for i, key in zip(spoke[-1], keys, strict=False) if key is not None and key == keys[-1]
    ]
    last, weights = np.zeros(len(final)), []
    last[right] = 1 / max(len(right), 1)
    for t in range(1, len(spoke)):
        rated = np.zeros((len(final), len(final)))
        for i in spoke[t]:
            rated[i, spoke[t - 1]] = ratings(said[table[t][i]], len(spoke[t - 1]))
        weights.append(rated)
    return importance(last.tolist(), weights)
