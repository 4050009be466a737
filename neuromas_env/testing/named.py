"""Finds what a name stands for, in a file or registered, and the check that it has to pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from neuromas_env.agents.engines.base import ENGINES
from neuromas_env.agents.engines.base import make_engine as make_by_name
from neuromas_env.agents.learners.base import Learner
from neuromas_env.agents.learners.names import LEARNERS
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.errors import InputError, unknown
from neuromas_env.policy import Engine, Policy
from neuromas_env.scripts import Script, blamed, parse_script
from neuromas_env.tasks import TASKS, Task, make_task
from neuromas_env.tasks.names import split_name
from neuromas_env.testing.engines import check_engine
from neuromas_env.testing.faults import tell
from neuromas_env.testing.learners import check_learner
from neuromas_env.testing.policies import check_policy
from neuromas_env.testing.tasks import check_task

Check = tuple[str, Callable[[], None]]
"""Kind of a thing, and what raises an InputError with a line for each of its faults."""


def find_checks(name: str, config: TrainConfig, on_model: bool = False) -> list[Check]:
    """Return a check of everything that has a name.

    Args:
        name: `path/file.py:Name`, or that of a task, learner or engine; with its parameters.
        config: Data of tasks, and what an engine is made of.
        on_model: Let learners learn on the adapters of the configuration's model, not on a table.

    Raises:
        InputError: There is no such thing, or it cannot be made.
    """
    with blamed():
        script = parse_script(name)
        if script is not None:
            return [_of_script(name, script, config, on_model)]
        return _registered(name, config, on_model)


def _registered(name: str, config: TrainConfig, on_model: bool) -> list[Check]:
    found: list[Check] = []
    if name.partition(":")[0].partition("/")[0] in TASKS:
        found.append(("task", _of_task(name, config)))
    if name in LEARNERS:
        found.append(("learner", _of_learner(LEARNERS.find(name), config, on_model)))
    if name in ENGINES:
        found.append(("engine", _of_engine(make_by_name(name, config.engine_options()))))
    if not found:
        raise unknown("task, learner or engine", name, (*TASKS, *LEARNERS, *ENGINES))
    return found


def _of_script(name: str, script: Script, config: TrainConfig, on_model: bool) -> Check:
    thing = script.load()
    if inspect.isclass(thing) and issubclass(thing, Learner):
        return "learner", _of_learner(thing, config, on_model)
    task = isinstance(thing, Task) or (inspect.isclass(thing) and issubclass(thing, Task))
    if callable(thing) and not task and not isinstance(thing, Policy | Engine):
        thing = _made(thing, script, config)
    if task or isinstance(thing, Task):
        return "task", _of_task(name, config)
    if isinstance(thing, Policy):
        return "policy", partial(check_policy, thing)
    if isinstance(thing, Engine):
        return "engine", _of_engine(thing)
    raise InputError(
        f"{script.name} must be a task, policy, learner or engine, or make one, not {thing!r:.80}"
    )


def _made(make: Callable[..., Any], script: Script, config: TrainConfig) -> Any:
    """Call a class or function with the parameters of the name, and what else it needs."""
    given: dict[str, Any] = split_name(f"{script.name}:{script.options}")[2]
    known = config.engine_options()
    accepted = inspect.signature(make).parameters
    rows: dict[str, Any] = {"data": config.data, "skip_bad_rows": True}
    given |= {key: value for key, value in rows.items() if key in accepted and key not in given}
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


def _of_task(name: str, config: TrainConfig) -> Callable[[], None]:
    """Return the check of a task, which names its broken rows unless they are to be left out."""
    task = make_task(name, config.data, skip_bad_rows=True)

    def broken() -> Sequence[str]:  # asked last, as tables are read when rows are
        return () if config.skip_bad_rows else task.skipped

    def check() -> None:
        try:
            check_task(task)
        except InputError as error:
            raise InputError("\n- ".join([str(error), *broken()])) from error
        tell(f"task {task.name!r}", broken())

    return check


def _of_engine(engine: Engine) -> Callable[[], None]:
    # In bfloat16 rounding depends on what else is in a batch, and so do a few replies.
    settings = engine.settings
    rounds = isinstance(settings, Mapping) and settings.get("dtype") == "bfloat16"
    return partial(check_engine, engine, exact=not rounds, tolerance=0.2 if rounds else 1e-2)


def _of_learner(learner: type[Learner], config: TrainConfig, on_model: bool) -> Callable[[], None]:
    def make() -> Engine:
        from neuromas_env.agents.training.api import make_engine

        return make_engine(config)

    def check() -> None:
        try:
            check_learner(learner, make if on_model else None)
        except InputError as error:
            if not on_model and "TrainableEngine" in str(error):
                raise InputError(
                    f"learner {learner.__name__} trains adapters: give it a model with --model"
                ) from error
            where = f"the model {config.model}" if on_model else "a table; --model gives a model"
            raise InputError(f"{error}\n(checked on {where})") from error

    return check
