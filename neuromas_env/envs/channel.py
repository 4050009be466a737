"""What the messages of a network are, and what they earn: the contract of channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from neuromas_env.envs.spaces import Spaces
from neuromas_env.envs.wiring import Wiring
from neuromas_env.tasks.base import Score, Task
from neuromas_env.tasks.interactive import InteractiveTask
from neuromas_env.topology import Topology

if TYPE_CHECKING:
    from neuromas_env.envs.episode import Episode


@runtime_checkable
class Channel(Protocol):
    """What the messages of a network are, and what they earn.

    It knows nothing of who acts when, and holds nothing that changes, so that an
    environment, its episodes and their copies share one.

    Attributes:
        name: Name and version of the environment, such as `neuromas_v0`.
        options: Names of the options by which a reset may pick a question.
        world: The task, if it replies to the action of each round, else None.
    """

    name: str
    options: tuple[str, ...]
    world: InteractiveTask | None

    def draw(self, rng: np.random.Generator, options: Mapping[str, Any]) -> Any:
        """Return the question that the options pick, or else one that `rng` draws."""
        ...

    def deal(self, example: Any, topology: Topology, wiring: Wiring) -> Any:
        """Return what an episode keeps for `observe` as `dealt`; refuse what does not fit.

        Args:
            example: The question.
            topology: The network.
            wiring: Who takes part, and who reads whom in this episode.
        """
        ...

    def check(self, node: str, message: Any) -> Any:
        """Return a node's message as it is kept, or raise an `InputError`."""
        ...

    def observe(self, episode: Episode, node: str) -> Any:
        """Return what a node sees now in an episode. Free of side effects."""
        ...

    def state(self, episode: Episode) -> Any:
        """Return what a critic is shown that sees all of an episode."""
        ...

    def score(self, episodes: Sequence[Episode]) -> list[Score]:
        """Score the answers of ended episodes."""
        ...

    def reward(self, score: Score) -> float:
        """Return the reward of a score."""
        ...

    def outcome(self, episode: Episode) -> dict[str, Any]:
        """Return what the nodes' infos say when an episode has ended."""
        ...

    def spaces(self, topology: Topology) -> Spaces:
        """Make the spaces of a topology, the same for every node."""
        ...

    def question(self, example: Any) -> str:
        """Return the question of an example as text, for a picture."""
        ...

    def write(self, message: Any) -> str:
        """Return a message as text, for a picture."""
        ...


def rounds_note(task: Task, topology: Topology) -> str:
    """Say where a network has fewer rounds than its task takes actions, or more; else nothing."""
    if not isinstance(task, InteractiveTask) or task.rounds == topology.rounds:
        return ""
    few = min(task.rounds, topology.rounds)
    return (
        f"{task.name} takes up to {task.rounds} actions and {topology.name} has "
        f"{topology.rounds} round{'s' * (topology.rounds > 1)}: an episode ends after {few}"
    )


def horizon(channel: Channel, topology: Topology) -> int:
    """Return the number of rounds after which an episode has ended, whatever happens in it.

    Args:
        channel: Holds the task; one that replies may be over earlier.
        topology: The network.
    """
    world = channel.world
    return topology.rounds if world is None else min(topology.rounds, world.rounds)
