"""The versioned PettingZoo module of networks that exchange texts.

`env`, `raw_env` and `parallel_env` take the arguments of `make` but its first, and so do the
Gymnasium views `turns` and `one_learner`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from neuromas_env.checks import Count, arguments
from neuromas_env.envs.aec import AECNetwork, checked
from neuromas_env.envs.parallel import ParallelNetwork
from neuromas_env.envs.schedules import Schedule
from neuromas_env.envs.spaces import MAX_MESSAGE
from neuromas_env.envs.text import TextChannel
from neuromas_env.envs.views import Act, OneLearnerView, TurnView
from neuromas_env.tasks import Task, make_task
from neuromas_env.topology import Topology

Form = TypeVar("Form")

__all__ = ["env", "make", "one_learner", "parallel_env", "raw_env", "turns"]


@arguments
def make(
    form: Callable[..., Form],
    task: Task | str = "hierarchy/max",
    topology: Topology | str = "2-1",
    split: str = "train",
    schedule: Schedule | None = None,
    reward: str = "strict",
    max_message_length: Count = MAX_MESSAGE,
    render_mode: str | None = None,
) -> Form:
    """Load the questions of a split and make a network of text nodes in one of its forms.

    Args:
        form: `AECNetwork`, `checked`, `ParallelNetwork` or `TurnView`.
        task: A task, or its name; by default one that needs no data.
        topology: A topology, or its text such as `2-2-1`.
        split: `train`, `validation` or `test`.
        schedule: Pure function from the messages so far to the nodes that may act in
            the next layer, None for all; asked at layer boundaries.
        reward: Which score every node receives: `strict`, `extracted` or the mean of `both`.
        max_message_length: Longer messages are cut to this many characters.
        render_mode: `human` prints, `ansi` returns a text, None renders nothing.

    Raises:
        InputError: An argument is wrong or the split is empty.
    """
    topology = topology if isinstance(topology, Topology) else Topology.parse(topology)
    channel = TextChannel(make_task(task), split, reward, max_message_length)
    return form(topology, channel, schedule, render_mode)


env = partial(make, checked)
"""The AEC environment, with a check of the order of calls."""

raw_env = partial(make, AECNetwork)
"""The bare AEC environment."""

parallel_env = partial(make, ParallelNetwork)
"""The environment in which one step is one layer."""

turns = partial(make, TurnView)
"""The Gymnasium view in which one step is one node's turn."""


@arguments
def one_learner(
    *args: Any, learner: str = "node_0", others: Mapping[str, Act] | None = None, **kwargs: Any
) -> OneLearnerView:
    """Make the Gymnasium view in which one node learns inside a frozen network.

    Args:
        *args: As in `make`, but its first.
        learner: The node that learns.
        others: A policy for every other node, from observation to text; by default random texts.
        **kwargs: As in `make`.

    Raises:
        InputError: An argument is wrong.
    """
    return make(partial(OneLearnerView, learner=learner, others=others), *args, **kwargs)
