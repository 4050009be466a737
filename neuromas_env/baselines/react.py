"""ReAct: a model reasons, has a tool run what it writes, and goes on with what comes back.

Source: Yao et al., 2023, "ReAct: Synergizing Reasoning and Acting in Language Models"
(arXiv 2210.03629), which interleaves thoughts, actions and observations, decodes greedily and
stops after five to seven steps. Here it is the recurrent network `1-1:rounds=k`: the tool is the
first node, the model the second, whose message it hears in the next round. In the
first round the tool has heard nothing and is silent; a message without a fenced block is the
last one.

We differ: zero-shot where the authors show examples, an action is a fenced block, and the tool is
Python or a calculator where theirs searches Wikipedia. In the last round the model is told that it
is the last. Tasks that reply are refused: a call of the tool would be a move.
"""

from __future__ import annotations

from functools import partial

from neuromas_env.agents.engines.tools import TOOLS, Tool, make_tool, when_used
from neuromas_env.agents.prompts import Turns
from neuromas_env.baselines.net import Setup
from neuromas_env.baselines.prompts import reasoned
from neuromas_env.errors import InputError
from neuromas_env.method import Method
from neuromas_env.policy import Observation
from neuromas_env.tasks.interactive import InteractiveTask
from neuromas_env.topology import Topology

_LAST = "This is your last turn: answer without a block."


def react(setup: Setup, rounds: int = 5, tool: str = "python") -> Method:
    """A model calls a tool until it answers without a call."""
    setup.check(1, 32, rounds=rounds)
    setup.choose(TOOLS, tool=tool)
    if isinstance(setup.task, InteractiveTask):
        raise InputError(
            f"react must have a task that does not reply, got {setup.task.name!r}: a call of its "
            "tool would be a move; --tools gives a network a tool there"
        )
    shape = Topology.parse("1-1" if rounds == 1 else f"1-1:rounds={rounds}")
    call, answer = shape.nodes
    engine = make_tool(tool)
    system = " ".join(filter(None, [engine.use if rounds > 1 else "", reasoned(setup.task)]))
    ask = setup.ask(partial(conversation, system, rounds), 0.0)
    return Method(
        shape,
        {call: Tool(engine), answer: ask},
        schedule=when_used(shape, [call]),
        deals_parts=False,
        labels={call: tool, answer: "model"},
    )


def conversation(system: str, rounds: int, observation: Observation) -> Turns:
    """Write what model and tool have said as a chat; the last of `rounds` is told to be that."""
    turns = [("system", system), ("user", observation["question"])]
    for message in observation["inbox"]:
        role = "assistant" if message["source"] == "node_1" else "user"
        turns.append((role, message["text"]))
    if rounds > 1 and observation["place"].get("round") == rounds - 1:
        turns[-1] = ("user", f"{turns[-1][1]}\n{_LAST}")
    return tuple(turns)
