"""A policy that is nothing but a table, and REINFORCE on it, in numpy.

For every adapter and prompt the table holds one logit per word of a finite code
book; a reply is one word. Small enough that gradients can be checked by counting
out all outcomes, and the smallest example of an engine and a learner of one's own.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from neuromas_env.agents.learners.advantage import Advantage
from neuromas_env.agents.learners.base import Learner, by_round, returns_to_go, reward_table
from neuromas_env.checks import NonNegative, Positive, arguments
from neuromas_env.errors import InputError
from neuromas_env.policy import Completion, Cost, Engine, Request, Trajectory, Usage

Key = tuple[str, bytes]
"""An adapter's name and the bytes of a prompt."""
_NO_TABLE = (
    "learner 'tabular' trains a TabularEngine from Python; "
    "for language models take 'joint' or 'independent'"
)


class TabularEngine(Engine):
    """Replies with one word, drawn by the table's logits for this adapter and prompt.

    Attributes:
        words: The code book; a word's token is its index.
        table: Logits `[words]` by key; an entry starts as zeros when it is first needed.
        cost: What calls have cost so far; a prompt's tokens are its bytes.
    """

    @arguments
    def __init__(self, words: str | Sequence[str]) -> None:
        """Start with the uniform distribution everywhere.

        Args:
            words: The code book: different words, or a text of different characters.

        Raises:
            InputError: There are no words, or one of them twice.
        """
        if not words or len(set(words)) < len(words):
            raise InputError(f"the code book needs different words, not {list(words)!r}")
        self.words = tuple(words)
        self.cost = Cost()
        self.table: dict[Key, np.ndarray] = defaultdict(partial(np.zeros, len(self.words)))

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests; the draw of each depends on its own seed alone."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Completion:
        started = time.perf_counter()
        text = "\n".join(text for _, text in request.turns)
        prompt = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8).astype(np.int64)
        temperature = request.sampling.temperature
        logits = self.table[key(request.adapter, prompt)]
        logp = log_softmax(logits / (temperature or 1.0))
        word = int(logp.argmax())
        if temperature:
            total = np.exp(logp).cumsum()
            uniform = np.random.default_rng(request.seed).random()
            word = min(int(np.searchsorted(total, uniform, side="right")), len(logp) - 1)
        usage = Usage(1, len(prompt), 1, time.perf_counter() - started)
        self.cost.book(request.adapter, usage)
        return Completion(self.words[word], prompt, np.array([word]), logp[[word]])


def key(adapter: str | None, prompt_ids: np.ndarray) -> Key:
    """Where the table keeps the logits for an adapter and a prompt."""
    return adapter or "base", prompt_ids.astype(np.uint8).tobytes()


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithm of the softmax of a vector."""
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


class TabularReinforce(Learner):
    """REINFORCE (Williams 1992) by plain gradient ascent on the tables of some nodes."""

    grows = rounds = True
    warms_up = False

    @classmethod
    def check(cls, config: Any) -> None:
        """Refuse a training run, whose engine generates with a language model.

        Raises:
            InputError: Always; `make` takes an engine that has a table.
        """
        raise InputError(_NO_TABLE)

    @classmethod
    def make(cls, engine: Any, nodes: Sequence[str], config: Any) -> Learner:
        """Make the learner from a training configuration.

        Raises:
            InputError: The engine has no table.
        """
        if not isinstance(engine, TabularEngine):
            raise InputError(_NO_TABLE)
        return cls(
            engine,
            nodes,
            learning_rate=config.learning_rate,
            advantage=config.advantage,
            entropy_coef=config.entropy_coef,
        )

    @arguments
    def __init__(
        self,
        engine: TabularEngine,
        nodes: Sequence[str],
        *,
        learning_rate: Positive = 1.0,
        advantage: str = "leave_one_out",
        entropy_coef: NonNegative = 0.0,
    ) -> None:
        """Prepare to train.

        Args:
            engine: Holds the table.
            nodes: Whose adapters are trained.
            learning_rate: Step along the gradient.
            advantage: See `Advantage`.
            entropy_coef: Weight of the entropy bonus.
        """
        self._engine, self._nodes = engine, tuple(nodes)
        self._rate, self._entropy_coef = learning_rate, entropy_coef
        self._advantage = Advantage(advantage)

    def update(self, trajectories: Sequence[Trajectory]) -> dict[str, float]:
        """Take one step; see `Learner.update`."""
        rewards = reward_table(trajectories)
        advantages = self._advantage(returns_to_go(trajectories))
        gradient = self.gradient(trajectories, by_round(trajectories, advantages))
        for entry, direction in gradient.items():
            self._engine.table[entry] += self._rate * direction
        return {"reward": float(rewards.mean()), "advantage_std": float(advantages.std())}

    def gradient(
        self, trajectories: Sequence[Trajectory], advantages: Sequence[np.ndarray] | np.ndarray
    ) -> dict[Key, np.ndarray]:
        """Estimate the gradient of the expected reward plus entropy bonus, by entry.

        That is `1/N sum_episodes sum_turns (A d log p + entropy_coef dH)`, where for
        logits `d log p = onehot - p` and `dH = -p (log p + H)`.

        Args:
            trajectories: The batch.
            advantages: For each episode those of its turns, float array `[turns]`, or one for all.
        """
        total: dict[Key, np.ndarray] = {}
        for trajectory, values in zip(trajectories, advantages, strict=True):
            each = np.broadcast_to(values, len(trajectory.turns))
            for turn, advantage in zip(trajectory.turns, each, strict=True):
                if turn.node not in self._nodes or turn.completion is None:
                    continue
                entry = key(turn.adapter, turn.completion.prompt_ids)
                logp = log_softmax(self._engine.table[entry])
                p = np.exp(logp)
                direction = advantage * (np.eye(len(p))[turn.completion.ids[0]] - p)
                direction -= self._entropy_coef * p * (logp - p @ logp)
                total[entry] = total.get(entry, 0.0) + direction / len(trajectories)
        return total

    def grow(self, mapping: Mapping[str, str]) -> dict[str, Any]:
        """Return the state, which holds nothing of single nodes."""
        return self.state_dict()

    def state_dict(self) -> dict[str, Any]:
        """The advantage's state; the table is the engine's."""
        return {"advantage": self._advantage.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self._advantage.load_state_dict(state["advantage"])
