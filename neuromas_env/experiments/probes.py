"""How far apart the nodes of a trained network are: their weights and their messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neuromas_env.agents.tables.algorithms import softmax
from neuromas_env.envs.discrete.layout import Layout


def adapter_similarity(engine: Any, nodes: Sequence[str]) -> list[list[float | None]]:
    """Return the cosine of the angle between what the nodes' adapters add to the base.

    An adapter adds B A to the weights of a layer; the angle is that of all layers together,
    which no choice of basis inside the adapter changes. None where an adapter adds nothing.

    Args:
        engine: Holds the adapters.
        nodes: Their names.
    """
    halves = [_halves(engine.adapters.parameters(node)) for node in nodes]
    products = np.array([[_inner(mine, other) for other in halves] for mine in halves])
    return _cosines(products)


def table_similarity(layout: Layout, table: np.ndarray) -> list[list[float | None]]:
    """Return the cosine between the policies of two discrete nodes, each minus the uniform one.

    None where the nodes see different sorts of things, or one is uniform.

    Args:
        layout: The network.
        table: float array `[observations, messages]`.
    """
    p = softmax(table) - 1 / layout.messages
    own = [
        p[start : start + size].ravel()
        for start, size in zip(layout.offsets, layout.sizes, strict=True)
    ]
    found: list[list[float | None]] = []
    for i, mine in enumerate(own):
        found.append([])
        for j, other in enumerate(own):
            alike = layout.radices[i] == layout.radices[j]
            norm = float(np.linalg.norm(mine) * np.linalg.norm(other)) if alike else 0.0
            found[-1].append(float(mine @ other) / norm if norm else None)
    return found


def message_agreement(said: Sequence[Mapping[str, str]]) -> dict[str, dict[str, float]]:
    """Return for every pair of nodes in which share of the questions both said the same.

    Args:
        said: For every question what each node said.
    """
    nodes = list(said[0]) if said else []
    return {
        a: {b: float(np.mean([one[a] == one[b] for one in said])) for b in nodes} for a in nodes
    }


def message_entropy(said: Sequence[Mapping[str, str]]) -> dict[str, float]:
    """Return the entropy in bits of each node's messages over the questions.

    Zero is a node that always says the same.

    Args:
        said: For every question what each node said.
    """
    found = {}
    for node in said[0] if said else ():
        share = np.array(list(Counter(one[node] for one in said).values())) / len(said)
        found[node] = float(-(share * np.log2(share)).sum()) + 0.0
    return found


def _halves(parameters: Mapping[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """The matrices A and B of every layer."""
    layers: dict[str, dict[str, np.ndarray]] = {}
    for key, parameter in parameters.items():
        layer, _, half = key.rpartition(".")
        layers.setdefault(layer, {})[half] = parameter.detach().float().cpu().numpy()
    return layers


def _inner(
    mine: dict[str, dict[str, np.ndarray]], other: dict[str, dict[str, np.ndarray]]
) -> float:
    """Sum over layers of <B A, B' A'>, without making the products."""
    return float(
        sum(
            ((h["B"].T @ other[layer]["B"]) * (h["A"] @ other[layer]["A"].T)).sum()
            for layer, h in mine.items()
        )
    )


def _cosines(products: np.ndarray) -> list[list[float | None]]:
    norms = np.sqrt(np.diag(products))
    return [
        [
            float(products[i, j] / (norms[i] * norms[j])) if norms[i] * norms[j] else None
            for j in range(len(norms))
        ]
        for i in range(len(norms))
    ]
