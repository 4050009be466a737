"""Graph-of-Agents: agents chosen by card answer, rate one another, and pass messages by rank.

Source: Yun et al., 2026 (arXiv 2604.17148; another paper of that name is `goa_longctx`).
A meta call picks k of the pool's cards; these answer with a confidence (one below 0.1 has
the generalist answer instead); each scores the others' answers, and the mean scores make
the graph: answers at or below 0.05 drop out, better ones point to worse ones. Downwards
every answer is rewritten in view of the better ones, upwards in view of the worse ones,
each tagged by relevance. `pool=mean` has a last call write one answer, `pool=max` takes the
best one's. Canonical: k=3, one round, temperature 0.7, 12 calls without redone answers.

We differ: one model plays the pool by role cards, so that the selection tells less than
among different models; an invalid selection or score list is not asked for again (the
first k cards are taken, the judge is dropped, as the authors do after retries); a missing
confidence is no low one; all upward messages read the downward ones alone, in whatever
order the nodes act; ties in rank go to the lower index, and no answer is ever guessed.
The number k is fixed (the authors can also have it follow a rating of difficulty).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from neuromas_env.agents.prompts import Prompt, Turns
from neuromas_env.baselines.cards import CARDS
from neuromas_env.baselines.net import Net, Script, Setup, texts
from neuromas_env.baselines.prompts import numbered, reasoned, told
from neuromas_env.method import Method
from neuromas_env.policy import Observation
from neuromas_env.tasks.base import Task

Ranking = list[tuple[int, float]]
"""Columns and their weights, the best first."""

_SCORE = re.compile(r"(?<![\d.])(?:0?\.\d+|[01](?:\.\d+)?)(?!\d|\.\d)")
_NUMBERED = re.compile(r"(?:^\W*|[,;]\s*)\d{1,2}(?:[.)]\s+|:\s*)(?=[\d.])", re.MULTILINE)


def goa(
    setup: Setup,
    k: int = 3,
    rounds: int = 1,
    keep: float = 0.05,
    redo: float = 0.1,
    pool: str = "mean",
    cards: int = len(CARDS),
) -> Method:
    """Build all `k` columns; what the scores drop is left out by the schedule."""
    setup.check(2, 16, k=k)
    setup.check(1, 8, rounds=rounds)
    setup.check(0, 1, keep=keep, redo=redo)
    setup.check(1, len(CARDS), cards=cards)
    setup.choose(("mean", "max"), pool=pool)
    net, columns, words = Net(), range(k), _Words(setup.task, k, cards)

    def ask(label: str, prompt: Prompt, reads: Sequence[str] = (), control: bool = False) -> str:
        return net.add(label, setup.ask(prompt, 0.7, control=control), reads)

    meta = ask("selection", words.select, control=True)
    answers = [ask(f"answer {i}", words.answer(i, meta), [meta]) for i in columns]
    redone = [ask(f"redone answer {i}", words.answer(), [answers[i]]) for i in columns if redo]
    # Everything that a column has said, oldest first: its answer is the last of it.
    said = [[answers[i], *redone[i : i + 1]] for i in columns]
    others = [said[:i] + said[i + 1 :] for i in columns]
    judges = [
        ask(f"scores by {i}", words.score(others[i]), sum(others[i], []), control=True)
        for i in columns
    ]
    link = Script(lambda observation: json.dumps(rank(texts(observation, judges), k, keep)))
    graph = net.add("graph", link, judges)
    layers = []
    for turn, way in product(range(rounds), ("downward", "upward")):
        reads, label = [meta, graph, *sum(said, [])], f"{way} round {turn}"
        refine = [words.refine(i, meta, graph, said, redone[i : i + 1], way) for i in columns]
        layers.append([ask(f"answer {i} {label}", refine[i], reads) for i in columns])
        said = [[*said[i], layers[-1][i]] for i in columns]
    ask("pool", words.finish(graph, said, pool), [graph, *sum(said, [])])

    def schedule(messages: Mapping[str, str]) -> set[str]:
        roles = chosen(messages.get(meta, ""), k, cards)
        sure = [confidence(messages.get(node, "")) >= redo for node in answers]
        idle = {node for i, node in enumerate(redone) if sure[i] or not roles[i]}
        ranked = [column for column, _ in json.loads(messages.get(graph, "[]"))]
        raised = (ranked[:1] if pool == "max" else ranked)[: len(ranked) - 1]
        for down, up in zip(layers[::2], layers[1::2], strict=True):
            idle.update(down[i] for i in columns if i not in ranked[1:])
            idle.update(up[i] for i in columns if i not in raised)
        return set(net.team) - idle

    passing = k if pool == "max" else 2 * (k - 1)
    most = 1 + 2 * k + len(redone) + rounds * passing + (pool == "mean")
    return net.method(schedule=schedule, calls=most)


@dataclass(frozen=True)
class _Words:
    """The prompts; those of one column are made for it."""

    task: Task
    k: int
    cards: int

    def select(self, observation: Observation) -> Turns:
        listed = "\n".join(
            f"{i}. {name}: {about}" for i, (name, about) in enumerate(CARDS[: self.cards])
        )
        instruction = (
            f"Choose the {self.k} agents best suited to the question by subject and skill, at "
            "least one of them a generalist; an agent may be chosen twice. Reply with their "
            f"{self.k} numbers, separated by commas, and nothing else."
        )
        return told(instruction, observation, f"Agents:\n{listed}")

    def answer(self, i: int = 0, meta: str = "") -> Prompt:
        def prompt(observation: Observation) -> Turns:
            role = self._role(observation, i, meta) if meta else CARDS[0][1]
            last = "End with a line 'Confidence:' and a number from 0 to 1."
            return told(f"{role} {reasoned(self.task)} {last}", observation)

        return prompt

    def score(self, others: list[list[str]]) -> Prompt:
        instruction = (
            f"Score these {self.k - 1} answers to the question by how correct, coherent and "
            f"relevant they are. Reply with {self.k - 1} numbers from 0 to 1 that sum to 1, "
            "in the order of the answers, separated by commas, and nothing else."
        )

        def prompt(observation: Observation) -> Turns:
            answers = numbered(texts(observation, nodes)[-1] for nodes in others)
            return told(instruction, observation, f"Answers:\n{answers}")

        return prompt

    def refine(
        self, i: int, meta: str, graph: str, said: list[list[str]], redone: list[str], way: str
    ) -> Prompt:
        def prompt(observation: Observation) -> Turns:
            ranking = json.loads(texts(observation, [graph])[0])
            place = [column for column, _ in ranking].index(i)
            others = ranking[:place] if way == "downward" else ranking[place + 1 :]
            generalist = texts(observation, redone)  # who has taken the column over
            role = CARDS[0][1] if generalist else self._role(observation, i, meta)
            return told(
                f"{role} Improve your answer in view of the other "
                f"answers, and judge them critically. {reasoned(self.task)}",
                observation,
                f"Your answer:\n{texts(observation, said[i])[-1]}",
                f"Other answers:\n{_tagged(observation, others, said)}",
            )

        return prompt

    def finish(self, graph: str, said: list[list[str]], pool: str) -> Prompt:
        def prompt(observation: Observation) -> Turns | str:
            ranking = json.loads(texts(observation, [graph])[0])
            if ranking and (pool == "max" or len(ranking) == 1):
                return texts(observation, said[ranking[0][0]])[-1]
            ranking = ranking or [(i, 1 / self.k) for i in range(self.k)]
            return told(
                f"Combine the given answers into one, critically. {reasoned(self.task)}",
                observation,
                f"Answers:\n{_tagged(observation, ranking, said)}",
            )

        return prompt

    def _role(self, observation: Observation, i: int, meta: str) -> str:
        return CARDS[chosen(texts(observation, [meta])[0], self.k, self.cards)[i]][1]


def chosen(reply: str, k: int, cards: int) -> list[int]:
    """Read the cards out of a selection, the first ones if it is not valid."""
    numbers = [int(number) for number in re.findall(r"\d{1,9}", reply)]
    valid = len(numbers) == k and max(numbers) < cards
    return numbers if valid else [i % cards for i in range(k)]


def confidence(reply: str) -> float:
    """Read the confidence that an answer ends with, 1 if there is none."""
    found = re.findall(rf"confidence\W{{1,5}}({_SCORE.pattern})", reply, re.IGNORECASE)
    return float(found[-1]) if found else 1.0


def rank(replies: Sequence[str], k: int, keep: float) -> Ranking:
    """Rank the columns by the mean of the others' scores, normalised; drop up to `keep`.

    Args:
        replies: Of the judges, one per column; each scores the other columns in order, perhaps
            numbered. A judge whose reply is not `k - 1` numbers that sum to 1 (0.9 at least) is
            dropped.
        k: Number of columns.
        keep: Columns with at most this weight drop out.
    """
    given: list[list[float]] = [[] for _ in range(k)]
    for judge, reply in enumerate(replies):
        scores = [float(score) for score in _SCORE.findall(_NUMBERED.sub(" ", reply))]
        if len(scores) == k - 1 and 0.9 < sum(scores) <= 1 + 1e-6:
            for column, value in zip((i for i in range(k) if i != judge), scores, strict=True):
                given[column].append(value)
    means = [sum(scores) / len(scores) if scores else 0.0 for scores in given]
    weights = [mean / (sum(means) or 1.0) for mean in means]
    kept = [(i, weight) for i, weight in enumerate(weights) if weight > keep]
    return sorted(kept, key=lambda item: -item[1])


def _tagged(observation: Observation, ranking: Ranking, said: list[list[str]]) -> str:
    """List the columns' latest answers with their relevance."""
    lines = []
    for column, weight in ranking:
        level = "high" if weight > 0.7 else "moderate" if weight > 0.4 else "low"
        lines.append(f"(relevance {level}) {texts(observation, said[column])[-1]}")
    return numbered(lines)
