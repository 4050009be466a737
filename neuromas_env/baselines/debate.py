"""Multi-agent debate: agents answer, read one another's answers, and answer again.

Source: Du et al., 2023 (arXiv 2305.14325), 3 agents, 2 rounds, temperature 1; each agent
keeps its conversation, so that round t reads all earlier rounds. The last round's answers
are voted on; `debate_llm_agg` has one more call read them and decide (as MASLab does).
Options for other published forms: `history=false` shows the round before alone,
`include_self` lists an agent's own answer among them, `order=shuffled` and `max_inbox`
bound the inbox (MARTI: shuffled, own answer included, at most 5).

We differ: ties and abstentions follow the rule of all baselines (the authors' scorer counts
an unreadable majority as right), and a shuffle is drawn from the question, so that an agent
remembers the order in which it read.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial

from neuromas_env.agents.prompts import Prompt, Turns
from neuromas_env.baselines.net import Net, Setup, texts
from neuromas_env.baselines.prompts import AGGREGATORS, answer_in, numbered, reasoned, solve
from neuromas_env.baselines.vote import Vote
from neuromas_env.errors import InputError
from neuromas_env.method import Method
from neuromas_env.policy import Observation
from neuromas_env.tasks.base import Task


def debate(
    setup: Setup,
    agents: int = 3,
    rounds: int = 2,
    history: bool = True,
    include_self: bool = False,
    order: str = "index",
    max_inbox: int = 0,
    prompt: str = "cot",
    aggregator: str = "vote",
    ties: str = "index",
) -> Method:
    """Build the network of `agents` columns and `rounds` layers."""
    setup.check(1, 32, agents=agents, rounds=rounds)
    setup.check(0, 32, max_inbox=max_inbox)
    setup.choose(("index", "shuffled"), order=order)
    setup.choose(AGGREGATORS, aggregator=aggregator)
    if agents == 1 and rounds > 1 and not (history or include_self):
        raise InputError(f"baseline {setup.name!r}: one agent without history reads nothing")
    talk = _Talk(setup.task, agents, history, include_self, order, max_inbox, prompt)
    net, table = Net(), list[list[str]]()
    for number in range(rounds):
        past = table if history else table[-1:]
        row = []
        for i in range(agents):
            # An agent that does not read itself has no edge from itself.
            read = [n for n in sum(past, []) if history or include_self or n != past[0][i]]
            ask = setup.ask(talk.turn(i, past), 1.0, alike=agents > 1, short=prompt == "direct")
            row.append(net.add(f"agent {i} round {number}", ask, read))
        table.append(row)
    voted = aggregator == "vote"
    last = Vote(setup.task, ties) if voted else setup.ask(talk.decide, 1.0)
    net.add(aggregator, last, table[-1])
    return net.method()


@dataclass(frozen=True)
class _Talk:
    """What is said to the agents; a round is given by its nodes."""

    task: Task
    agents: int
    history: bool
    include_self: bool
    order: str
    max_inbox: int
    style: str

    def turn(self, column: int, past: list[list[str]]) -> Prompt:
        """Return the prompt of an agent that remembers or reads the rounds of `past`."""
        rounds, first = past.copy(), solve(self.task, self.style)

        def prompt(observation: Observation) -> Turns:
            system, question = first(observation)
            if not self.history and rounds:
                news = self._inbox(observation, column, rounds[-1])
                return system, ("user", f"{question[1]}\n\n{news}")
            turns = [system, question]
            for nodes in rounds:
                turns.append(("assistant", texts(observation, [nodes[column]])[0]))
                turns.append(("user", self._inbox(observation, column, nodes)))
            return tuple(turns)

        return prompt

    def decide(self, observation: Observation) -> Turns:
        """Ask for a decision between the answers of the last round."""
        solutions = numbered(message["text"] for message in observation["inbox"])
        return (
            ("system", f"Decide which of the given solutions is right. {reasoned(self.task)}"),
            ("user", f"{observation['question']}\n\nSolutions:\n{solutions}"),
        )

    def _inbox(self, observation: Observation, column: int, nodes: list[str]) -> str:
        shown = [i for i in range(self.agents) if self.include_self or i != column]
        if self.order == "shuffled":
            random.Random(f"{column} {nodes[0]} {observation['question']}").shuffle(shown)
        said = texts(observation, [nodes[i] for i in shown[: self.max_inbox or self.agents]])
        ask_for = answer_in(self.task, self.style)
        if not said:
            return f"Check your answer and correct it if need be. {ask_for}"
        return (
            f"These are answers of {'all' if self.include_self else 'other'} agents:\n"
            f"{numbered(said)}\nTake them as advice and give your updated answer. {ask_for}"
        )


debate_llm_agg = partial(debate, aggregator="llm")
