"""Growing a trained network: which adapter and which optimiser state goes where."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch

from neuromas_env.agents.engines import handover
from neuromas_env.agents.engines.base import TrainableEngine
from neuromas_env.errors import unknown
from neuromas_env.seeds import derive_seed
from neuromas_env.topology import Topology

INITS = ("zero", "copy", "noise")
NOISE = 0.1
"""Size of the noise on a new adapter, relative to its own matrices."""


def grow(
    engine: TrainableEngine,
    old: Topology,
    new: Topology,
    *,
    init: str = "zero",
    seed: int = 0,
    mapping: Mapping[str, str] | None = None,
    bare: Collection[str] = (),
) -> dict[str, str]:
    """Turn the adapters of a network into those of a larger one.

    Learners made before hold weights that are gone afterwards: make a new one and give it what
    the old one's `grow` returned before.

    Args:
        engine: Holds an adapter for every old node that is not bare, afterwards for every such
            new one.
        old: The trained network.
        new: The larger network.
        init: New nodes start as the bare base (`zero`), as a copy of the nearest
            inherited node (`copy`), or as the base with small noise (`noise`).
        seed: Of the new nodes' random numbers.
        mapping: Old to new node, instead of `Topology.grow_to`'s default.
        bare: Nodes without an adapter, in both networks.

    Returns:
        Old node to the new node that inherits its adapter.

    Raises:
        InputError: The topologies do not fit, `init` is unknown, or a new adapter does not start
            with the weights of its seed.
    """
    if init not in INITS:
        raise unknown("initialisation", init, INITS)
    inherited = {a: b for a, b in old.grow_to(new, mapping).items() if a not in bare}
    numbered = [(number, node) for number, node in enumerate(new.nodes) if node not in bare]
    adapters = engine.adapters
    # All old adapters go before new ones come, since an old name may be another's new one.
    kept = {
        inherited[node]: {k: p.detach().clone() for k, p in adapters.parameters(node).items()}
        for node in inherited
    }
    for node in old.nodes:
        if node not in bare:
            adapters.remove(node)
    for number, node in numbered:
        handover.add(engine, node, derive_seed(seed, number))
    with torch.no_grad():
        for node, weights in kept.items():
            for key, parameter in adapters.parameters(node).items():
                parameter.copy_(weights[key])
    for number, node in numbered:
        if node in kept or init == "zero":
            continue
        if init == "copy" and kept:
            adapters.copy(new.nearest(node, tuple(kept)), node)
        elif init == "noise":
            adapters.add_noise(node, NOISE, derive_seed(seed, number, 1))
    return inherited
