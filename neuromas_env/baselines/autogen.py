"""AutoGen: an assistant writes programs, a proxy of the user runs them and says what they print.

Source: Wu et al., 2023 (arXiv 2308.08155), its chat of two agents: it goes on until a message of
the assistant ends in TERMINATE, or the proxy has replied ten times. Here it is the recurrent
network `1-1-1:rounds=11`: the proxy is the first node and silent in the first round, the assistant
hears it and remembers the chat, and the third node, a script, takes the mark out of what the
assistant says. Its last message is the answer.

We differ: prompts of ours; the proxy says what a program prints, or that there is none (theirs
adds the exit code, or says nothing), and where the task replies, what it replied; one language;
greedy decoding, theirs a provider's setting; a last message of the mark alone leaves the one
before as the answer.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from neuromas_env.agents.engines.tools import TOOLS, Tool, make_tool
from neuromas_env.baselines.net import Script, Setup
from neuromas_env.baselines.prompts import reasoned
from neuromas_env.baselines.react import conversation
from neuromas_env.envs.schedules import WORLD, Messages
from neuromas_env.method import Method
from neuromas_env.policy import Observation, Request
from neuromas_env.topology import Topology

END = "TERMINATE"


@dataclass(frozen=True)
class Proxy(Tool):
    """Runs what the assistant's newest message holds, and nothing that was run before."""

    def request(self, observation: Observation, seed: int) -> str | Request:
        """Send the block, or say that there is none; of a task that replies, say its reply."""
        own = f"node_{observation['place']['node']}"
        heard = [message for message in observation["inbox"] if message["source"] != own]
        if heard and heard[-1]["source"] == WORLD:
            return heard[-1]["text"]
        return super().request({**observation, "inbox": heard[-1:]}, seed)


def autogen(setup: Setup, replies: int = 10, tool: str = "python") -> Method:
    """An assistant and a proxy reply to one another until the assistant ends it."""
    setup.check(1, 32, replies=replies)
    setup.choose(TOOLS, tool=tool)
    shape = Topology.parse(f"1-1-1:rounds={replies + 1}")
    proxy, assistant, answer = shape.nodes
    engine = make_tool(tool)
    done = f"When the task is done, give the answer and write '{END}' at the end of that message."
    system = " ".join(filter(None, [engine.use, reasoned(setup.task), done]))

    def schedule(messages: Messages) -> Collection[str] | None:
        if not messages.past:
            return {assistant, answer}
        said = messages.past[-1].get(assistant, END)  # who is silent has ended it before
        return () if _unmarked(said) != said else None

    def last(observation: Observation) -> str:
        said = [_unmarked(message["text"]) for message in observation["inbox"]]
        return next((text for text in reversed(said) if text.strip()), "")

    ask = setup.ask(partial(conversation, system, 0), 0.0)
    return Method(
        shape,
        {proxy: Proxy(engine), assistant: ask, answer: Script(last)},
        schedule=schedule,
        deals_parts=False,
        labels={proxy: "proxy", assistant: "assistant", answer: "answer"},
    )


def _unmarked(text: str) -> str:
    """Return a message without the mark at its end."""
    bare = text.rstrip(" .\n*_")
    return bare.removesuffix(END).rstrip(" \n*_") if bare.endswith(END) else text
