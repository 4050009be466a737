"""A language model at a node, and networks of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from neuromas_env.agents.prompts import Prompt, Turns, build_prompt, short_news
from neuromas_env.checks import Count, arguments
from neuromas_env.method import Method
from neuromas_env.policy import Engine, Observation, Policy, Request, Sampling
from neuromas_env.tasks.base import Task
from neuromas_env.topology import Topology


@arguments
@dataclass(frozen=True)
class LLMPolicy(Policy):
    """Answers a turn with a call of an engine.

    Attributes:
        engine: Who generates. Each node may have an engine of its own.
        prompt: Writes the chat turns.
        sampling: How to decode.
        adapter: Name of the node's adapter, None for the bare base model.
        control: Whether a script reads the reply as data, so that its prompt is part of the
            method's mechanism and stays even where role prompts are taken away.
    """

    engine: Engine = field()  # not the None of the base class
    prompt: Prompt = field()
    sampling: Sampling = Sampling()
    adapter: str | None = None
    control: bool = False

    @property
    def sampled(self) -> bool:  # type: ignore[override]
        """Whether the reply depends on the seed."""
        return self.sampling.temperature > 0

    def request(self, observation: Observation, seed: int) -> str | Request:
        """Ask the engine with what the prompt makes of an observation; a text is said as it is."""
        turns = self.prompt(observation)
        if isinstance(turns, str):
            return turns
        return Request(turns, self.engine, self.adapter, self.sampling, seed)


@arguments
def llm_network(
    topology: Topology | str,
    task: Task,
    engine: Engine,
    sampling: Sampling | None = None,
    *,
    adapter_of: Mapping[str, str] | None = None,
    prompt: Callable[..., Turns] = build_prompt,
    deals_parts: bool = True,
    max_news: Count | None = None,
) -> Method:
    """Put a language model at every node.

    Args:
        topology: The network, or its text such as `2-1`.
        task: Gives the answer format.
        engine: Serves all nodes.
        sampling: How to decode, by default at temperature 1.
        adapter_of: Node to the name of its adapter, by default each node's own name. Nodes
            that it leaves out run the bare base model.
        prompt: Writes the chat turns from an observation and `answer_format`.
        deals_parts: Whether input nodes read the parts that the task deals.
        max_news: How many characters of each message that a node reads its prompt shows, by
            default all.
    """
    shape = topology if isinstance(topology, Topology) else Topology.parse(topology)
    names = {node: node for node in shape.nodes} if adapter_of is None else adapter_of
    if max_news is not None:
        prompt = partial(short_news, prompt=prompt, max_news=max_news)
    ask = LLMPolicy(
        engine, partial(prompt, answer_format=task.answer_format), sampling or Sampling()
    )
    team = {node: replace(ask, adapter=names.get(node)) for node in shape.nodes}
    return Method(shape, team, deals_parts=deals_parts)


def without_adapters(
    method: Method, decode: Callable[[Sampling], Sampling] | None = None
) -> Method:
    """Return the method with the bare base model at every node.

    Args:
        method: Whose nodes lose their adapters.
        decode: Makes how the base decodes from how a node does, by default the same.
    """

    def bare(policy: LLMPolicy) -> LLMPolicy:
        sampling = decode(policy.sampling) if decode else policy.sampling
        return replace(policy, adapter=None, sampling=sampling)

    team = {
        node: bare(policy) if isinstance(policy, LLMPolicy) else policy
        for node, policy in method.team.items()
    }
    return replace(method, team=team)
