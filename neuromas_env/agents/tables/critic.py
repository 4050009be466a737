"""A critic that sees the whole network: the question and all messages so far. Needs torch."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from neuromas_env.agents.tables.play import Batch
from neuromas_env.envs.discrete.layout import Layout

HIDDEN = 32


class Critic:
    """A small network from a state to the expected reward, for every stage of an episode.

    A stage is a layer of a round; its state holds the question, the round, what feedback carries
    out of the round before, and this round's messages of the layers before it (for the value of a
    state) or up to it (for the value of messages).
    """

    def __init__(self, layout: Layout, rate: float, seed: int) -> None:
        """Draw the first weights.

        Args:
            layout: The network.
            rate: Step size of Adam.
            seed: Of the weights.
        """
        self._layout = layout
        self._question = sum(layout.task.parts) + sum(layout.task.query)
        self._width = layout.codebook * layout.bandwidth
        generator = torch.Generator().manual_seed(seed)
        sizes = [sum(layout.state_sizes), HIDDEN, HIDDEN, 1]
        self._weights = [
            (torch.randn(a, b, generator=generator) / a**0.5).requires_grad_()
            for a, b in zip(sizes, sizes[1:], strict=False)
        ]
        self._biases = [torch.zeros(b, requires_grad=True) for b in sizes[1:]]
        self._optimiser = torch.optim.Adam([*self._weights, *self._biases], rate)
        # What a message looks like, one row each.
        symbols = torch.tensor([layout.symbols(m) for m in range(layout.messages)])
        self._codes = nn.functional.one_hot(symbols, layout.codebook).flatten(1).float()

    def learn(self, batch: Batch) -> None:
        """Take one step towards the rewards, from every stage of every episode."""
        rewards = torch.from_numpy(batch.rewards).float()
        stages = torch.stack(self._stages(batch))
        loss = ((self._value(stages) - rewards) ** 2).mean()
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()

    def values(self, batch: Batch) -> np.ndarray:
        """Expected reward before each turn's message: float array `[turns, episodes]`."""
        found = np.empty(batch.seen.shape)
        with torch.no_grad():
            for turns, stage in zip(self._layout.ticks, self._stages(batch), strict=False):
                found[list(turns)] = self._value(stage).numpy()
        return found

    def counterfactual(self, batch: Batch, p: np.ndarray) -> np.ndarray:
        """Value of each message minus the mean over the node's policy: `[turns, episodes]`.

        Args:
            batch: The episodes.
            p: Probabilities `[observations, messages]`.
        """
        found = np.empty(batch.seen.shape)
        count = len(self._codes)
        with torch.no_grad():
            for turns, before in zip(self._layout.ticks, self._stages(batch), strict=False):
                stage = self._spoken(before, batch, turns)
                for turn in turns:
                    others = stage.repeat(count, 1, 1)
                    others[:, :, self._columns(turn)] = self._codes[:, None]
                    values = self._value(others).numpy()
                    mean = (p[batch.seen[turn]].T * values).sum(0)
                    found[turn] = values[batch.sent[turn], np.arange(values.shape[1])] - mean
        return found

    def _stages(self, batch: Batch) -> list[torch.Tensor]:
        """States before the messages of each tick, and after the last: `[episodes, inputs]`."""
        layout = self._layout
        state = torch.from_numpy(batch.network.state())
        state[:, self._question :] = 0
        stages = []
        for tick, turns in enumerate(layout.ticks):
            if tick % len(layout.layers) == 0:
                state = self._begun(state, tick // len(layout.layers))
            stages.append(state)
            state = self._spoken(state, batch, turns)
        return [*stages, state]

    def _begun(self, state: torch.Tensor, round: int) -> torch.Tensor:
        """The state in which a round begins: what was said is now what was said before."""
        layout = self._layout
        if layout.topology.rounds == 1:
            return state
        begun = state.clone()
        begun[:, self._question :] = 0
        late = self._question + len(layout.topology) * self._width
        for i, source in enumerate(layout.feedback_sources):
            start = late + i * self._width
            begun[:, start : start + self._width] = state[:, self._columns(source)]
        begun[:, round - layout.topology.rounds] = 1
        return begun

    def _spoken(self, state: torch.Tensor, batch: Batch, turns: tuple[int, ...]) -> torch.Tensor:
        """The state after the messages of some turns."""
        spoken = state.clone()
        for turn in turns:
            spoken[:, self._columns(turn)] = self._codes[batch.sent[turn]]
        return spoken

    def _columns(self, turn: int) -> slice:
        """Where the message of a turn stands in a state of its round."""
        start = self._question + turn % len(self._layout.topology) * self._width
        return slice(start, start + self._width)

    def _value(self, state: torch.Tensor) -> torch.Tensor:
        for weight, bias in zip(self._weights[:-1], self._biases[:-1], strict=True):
            state = torch.tanh(state @ weight + bias)
        return (state @ self._weights[-1] + self._biases[-1]).squeeze(-1)
