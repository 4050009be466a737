"""The options with which a discrete network is trained."""

from __future__ import annotations

from dataclasses import dataclass

from neuromas_env.agents.learners.names import read_terms
from neuromas_env.agents.tables.growth import INITS
from neuromas_env.agents.tables.registry import find_algorithm, gradient_options
from neuromas_env.agents.training.config import TrainConfig, read_schedule
from neuromas_env.config import Options, inherited, option
from neuromas_env.envs.discrete.layout import Layout, make_layout
from neuromas_env.envs.discrete.levels import LEVELS
from neuromas_env.errors import InputError
from neuromas_env.topology import Topology

STARTS = ("uniform", "noise", "repeat", "own")
CREDITS = ("shared", "leave_one_node_out")
EVALUATED, EVALUATED_ON = ("evenly", "relatively"), ("validation", "all")
_NETWORK = ("topology", "codebook", "bandwidth", "schedule")


@dataclass(frozen=True)
class DiscreteOptions(Options):
    """How a discrete network is trained; each field's `metadata["help"]` says what it is."""

    topology: str = inherited(TrainConfig, "topology")
    codebook: int | None = option(
        None, "number of symbols; by default as many as the task has answers", low=1
    )
    bandwidth: int = option(1, "symbols per message", low=1)
    learner: str = option("REINFORCE, leave-one-out", "algorithm, see: neuromas list algorithms")
    credit: str = option(
        "shared",
        "shared leaves it to the learner; leave_one_node_out compares each episode with those in "
        "which one node says anything at random and what follows is played again",
        choices=CREDITS,
    )
    updates: int = option(200, "batches to train on", low=0)
    questions: int = option(64, "random questions of a batch", low=1)
    rollouts: int = option(8, "episodes of each question", low=1)
    schedule: str | None = option(
        None,
        "grow while training, such as '2-1:100, 2-2-1:100'; replaces topology and updates",
    )
    grow_init: str = option("zero", "how new nodes start", choices=INITS)
    parameters_of: str | None = option(
        None,
        "a network that has as many parameters: a smaller number of rows than this one's "
        "observations is shared by them at random, so that the table is as large",
        also=int,
    )
    shared: bool = option(
        False,
        "nodes that see the same sort of things share one table, so that none can tell which one "
        "it is",
    )
    start: str = option(
        "uniform",
        "tables start uniform, as noise, with a bias to repeat what a node reads first, a role "
        "written by hand, or as the algorithm's own",
        choices=STARTS,
    )
    shaping: str = inherited(TrainConfig, "shaping")
    evaluated: str = option(
        "evenly",
        "twenty times evenly spread, or relatively: whenever there were a twentieth more updates, "
        "so that it is known to 5 % when a score was reached",
        choices=EVALUATED,
    )
    evaluated_on: str = option(
        "validation", "these questions, or all where no test questions are asked",
        choices=EVALUATED_ON,
    )  # fmt: skip
    stream: int = option(
        1,
        "which stream of random numbers draws questions and messages, so that studies of the same "
        "seeds need not share them",
        low=1,
    )

    def validate(self) -> None:
        """Check the values.

        Raises:
            InputError: A value is out of range, or two options do not fit together.
        """
        super().validate()
        read_terms(self.shaping)
        find_algorithm(self.learner)
        if self.credit != "shared" and gradient_options(self.learner) is None:
            raise InputError(
                f"credit must be 'shared' for {self.learner}, which is no policy gradient, got "
                f"{self.credit!r}"
            )
        self.stages()

    def stages(self) -> list[tuple[Topology, int]]:
        """Return the networks of the run with their numbers of updates.

        Raises:
            InputError: The topology or the schedule cannot be read.
        """
        if self.schedule is None:
            return [(Topology.parse(self.topology), self.updates)]
        return read_schedule(self.schedule)

    def layouts(self, task: str) -> list[tuple[Layout, int]]:
        """Return the networks of the run on a task, or the one of a level.

        Raises:
            InputError: They do not fit the task.
        """
        if task in LEVELS:
            if any(getattr(self, key) != getattr(DiscreteOptions, key) for key in _NETWORK):
                raise InputError(f"level {task} has a network of its own: no {', '.join(_NETWORK)}")
            found = [(make_layout(**LEVELS[task]), self.updates)]
        else:
            found = [
                (make_layout(task, topology, self.codebook, self.bandwidth), updates)
                for topology, updates in self.stages()
            ]
        rounds = max(layout.topology.rounds for layout, _ in found)
        if rounds > 1 and self.credit != "shared":
            raise InputError(f"credit {self.credit} is for networks of one round, got {rounds}")
        return found

    def rows(self, task: str) -> int | None:
        """Return how many rows the table may have, None for as many as it likes."""
        if self.parameters_of is None:
            return None
        return sum(make_layout(task, self.parameters_of, self.codebook, self.bandwidth).sizes)
