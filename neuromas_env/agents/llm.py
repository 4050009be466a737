"""A language model at a node."""

from __future__ import annotations

from dataclasses import dataclass

from neuromas_env.agents.prompts import build_prompt
from neuromas_env.agents.roles import Prompt
from neuromas_env.policy import Completion, Engine, Observation, Policy, Request, Sampling
from neuromas_env.tasks.base import Task
from neuromas_env.topology import Topology


@dataclass(frozen=True)
class LLMPolicy(Policy):
    """Answers every turn with one call of an engine.

    Attributes:
        engine: Who generates. Each node may have an engine of its own.
        answer_format: The task's sentence on the form of an answer.
        adapter: The node's adapter, None for the bare base model.
        sampling: How to decode.
        prompt: Writes the chat turns, by default role-free.
    """

    engine: Engine
    answer_format: str
    adapter: str | None = None
    sampling: Sampling = Sampling()
    prompt: Prompt = build_prompt

    @property
    def sampled(self) -> bool:
        """Whether the reply depends on the seed."""
        return self.sampling.temperature > 0

    def request(self, observation: Observation, seed: int) -> Request:
        """Ask the engine."""
        turns = self.prompt(observation, self.answer_format)
        return Request(turns, self.engine, self.adapter, self.sampling, seed)

    def read(self, completion: Completion) -> str:
        """Send what the model wrote."""
        return completion.message


def llm_team(
    topology: Topology,
    task: Task,
    engine: Engine,
    sampling: Sampling,
    adapters: bool = True,
    prompt: Prompt = build_prompt,
) -> dict[str, Policy]:
    """Put a language model at every node, each with the adapter of the node's name.

    Args:
        topology: The network.
        task: Gives the answer format.
        engine: Serves all nodes.
        sampling: How to decode.
        adapters: False runs the bare base model at every node.
        prompt: Writes the chat turns.
    """
    return {
        node: LLMPolicy(engine, task.answer_format, node if adapters else None, sampling, prompt)
        for node in topology.nodes
    }
