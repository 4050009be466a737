"""The options with which a discrete network is trained."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neuromas_env.agents.learners.shaping import read_terms
from neuromas_env.agents.tables.growth import INITS
from neuromas_env.agents.tables.registry import find_algorithm, gradient_options
from neuromas_env.envs.discrete.layout import Layout, make_layout
from neuromas_env.envs.discrete.levels import LEVELS
from neuromas_env.errors import InputError, unknown
from neuromas_env.topology import Topology

STARTS = ("uniform", "noise", "repeat", "own")
CREDITS = ("shared", "leave_one_node_out")
EVALUATED, EVALUATED_ON = ("evenly", "relatively"), ("validation", "all")
_CHOICES = {
    "grow_init": INITS, "start": STARTS, "credit": CREDITS, "evaluated": EVALUATED,
    "evaluated_on": EVALUATED_ON,
}  # fmt: skip
_NETWORK = ("topology", "codebook", "bandwidth", "schedule")


@dataclass(frozen=True)
class DiscreteOptions:
    """How a discrete network is trained.

    Attributes:
        topology: Layer widths, or `tree-4`.
        codebook: Number of symbols, None for as many as the task has answers.
        bandwidth: Symbols per message.
        learner: An algorithm, see `neuromas_env.agents.tables.registry`.
        credit: `shared` leaves it to the learner; `leave_one_node_out` compares each episode
            with those in which one node says anything at random and what follows is played anew.
        updates: Batches to train on.
        questions: Random questions of a batch.
        rollouts: Episodes of each.
        schedule: Grow while training, such as `2-1:100, 2-2-1:100`, instead of topology and
            updates.
        grow_init: How new nodes start.
        parameters_of: A network that has as many parameters: a smaller number of rows than this
            one's observations is shared by them at random, so that the table is as large.
        shared: Nodes that see the same sort of things share one table, so that none can tell
            which one it is.
        start: Tables start `uniform`, as `noise`, with a bias to `repeat` what a node reads
            first, a role written by hand, or as the learner's `own`.
        shaping: Terms that are added to the reward, see `neuromas_env.agents.learners.shaping`.
        evaluated: Twenty times `evenly` spread, or `relatively`: whenever there were a twentieth
            more updates, so that it is known to 5 % when a score was reached.
        evaluated_on: The `validation` questions, or `all`, where no test questions are asked.
        stream: Which stream of random numbers draws questions and messages, so that studies of
            the same seeds need not share them.
    """

    topology: str = "2-1"
    codebook: int | None = None
    bandwidth: int = 1
    learner: str = "REINFORCE, leave-one-out"
    credit: str = "shared"
    updates: int = 200
    questions: int = 64
    rollouts: int = 8
    schedule: str | None = None
    grow_init: str = "zero"
    parameters_of: str | None = None
    shared: bool = False
    start: str = "uniform"
    shaping: str = ""
    evaluated: str = "evenly"
    evaluated_on: str = "validation"
    stream: int = 1

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> DiscreteOptions:
        """Take options by name.

        Raises:
            InputError: An option is unknown or has a wrong value.
        """
        hints = typing.get_type_hints(cls)
        for key, value in values.items():
            if key not in hints:
                raise unknown("option", str(key), hints)
            kinds = typing.get_args(hints[key]) or (hints[key],)
            if type(value) not in kinds:
                raise InputError(f"{key}: {value!r}, but {kinds[0].__name__} would be right")
            if type(value) is int and value < (key != "updates"):
                raise InputError(f"{key}: {value} is too small")
        options = cls(**values)
        for key, allowed in _CHOICES.items():
            if getattr(options, key) not in allowed:
                raise unknown(f"value of {key}:", getattr(options, key), allowed)
        read_terms(options.shaping)
        find_algorithm(options.learner)
        if options.credit != "shared" and gradient_options(options.learner) is None:
            raise InputError(f"credit: {options.learner} is no policy gradient, so it has none")
        options.stages()
        return options

    def stages(self) -> list[tuple[Topology, int]]:
        """Return the networks of the run with their numbers of updates.

        Raises:
            InputError: The topology or the schedule cannot be read.
        """
        if self.schedule is None:
            return [(Topology.parse(self.topology), self.updates)]
        stages = []
        for part in self.schedule.split(","):
            text, _, updates = part.strip().rpartition(":")
            if not text or not updates.isdecimal():
                raise InputError(f"schedule: {part.strip()!r}; '2-1:100, 2-2-1:100' would be right")
            stages.append((Topology.parse(text), int(updates)))
        for (old, _), (new, _) in zip(stages, stages[1:], strict=False):
            old.grow_to(new)
        return stages

    def layouts(self, task: str) -> list[tuple[Layout, int]]:
        """Return the networks of the run on a task, or the one of a level.

        Raises:
            InputError: They do not fit the task.
        """
        if task in LEVELS:
            if any(getattr(self, key) != getattr(DiscreteOptions, key) for key in _NETWORK):
                raise InputError(f"level {task} has a network of its own: no {', '.join(_NETWORK)}")
            return [(make_layout(**LEVELS[task]), self.updates)]
        return [
            (make_layout(task, topology, self.codebook, self.bandwidth), updates)
            for topology, updates in self.stages()
        ]

    def rows(self, task: str) -> int | None:
        """Return how many rows the table may have, None for as many as it likes."""
        if self.parameters_of is None:
            return None
        return sum(make_layout(task, self.parameters_of, self.codebook, self.bandwidth).sizes)
