"""MALT: a generator, a verifier and a refiner learn from trees of their base model's replies.

Motwani et al., arXiv 2412.01928. The network is a chain in which the refiner reads draft and
critique. The frozen base plays all three roles: n drafts of a question, n critiques of each
draft, n solutions after each critique, with n = `rollouts`. Value of a solution is its reward,
of a critique or draft the mean over what follows from it. A turn is a good one if its value is
above 1/2, and a good and a bad one of the same parent are a pair. All roles learn the good turns
(SFT), then verifier and refiner the pairs (DPO, Rafailov et al., arXiv 2305.18290):

    SFT   -1/T sum_turns log p(turn)                      T tokens of all good turns
    DPO   mean_pairs -log sigmoid(m)                      log p: summed over a turn's tokens
          m = beta [log p(good) - log p0(good) - log p(bad) + log p0(bad)]

p is softmax(logits / temperature), as sampled, and p0 the role after SFT. Both gradients are
weighted sums of d log p: 1/T for a good turn, and for those of a pair +- beta sigmoid(-m) / pairs.
So they go through the step of REINFORCE with these weights in place of advantages: token-exact
turns, all adapters in one batch, micro-batches, several processes. TRL's DPO trainer takes texts
and encodes them itself, so it could train on other tokens than were sampled. Its SFT trainer takes
token ids, but one path serves both losses here, and all roles at once.

We differ: data comes in steps, so a step's trees serve SFT in the first `sft_steps` steps and
DPO afterwards, where the source uses the trees of all questions for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from neuromas_env.agents.engines import distributed
from neuromas_env.agents.engines.base import Row, TrainableEngine
from neuromas_env.agents.engines.budget import within_memory
from neuromas_env.agents.learners.base import Learner, Play, per_turn
from neuromas_env.agents.learners.independent import independent_nodes
from neuromas_env.agents.llm import without_adapters
from neuromas_env.agents.roles import malt
from neuromas_env.checks import arguments
from neuromas_env.errors import InputError
from neuromas_env.method import Method
from neuromas_env.policy import Trajectory
from neuromas_env.topology import Topology

CHAIN = Topology.parse("1-1-1:skip")
_ROLES = {"node_0": "generator", "node_1": "verifier", "node_2": "refiner"}


@arguments
class Malt(Learner):
    """Learns from trees; see the module."""

    prompt = staticmethod(malt)
    deals_parts = False
    options = ("dpo_beta", "sft_steps")
    own_advantages = True
    warms_up = False  # the base plays all roles

    @classmethod
    def check(cls, config: Any) -> None:
        """Refuse another network than the chain, and options without a place in the two losses.

        Raises:
            InputError: There is one of these.
        """
        super().check(config)
        if config.stages()[0][0] != CHAIN:
            raise InputError(
                "learner 'malt' trains a generator, a verifier and a refiner that reads both: "
                f"topology must be {CHAIN.name!r}, got {config.stages()[0][0].name!r}"
            )
        if config.rollouts < 2:
            raise InputError(
                "rollouts must be at least 2 with learner 'malt', which compares siblings in a "
                f"tree, got {config.rollouts}"
            )
        for option in ("kl_coef", "entropy_coef", "importance_cap"):
            if getattr(config, option):
                raise InputError(
                    f"{option} must be 0 with learner 'malt', which has a loss of its own"
                )

    def __init__(self, engine: TrainableEngine, nodes: Sequence[str], config: Any) -> None:
        """Prepare to train the adapters of some of the three nodes."""
        self._engine, self._nodes = engine, tuple(nodes)
        self._branches, self._temperature = config.rollouts, config.temperature
        self._beta, self._sft_steps = config.dpo_beta, config.sft_steps
        if self._sft_steps is None:
            self._sft_steps = (config.total_steps() + 1) // 2
        self._steps = 0
        # The episodes are the base's, and importance weights would undo the losses.
        self._learners = independent_nodes(engine, nodes, replace(config, importance_cap=0.0))
        self._references = {n: f"reference_{n}" for n in self._nodes if n != CHAIN.nodes[0]}
        for name in self._references.values():
            engine.adapters.add(name, seed=0)

    def gather(self, play: Play, method: Method) -> list[Trajectory]:
        """Play the step's questions with the base in all roles, as trees."""
        return play(without_adapters(method), branches=self._branches)

    def update(self, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        """Let every role take one step; see `Learner.update`.

        Args:
            trajectories: The leaves of the trees of some questions, in order.

        Raises:
            FloatingPointError: The gradient is not finite; nothing is changed.
            InputError: Memory runs out; nothing is changed.
        """
        if self._steps == self._sft_steps:
            for node, reference in self._references.items():
                self._engine.adapters.copy(node, reference)
        # Every process weighs the whole batch; if one cannot, all stop.
        found = distributed.together(lambda: self._weights(trajectories))
        weights, metrics = found[distributed.number()]
        own = [_with_adapters(leaf) for leaf in trajectories]
        learned = self._learners.update(own, per_turn(own, weights))
        self._steps += 1
        # How far the roles have come from the base says nothing about the sampler.
        other = ("sampler_gap", "importance_ratio")
        learned = {name: v for name, v in learned.items() if not name.startswith(other)}
        return learned | metrics

    def _weights(
        self, trajectories: Sequence[Trajectory]
    ) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """Return each node's weights of the episodes, in place of advantages, and metrics."""
        n = self._branches
        rewards = np.array([leaf.reward for leaf in trajectories]).reshape(-1, n, n, n)
        preferring = self._steps >= self._sft_steps
        weights: dict[str, np.ndarray] = {}
        metrics: dict[str, float] = {}
        for node, values in zip(CHAIN.nodes, node_values(rewards), strict=True):
            if node not in self._nodes:
                continue
            first = np.arange(rewards.size).reshape(values.size, -1)[:, 0]  # a leaf of each turn
            turns = [_turn(trajectories[i], node) for i in first]
            pairs = preferring and node in self._references
            rule = self._preferences if pairs else self._imitation
            found, loss = rule(node, turns, values.reshape(-1, n))
            weights[node] = np.zeros(rewards.size)
            weights[node][first] = found * rewards.size  # the step divides by all episodes
            role = _ROLES[node]
            metrics[f"{role}_{'dpo' if pairs else 'sft'}_loss"] = loss
            metrics[f"{role}_good"] = float((values > 0.5).mean())
        return weights, metrics

    def _imitation(
        self, node: str, turns: Sequence[Row], values: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """Return the weight of every turn's log-probability in the SFT step, and the loss."""
        good = np.flatnonzero(values.ravel() > 0.5).tolist()
        weights = np.zeros(len(turns))
        if not good:
            return weights, 0.0
        weights[good] = 1 / sum(len(turns[i].ids) for i in good)
        return weights, float(-weights[good] @ self._logprobs([turns[i] for i in good]))

    def _preferences(
        self, node: str, turns: Sequence[Row], values: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """Return the weight of every turn's log-probability in the DPO step, and the loss."""
        pairs = sibling_pairs(values)
        weights = np.zeros(len(turns))
        if not len(pairs):
            return weights, 0.0
        used = np.unique(pairs)
        rows = [turns[i] for i in used]
        gain = np.zeros(len(turns))
        gain[used] = self._logprobs(rows)
        gain[used] -= self._logprobs([replace(r, adapter=self._references[node]) for r in rows])
        margins = self._beta * (gain[pairs[:, 0]] - gain[pairs[:, 1]])
        slopes = self._beta * np.exp(-np.logaddexp(0, margins)) / len(pairs)
        np.add.at(weights, pairs[:, 0], slopes)
        np.add.at(weights, pairs[:, 1], -slopes)
        return weights, float(np.logaddexp(0, -margins).mean())

    def _logprobs(self, rows: Sequence[Row]) -> np.ndarray:
        """Summed log-probability of each row's completion, `[rows]`."""

        def work() -> np.ndarray:
            found = np.zeros(len(rows))
            with torch.no_grad():
                for batch in self._engine.micro_batches(rows):
                    chosen = [rows[i] for i in batch]
                    with self._engine.training(chosen, temperature=self._temperature) as scored:
                        sums = np.zeros(len(batch))
                        logprobs = scored.logprobs.double().cpu().numpy()
                        np.add.at(sums, scored.row.cpu().numpy(), logprobs)
                        found[batch] = sums
            return found

        return within_memory(self._engine, rows, work)

    def state_dict(self) -> dict[str, Any]:
        """The roles' optimisers, the number of steps and, from DPO on, the references."""
        taken = self._references if self._steps > self._sft_steps else {}
        references = {
            node: {k: p.detach().clone() for k, p in self._engine.adapters.parameters(name).items()}
            for node, name in taken.items()
        }
        return {
            "roles": self._learners.state_dict(),
            "steps": self._steps,
            "references": references,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self._learners.load_state_dict(state["roles"])
        self._steps = state["steps"]
        with torch.no_grad():
            for node, weights in state["references"].items():
                parameters = self._engine.adapters.parameters(self._references[node])
                for key, parameter in parameters.items():
                    parameter.copy_(weights[key])


def node_values(rewards: np.ndarray) -> list[np.ndarray]:
    """Return the values of drafts `[Q, n]`, critiques `[Q, n, n]` and solutions.

    Args:
        rewards: Of the leaves, `[Q, n, n, n]`.
    """
    critiques = rewards.mean(-1)
    return [critiques.mean(-1), critiques, rewards]


def sibling_pairs(values: np.ndarray) -> np.ndarray:
    """Return the numbers of a good and a bad turn of one parent, all such pairs, `[pairs, 2]`.

    Args:
        values: `[parents, n]`; turns are numbered row by row.
    """
    good = values > 0.5
    parent, chosen, rejected = np.nonzero(good[:, :, None] & ~good[:, None, :])
    return np.stack([chosen, rejected], axis=1) + values.shape[1] * parent[:, None]


def _turn(leaf: Trajectory, node: str) -> Row:
    turn = leaf.last(node)
    assert turn and turn.completion  # every node of the chain asks the model
    return Row(node, turn.completion.prompt_ids, turn.completion.ids)


def _with_adapters(leaf: Trajectory) -> Trajectory:
    """Return an episode of the base as one of the adapters that are to learn from it."""
    return replace(leaf, turns=tuple([replace(turn, adapter=turn.node) for turn in leaf.turns]))
