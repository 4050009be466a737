"""The contract of learners, and their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from neuromas_env.agents.engines.tools import make_tool, with_tools
from neuromas_env.agents.learners.names import LEARNERS
from neuromas_env.agents.llm import llm_network
from neuromas_env.agents.prompts import PROMPTS, Turns, build_prompt
from neuromas_env.checks import arguments
from neuromas_env.errors import InputError
from neuromas_env.method import Method
from neuromas_env.policy import Engine, Sampling, Trajectory, Turn
from neuromas_env.tasks.base import Task
from neuromas_env.tasks.interactive import InteractiveTask
from neuromas_env.topology import Topology

COMPARING = ("leave_one_out", "group_normalised")
"""Advantages that compare the episodes of a question with one another."""

OWN_OPTIONS = (
    "gamma", "value_coef", "critic_learning_rate", "critic_scale", "standardise", "dpo_beta",
    "sft_steps",
)  # fmt: skip
"""Options of a training configuration that few learners have; see `Learner.options`."""

Play = Callable[..., list[Trajectory]]
"""`play(method, ...)` runs a step's questions with a method and the options of `run_episodes`."""


class Learner:
    """Improves the adapters of an engine from whole-network episodes.

    A base class: the constructor takes `(engine, nodes, config)`, an engine with trainable
    adapters, the names of the nodes to train and the training configuration; `update`,
    `state_dict` and `load_state_dict` are a learner's own.

    Attributes:
        prompt: Writes the chat turns of its networks' nodes, unless the option `prompt` says
            otherwise.
        deals_parts: Whether input nodes read the parts that a task deals.
        options: Which of `OWN_OPTIONS` it has; the others are refused.
        own_advantages: Whether it finds advantages itself and does without the option `advantage`.
        grows: Whether a trained network can become a larger one, see `grow`.
        rounds: Whether it learns from nodes that act more than once.
        warms_up: Whether steps of imitation may come first, by the option `warm_up`.
    """

    prompt: Callable[..., Turns] = staticmethod(build_prompt)
    deals_parts: bool = True
    options: tuple[str, ...] = ()
    own_advantages: bool = False
    grows: bool = False
    rounds: bool = False
    warms_up: bool = True

    @classmethod
    def make(cls, engine: Any, nodes: Sequence[str], config: Any) -> Learner:
        """Build the learner.

        Args:
            engine: Holds the adapters.
            nodes: Names of the nodes to train, also of their adapters.
            config: The `TrainConfig` of the run.
        """
        return cls(engine, nodes, config)  # type: ignore[call-arg]

    @classmethod
    def check(cls, config: Any) -> None:
        """Refuse a configuration that does not fit, before a model is loaded.

        Args:
            config: The `TrainConfig` of the run.

        Raises:
            InputError: The network grows and the learner does not, its nodes act more often than
                the learner can learn from, there is one episode of a question where several
                are compared, or an option is given that the learner has no use for.
        """
        for topology, _ in config.stages():
            if topology.rounds > 1 and not cls.rounds:
                raise InputError(
                    f"learner {config.learner!r} learns from one turn of each node: topology must "
                    f"have 1 round, got {topology.name!r}"
                )
        if config.tools and not cls.rounds:
            raise InputError(
                f"learner {config.learner!r} learns from what every node says: leave out tools"
            )
        if not cls.grows and (len(config.stages()) > 1 or config.grow_from is not None):
            raise InputError(
                f"learner {config.learner!r} belongs to one network: leave out schedule and "
                "grow_from"
            )
        if config.rollouts < 2 and not cls.own_advantages and config.advantage in COMPARING:
            raise InputError(
                f"rollouts must be at least 2 with advantage {config.advantage!r}, which compares "
                f"the episodes of a question, got {config.rollouts}"
            )
        unused = [name for name in OWN_OPTIONS if name not in cls.options]
        unused += ["advantage"] * cls.own_advantages
        unused += ["warm_up"] if config.warm_up and not cls.warms_up else []
        defaults = {one.name: one.default for one in fields(config)}
        for name in unused:
            if (value := getattr(config, name)) != defaults[name]:
                raise InputError(
                    f"{name} must be left out with learner {config.learner!r}, which has no use "
                    f"for it, got {value!r}"
                )

    @classmethod
    def method(
        cls, config: Any, topology: Topology, task: Task, engine: Engine, sampling: Sampling
    ) -> Method:
        """Return the network that is trained, each node with the adapter of its name.

        Args:
            config: Its `prompt` and `whole_questions` go before what the class says; its
                `max_news` shortens what prompts show of messages, its `tools` stand at nodes in
                place of models.
            topology: The network.
            task: Gives the answer format.
            engine: Serves all nodes.
            sampling: How to decode.
        """
        made = llm_network(
            topology, task, engine, sampling,
            prompt=PROMPTS[config.prompt] if config.prompt else cls.prompt,
            deals_parts=cls.deals_parts and not config.whole_questions,
            max_news=config.max_news,
        )  # fmt: skip
        if not config.tools:
            return made
        tools = {node: make_tool(name) for node, name in config.tool_names().items()}
        for tool in tools.values():
            tool.cost = engine.cost  # one account of a run
        return with_tools(made, tools, goes_on=isinstance(task, InteractiveTask))

    def gather(self, play: Play, method: Method) -> list[Trajectory]:
        """Return a step's episodes, by default `rollouts` of each question with the network.

        Args:
            play: Runs the step's questions with a method; takes the options of `run_episodes`.
            method: The network that is trained.
        """
        return play(method)

    def update(self, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        """Learn from one batch and return metrics by name, `reward` among them.

        Args:
            trajectories: The same number of episodes of every question, those of a question side
                by side, and no failed ones.
        """
        raise NotImplementedError

    def grow(self, mapping: Mapping[str, str]) -> dict[str, Any]:
        """Return the state from which the learner of a larger network starts.

        Args:
            mapping: Old node to the new node that inherits its adapter.
        """
        raise NotImplementedError

    def restart(self) -> None:
        """Count steps from zero: a trained network becomes the start of another run."""

    def state_dict(self) -> dict[str, Any]:
        """Everything besides the adapters that a resumed run needs."""
        raise NotImplementedError

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state of `state_dict` or `grow`; nodes that it does not know start afresh."""
        raise NotImplementedError


@arguments
def register_learner(name: str, learner: type[Learner] | None = None, *, about: str = "") -> Any:
    """Make a learner known under a name, for `neuromas train --learner NAME`.

    Args:
        name: A plain word that no learner of this project has.
        learner: A subclass of `Learner`. Left out, what comes back is a decorator.
        about: One line for lists; by default the first line of the docstring.

    Raises:
        InputError: The name is no plain word, or is one of this project's.
    """
    return LEARNERS.register(name, learner, about=about)


def learner_class(name: str) -> type[Learner]:
    """Return a learner by name.

    Raises:
        InputError: No such learner, it is no `Learner`, or a package's cannot be imported.
    """
    found = LEARNERS.find(name)
    if not (isinstance(found, type) and issubclass(found, Learner)):
        raise InputError(f"learner {name!r} must be a subclass of Learner, got {found!r}")
    return found


def reward_table(trajectories: Sequence[Trajectory]) -> np.ndarray:
    """Arrange the rewards of a batch as a float array `[questions, rollouts]`.

    Args:
        trajectories: The batch, the episodes of a question side by side.

    Raises:
        InputError: The questions have different numbers of episodes.
    """
    groups = [trajectory.group for trajectory in trajectories]
    count = len(set(groups))
    if (
        not count
        or len(groups) % count
        or any(
            len(set(groups[i : i + len(groups) // count])) > 1
            for i in range(0, len(groups), len(groups) // count)
        )
    ):
        raise InputError("a learner needs the same number of episodes of each question, in a row")
    return np.array([trajectory.reward for trajectory in trajectories]).reshape(count, -1)


def returns_to_go(trajectories: Sequence[Trajectory], discount: float = 1.0) -> np.ndarray:
    """Arrange what each episode earns from each round on as `[questions, rollouts, rounds]`.

    It is 0 after an episode's end. Where nothing is earned before the last round, nor anything
    discounted, it is the same for all rounds and stands there once, as if there were one round.

    Args:
        trajectories: The batch, the episodes of a question side by side.
        discount: Factor of a reward that comes a round later.

    Raises:
        InputError: The questions have different numbers of episodes.
    """
    table = reward_table(trajectories)
    if discount == 1 and not any(any(trajectory.rewards[:-1]) for trajectory in trajectories):
        return table[:, :, None]
    # A task that does not reply pays in the last round.
    paid = [t.rewards or (*[0.0] * t.turns[-1].round, t.reward) for t in trajectories]
    found = np.zeros((len(trajectories), max(map(len, paid))))
    for row, rewards in zip(found, paid, strict=True):
        later = 0.0
        for at in reversed(range(len(rewards))):
            later = row[at] = rewards[at] + discount * later
    return found.reshape(*table.shape, -1)


def by_round(trajectories: Sequence[Trajectory], advantages: np.ndarray) -> list[np.ndarray]:
    """Give every turn of an episode its round's advantage: one array `[turns]` an episode.

    Args:
        trajectories: The batch.
        advantages: `[questions, rollouts, rounds]`, of the shape of `returns_to_go`.
    """
    rows = advantages.reshape(len(trajectories), -1)
    rounds = rows.shape[1]
    return [
        row[[turn.round if rounds > 1 else 0 for turn in episode.turns]]
        for row, episode in zip(rows, trajectories, strict=True)
    ]


def per_turn(
    trajectories: Sequence[Trajectory], advantages: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    """Give every turn of an episode its node's advantage: one array `[turns]` an episode.

    Args:
        trajectories: The batch.
        advantages: Node to the advantages of each episode, `[episodes]` or `[episodes, rounds]`,
            of which one stands for all rounds; turns of other nodes get 0.
    """
    tables = {node: values.reshape(len(trajectories), -1) for node, values in advantages.items()}

    def of(turn: Turn, episode: int) -> float:
        if (table := tables.get(turn.node)) is None:
            return 0.0
        return table[episode, turn.round if table.shape[1] > 1 else 0]

    return [
        np.array([of(turn, i) for turn in episode.turns]) for i, episode in enumerate(trajectories)
    ]


def renamed(values: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
    """Return what is known of each old node under the new node's name.

    Args:
        values: By old node.
        mapping: Old node to the new node that inherits it; other nodes are left out.
    """
    return {mapping[node]: value for node, value in values.items() if node in mapping}
