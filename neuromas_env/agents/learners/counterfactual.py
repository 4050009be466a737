"""Credit for what a node alone has brought: leave one node out.

The credit of node i in an episode is the difference reward (Wolpert and Tumer 2001)

    D_i = R - R(without i),

where R(without i) is the reward of the same episode with an empty message in place of i's:
what was said before or beside it stays, and the nodes that hear of it, directly or through
others, speak again. Without the output node there is no answer, so there D = R. From D_i its
baseline is taken away as from a reward. R(without i) does not depend on what i said, so the
gradient is that of the expected reward, as with the reward itself.

An episode of a network then takes as many further calls as there are pairs of a node and one
that hears of it; they are booked as calls of training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from neuromas_env.agents.learners.advantage import Advantage
from neuromas_env.agents.learners.base import Learner, per_turn
from neuromas_env.checks import Natural, arguments
from neuromas_env.errors import InputError
from neuromas_env.method import Method
from neuromas_env.policy import Observation, Policy, Sampling, Trajectory
from neuromas_env.rollout import Layer, run_episodes
from neuromas_env.seeds import Stream, derive_seed
from neuromas_env.tasks import make_task
from neuromas_env.tasks.base import Task
from neuromas_env.topology import Topology


class _Recorded(Policy):
    """A node whose message is put in afterwards."""

    sampled, scripted = False, True

    def request(self, observation: Observation, seed: int) -> str:
        """Say nothing."""
        return ""


def hearers(topology: Topology, node: str) -> set[str]:
    """Return the nodes that hear of a node's message, directly or through others."""
    heard: set[str] = set()
    for other in topology.nodes:
        if heard.union((node,)).intersection(topology.sources(other)):
            heard.add(other)
    return heard


def without(
    node: str,
    batch: Sequence[Trajectory],
    method: Method,
    task: Task,
    *,
    seed: int,
    reward: str = "strict",
) -> np.ndarray:
    """Return the reward of each episode with an empty message of one node.

    Args:
        node: The node; not the output node.
        batch: Whole-network episodes.
        method: Their network, which speaks again where the message is heard of.
        task: Scores the answers.
        seed: Of what is said again.
        reward: Which score is the reward.

    Returns:
        float64 array `[episodes]`.

    Raises:
        InputError: A model call failed.
    """
    heard = hearers(method.topology, node)
    team = {n: policy if n in heard else _Recorded() for n, policy in method.team.items()}
    said = [{turn.node: turn.text for turn in trajectory.turns} for trajectory in batch]

    def recorded(layer: Layer) -> list[dict[str, str]]:
        return [
            {
                n: text if n in heard else "" if n == node else said[run][n]
                for n, text in messages.items()
            }
            for run, messages in zip(layer.runs, layer, strict=True)
        ]

    done = run_episodes(
        replace(method, team=team), task, [t.example for t in batch],
        seed=seed, reward=reward, intervene=recorded,
    )  # fmt: skip
    for trajectory in done:
        if trajectory.error is not None:
            raise InputError(f"question {trajectory.example.id!r} without {node}: "
                             f"{trajectory.error}")  # fmt: skip
    return np.array([trajectory.reward for trajectory in done])


@arguments
class Counterfactual(Learner):
    """Gives every node the credit of what it alone has brought."""

    @classmethod
    def check(cls, config: Any) -> None:
        """Refuse shaped rewards: an episode played again has none, so they would not compare."""
        super().check(config)
        if config.shaping:
            raise InputError(
                "shaping must be left out with learner 'counterfactual', whose differences are of "
                f"the task's reward, got {config.shaping!r}"
            )

    @classmethod
    def make(cls, engine: Any, nodes: Sequence[str], config: Any) -> Learner:
        """Make the learner from a training configuration."""
        from neuromas_env.agents.learners.reinforce import Reinforce

        topology = config.stages()[0][0]
        task = make_task(config.task, config.data, skip_bad_rows=config.skip_bad_rows)
        sampling = Sampling(config.temperature, config.max_new_tokens or task.max_new_tokens)
        method = cls.method(config, topology, task, engine, sampling)

        def replay(node: str, batch: Sequence[Trajectory], seed: int) -> np.ndarray:
            return without(node, batch, method, task, seed=seed, reward=config.reward)

        return cls(
            Reinforce.make(engine, nodes, config), nodes, topology, replay,
            advantage=config.advantage, seed=config.seed,
        )  # fmt: skip

    def __init__(
        self,
        learner: Any,
        nodes: Sequence[str],
        topology: Topology,
        replay: Callable[[str, Sequence[Trajectory], int], np.ndarray],
        *,
        advantage: str = "leave_one_out",
        seed: Natural = 0,
    ) -> None:
        """Prepare to train.

        Args:
            learner: Takes its step by `update(trajectories, advantages)`, with those of each turn.
            nodes: Who is trained.
            topology: The network.
            replay: Node, episodes and seed to the rewards without the node.
            advantage: The baseline of each node's differences, see `Advantage`.
            seed: Of what is played again.
        """
        self._learner, self._nodes, self._topology = learner, tuple(nodes), topology
        self._replay, self._seed, self._steps = replay, seed, 0
        self._advantages = {node: Advantage(advantage) for node in self._nodes}

    def update(self, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        """Learn from one batch; see `Learner.update`."""
        self._steps += 1
        rewards = np.array([trajectory.reward for trajectory in trajectories])
        count = len({trajectory.group for trajectory in trajectories})
        found, metrics = {}, {}
        for number, node in enumerate(self._nodes):
            gain = rewards
            if node != self._topology.output:
                seed = derive_seed(self._seed, Stream.REPLAY, self._steps, number)
                gain = rewards - self._replay(node, trajectories, seed)
                metrics[f"brought/{node}"] = float(gain.mean())
            found[node] = self._advantages[node](gain.reshape(count, -1)).ravel()
        return self._learner.update(trajectories, per_turn(trajectories, found)) | metrics

    def state_dict(self) -> dict[str, Any]:
        """The learner's state, the baselines' and the number of steps."""
        return {
            "learner": self._learner.state_dict(),
            "advantages": {node: a.state_dict() for node, a in self._advantages.items()},
            "steps": self._steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state; nodes that it does not know start afresh."""
        self._learner.load_state_dict(state["learner"])
        for node, advantage in self._advantages.items():
            if node in state["advantages"]:
                advantage.load_state_dict(state["advantages"][node])
        self._steps = state["steps"]
