"""Learners that models as cooperating agents are trained with elsewhere: CoLLM and MAGRPO.

Liu et al., arXiv 2601.21972 (code: OpenMLRL/CoMLRL). Their agents act in turns, all at once
within a turn, with a reward for each. A network answers a question once and earns one reward at
its end, so it has one turn, whatever its layers, and the return of every node is that reward R.
(Between turns their critic bootstraps. Layers are no turns: a layer without a reward of its own
would learn from the next layer's value alone, which says nothing at first.) Who joins the last
answers is the network's output node, so the rule that joins them is trained as well; in their
published tasks a fixed function does it.

- `collm_cc`: a centralised critic V reads the prompts of all trained nodes of a layer, one after
  the other; every node of the layer has the advantage R - V. It reads a layer and not all layers,
  since what later nodes read depends on what a node says, and a baseline must not.
- `collm_dc`: every node has a critic of its own that reads its prompt alone.
- `magrpo`: no critic. The advantage of an episode is its reward minus the mean of its
  question, itself included.

All three estimate the policy gradient of the joint learner: a baseline that does not depend on a
node's action changes the variance and not the mean. MAGRPO's mean is (G - 1)/G of it with G
episodes of a question, which AdamW undoes. CoLLM's advantages are standardised over the batch, as
in the authors' code (`standardise`), so that batches in which little differs count as much as
others. `gamma` below 1 discounts by the number of layers that act before the reward comes, those
of later rounds included.

The critic does not read `env.state()`: prompts are what the authors' critic reads, to the token,
and a learner sees episodes, never the environment. What an earlier layer alone has read, such as
parts that a task deals, is not in them.

Each node takes optimiser steps of its own. A critic is an adapter on the shared base, of the
nodes' rank, with a linear head on the last token of what it reads; it takes one step a batch
(their code takes one for each agent) at a rate and scale of its own. It predicts and learns in
one pass, before that step. Critics make no calls; what they read is the metric `critic_tokens`,
their size `critic_parameters`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from neuromas_env.agents.engines import distributed
from neuromas_env.agents.engines.base import Row, TrainableEngine
from neuromas_env.agents.engines.budget import within_memory
from neuromas_env.agents.learners.base import Learner, per_turn, returns_to_go, reward_table
from neuromas_env.agents.learners.independent import Independent, independent_nodes
from neuromas_env.checks import Natural, Positive, arguments
from neuromas_env.errors import InputError
from neuromas_env.policy import Trajectory
from neuromas_env.seeds import derive_seed

_CRITIC = ("gamma", "value_coef", "critic_learning_rate", "critic_scale", "standardise")

Advantages = Callable[[Sequence[Trajectory]], tuple[dict[str, np.ndarray], dict[str, float]]]
"""Batch of N episodes to the advantage `[N]` of every node, and metrics."""


@arguments
class Critic:
    """Predicts the return from prompts: an adapter on the base and a linear head.

    Attributes:
        size: Number of its parameters.
        tokens: Number of tokens that it has read so far.
    """

    def __init__(
        self,
        engine: TrainableEngine,
        name: str,
        *,
        learning_rate: Positive,
        clip: Positive,
        seed: Natural,
        scale: Positive = 10.0,
    ) -> None:
        """Add the adapter `name` to the engine; the head starts at zero.

        Args:
            engine: Holds the base.
            name: Of the adapter.
            learning_rate: Of AdamW, for adapter and head.
            clip: Largest norm of the gradient.
            seed: Of the adapter.
            scale: A prediction is so many times the head's output for the hidden state at unit
                length. Hidden states differ in length from base to base (11 to 57 in the two
                bases here); without a scale one step of AdamW could throw a value far past 1.
        """
        self._engine, self._name, self._clip, self._scale = engine, name, clip, scale
        engine.adapters.add(name, seed)
        self._head = torch.nn.Linear(engine.hidden_size, 1).to(engine.device)
        torch.nn.init.zeros_(self._head.weight)
        torch.nn.init.zeros_(self._head.bias)
        self.tokens = 0
        self._parameters = [*engine.adapters.parameters(name).values(), *self._head.parameters()]
        self.size = sum(parameter.numel() for parameter in self._parameters)
        self._optimiser = torch.optim.AdamW(self._parameters, lr=learning_rate, weight_decay=0.0)

    def learn(
        self, prompts: Sequence[np.ndarray], returns: np.ndarray, weight: float
    ) -> np.ndarray:
        """Predict the return of each prompt (token ids), float64 `[prompts]`, before `step`.

        In the same pass the gradient of the mean squared error, times `weight`, is added to what
        `step` goes down.

        Raises:
            InputError: A prompt is longer than the model's context, or memory runs out; what was
                added before is dropped.
        """
        self.tokens += sum(map(len, prompts))

        def work() -> np.ndarray:
            found = np.zeros(len(prompts))
            for batch, hidden in self._engine.read(self._name, prompts):
                unit = torch.nn.functional.normalize(hidden.float(), dim=1)
                values = self._scale * self._head(unit)[:, 0]
                wanted = torch.as_tensor(returns[batch], dtype=torch.float32, device=values.device)
                (weight / len(prompts) * (values - wanted).pow(2).sum()).backward()
                found[batch] = values.detach().cpu().double().numpy()
            return found

        try:
            self._check(prompts)
            rows = [Row(self._name, ids, ids[-1:]) for ids in prompts]
            return within_memory(self._engine, rows, work)
        except BaseException:
            self._optimiser.zero_grad(set_to_none=True)
            raise

    def step(self) -> None:
        """Take one step down the gradient.

        Raises:
            FloatingPointError: The gradient is not finite; nothing is changed.
        """
        try:
            norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, self._clip))
            if not np.isfinite(norm):
                raise FloatingPointError(f"the gradient of the critic {self._name!r} is not finite")
            self._optimiser.step()
        finally:
            self._optimiser.zero_grad(set_to_none=True)

    def _check(self, prompts: Sequence[np.ndarray]) -> None:
        longest, room = max(map(len, prompts)), self._engine.context_length
        if room is not None and longest > room:
            raise InputError(
                f"the critic {self._name!r} would read {longest} tokens, but the context of "
                f"{self._engine.name} holds {room}; take fewer nodes a layer, shorter replies or "
                "learner 'collm_dc', whose critics read one prompt each"
            )

    def state_dict(self) -> dict[str, Any]:
        """Weights of adapter and head, and the optimiser's state."""
        adapter = self._engine.adapters.parameters(self._name)
        return {
            "adapter": {key: p.detach().clone() for key, p in adapter.items()},
            "head": self._head.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        with torch.no_grad():
            for key, parameter in self._engine.adapters.parameters(self._name).items():
                parameter.copy_(state["adapter"][key])
        self._head.load_state_dict(state["head"])
        self._optimiser.load_state_dict(state["optimiser"])


@arguments
class ActorCritic(Learner):
    """Nodes that each learn from an advantage of their own; see the module."""

    own_advantages = True

    def __init__(
        self, actors: Independent, advantages: Advantages, critics: Mapping[str, Critic]
    ) -> None:
        """Take the nodes' learners, the rule for their advantages and the critics it uses."""
        self._actors, self._advantages, self._critics = actors, advantages, dict(critics)

    def update(self, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        """Let critics and nodes take one step each; see `Learner.update`.

        Raises:
            FloatingPointError: A gradient is not finite.
            InputError: Memory runs out.
        """
        read = self._read()
        # Every process lets the critics learn from the whole batch; if one cannot, all stop.
        found = distributed.together(lambda: self._advantages(trajectories))
        advantages, metrics = found[distributed.number()]
        if self._critics:
            metrics["critic_tokens"] = float(self._read() - read)
            metrics["critic_parameters"] = float(sum(c.size for c in self._critics.values()))
        return self._actors.update(trajectories, per_turn(trajectories, advantages)) | metrics

    def _read(self) -> int:
        return sum(critic.tokens for critic in self._critics.values())

    def state_dict(self) -> dict[str, Any]:
        """The state of every node's learner and of the critics."""
        critics = {name: critic.state_dict() for name, critic in self._critics.items()}
        return {"actors": self._actors.state_dict(), "critics": critics}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self._actors.load_state_dict(state["actors"])
        for name, critic in self._critics.items():
            critic.load_state_dict(state["critics"][name])


def learned_baseline(
    readers: Sequence[tuple[Critic, Sequence[Sequence[str]]]],
    discounts: Mapping[str, float],
    weight: float,
    standardise: bool = True,
) -> Advantages:
    """Make the rule of `collm_cc` and `collm_dc`: the return minus what a critic expects.

    Args:
        readers: Critics, each with groups of nodes; it predicts the return of a group from its
            prompts, one after the other.
        discounts: Node to the discount of its reward.
        weight: Of a critic's squared error.
        standardise: Whether a group's advantages get mean 0 and standard deviation 1.
    """

    def advantages(batch: Sequence[Trajectory]) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        rewards, errors, means = reward_table(batch).ravel(), [], []
        found: dict[str, np.ndarray] = {}
        for critic, groups in readers:
            for group in groups:
                states = [
                    np.concatenate([_prompt(episode, node) for node in group]) for episode in batch
                ]
                returns = discounts[group[0]] * rewards
                values = critic.learn(states, returns, weight / len(groups))
                gaps = returns - values
                found |= dict.fromkeys(group, standardised(gaps) if standardise else gaps)
                errors.append(np.mean(gaps**2))
                means.append(values.mean())
            critic.step()
        return found, {"value_error": float(np.mean(errors)), "value": float(np.mean(means))}

    return advantages


def group_relative(discounts: Mapping[str, float], by_round: float = 1.0) -> Advantages:
    """Make the rule of `magrpo`: what is earned from a round on, minus the group's mean of it.

    Args:
        discounts: Node to what is left for it of a reward of its round.
        by_round: Factor of a reward that comes a round later.
    """

    def advantages(batch: Sequence[Trajectory]) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        returns = returns_to_go(batch, by_round)
        rounds = [np.ascontiguousarray(one) for one in np.moveaxis(returns, 2, 0)]
        gaps = np.stack([(one - one.mean(1, keepdims=True)).ravel() for one in rounds], axis=1)
        return {node: discount * gaps for node, discount in discounts.items()}, {}

    return advantages


def standardised(values: np.ndarray) -> np.ndarray:
    """Return values with mean 0 and standard deviation 1; all zero if they do not differ."""
    return (values - values.mean()) / (values.std() + 1e-8)


class CollmCC(ActorCritic):
    """CoLLM with one centralised critic."""

    options = _CRITIC

    @classmethod
    def make(cls, engine: Any, nodes: Sequence[str], config: Any) -> Learner:
        """Make the learner from a training configuration."""
        critic = _critic(engine, "critic", config)
        readers = [(critic, _layers(nodes, config))]
        return _with_critics(engine, nodes, config, readers, {"critic": critic})


class CollmDC(ActorCritic):
    """CoLLM with a critic for every node."""

    options = _CRITIC

    @classmethod
    def make(cls, engine: Any, nodes: Sequence[str], config: Any) -> Learner:
        """Make the learner from a training configuration."""
        critics = {node: _critic(engine, f"critic_{node}", config) for node in nodes}
        readers = [(critic, [(node,)]) for node, critic in critics.items()]
        return _with_critics(engine, nodes, config, readers, critics)


class Magrpo(ActorCritic):
    """Compares the episodes of a question, without a critic."""

    options = ("gamma",)
    rounds = True

    @classmethod
    def check(cls, config: Any) -> None:
        """Refuse a network that grows, and one episode of each question.

        Raises:
            InputError: It is such.
        """
        super().check(config)
        if config.rollouts < 2:
            raise InputError(
                "rollouts must be at least 2 with learner 'magrpo', which compares the episodes of "
                f"a question, got {config.rollouts}"
            )

    @classmethod
    def make(cls, engine: Any, nodes: Sequence[str], config: Any) -> Learner:
        """Make the learner from a training configuration."""
        layers = len(config.stages()[0][0].layers)
        rule = group_relative(_discounts(nodes, config), _gamma(config) ** layers)
        return cls(independent_nodes(engine, nodes, config), rule, {})


def _with_critics(
    engine: TrainableEngine,
    nodes: Sequence[str],
    config: Any,
    readers: Sequence[tuple[Critic, Sequence[Sequence[str]]]],
    critics: Mapping[str, Critic],
) -> ActorCritic:
    discounts = _discounts(nodes, config)
    rule = learned_baseline(readers, discounts, config.value_coef, config.standardise)
    return ActorCritic(independent_nodes(engine, nodes, config), rule, critics)


def _critic(engine: TrainableEngine, name: str, config: Any) -> Critic:
    seed = derive_seed(config.seed, *name.encode())
    rate = config.critic_learning_rate or config.learning_rate
    return Critic(
        engine, name, learning_rate=rate, clip=config.clip, seed=seed, scale=config.critic_scale
    )


def _layers(nodes: Sequence[str], config: Any) -> list[tuple[str, ...]]:
    """Return the trained nodes by layer."""
    layers = config.stages()[0][0].layers
    trained = [tuple(node for node in layer if node in nodes) for layer in layers]
    return [layer for layer in trained if layer]


def _discounts(nodes: Sequence[str], config: Any) -> dict[str, float]:
    """Return what is left for each node of a reward at the end of its round."""
    topology = config.stages()[0][0]
    last = topology.layer_of(topology.output)
    return {node: _gamma(config) ** (last - topology.layer_of(node)) for node in nodes}


def _gamma(config: Any) -> float:
    return 1.0 if config.gamma is None else config.gamma


def _prompt(episode: Trajectory, node: str) -> np.ndarray:
    turn = episode.last(node)
    if turn is None or turn.completion is None:
        raise InputError(f"{node} made no model call in the episode of {episode.example.id!r}")
    return turn.completion.prompt_ids
