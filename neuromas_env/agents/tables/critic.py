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

    A stage is a layer; its state holds the question and the messages of the layers before
    it (for the value of a state) or up to it (for the value of messages).
    """

    def __init__(self, layout: Layout, rate: float, seed: int) -> None:
        """Draw the first weights.

        Args:
            layout: The network.
            rate: Step size of Adam.
            seed: Of the weights.
        """
        self._layout = layout
        question = sum(layout.task.parts) + sum(layout.task.query)
        self._width = layout.codebook * layout.bandwidth
        self._column = [question + i * self._width for i in range(len(layout.topology))]
        inputs = question + self._width * len(layout.topology)
        generator = torch.Generator().manual_seed(seed)
        sizes = [inputs, HIDDEN, HIDDEN, 1]
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
        """Expected reward before each node's message: float array `[nodes, episodes]`."""
        found = np.empty(batch.seen.shape)
        with torch.no_grad():
            stages = self._stages(batch)
            for layer, stage in zip(self._layout.layers, stages, strict=False):
                found[list(layer)] = self._value(stage).numpy()
        return found

    def counterfactual(self, batch: Batch, p: np.ndarray) -> np.ndarray:
        """Value of each message minus the mean over the node's policy: `[nodes, episodes]`.

        Args:
            batch: The episodes.
            p: Probabilities `[observations, messages]`.
        """
        found = np.empty(batch.seen.shape)
        count = len(self._codes)
        with torch.no_grad():
            stages = self._stages(batch)[1:]
            for layer, stage in zip(self._layout.layers, stages, strict=True):
                for node in layer:
                    start = self._column[node]
                    others = stage.repeat(count, 1, 1)
                    others[:, :, start : start + self._width] = self._codes[:, None]
                    values = self._value(others).numpy()
                    mean = (p[batch.seen[node]].T * values).sum(0)
                    found[node] = values[batch.sent[node], np.arange(values.shape[1])] - mean
        return found

    def _stages(self, batch: Batch) -> list[torch.Tensor]:
        """States before each layer's messages, and after the last: `[episodes, inputs]` each."""
        state = torch.from_numpy(batch.network.state())
        stages = [state.clone()]
        for layer in reversed(self._layout.layers):
            state = state.clone()
            for node in layer:
                state[:, self._column[node] : self._column[node] + self._width] = 0
            stages.append(state)
        return stages[::-1]

    def _value(self, state: torch.Tensor) -> torch.Tensor:
        for weight, bias in zip(self._weights[:-1], self._biases[:-1], strict=True):
            state = torch.tanh(state @ weight + bias)
        return (state @ self._weights[-1] + self._biases[-1]).squeeze(-1)
