"""The command `neuromas check`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console

from neuromas_env.agents.engines.base import ENGINES
from neuromas_env.agents.engines.base import make_engine as make_by_name
from neuromas_env.agents.learners.base import LEARNERS, Learner
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.cli.options import config_options
from neuromas_env.errors import InputError, unknown
from neuromas_env.policy import Engine, Policy
from neuromas_env.scripts import Script, parse_script
from neuromas_env.tasks import TASKS, Task, make_task
from neuromas_env.tasks.names import split_name
from neuromas_env.testing import check_engine, check_learner, check_policy, check_task
from neuromas_env.text import visible

EXAMPLES = (
    "neuromas check mine.py:Mine",
    "neuromas check mine.py:sums:most=9",
    "neuromas check hierarchy/max",
)

Check = Callable[[], None]
"""Raises an InputError with a line for each fault."""


@config_options(
    TrainConfig, "data", "skip_bad_rows", "model", "dtype", "device", model="of an engine; a table"
)
def check(
    what: Annotated[
        str,
        typer.Argument(
            help="file.py:Name of your own, or a name of `neuromas list`; with its parameters"
        ),
    ],
    **given: Any,
) -> None:
    """Check that a task, policy, learner or engine keeps its contract.

    Says everything that is wrong, and then ends with 1. A learner learns on a table, or on the
    adapters of --model if that is given.
    """
    options = {name: value for name, value in given.items() if value is not None}
    config = TrainConfig.from_mapping(options)
    script = parse_script(what)
    found = _registered(what, config, "model" in options) if script is None else None
    checks = [_of_script(script, config, "model" in options)] if script else found or []
    faults = False
    for kind, test in checks:
        try:
            test()
            said = f"{kind} {what}: no faults"
        except InputError as error:
            said, faults = str(error), True
        Console().print(visible(said), markup=False, highlight=False, soft_wrap=True)
    if faults:
        raise typer.Exit(1)


def _registered(what: str, config: TrainConfig, on_model: bool) -> list[tuple[str, Check]]:
    """Return a check of each kind of thing that has the name."""
    family = what.partition(":")[0]
    found: list[tuple[str, Check]] = []
    if family.partition("/")[0] in TASKS:
        found.append(("task", partial(check_task, _task(what, config))))
    if what in LEARNERS:
        found.append(("learner", _of_learner(LEARNERS.find(what), config, on_model)))
    if what in ENGINES:
        found.append(("engine", partial(check_engine, make_by_name(what, config.engine_options()))))
    if not found:
        raise unknown("name", what, [*TASKS, *LEARNERS, *ENGINES])
    return found


def _of_script(script: Script, config: TrainConfig, on_model: bool) -> tuple[str, Check]:
    name = f"{script.name}:{script.options}" if script.options else script.name
    thing = script.load()
    if inspect.isclass(thing) and issubclass(thing, Learner):
        return "learner", _of_learner(thing, config, on_model)
    task = isinstance(thing, Task) or (inspect.isclass(thing) and issubclass(thing, Task))
    if callable(thing) and not task and not isinstance(thing, Policy | Engine):
        thing = _call(thing, script, config)
    if task or isinstance(thing, Task):
        return "task", partial(check_task, _task(name, config))
    if isinstance(thing, Policy):
        return "policy", partial(check_policy, thing)
    if isinstance(thing, Engine):
        return "engine", partial(check_engine, thing)
    raise InputError(
        f"{script.name} must be a task, policy, learner or engine, or make one, not {thing!r:.80}"
    )


def _call(make: Callable[..., Any], script: Script, config: TrainConfig) -> Any:
    """Call a class or function with the parameters of the name, and what else it needs."""
    given: dict[str, Any] = split_name(f"{script.name}:{script.options}")[2]
    known = config.engine_options()
    accepted = inspect.signature(make).parameters
    for key in given:
        if key not in accepted:
            raise unknown(f"parameter of {script.name}:", key, accepted)
    for key, parameter in accepted.items():
        variable = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if variable or key in given or parameter.default is not parameter.empty:
            continue
        if key not in known:
            raise InputError(f"{script.name} needs {key!r}, as in {script.name}:{key}=VALUE")
        given[key] = known[key]
    return make(**given)


def _task(name: str, config: TrainConfig) -> Task:
    return make_task(name, config.data, skip_bad_rows=config.skip_bad_rows)


def _of_learner(learner: type[Learner], config: TrainConfig, on_model: bool) -> Check:
    def make() -> Engine:
        from neuromas_env.agents.training.api import make_engine

        return make_engine(config)

    def check() -> None:
        try:
            check_learner(learner, make if on_model else None)
        except InputError as error:
            where = f"the model {config.model}" if on_model else "a table; --model gives a model"
            raise InputError(f"{error}\n(checked on {where})") from error

    return check
