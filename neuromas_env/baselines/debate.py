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
from functools import partial

from neuromas_env.baselines.method import Method, Net, Prompt, Setup, Turns, texts
from neuromas_env.baselines.prompts import AGGREGATORS, answer_in, numbered, reasoned, solve
from neuromas_env.baselines.vote import Vote
from neuromas_env.errors import InputError
from neuromas_env.policy import Observation


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
    net, table = Net(), list[list[str]]()
    first, ask_for = solve(setup.task, prompt), answer_in(setup.task, prompt)

    def inbox(observation: Observation, column: int, past: list[str]) -> str:
        """Word what an agent reads of a round."""
        shown = [i for i in range(agents) if include_self or i != column]
        if order == "shuffled":
            random.Random(f"{column} {past[0]} {observation['question']}").shuffle(shown)
        said = texts(observation, [past[i] for i in shown[: max_inbox or agents]])
        if not said:
            return f"Check your answer and correct it if need be. {ask_for}"
        return (
            f"These are answers of {'all' if include_self else 'other'} agents:\n"
            f"{numbered(said)}\nTake them as advice and give your updated answer. {ask_for}"
        )

    def later(column: int, rounds_before: list[list[str]]) -> Prompt:
        def prompt(observation: Observation) -> Turns:
            system, question = first(observation)
            if not history:
                news = inbox(observation, column, rounds_before[-1])
                return system, ("user", f"{question[1]}\n\n{news}")
            turns = [system, question]
            for past in rounds_before:
                turns.append(("assistant", texts(observation, [past[column]])[0]))
                turns.append(("user", inbox(observation, column, past)))
            return tuple(turns)

        return prompt

    for number in range(rounds):
        row = []
        for i in range(agents):
            past = sum(table if history else table[-1:], [])
            if not (history or include_self):
                past = [node for node in past if node != table[-1][i]]
            words = later(i, table.copy()) if number else first
            ask = setup.ask(words, 1.0, alike=agents > 1, short=prompt == "direct")
            row.append(net.add(f"agent {i} round {number}", ask, past))
        table.append(row)

    def decide(observation: Observation) -> Turns:
        solutions = numbered(texts(observation, table[-1]))
        return (
            ("system", f"Decide which of the given solutions is right. {reasoned(setup.task)}"),
            ("user", f"{observation['question']}\n\nSolutions:\n{solutions}"),
        )

    voted = aggregator == "vote"
    net.add(aggregator, Vote(setup.task, ties) if voted else setup.ask(decide, 1.0), table[-1])
    return net.method()


debate_llm_agg = partial(debate, aggregator="llm")
