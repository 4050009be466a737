"""REINFORCE over all nodes of a network at once.

The gradient is that of

    J = E[R],   dJ = E[ sum_nodes sum_tokens d log p(token | prompt) * (R - b) ]

with the one terminal reward R of the episode (Williams 1992; NeuroMAS, arXiv
2605.16757). Where a task pays in several rounds, R is the return to go: what the episode earns in
the round of the turn and after it. A row is one turn of an episode; there is no order between
layers here, all rows share forward and backward passes.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from neuromas_env.agents.engines import distributed
from neuromas_env.agents.engines.base import Row, Scored, TrainableEngine
from neuromas_env.agents.engines.budget import within_memory
from neuromas_env.agents.engines.handover import SAMPLER_GAP
from neuromas_env.agents.learners.advantage import Advantage
from neuromas_env.agents.learners.base import (
    Learner,
    by_round,
    renamed,
    returns_to_go,
    reward_table,
)
from neuromas_env.checks import Count, Natural, NonNegative, Positive, arguments
from neuromas_env.errors import unknown
from neuromas_env.policy import Trajectory

_KL_ROWS = 4  # of each node, to measure the divergence on


@arguments
class Reinforce(Learner):
    """The joint learner: REINFORCE (Williams 1992), one optimiser over the adapters of all nodes.

    The loss of a batch is

        -1/N sum_episodes sum_nodes sum_tokens (A log p + entropy_coef H - kl_coef KL)

    with N the number of all episodes of the batch, also those whose rows were
    dropped because their advantage is zero. A is the advantage, times the capped
    importance ratio if there is one, H the entropy of the next-token distribution and KL
    its exact divergence from the base model.
    """

    grows = rounds = True

    @classmethod
    def make(cls, engine: Any, nodes: Sequence[str], config: Any) -> Learner:
        """Make the joint learner from a training configuration."""
        return cls(engine, nodes, advantage=config.advantage, **options_of(config))

    def __init__(
        self,
        engine: TrainableEngine,
        nodes: Sequence[str],
        *,
        adapter_of: Mapping[str, str] | None = None,
        learning_rate: Positive = 1e-3,
        warmup_steps: Natural = 0,
        decay_steps: Natural = 0,
        weight_decay: NonNegative = 0.0,
        clip: Positive = 1.0,
        temperature: Positive = 1.0,
        advantage: str = "leave_one_out",
        kl_coef: NonNegative = 0.0,
        entropy_coef: NonNegative = 0.0,
        importance_cap: NonNegative = 0.0,
        kl_every: Count = 10,
    ) -> None:
        """Prepare to train the adapters of some nodes.

        Args:
            engine: Holds the adapters.
            nodes: Whose turns are learned from.
            adapter_of: Node to the name of its adapter, by default each node's own name. Nodes
                may share one, which has one optimiser.
            learning_rate: Of AdamW.
            warmup_steps: The rate grows linearly over so many first steps.
            decay_steps: The rate falls linearly to zero over so many steps; 0 for never.
            weight_decay: Of AdamW.
            clip: Largest norm of the gradient over all trained adapters.
            temperature: With which the episodes were sampled. The policy that is trained is the
                softmax of logits / temperature, so that the gradient is that of what was sampled.
            advantage: See `Advantage`.
            kl_coef: Weight of the divergence from the base model.
            entropy_coef: Weight of the entropy bonus.
            importance_cap: Where another engine samples than trains, each token's gradient is
                weighed by min(p_trained / p_sampled, importance_cap): truncated importance
                sampling (Ionides 2008; per token as in Yao et al. 2025, "Your Efficient RL
                Framework Secretly Brings You Off-Policy RL Training"). 0 for no weights.
            kl_every: Without `kl_coef`, the divergence is measured every so many steps, on
                a few rows of each node.

        Raises:
            InputError: The engine has no adapter of a name.
        """
        self._kl_every = kl_every
        self._engine, self._nodes = engine, tuple(nodes)
        self._temperature = temperature
        self._clip, self._kl_coef, self._entropy_coef = clip, kl_coef, entropy_coef
        self._cap = importance_cap
        self._rate, self._warmup, self._decay = learning_rate, warmup_steps, decay_steps
        self._weight_decay = weight_decay
        self._advantage = Advantage(advantage)
        self._before = self._advantage.state_dict()
        self._steps = 0
        names = dict.fromkeys((adapter_of or {}).get(node, node) for node in self._nodes)
        for name in names:
            if name not in engine.adapters.names:
                raise unknown("adapter", name, engine.adapters.names)
        self._optimisers = {
            name: torch.optim.AdamW(
                list(engine.adapters.parameters(name).values()),
                lr=learning_rate,
                weight_decay=weight_decay,
            )
            for name in names
        }

    def update(
        self,
        trajectories: Sequence[Trajectory],
        advantages: Sequence[np.ndarray] | None = None,
    ) -> dict[str, float]:
        """Take one optimiser step; see `Learner.update`.

        Args:
            trajectories: The batch.
            advantages: For each episode those of its turns, float array `[turns]`, where something
                else than the rewards alone has found them.

        Raises:
            FloatingPointError: The loss or gradient is not finite; nothing is changed.
        """
        metrics = self.gradient(trajectories, advantages)
        self.step()
        return metrics

    def gradient(
        self,
        trajectories: Sequence[Trajectory],
        advantages: Sequence[np.ndarray] | None = None,
    ) -> dict[str, float]:
        """Do all of an update but the optimiser's step, which `step` takes or `discard` spares.

        Raises:
            FloatingPointError: The loss or gradient is not finite; nothing is changed.
        """
        started = time.perf_counter()
        rewards = reward_table(trajectories)
        self._before = self._advantage.state_dict()
        if advantages is None:
            found = self._advantage(returns_to_go(trajectories))
            advantages = by_round(trajectories, found)
        by_node = self._by_node(trajectories, advantages)
        work = [float(np.abs(a).sum()) for a in advantages]
        own = distributed.share([t.group for t in trajectories], work)
        batch = self._rows([trajectories[i] for i in own], [advantages[i] for i in own])
        try:
            parts = distributed.together(lambda: self._backward(*batch, len(trajectories)))
        except Exception:
            self.discard()
            raise
        adapters = {
            name: list(self._engine.adapters.parameters(name).values()) for name in self._optimisers
        }
        parameters = [parameter for own in adapters.values() for parameter in own]
        distributed.sum_gradients(parameters)
        norms = {f"gradient_norm/{name}": _norm(own) for name, own in adapters.items()}
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self._clip))
        if not np.isfinite(norm):
            self.discard()
            raise FloatingPointError(
                f"the gradient of step {self._steps + 1} is not finite; questions: "
                + ", ".join(sorted({t.example.id for t in trajectories}))
            )
        return {
            "reward": float(rewards.mean()),
            "advantage_std": float(np.mean([values.std() for values in by_node])),
            "gradient_norm": norm,
            **{name: float(value) for name, value in norms.items()},
            "train_rows": float(sum(rows for rows, _ in parts)),
            "train_seconds": time.perf_counter() - started,
            **self._metrics([tokens for _, tokens in parts]),
        }

    def _by_node(
        self, trajectories: Sequence[Trajectory], advantages: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Collect the advantages of each trained node's turns."""
        found: dict[str, list[float]] = {node: [] for node in self._nodes}
        for trajectory, values in zip(trajectories, advantages, strict=True):
            for turn, value in zip(trajectory.turns, values, strict=True):
                if turn.node in found:
                    found[turn.node].append(float(value))
        return [np.array(values) for values in found.values() if values]

    def _rows(
        self, trajectories: Sequence[Trajectory], advantages: Sequence[np.ndarray]
    ) -> tuple[list[Row], list[float], list[np.ndarray]]:
        """Rows worth training on, their advantages and the sampler's log-probabilities."""
        # With a bonus or a penalty every row has a gradient, whatever its advantage.
        keep_all = bool(self._kl_coef or self._entropy_coef)
        rows, weights, sampled = [], [], []
        for trajectory, values in zip(trajectories, advantages, strict=True):
            for turn, advantage in zip(trajectory.turns, values, strict=True):
                if turn.node not in self._nodes or not (advantage or keep_all):
                    continue
                if turn.completion is None or turn.adapter is None:
                    continue  # a script or the bare base spoke at this node
                rows.append(Row(turn.adapter, turn.completion.prompt_ids, turn.completion.ids))
                weights.append(float(advantage))
                sampled.append(turn.completion.logprobs)
        return rows, weights, sampled

    def _backward(
        self,
        rows: Sequence[Row],
        weights: Sequence[float],
        sampled: Sequence[np.ndarray],
        episodes: int,
    ) -> tuple[int, dict[str, np.ndarray]]:
        """Accumulate the gradient over micro-batches.

        Returns:
            The number of rows, and what was found out about each of their tokens.
        """
        options = {"with_kl": self._kl_coef > 0, "entropy_gradient": self._entropy_coef > 0}

        def work() -> dict[str, list[torch.Tensor]]:
            found: dict[str, list[torch.Tensor]] = defaultdict(list)
            for batch in self._engine.micro_batches(rows):
                drawn = np.concatenate([sampled[i] for i in batch])
                own = [weights[i] for i in batch]
                told = self._micro_batch([rows[i] for i in batch], own, drawn, episodes, options)
                for name, values in told.items():
                    found[name].append(values)
            if rows and not self._kl_coef and self._steps % self._kl_every == 0:
                found["kl"] = self._divergence(rows)
            return found

        found = within_memory(self._engine, rows, work, options)
        return len(rows), {name: torch.cat(parts).cpu().numpy() for name, parts in found.items()}

    def _divergence(self, rows: Sequence[Row]) -> list[torch.Tensor]:
        """Measure the divergence from the base at each token of a few rows of every node."""
        own: dict[str | None, list[Row]] = defaultdict(list)
        for row in rows:
            own[row.adapter].append(row)
        # Spread over the batch, so that they answer different questions.
        few = [row for each in own.values() for row in each[:: -(-len(each) // _KL_ROWS)]]
        found, scale = [], self._temperature
        for batch in self._engine.micro_batches(few):
            chosen = [few[i] for i in batch]
            with (
                torch.no_grad(),
                self._engine.training(chosen, temperature=scale, with_kl=True) as scored,
            ):
                assert scored.kl is not None
                found.append(scored.kl)
        return found

    def _micro_batch(
        self,
        rows: Sequence[Row],
        weights: Sequence[float],
        drawn: np.ndarray,
        episodes: int,
        options: Mapping[str, bool],
    ) -> dict[str, torch.Tensor]:
        """Run forward and backward, and say what was found out about each token.

        A function of its own: where memory runs out, nothing outlives it that holds on to some.
        """
        with self._engine.training(rows, temperature=self._temperature, **options) as scored:
            weight = scored.logprobs.new_tensor(weights)
            gap = scored.logprobs.detach() - torch.from_numpy(drawn).to(scored.logprobs)
            loss = self._loss(scored, weight[scored.row], gap.exp())
            (loss / episodes).backward()
        told = {"gap": gap}
        if scored.kl is not None:
            told["kl"] = scored.kl.detach()
        for node in {str(row.adapter) for row in rows}:
            own = scored.row.new_tensor([str(row.adapter) == node for row in rows]).bool()
            tokens = own[scored.row]
            told[f"entropy/{node}"] = scored.entropy.detach()[tokens]
            told[f"{SAMPLER_GAP}{node}"] = gap[tokens].abs()
        return told

    def _metrics(self, parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, float]:
        """Summarise what the processes found out about their tokens."""
        names = dict.fromkeys(name for part in parts for name in part)
        found = {n: np.concatenate([part[n] for part in parts if n in part]) for n in names}
        gap = found.pop("gap", np.zeros(0))
        metrics = {
            "train_tokens": float(len(gap)),
            "sampler_gap": float(np.abs(gap).max(initial=0)),
        }
        metrics |= {name: float(values.mean()) for name, values in found.items()}
        if len(gap):
            ratio = np.exp(gap)
            metrics["importance_ratio"] = float(ratio.mean())
            if self._cap:
                metrics["importance_capped"] = float((ratio > self._cap).mean())
        return metrics

    def _loss(self, scored: Scored, weight: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
        """Sum the loss over the tokens, each with its own weight and importance ratio."""
        if self._cap:
            weight = weight * ratio.clamp(max=self._cap)
        loss = -(weight * scored.logprobs).sum() - self._entropy_coef * scored.entropy.sum()
        if self._kl_coef and scored.kl is not None:
            loss = loss + self._kl_coef * scored.kl.sum()
        return loss

    def step(self) -> None:
        """Move the adapters along the gradient."""
        left = max(0.0, 1 - self._steps / self._decay) if self._decay else 1.0
        self._steps += 1
        rate = self._rate * left * min(1.0, self._steps / max(1, self._warmup))
        for optimiser in self._optimisers.values():
            for group in optimiser.param_groups:
                # A loaded state brings the options of the run that it comes from.
                group["lr"], group["weight_decay"] = rate, self._weight_decay
            optimiser.step()
        self._clear_gradients()

    def discard(self) -> None:
        """Forget the gradient and what the advantage has learned from its batch."""
        self._clear_gradients()
        self._advantage.load_state_dict(self._before)

    def _clear_gradients(self) -> None:
        for optimiser in self._optimisers.values():
            optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Optimiser state by adapter, the advantage's state and the number of steps."""
        return {
            "optimisers": {name: o.state_dict() for name, o in self._optimisers.items()},
            "advantage": self._advantage.state_dict(),
            "steps": self._steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state; adapters that it does not know keep a fresh optimiser."""
        for name, optimiser in self._optimisers.items():
            if name in state["optimisers"]:
                optimiser.load_state_dict(state["optimisers"][name])
        self._advantage.load_state_dict(state["advantage"])
        self._steps = state["steps"]

    def grow(self, mapping: Mapping[str, str]) -> dict[str, Any]:
        """Return the state with the optimisers of inherited adapters under their new names."""
        state = self.state_dict()
        return state | {"optimisers": renamed(state["optimisers"], mapping)}

    def restart(self) -> None:
        """Begin the schedule of the learning rate again."""
        self._steps = 0


def _norm(parameters: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the norm of the gradient of some parameters, those without one left out."""
    return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


def options_of(config: Any) -> dict[str, Any]:
    """Return the arguments of `Reinforce` that a training configuration gives."""
    return {
        "learning_rate": config.learning_rate,
        "warmup_steps": config.warmup_steps,
        "decay_steps": config.total_steps() - config.warm_up_steps() if config.decay else 0,
        "weight_decay": config.weight_decay,
        "clip": config.clip,
        "temperature": config.temperature,
        "kl_coef": config.kl_coef,
        "entropy_coef": config.entropy_coef,
        "importance_cap": config.ratio_cap(),
    }
