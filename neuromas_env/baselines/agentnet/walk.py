"""The way of a question through AgentNet's agents, worked out from what has been said.

A walk has hops. In a hop routers forward the question from agent to agent, none of them twice,
until one decides to execute it, which ends the walk, or to split it: then that agent does a
part, and its router says whether the question is settled or who goes on, in a hop of its own.
The network is this walk unrolled: a node for every agent at every step, each after all that
could be said before it, so that whatever route is taken is acyclic.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Spot(NamedTuple):
    """A node of the unrolled walk: what is done there, in which hop and step, by whom."""

    kind: str
    hop: int = 0
    step: int = 0
    agent: int = 0

    @property
    def label(self) -> str:
        """The spot in words."""
        if self.kind in ("entry", "result"):
            return self.kind
        step = f" step {self.step}" if self.kind == "router" else ""
        return f"{self.kind} of agent {self.agent}, hop {self.hop}{step}"


ENTRY, RESULT = Spot("entry"), Spot("result")
_NEXT_FIELD = r"(?=^[^\w\n]*(?:decision|part|next|result)[^\w\n]*:|\Z)"


@dataclass
class Hop:
    """What happened in a hop.

    Attributes:
        path: The agents that held the question, in turn; the last one decided and worked.
        decision: `execute` or `split`, empty as long as nobody has decided.
        part: What its agent meant to do.
        result: What came of it.
        heir: Who is to go on, None if nobody is.
    """

    path: list[int]
    decision: str = ""
    part: str = ""
    result: str = ""
    heir: int | None = None


@dataclass(frozen=True)
class Walks:
    """All walks that there can be.

    Attributes:
        agents: How many there are.
        splits: The largest number of hops.
        forwards: How often a question is forwarded in a hop at most.
        neighbours: Whom an agent can hand a question to.
    """

    agents: int
    splits: int
    forwards: int
    neighbours: Callable[[int], list[int]]

    @property
    def routers(self) -> int:
        """How many agents can hold a question in a hop."""
        return min(self.forwards, self.agents - 1) + 1

    @property
    def calls(self) -> int:
        """The largest number of model calls: one per forward and four more per hop."""
        return self.splits * (self.routers - 1 + 4)

    def layers(self) -> list[list[Spot]]:
        """Return all spots; each may depend on all earlier layers."""

        def spots(hop: int, step: int, *kinds: str) -> list[Spot]:
            return [Spot(kind, hop, step, i) for kind in kinds for i in range(self.agents)]

        layers = [[ENTRY]]
        for h in range(self.splits):
            layers += [spots(h, s, "router") for s in range(self.routers)]
            layers += [spots(h, 0, "thought"), spots(h, 0, "plan", "part")]
            layers += [spots(h, 0, "answer", "next")]
        return [*layers, [RESULT]]

    def follow(self, said: Mapping[Spot, str]) -> tuple[list[Hop], Spot]:
        """Return the hops so far and whose turn it is."""
        hops: list[Hop] = []
        walk = self._walk(hops)
        spot = next(walk)
        while spot in said:
            try:
                spot = walk.send(said[spot])
            except StopIteration:
                return hops, RESULT
        return hops, spot

    def open(self, hop: Hop) -> list[int]:
        """Return whom the holder of a question can forward it to."""
        if len(hop.path) == self.routers:
            return []
        return [j for j in self.neighbours(hop.path[-1]) if j not in hop.path]

    def heirs(self, agent: int) -> list[int]:
        """Return who can go on after an agent's part, itself included."""
        return sorted({agent, *self.neighbours(agent)})

    def _walk(self, hops: list[Hop]) -> Generator[Spot, str, None]:
        """Yield whose turn it is and receive what is said there."""
        start = json.loads((yield ENTRY))
        agent, order = start["first"], start["order"]
        for h in range(self.splits):
            hop = Hop([agent])
            hops.append(hop)
            while not hop.decision:
                reply = yield Spot("router", h, len(hop.path) - 1, hop.path[-1])
                others, decision = self.open(hop), decided(reply)
                if decision == "forward" and others:
                    hop.path.append(named(reply, others, order))
                else:
                    hop.decision = "split" if decision == "split" else "execute"
                    hop.part = read_field(reply, "part")
            agent = hop.path[-1]
            yield Spot("thought", h, 0, agent)
            if hop.decision == "execute":
                yield Spot("plan", h, 0, agent)
                hop.result = result((yield Spot("answer", h, 0, agent)))
                return
            hop.result = result((yield Spot("part", h, 0, agent)))
            reply = yield Spot("next", h, 0, agent)
            if "continue" not in read_field(reply, "decision").lower():
                return
            hop.heir = agent = named(reply, self.heirs(agent), order)


def read_field(reply: str, name: str) -> str:
    """Return what follows `name:` at the start of a line, up to the next field; else nothing."""
    found = re.search(
        rf"^[^\w\n]*{name}[^\w\n]*:[\s*]*(.*?){_NEXT_FIELD}", reply, re.I | re.M | re.S
    )
    return found[1].strip() if found else ""


def decided(reply: str) -> str:
    """Read a router's decision; without a valid one the agent that was asked executes."""
    found = re.search("forward|split|execute", read_field(reply, "decision").lower())
    return found[0] if found else "execute"


def named(reply: str, among: list[int], order: list[int]) -> int:
    """Read who is next; without a valid number it is the first in the order of fitness."""
    number = re.search(r"\d+", read_field(reply, "next")[:100])
    if number and int(number[0]) in among:
        return int(number[0])
    return next(agent for agent in order if agent in among)


def result(reply: str) -> str:
    """Read the result out of a reply, the whole of it if none is marked."""
    return read_field(reply, "result") or reply.strip()


def actions(hop: Hop) -> list[tuple[int, str, int, str]]:
    """List what a hop's agents did.

    Returns:
        Agent, memory it belongs to (`router` or `executor`), whether it was done after the
        hop's own result, and the action in the form in which replies are read.
    """
    *forwarders, agent = hop.path
    done = [
        (i, "router", 0, f"Decision: forward\nNext: {j}")
        for i, j in zip(forwarders, hop.path[1:], strict=True)
    ]
    decision = f"Decision: {hop.decision}" + (f"\nPart: {hop.part}" if hop.part else "")
    done += [(agent, "router", 0, decision), (agent, "executor", 0, f"Result: {hop.result}")]
    if hop.decision == "split":
        on = "done" if hop.heir is None else f"continue\nNext: {hop.heir}"
        done.append((agent, "router", 1, f"Decision: {on}"))
    return done


def progress(hops: Sequence[Hop]) -> str:
    """Word what finished hops have done."""
    return "\n".join(
        f"Agent {hop.path[-1]} was to do: {hop.part or 'a part'}\nIt found: {hop.result}"
        for hop in hops
    )
