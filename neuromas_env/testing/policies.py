"""Check a policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from neuromas_env.envs.spaces import MAX_MESSAGE, Message
from neuromas_env.method import Method
from neuromas_env.policy import Completion, Observation, Policy, Request
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task
from neuromas_env.testing.faults import equal, guarded, short, tell
from neuromas_env.topology import Topology

ODD_COMPLETIONS = {
    "an empty completion": Completion(""),
    "white space": Completion(" \n"),
    "a completion that was cut off": Completion("The answer is", finished=False),
    "100,000 characters": Completion("word " * 20_000),
}
_MESSAGE = Message(MAX_MESSAGE)
_ROLES = ("system", "user", "assistant")


def check_policy(policy: Any, observations: Sequence[Observation] | None = None) -> None:
    """Check that a policy keeps its contract, and say everything that is wrong with it.

    No engine is called. A policy with state of its own is asked as given, so give a new one.

    Args:
        policy: An instance of a subclass of `Policy`.
        observations: What it is to see, by default what an input node and the output node of
            the network `2-1` see of two questions of `hierarchy/max`.

    Raises:
        InputError: Something is wrong; the message has one line for each fault.
    """
    name = f"policy {type(policy).__name__}"
    if not isinstance(policy, Policy):
        tell(name, ["it must be a subclass of neuromas_env.Policy"])
    whole: Policy = policy
    seen = list(_observations() if observations is None else observations)
    faults = [*_facts(whole), *guarded("request", lambda: _requests(whole, seen))]
    if whole.scripted is not True:
        for what, completion in ODD_COMPLETIONS.items():
            faults += guarded(f"read of {what}", partial(_reading, whole, completion))
    if seen:
        faults += guarded("tied", lambda: _ties(whole, seen[-1]))
    tell(name, faults)


@dataclass
class _Recorder(Policy):
    """Keeps what the node has seen."""

    seen: list[Observation] = field(default_factory=list)

    def request(self, observation: Observation, seed: int) -> str:
        self.seen.append(deepcopy(dict(observation)))
        return "7"


def _observations() -> list[Observation]:
    topology, task = Topology.parse("2-1"), make_task("hierarchy/max")
    team = {node: _Recorder() for node in topology.nodes}
    run_episodes(Method(topology, team), task, task.examples("test")[:2])
    return [*team["node_0"].seen, *team["node_2"].seen]


def _facts(policy: Policy) -> Iterator[str]:
    for fact in ("sampled", "scripted"):
        if not isinstance(value := getattr(policy, fact), bool):
            yield f"{fact} must be True or False, not {short(value)}"


def _requests(policy: Policy, observations: Sequence[Observation]) -> Iterator[str]:
    """Yield the faults of the first answer that has any; mostly the others have the same."""
    found = (list(_answers(policy, observation)) for observation in observations)
    yield from next(filter(None, found), [])


def _answers(policy: Policy, observation: Observation) -> Iterator[str]:
    before = deepcopy(dict(observation))
    first, again, other = (policy.request(observation, seed) for seed in (1, 1, 2))
    if not equal(dict(observation), before):
        yield "request() changes the observation, which other nodes share"
    if first != again:
        yield "request() answers the same observation and seed in two ways"
    if isinstance(first, str):
        if not _MESSAGE.contains(first):
            yield (
                f"a message must be at most {MAX_MESSAGE:,} characters without lone surrogates, "
                f"not {short(first)}"
            )
        if first != other and not policy.sampled:
            yield "sampled is False, but the message depends on the seed"
    elif isinstance(first, Request):
        yield from _request(first)
        if policy.scripted:
            yield "scripted is True, but request() returns a Request"
        if first.sampling.temperature > 0 and not policy.sampled:
            yield f"sampled is False at temperature {first.sampling.temperature:g}"
        if policy.sampled and isinstance(other, Request) and first.seed == other.seed:
            yield "a Request has the same seed whatever the seed of request() is"
    else:
        yield f"request() must return a text or a Request, not {short(first)}"


def _request(request: Request) -> Iterator[str]:
    turns = request.turns
    if not isinstance(turns, tuple) or not turns:
        yield f"turns must be a tuple of (role, text), not {short(turns)}"
    elif odd := [t for t in turns if len(t) != 2 or t[0] not in _ROLES or type(t[1]) is not str]:
        yield f"a turn must be (role, text) with a role of {', '.join(_ROLES)}, not {short(odd[0])}"


def _reading(policy: Policy, completion: Completion) -> Iterator[str]:
    message = policy.read(completion)
    if not isinstance(message, str):
        yield f"read() must return a text, not {short(message)}"


def _ties(policy: Policy, observation: Observation) -> Iterator[str]:
    if not isinstance(tied := policy.tied(observation), bool | None):
        yield f"tied() must return True, False or None, not {short(tied)}"
