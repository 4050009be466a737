"""Schedules: pure functions that say, at every layer boundary, which nodes may act next.

They read what was committed, never what a model means by it. One of one's own is any such
function; those here can be pickled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

from neuromas_env.checks import arguments
from neuromas_env.errors import InputError
from neuromas_env.topology import Topology

WORLD = "world"
"""Under which name nodes hear what a task replies; no node can be called so."""


class Said(NamedTuple):
    """One message of an episode.

    Attributes:
        node: Who sent it.
        round: In which pass over the layers, counted from 0.
        message: What was sent.
    """

    node: str
    round: int
    message: Any


class Messages(dict[str, Any]):
    """What a schedule is asked with: the messages of this round by node, in order of speaking.

    Attributes:
        past: The same of every earlier round.
    """

    def __init__(self, said: Mapping[str, Any], past: tuple[dict[str, Any], ...] = ()) -> None:
        """Copy what was said in this round, and keep `past`."""
        super().__init__(said)
        self.past = past

    @property
    def round(self) -> int:
        """Number of the round, counted from 0."""
        return len(self.past)

    @property
    def turns(self) -> tuple[Said, ...]:
        """What was said in all rounds, in order of speaking."""
        rounds = enumerate((*self.past, self))
        return tuple(Said(node, at, text) for at, said in rounds for node, text in said.items())


Schedule = Callable[[Messages], Collection[str] | None]
"""Messages committed so far to the nodes that may act in the next layer, None for all."""


@arguments
def output_last(topology: Topology) -> Schedule:
    """Let the output node speak in the last round alone, as in a debate or a consensus.

    Args:
        topology: The network, whose nodes and rounds count.

    Raises:
        InputError: No other node is there to speak in the rounds before.
    """
    if len(topology) < 2:
        raise InputError("output_last needs a node beside the output node, got one node")
    return partial(_output_last, topology.nodes[:-1], topology.rounds)


def _output_last(others: Collection[str], rounds: int, said: Messages) -> Collection[str] | None:
    return others if said.round < rounds - 1 else None


@arguments
def until(predicate: Callable[[Any], bool]) -> Schedule:
    """End the episode after the round whose last message, the output node's, fulfils a predicate.

    Args:
        predicate: A pure function of that message.
    """
    return partial(_until, predicate)


def _until(predicate: Callable[[Any], bool], said: Messages) -> Collection[str] | None:
    last = next((messages for messages in reversed(said.past) if messages), None)
    return () if last and predicate(next(reversed(last.values()))) else None
