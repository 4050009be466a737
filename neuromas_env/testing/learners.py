"""Check a learner."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from neuromas_env.agents.engines.base import TrainableEngine
from neuromas_env.agents.learners.base import OWN_OPTIONS, Learner
from neuromas_env.agents.learners.tabular import TabularEngine
from neuromas_env.agents.llm import llm_network
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.errors import InputError
from neuromas_env.policy import Engine, Sampling, Trajectory
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task
from neuromas_env.testing.faults import equal, guarded, short, tell
from neuromas_env.topology import Topology

_TOPOLOGY, _ROUNDS = Topology.parse("2-1"), Topology.parse("2-1:rounds=2")
_FLAGS = ("deals_parts", "own_advantages", "grows", "rounds", "warms_up")
_PLAIN = (str, int, float, bool, type(None))
"""What a checkpoint holds besides tensors, tables and lists."""


def check_learner(
    learner: type[Learner],
    make_engine: Callable[[], Engine] | None = None,
    config: Any = None,
) -> None:
    """Check that a learner keeps its contract, and say everything that is wrong with it.

    What the class declares is checked first: its flags, its `options`, and that `check` refuses the
    options of other learners alone. It learns twice from eight episodes of the network `2-1` on
    `signal`. Between the two, another one of its class takes its state over; both must then do the
    same. One that declares `rounds` also learns from episodes of two rounds.

    Args:
        learner: A subclass of `Learner`.
        make_engine: Makes the engine whose adapters it trains, by default a `TabularEngine`,
            which needs no torch.
        config: A training configuration, by default `TrainConfig()`.

    Raises:
        InputError: Something is wrong; the message has one line for each fault.
    """
    engine = (make_engine or (lambda: TabularEngine("ABCD")))()
    if isinstance(engine, TrainableEngine):
        for number, node in enumerate(_TOPOLOGY.nodes):
            if node not in engine.adapters.names:
                engine.adapters.add(node, seed=number)
    options = TrainConfig(topology="2-1") if config is None else config
    name = f"learner {getattr(learner, '__name__', learner)}"
    if not (isinstance(learner, type) and issubclass(learner, Learner)):
        tell(name, ["it must be a subclass of neuromas_env.Learner"])

    def again() -> tuple[Learner, Engine]:
        twin = _twin(engine, make_engine)
        return learner.make(twin, _TOPOLOGY.nodes, options), twin

    def faults() -> Iterator[str]:
        yield from _faults(learner.make(engine, _TOPOLOGY.nodes, options), engine, again)

    declared = guarded("check()", lambda: _declared(learner, options))
    tell(name, [*declared, *guarded("learning", faults)])


def _declared(learner: type[Learner], config: Any) -> Iterator[str]:
    """Yield what is wrong with the attributes of a class and with what it refuses."""
    for name in _FLAGS:
        if not isinstance(value := getattr(learner, name), bool):
            yield f"{name} must be True or False, not {short(value)}"
    if not callable(learner.prompt):
        yield f"prompt must be a function, not {short(learner.prompt)}"
    options = learner.options
    if not isinstance(options, tuple | list | set | frozenset):
        yield f"options must be a tuple of names such as ('gamma',), not {short(options)}"
        return
    for name in options:
        if name not in OWN_OPTIONS:
            yield f"options must be of {', '.join(OWN_OPTIONS)}, not {short(name)}"
    if not isinstance(config, TrainConfig) or _refused(learner, config):
        return
    for name in OWN_OPTIONS:
        refused = _refused(learner, replace(config, **{name: _another(getattr(config, name))}))
        if refused and name in options:
            yield f"check() refuses {name}, which options has"
        elif not refused and name not in options:
            yield f"check() must refuse {name}, which options lacks; call super().check(config)"


def _refused(learner: type[Learner], config: TrainConfig) -> bool:
    try:
        learner.check(config)
    except InputError:
        return True
    return False


def _another(value: Any) -> Any:
    """Return another value than that of an option."""
    if isinstance(value, bool):
        return not value
    return value / 2 if value else 1


def _faults(
    learner: Learner, engine: Engine, again: Callable[[], tuple[Learner, Engine]]
) -> Iterator[str]:
    yield from _metrics(learner.update(_episodes(engine, 0)))
    state = learner.state_dict()
    if not isinstance(state, dict):
        yield f"state_dict() must return a dict, not {short(state)}"
        return
    yield from _unstorable(state, "state_dict()")
    kept = deepcopy(state)
    other, twin = again()
    other.load_state_dict(deepcopy(kept))
    if not equal(other.state_dict(), kept):
        yield "state_dict() is not what load_state_dict() was given"
    metrics, found = learner.update(_episodes(engine, 1)), other.update(_episodes(twin, 1))
    yield from _metrics(metrics)
    if not equal(_unclocked(metrics), _unclocked(found)):
        yield f"load_state_dict() loses something: it learns {short(found)}, not {short(metrics)}"
    elif not equal(learner.state_dict(), other.state_dict()):
        yield "after load_state_dict() and one more update the states differ"
    if learner.rounds:
        yield from _metrics(learner.update(_episodes(engine, 2, _ROUNDS)))
    if learner.grows:
        grown = learner.grow({node: node for node in _TOPOLOGY.nodes})
        if not equal(grown, learner.state_dict()):
            yield "grow() of every node to itself is not state_dict()"


def _unclocked(metrics: Any) -> Any:
    """Metrics but for seconds, which a clock says."""
    if not isinstance(metrics, Mapping):
        return metrics
    return {name: value for name, value in metrics.items() if not str(name).endswith("seconds")}


def _episodes(engine: Engine, seed: int, shape: Topology = _TOPOLOGY) -> list[Trajectory]:
    task = make_task("signal")
    network = llm_network(shape, task, engine, Sampling(1.0, 4))
    runs = run_episodes(network, task, task.examples("train")[:4], seed=seed, rollouts=2)
    # A model that has learned nothing earns nothing, and equal rewards teach nothing.
    return [replace(run, reward=float(i % 2)) for i, run in enumerate(runs)]


def _twin(engine: Engine, make_engine: Callable[[], Engine] | None) -> Engine:
    """Return another engine with the same weights."""
    if make_engine is None or not isinstance(engine, TrainableEngine):
        return deepcopy(engine)
    twin = make_engine()
    assert isinstance(twin, TrainableEngine)
    with TemporaryDirectory() as folder:
        for node in _TOPOLOGY.nodes:
            engine.adapters.save(node, Path(folder) / node)
            if node not in twin.adapters.names:
                twin.adapters.add(node, seed=0)
            twin.adapters.load(node, Path(folder) / node)
    return twin


def _metrics(metrics: Any) -> Iterator[str]:
    if not isinstance(metrics, Mapping):
        yield f"update() must return metrics by name, not {short(metrics)}"
        return
    for name, value in metrics.items():
        if not isinstance(name, str) or type(value) is not float or not math.isfinite(value):
            yield f"a metric is a finite float with a name, not {short(name)}: {short(value)}"


def _unstorable(value: Any, place: str) -> Iterator[str]:
    """Yield what a checkpoint could not hold."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _unstorable(inner, f"{place}[{key!r}]")
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _unstorable(inner, f"{place}[...]")
    elif type(value) not in _PLAIN and not type(value).__module__.startswith("torch"):
        yield (
            f"{place} must be a number, text, list, dict or torch tensor, as checkpoints hold "
            f"them, not {short(value)}"
        )
