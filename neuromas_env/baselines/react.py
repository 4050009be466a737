"""ReAct: a model reasons, has a tool run what it writes, and goes on with what comes back.

Source: Yao et al., 2023, "ReAct: Synergizing Reasoning and Acting in Language Models"
(arXiv 2210.03629), which interleaves thoughts, actions and observations, decodes greedily and
stops after five to seven steps. Here it is the recurrent network `1-1:rounds=k`: the tool is the
first node, the model the second, whose message it hears in the next round. In the
first round the tool has heard nothing and is silent; a message without a fenced block is the
last one.

We differ: zero-shot where the authors show examples, an action is a fenced block, and the tool is
Python or a calculator where theirs searches Wikipedia. In the last round the model is told that it
is the last.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from neuromas_env.agents.engines.tools import TOOLS, Tool, last_block, make_tool
from neuromas_env.agents.prompts import Turns
from neuromas_env.baselines.net import Setup
from neuromas_env.baselines.prompts import reasoned
from neuromas_env.envs.schedules import Messages
from neuromas_env.method import Method
from neuromas_env.policy import Observation
from neuromas_env.topology import Topology

_ACTIONS = {
    "python": "write a Python program in a block of three backticks. It is run, and you read "
    "what it prints",
    "calculator": "write an arithmetic expression in a block of three backticks. You read its "
    "value",
}
_LAST = "This is your last turn: answer without a block."


def react(setup: Setup, rounds: int = 5, tool: str = "python") -> Method:
    """A model calls a tool until it answers without a call."""
    setup.check(1, 32, rounds=rounds)
    setup.choose(TOOLS, tool=tool)
    shape = Topology.parse("1-1" if rounds == 1 else f"1-1:rounds={rounds}")
    call, answer = shape.nodes
    team = {
        call: Tool(make_tool(tool)),
        answer: setup.ask(partial(_prompt, setup, tool, rounds), 0.0),
    }
    labels = {call: tool, answer: "model"}
    return Method(shape, team, schedule=_schedule, deals_parts=False, labels=labels)


def _schedule(said: Messages) -> Collection[str] | None:
    """Leave the tool out of the first round, and end after a message without a block."""
    if not said.past:
        return ("node_1",)
    last = said.past[-1].get("node_1")
    return None if last is not None and last_block([last]) is not None else ()


def _prompt(setup: Setup, tool: str, rounds: int, observation: Observation) -> Turns:
    action = _ACTIONS.get(tool, f"write what {tool} is to do in a block of three backticks")
    use = f"To use a tool, {action}. {reasoned(setup.task)}"
    turns = [("system", use if rounds > 1 else reasoned(setup.task))]
    turns += [("user", observation["question"])]
    for message in observation["inbox"]:
        own = message["source"] == "node_1"
        turns += [("assistant" if own else "user", message["text"])]
    if rounds > 1 and observation["place"].get("round") == rounds - 1:
        turns[-1] = ("user", f"{turns[-1][1]}\n{_LAST}")
    return tuple(turns)
