"""Tasks by name.

A name is `family/variant:parameter=value,...`, such as `arc/challenge`,
`bbh/navigate` or `hierarchy/max:leaves=4,parts=2`. `register_task` adds a family in code,
other packages do by the entry point group `neuromas_env.tasks`: the entry's name is the family,
its value a callable that returns a `Task`. Where the callable has a parameter
`variant` it is given what follows the slash, where it has `data` the data folder, where it
has `skip_bad_rows` whether broken rows are to be left out.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from os import PathLike
from typing import Any

from neuromas_env.errors import InputError, unknown
from neuromas_env.tasks.base import SPLITS, Example, Score, Task
from neuromas_env.tasks.names import full_name, split_name
from neuromas_env.tasks.sources import Source

__all__ = ["SPLITS", "Example", "Score", "Task", "list_tasks", "make_task", "register_task"]

GROUP = "neuromas_env.tasks"


@dataclass(frozen=True)
class _Family:
    """A family of tasks.

    `variants` may name a function of the data folder: variant to description. `versions`
    says of v0, v1, ... what changed in questions or scores.
    """

    factory: str
    about: str
    variants: tuple[str, ...] | str = ("",)
    needs_data: bool = False
    versions: tuple[str, ...] = ("first version",)

    def names(self, family: str, data: str | PathLike[str] | None) -> dict[str, str]:
        found = self.variants
        abouts = _load(found)(data) if isinstance(found, str) else dict.fromkeys(found, self.about)
        return {f"{family}/{v}" if v else family: about for v, about in abouts.items()}


def _load(path: str) -> Callable[..., Any]:
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)


_FAMILIES = {
    "arc": _Family(
        "neuromas_env.tasks.arc:Arc",
        "ARC: grade-school science questions with three to five options",
        variants=("challenge", "easy"),
        needs_data=True,
    ),
    "bbh": _Family(
        "neuromas_env.tasks.bbh:Bbh",
        "BIG-bench Hard, one of its tables",
        variants="neuromas_env.tasks.bbh:variants",
        needs_data=True,
    ),
    "gsm8k": _Family(
        "neuromas_env.tasks.gsm8k:Gsm8k",
        "GSM8K: grade-school word problems, answered with a number",
        needs_data=True,
    ),
    "hierarchy": _Family(
        "neuromas_env.tasks.hierarchy:Hierarchy",
        "trees of operations over small values, whole or dealt in parts; needs no data",
        variants=tuple("max minimax median select modsum arith parity bool nav swap".split()),
    ),
    "mmlu": _Family(
        "neuromas_env.tasks.mmlu:Mmlu",
        "MMLU: four-option questions of one subject, a group of subjects or all",
        variants="neuromas_env.tasks.mmlu:variants",
        needs_data=True,
    ),
    "humaneval": _Family(
        "neuromas_env.tasks.humaneval:HumanEval",
        "HumanEval: complete a Python function; trained on MBPP",
        needs_data=True,
    ),
    "mbpp": _Family(
        "neuromas_env.tasks.mbpp:Mbpp",
        "MBPP: short Python functions from a sentence",
        needs_data=True,
    ),
    "signal": _Family(
        "neuromas_env.tasks.signal:Signal",
        "Lewis signalling: say which symbol a sender was shown; needs no data",
    ),
}


_registered: dict[str, Callable[..., Task]] = {}


def register_task(name: str, make: Callable[..., Task] | None = None) -> Callable[..., Any]:
    """Make a family of tasks known under a name, in this process.

    Args:
        name: What stands before the slash, such as `capitals`.
        make: Returns a task; parameters as for the entry points. Left out, what comes
            back is a decorator of a class or a function.

    Raises:
        InputError: The name is no plain word, or is one of this project's.
    """
    if not re.fullmatch(r"[\w.-]+", name) or name in _FAMILIES:
        taken = "is a task of neuromas-env" if name in _FAMILIES else "is not a plain word"
        raise InputError(f"a task cannot be registered as {name!r}, which {taken}")
    if make is None:
        return partial(register_task, name)
    _registered[name] = make
    return make


def _plugins() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def list_tasks(
    needs_data: bool | None = None, data: str | PathLike[str] | None = None
) -> dict[str, str]:
    """Return name and one-line description of every registered task.

    Args:
        needs_data: True or False keeps only the tasks of this project that do or do
            not need benchmark rows; None keeps all, those of other packages included.
        data: Data folder; the tables and subjects that it holds are listed, without one
            those that are published.
    """
    tasks = {
        name: about
        for key, family in _FAMILIES.items()
        if needs_data in (None, family.needs_data)
        for name, about in family.names(key, data).items()
    }
    if needs_data is None:
        for name, make in _registered.items():
            tasks[name] = (inspect.getdoc(make) or "registered in code").partition("\n")[0]
        for name, entry in _plugins().items():
            package = f" of the package {entry.dist.name}" if entry.dist else ""
            tasks.setdefault(name, f"{entry.value}{package}")
    return tasks


def _factory(family: str, name: str) -> Callable[..., Task]:
    if family in _FAMILIES:
        return _load(_FAMILIES[family].factory)
    if family in _registered:
        return _registered[family]
    plugins = _plugins()
    if family not in plugins:
        raise unknown("task", name, list_tasks())
    try:
        return plugins[family].load()
    except Exception as error:
        raise InputError(
            f"task {name!r}: the plug-in {plugins[family].value} does not load: {error!r}"
        ) from error


def task_tables(name: str) -> list[Source]:
    """Return the tables of benchmark rows that a task, or a whole family, reads.

    Raises:
        InputError: The task is unknown.
    """
    family, variant, _ = split_name(name)
    names = (*list_tasks(), *_FAMILIES)
    if f"{family}/{variant}".rstrip("/") not in names:
        raise unknown("task", name, names)
    if family not in _FAMILIES or not _FAMILIES[family].needs_data:
        return []
    return _load(f"{_FAMILIES[family].factory.partition(':')[0]}:tables")(variant)


def make_task(
    name: str | Task,
    data: str | PathLike[str] | None = None,
    *,
    skip_bad_rows: bool = False,
    **params: object,
) -> Task:
    """Return the task of a name; a `Task` object passes through unchanged.

    The task's `name` is the one asked for, with the parameters that differ from their defaults.

    Args:
        name: Such as `hierarchy/max:leaves=4`.
        data: Folder with benchmark rows, for the tasks that need some.
        skip_bad_rows: Leave broken rows out, which `Task.skipped` then names.
        **params: Parameters of the task, instead of or beside those in the name.

    Raises:
        InputError: The task, one of its parameters or a value is unknown.
    """
    if isinstance(name, Task):
        if params:
            raise InputError(f"task {name.name} is made already; it takes no {', '.join(params)}")
        return name
    family, variant, named = split_name(name)
    factory = _factory(family, name)
    if both := named.keys() & params.keys():
        raise InputError(f"task {name!r}: {', '.join(sorted(both))} is given twice")
    accepted = dict(inspect.signature(factory).parameters)
    takes_variant = accepted.pop("variant", None)
    settings = {"data": data, "skip_bad_rows": skip_bad_rows}
    settings = {key: value for key, value in settings.items() if accepted.pop(key, None)}
    if not variant and takes_variant and takes_variant.default is takes_variant.empty:
        raise unknown("task", name, list_tasks())
    if variant and not takes_variant:
        raise unknown("task", name, list_tasks())
    for key in (*named, *params):
        if not accepted:
            raise InputError(f"task {name!r} takes no parameters, so no {key!r}")
        if key not in accepted:
            raise unknown(f"parameter of task {family!r}:", key, accepted)
    given = {"variant": variant} if variant else {}
    task = factory(**given, **settings, **named, **params)
    if family in _FAMILIES:
        return task
    asked = named | params
    defaults = {key: accepted[key].default for key in accepted if key in asked}
    asked = {key: asked[key] for key in defaults}  # in one order, whatever that of the request
    return _identified(task, full_name(f"{family}/{variant}".rstrip("/"), asked, defaults))


def _identified(task: Any, name: str) -> Task:
    """Return a task under the name by which it was asked for.

    Stores and runs know a task by its name. One that its author sets may leave out a parameter,
    and two different tasks would then pass for one.
    """
    if not isinstance(task, Task):
        raise InputError(f"task {name!r}: its function must return a Task, got {task!r:.80}")
    if getattr(task, "name", None) != name:
        task = copy(task)  # it may be one that its function keeps
        try:
            task.name = name
        except AttributeError as error:
            raise InputError(f"task {name!r}: its name cannot be set: {error}") from error
    return task
