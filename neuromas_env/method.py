"""What is run: a network of policies, whether scripted, frozen or trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from neuromas_env.checks import Natural, arguments
from neuromas_env.envs.schedules import Schedule
from neuromas_env.errors import InputError
from neuromas_env.policy import Cost, Engine, Policy, Team, Trajectory
from neuromas_env.topology import Topology

EpisodeOptions = Callable[[str], Mapping[str, Any]]
"""Arguments of `Episode` for a question's text, such as a mask or a graph. The text alone, so that
a method cannot see the gold answer."""


@arguments
@dataclass(frozen=True)
class Method:
    """A network of policies: a baseline, a frozen network or a trained one.

    Attributes:
        topology: The network.
        team: A policy for every node.
        schedule: Pure function of the messages so far, asked who may act next; see `Episode`.
        options: Further arguments of `Episode` for a question, such as a `mask` or a `graph`.
        deals_parts: Whether input nodes read the parts that a task deals, as trained networks do.
            In published methods every node reads the whole question.
        calls: The largest number of model calls for a question, by default one a round for
            every node that asks a model.
        labels: What the nodes are in the method's own words.
        name: The name with those options that differ from the defaults, such as `sc:k=5`.
    """

    topology: Topology
    team: Team
    schedule: Schedule | None = None
    options: EpisodeOptions | None = None
    deals_parts: bool = True
    calls: Natural = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        """Check the team and count the calls.

        Raises:
            InputError: A node has no policy, or something else than one.
        """
        for node in self.topology.nodes:
            if node not in self.team:
                raise InputError(f"team: {node} of topology {self.topology.name!r} has no policy")
            if not isinstance(policy := self.team[node], Policy):
                raise InputError(f"team: the policy of {node} must be a Policy, got {policy!r}")
        if not self.calls:
            asking = sum(policy.asks_model for policy in self.policies)
            object.__setattr__(self, "calls", asking * self.topology.rounds)

    @property
    def policies(self) -> list[Policy]:
        """The policies of the nodes, in topological order."""
        return [self.team[node] for node in self.topology.nodes]

    @property
    def engines(self) -> list[Engine]:
        """The engines that the nodes call, each once."""
        return list(
            {id(p.engine): p.engine for p in self.policies if p.engine is not None}.values()
        )

    @property
    def costs(self) -> list[Cost]:
        """The accounts of the engines, each once: engines may share one."""
        return list({id(engine.cost): engine.cost for engine in self.engines}.values())

    @property
    def adapter_of(self) -> dict[str, str]:
        """Node to the name of its adapter, of those that have one."""
        return {node: p.adapter for node, p in self.team.items() if p.adapter is not None}

    @property
    def sampled(self) -> bool:
        """Whether the seed matters. A method without randomness is run once."""
        return any(policy.sampled for policy in self.policies)

    def tied(self, trajectory: Trajectory) -> bool | None:
        """Say whether a tie was broken in a trajectory, None for a method that counts no votes."""
        each = [self._tied(node, trajectory) for node in self.topology.nodes]
        found = [tied for tied in each if tied is not None]
        return any(found) if found else None

    def _tied(self, node: str, trajectory: Trajectory) -> bool | None:
        last = trajectory.last(node)
        now = last.round if last else 0
        said = {turn.node: turn.text for turn in trajectory.turns if turn.round == now}
        sources = [source for source in self.topology.sources(node) if source in said]
        inbox = [{"source": source, "text": said[source]} for source in sources]
        return self.team[node].tied({"question": trajectory.example.question, "inbox": inbox})
