"""Tasks for discrete networks, each with its known returns.

A question is a few small integers: `parts`, which are dealt to the input nodes, and a
`query`, which later nodes read. The answer is one integer, and the reward is 1 if the
output node's message is that integer, else 0. All questions of a task are equally likely.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np

from neuromas_env.checks import Count, arguments
from neuromas_env.errors import InputError, unknown
from neuromas_env.registry import Registry, built_in
from neuromas_env.tasks.names import full_name, split_name
from neuromas_env.topology import Topology

MAX_VALUES = 64
MAX_PARTS = 64
MAX_LISTED = 1_000_000
"""So many questions at most are listed one by one."""
Dtype = np.int16
"""Of parts, queries, messages and answers."""


@dataclass(frozen=True)
class Returns:
    """What a task on a network is worth, as expected reward of an episode: exact, or None.

    Attributes:
        optimal: Of the best joint policy, None where it is not known.
        random: Of uniformly random messages at every node.
        silent: Of the best policy whose output node hears nothing, None where there are too many
            questions to count it out.
    """

    optimal: float | None
    random: float
    silent: float | None

    def normalise(self, value: float) -> float:
        """Place a return on the scale where random is 0 and optimal is 1.

        Raises:
            InputError: The optimum is not known.
        """
        if self.optimal is None:
            raise InputError("a return is normalised by the optimum, which is not known here")
        return (value - self.random) / (self.optimal - self.random)


@arguments
@dataclass(frozen=True)
class DiscreteTask:
    """Independent uniform parts and query, and a rule that makes the answer of them.

    Attributes:
        name: With parameters, as `make_discrete_task` takes it.
        parts: How many values each part can take.
        query: How many values each number of the query can take.
        query_readers: Who reads the query: all nodes `later` than the input layer, or
            the `output` node alone. A network of one node reads everything.
        answers: How many different answers there are: 0 to `answers - 1`.
        rule: `(parts [n_parts, n], query [n_query, n])` to answers `[n]`.
    """

    name: str
    parts: tuple[Count, ...]
    query: tuple[Count, ...]
    query_readers: Literal["later", "output"]
    answers: Count
    rule: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw questions: integer arrays `parts [n_parts, n]` and `query [n_query, n]`."""
        parts, query = (
            np.stack([rng.integers(size, size=n, dtype=Dtype) for size in sizes])
            if len(set(sizes)) > 1
            else rng.integers(sizes[0], size=(len(sizes), n), dtype=Dtype)
            if sizes
            else np.empty((0, n), Dtype)
            for sizes in (self.parts, self.query)
        )
        return parts, query

    def every(self) -> tuple[np.ndarray, np.ndarray]:
        """Return every question once, in the form of `draw`.

        Raises:
            InputError: There are more than `MAX_LISTED`.
        """
        self._check_few()
        places = np.unravel_index(np.arange(self.questions()), self.parts + self.query)
        table = np.stack(places).astype(Dtype)
        return table[: len(self.parts)], table[len(self.parts) :]

    def questions(self) -> int:
        """How many different questions there are."""
        return prod(self.parts) * prod(self.query)

    def _check_few(self) -> None:
        if self.questions() > MAX_LISTED:
            raise InputError(
                f"task {self.name} has {self.questions():.1e} questions, too many to list: at most "
                f"{MAX_LISTED:,} can be; draw some of them, or take a smaller task"
            )

    def returns(self, topology: Topology, messages: int) -> Returns:
        """Work out the known returns on a network whose nodes choose between `messages`.

        Of a rule that says nothing more, the optimum is known for one node alone, which sees
        everything. An output node that hears nothing gives the most frequent answer to the query.
        """
        if len(topology) == 1:
            return Returns(1.0, 1 / messages, 1.0)
        if self.questions() > MAX_LISTED:
            return Returns(None, 1 / messages, None)
        parts, query = self.every()
        answers = self.rule(parts, query).astype(np.int64)
        seen = np.unique(query, axis=1, return_inverse=True)[1].ravel() if len(query) else 0
        counts = np.bincount(seen * self.answers + answers, minlength=self.answers)
        counts.resize(-(-len(counts) // self.answers), self.answers)
        return Returns(None, 1 / messages, float(counts.max(1).sum() / len(answers)))


_BUILT_IN = {
    "relay": ("families:relay", "repeat what the input node was shown"),
    "xor": ("families:xor", "the exclusive or of two bits"),
    "parity": ("families:parity", "the parity of all bits"),
    "modsum": ("families:modsum", "the sum of all parts, modulo"),
    "lewis": ("families:lewis", "which candidate the senders were shown"),
    "routing": ("families:routing", "the value of the one leaf that the query names"),
    "index": ("families:index", "the bit at a place that another node knows"),
    "knockout": (
        "families:knockout",
        "which of rock, paper and scissors wins a knock-out of the leaves",
    ),
}
DISCRETE_TASKS: Registry[Callable[..., DiscreteTask]] = Registry(
    "discrete task", "neuromas_env.discrete_tasks", built_in(__package__, _BUILT_IN)
)


@arguments
def register_discrete_task(
    name: str, make: Callable[..., DiscreteTask] | None = None, *, about: str = ""
) -> Any:
    """Make a family of discrete tasks known under a name, in this process.

    Packages do it by the entry point group `neuromas_env.discrete_tasks`.

    Args:
        name: A plain word that no discrete task of this project has.
        make: Takes the task's full name and then its integer parameters, by keyword and with
            defaults; returns the task. Left out, what comes back is a decorator.
        about: One line for lists; by default the first line of the docstring.

    Raises:
        InputError: The name is no plain word, or is one of this project's.
    """
    return DISCRETE_TASKS.register(name, make, about=about)


def list_discrete_tasks() -> dict[str, str]:
    """Names of the families and what the answer is; without packages' own, with parameters."""
    listed = {}
    for name, about in DISCRETE_TASKS.abouts().items():
        defaults = _parameters(name) if name in DISCRETE_TASKS.built_in else {}
        listed[full_name(name, defaults, dict.fromkeys(defaults))] = about
    return listed


def _parameters(family: str) -> dict[str, Any]:
    """The parameters of a family, with their defaults."""
    first, *rest = inspect.signature(DISCRETE_TASKS.find(family)).parameters.values()
    return {parameter.name: parameter.default for parameter in rest}


@arguments
def make_discrete_task(task: str | DiscreteTask) -> DiscreteTask:
    """Build a task from a name such as `parity:bits=8`.

    Raises:
        InputError: The family or a parameter is unknown, or a value is out of range.
    """
    if isinstance(task, DiscreteTask):
        return task
    family, variant, given = split_name(str(task))
    if variant or family not in DISCRETE_TASKS:
        raise unknown("discrete task", f"{family}/{variant}" if variant else family, DISCRETE_TASKS)
    defaults = _parameters(family)
    for key in given:
        if key not in defaults:
            raise unknown(f"parameter of task {family}", key, defaults)
    values = defaults | given
    name = full_name(family, values, defaults)
    made = DISCRETE_TASKS.find(family)(name, **values)
    if not isinstance(made, DiscreteTask):
        raise InputError(
            f"task {name!r}: its function must return a DiscreteTask, got {made!r:.80}"
        )
    return made


def check_question(task: DiscreteTask, numbers: Sequence[int]) -> np.ndarray:
    """Check the numbers of one question, parts before query, and return them as an array.

    Raises:
        InputError: There are too many or too few, or one is out of its range.
    """
    sizes = task.parts + task.query
    try:
        values = np.asarray(numbers)
    except ValueError:
        values = np.zeros((2, 2))
    fits = values.shape == (len(sizes),) and values.dtype.kind in "iu"
    if not fits or (values < 0).any() or (values >= sizes).any():
        ranges = ", ".join(f"0..{size - 1}" for size in sizes)
        raise InputError(f"a question of task {task.name} is integers in {ranges}; not {numbers!r}")
    return values.astype(Dtype)
