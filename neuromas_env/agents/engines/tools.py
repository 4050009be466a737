"""Tools as engines: what stands at a node is a program, and its calls are batched and counted.

A `Tool` is the policy of a node that sends the last fenced block of what it has heard to a
`ToolEngine` and says what comes back. Calls of all episodes run at once, are counted under
`tool:NAME`, and are no model calls: they have no tokens and no adapter, so nothing trains on them.
A call that fails, hangs or prints without end has an answer that says so; it ends no episode.

`python` runs a program in the sandbox of code tasks, a new one for each call, and returns what it
prints and the value of a last expression. `calculator` evaluates arithmetic in decimal numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from neuromas_env.agents.llm import LLMPolicy
from neuromas_env.agents.prompts import Prompt, Turns
from neuromas_env.checks import Natural, arguments
from neuromas_env.envs.schedules import Messages, Schedule
from neuromas_env.method import Method
from neuromas_env.policy import TOOL, Completion, Cost, Engine, Observation, Policy, Request, Usage
from neuromas_env.registry import Registry, built_in
from neuromas_env.tasks.code import fenced
from neuromas_env.topology import Topology

MOST_CHARACTERS = 2000
"""Of an answer; what is longer is cut."""
NOTHING = "There is no fenced block to run."

Run = Callable[[Sequence[str]], Iterable[str]]
"""Answers the texts of many calls, in their order."""


class ToolEngine(Engine):
    """Answers calls by a program.

    Attributes:
        cost: Calls and seconds, under `tool:NAME`.
        use: What the prompts of models say that their tool does.
        tool: True: no model answers.
    """

    tool = True

    @arguments
    def __init__(self, name: str, run: Run, use: str = "") -> None:
        """Take what runs the calls.

        Args:
            name: A plain word.
            run: Answers many at once and never raises, such as `toolbox.each(function)`.
            use: A sentence for models that says how they call it.
        """
        self.name, self._run, self.use = name, run, use
        self.cost = Cost()

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Run what the last turn of each request holds, all at once."""
        started = time.perf_counter()
        found = self._run([request.turns[-1][1] for request in requests])
        usage = Usage(len(requests), seconds=time.perf_counter() - started)
        self.cost.book(f"{TOOL}{self.name}", usage)
        return [
            Completion(text[:MOST_CHARACTERS], finished=len(text) <= MOST_CHARACTERS)
            for text in found
        ]


@arguments
@dataclass(frozen=True)
class Tool(Policy):
    """A node that runs the last fenced block of what it has read.

    Attributes:
        engine: Runs it.
        most: Calls of an episode at most, None for as many as it has turns. A node without memory
            does not know of its calls before.
    """

    engine: ToolEngine  # type: ignore[assignment]
    most: Natural | None = None
    sampled = False

    def request(self, observation: Observation, seed: int) -> str | Request:
        """Send the block; without one there is no call."""
        own = f"node_{observation['place']['node']}"
        heard = [message["text"] for message in observation["inbox"] if message["source"] != own]
        if (code := last_block(heard)) is None:
            return NOTHING
        called = sum(
            message["source"] == own and message["text"] != NOTHING
            for message in observation["inbox"]
        )
        if self.most is not None and called >= self.most:
            return f"No call is left of {self.most}."
        return Request((("user", code),), self.engine, seed=seed)


def last_block(texts: Sequence[str]) -> str | None:
    """Return the last fenced block in the last of some texts that has one."""
    for text in reversed(texts):
        if blocks := [code for _, code, _ in fenced(text) if code.strip()]:
            return blocks[-1].strip("\n")
    return None


def with_tools(method: Method, tools: Mapping[str, ToolEngine], *, goes_on: bool = False) -> Method:
    """Return a network of models with tools at some nodes.

    The models that a tool hears read how to use it in their system turn. For the schedule
    see `when_used`.

    Args:
        method: With a policy at every node.
        tools: Node to its tool.
        goes_on: As in `when_used`; for a task that replies.
    """
    topology, team = method.topology, dict(method.team)
    for node, engine in tools.items():
        for source in (*topology.sources(node), *topology.feedback_sources(node)):
            if isinstance(policy := team[source], LLMPolicy) and engine.use:
                team[source] = replace(policy, prompt=partial(_told, policy.prompt, engine.use))
    team |= {node: Tool(engine) for node, engine in tools.items()}
    return replace(method, team=team, schedule=when_used(topology, tools, goes_on), calls=0)


def _told(prompt: Prompt, use: str, observation: Observation) -> Turns | str:
    turns = prompt(observation)
    if isinstance(turns, str):
        return turns
    (role, text), *rest = turns
    return ((role, f"{text}\n{use}"), *rest)


def when_used(topology: Topology, tools: Collection[str], goes_on: bool = False) -> Schedule:
    """Leave out tools that have heard no fenced block in this round.

    Where tools hear feedback alone, as in ReAct, the episode ends before a round in which none
    of them has anything to run.

    Args:
        topology: The network.
        tools: The nodes with a tool.
        goes_on: Whether the other nodes then act all the same: of a task that replies, a round
            without a tool is a move like any other.
    """
    return partial(_when_used, topology, tuple(tools), goes_on)


def _when_used(
    topology: Topology, tools: Collection[str], goes_on: bool, said: Messages
) -> Collection[str] | None:
    before = said.past[-1] if said.past else {}

    def runs(node: str) -> bool:
        sources = [(before, topology.feedback_sources(node)), (said, topology.sources(node))]
        heard = [spoken[name] for spoken, names in sources for name in names if name in spoken]
        return last_block(heard) is not None

    idle = {node for node in tools if not runs(node)}
    late = any(topology.sources(node) for node in tools)
    if said.past and len(idle) == len(tools) and not (late or goes_on):
        return ()
    return [node for node in topology.nodes if node not in idle]


TOOLS: Registry[Callable[..., ToolEngine]] = Registry(
    "tool",
    "neuromas_env.tools",
    built_in(
        __package__,
        {
            "python": ("toolbox:python", "runs a program in the sandbox, returns what it prints"),
            "calculator": ("toolbox:calculator", "evaluates an arithmetic expression"),
        },
    ),
)


@arguments
def register_tool(
    name: str, make: Callable[..., ToolEngine] | None = None, *, about: str = ""
) -> Any:
    """Make a tool known under a name, in this process.

    Args:
        name: A plain word that no tool of this project has.
        make: Returns the engine. Left out, what comes back is a decorator.
        about: One line for lists; by default the first line of the docstring.

    Raises:
        InputError: The name is no plain word, or is one of this project's.
    """
    return TOOLS.register(name, make, about=about)


def list_tools() -> dict[str, str]:
    """Return name and one-line description of every tool."""
    return TOOLS.abouts()


@arguments
def make_tool(name: str) -> ToolEngine:
    """Make a tool by name.

    Raises:
        InputError: There is none of that name.
    """
    return TOOLS.find(name)()
