"""The versioned PettingZoo module of discrete networks, whose messages are symbols of a code book.

`env`, `raw_env` and `parallel_env` take the arguments of `make` but its first; `level` returns
those of a level.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from neuromas_env.checks import Count, arguments
from neuromas_env.envs.aec import AECNetwork, checked
from neuromas_env.envs.discrete.channel import DiscreteChannel
from neuromas_env.envs.discrete.layout import make_layout
from neuromas_env.envs.discrete.levels import level
from neuromas_env.envs.discrete.tasks import DiscreteTask
from neuromas_env.envs.parallel import ParallelNetwork
from neuromas_env.topology import Topology

Form = TypeVar("Form")

__all__ = ["env", "level", "make", "make_layout", "parallel_env", "raw_env"]


@arguments
def make(
    form: Callable[..., Form],
    task: DiscreteTask | str = "xor",
    topology: Topology | str = "2-1",
    codebook: Count | None = None,
    bandwidth: Count = 1,
    observation: str = "box",
    render_mode: str | None = None,
    clock: bool = False,
) -> Form:
    """Fit task and topology together and make a discrete network in one of its forms.

    Args:
        form: `AECNetwork`, `checked` or `ParallelNetwork`.
        task: A task, or its name such as `parity:bits=8`.
        topology: A topology without memory, or its text such as `2-2-1`, `tree-8` or, with rounds,
            `2-1:rounds=2:feedback=0>1:memory=none`.
        codebook: Number of different symbols; by default as many as the task has answers.
        bandwidth: Symbols per message.
        observation: `box` (one-hot, float32), `multidiscrete` or `discrete`.
        render_mode: `human` prints, `ansi` returns a text, None renders nothing.
        clock: Whether a node sees which round it is, and so may act otherwise in each.

    Raises:
        InputError: An argument is wrong, or they do not fit together.
    """
    layout = make_layout(task, topology, codebook, bandwidth, clock)
    channel = DiscreteChannel(layout, observation)
    return form(layout.topology, channel, render_mode=render_mode)


env = partial(make, checked)
"""The AEC environment, with a check of the order of calls."""

raw_env = partial(make, AECNetwork)
"""The bare AEC environment."""

parallel_env = partial(make, ParallelNetwork)
"""The environment in which one step is one layer."""
