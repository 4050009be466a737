"""What an episode may be started with: which nodes are masked, and what has been said before."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from neuromas_env.checks import shown
from neuromas_env.envs.schedules import Said
from neuromas_env.errors import InputError, unknown
from neuromas_env.policy import Turn
from neuromas_env.topology import Topology

Prefix = Mapping[str, Any] | Sequence[Turn | Said | tuple[str, Any]]
"""Messages already said: by node those of the first round, or in order of acting."""


def turns_of(prefix: Sequence[Turn | Said | tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield node and message of what has been said.

    Raises:
        InputError: Something of it is no turn.
    """
    if isinstance(prefix, str) or not isinstance(prefix, Sequence):
        raise InputError(
            f"the prefix must map nodes to messages or list (node, message), not {shown(prefix)}"
        )
    for place, turn in enumerate(prefix):
        if isinstance(turn, Turn):
            yield turn.node, turn.text
        elif isinstance(turn, Said):
            yield turn.node, turn.message
        elif isinstance(turn, tuple | list) and len(turn) == 2:
            yield turn[0], turn[1]
        else:
            raise InputError(f"prefix[{place}] must be (node, message), not {shown(turn)}")


def masked_nodes(
    topology: Topology, mask: Mapping[str, bool] | Sequence[bool] | None
) -> frozenset[str]:
    """Return the nodes that a mask leaves out.

    Raises:
        InputError: It names unknown nodes, or has not one value for each.
    """
    if mask is None:
        return frozenset()
    if isinstance(mask, Mapping):
        check_names(mask, topology, "the mask")
        return frozenset(node for node, takes_part in mask.items() if not takes_part)
    values = () if isinstance(mask, str) or not isinstance(mask, Iterable) else tuple(mask)
    if len(values) != len(topology):
        raise InputError(
            f"the mask must hold one truth value for each of the {len(topology)} nodes, "
            f"or map node names to truth values; it is {mask!r}"
        )
    pairs = zip(topology.nodes, values, strict=True)
    return frozenset(node for node, takes_part in pairs if not takes_part)


def check_names(names: Collection[str], topology: Topology, where: str) -> None:
    """Refuse what are no names of nodes.

    Raises:
        InputError: One is unknown, or the names are no collection.
    """
    if isinstance(names, str) or not isinstance(names, Collection):
        raise InputError(f"{where} must give a collection of node names, not {names!r}")
    for name in names:
        if name not in topology.nodes:
            raise unknown(f"node in {where}", str(name), topology.nodes)
