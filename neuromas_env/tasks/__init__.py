"""Tasks by name.

A name is `family/variant:parameter=value,...`, such as `arc/challenge`,
`bbh/navigate` or `hierarchy/max:leaves=4,parts=2`, or a name in a Python file of one's own,
`path/file.py:Name:parameter=value,...`. `register_task` adds a family in code,
other packages do by the entry point group `neuromas_env.tasks`: the entry's name is the family,
its value a callable that returns a `Task`. Where the callable has a parameter
`variant` it is given what follows the slash, where it has `data` the data folder, where it
has `skip_bad_rows` whether broken rows are to be left out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from neuromas_env.checks import arguments
from neuromas_env.errors import InputError, unknown
from neuromas_env.registry import BuiltIn, Registry
from neuromas_env.scripts import Script, blamed, parse_script
from neuromas_env.tasks.base import SPLITS, Example, Score, Task
from neuromas_env.tasks.interactive import InteractiveTask, Response
from neuromas_env.tasks.names import full_name, split_name
from neuromas_env.tasks.readers.form import Form
from neuromas_env.tasks.sources import Source, data_folder, file_in

__all__ = [
    "SPLITS",
    "Example",
    "Form",
    "InteractiveTask",
    "Response",
    "Score",
    "Task",
    "list_tasks",
    "make_task",
    "register_task",
]


@dataclass(frozen=True)
class _Family(BuiltIn):
    """A family of tasks.

    `variants` may name a function of the data folder: variant to description. `versions`
    says of v0, v1, ... what changed in questions or scores.
    """

    variants: tuple[str, ...] | str = ("",)
    needs_data: bool = False
    versions: tuple[str, ...] = ("first version",)

    def names(self, family: str, data: str | PathLike[str] | None) -> dict[str, str]:
        if isinstance(self.variants, str):
            abouts = resolve_name(self.variants)(data)
        else:
            abouts = dict.fromkeys(self.variants, self.about)
        return {f"{family}/{v}" if v else family: about for v, about in abouts.items()}


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
    "code": _Family(
        "neuromas_env.tasks.repair:make_repair",
        "code that is repaired by what the question's examples return",
        variants="neuromas_env.tasks.repair:variants",
        needs_data=True,
    ),
    "games": _Family(
        "neuromas_env.tasks.games:make_game",
        "games of several rounds, answered after each; needs no data",
        variants="neuromas_env.tasks.games:variants",
    ),
    "gsm8k": _Family(
        "neuromas_env.tasks.gsm8k:Gsm8k",
        "GSM8K: grade-school word problems, answered with a number",
        needs_data=True,
    ),
    "hierarchy": _Family(
        "neuromas_env.tasks.hierarchy:Hierarchy",
        "trees of operations over small values, whole or dealt in parts; needs no data",
        variants="neuromas_env.tasks.hierarchy:variants",
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


TASKS: Registry[Callable[..., Task]] = Registry("task", "neuromas_env.tasks", _FAMILIES)


@arguments
def register_task(name: str, make: Callable[..., Task] | None = None, *, about: str = "") -> Any:
    """Make a family of tasks known under a name, in this process.

    Args:
        name: What stands before the slash, such as `capitals`.
        make: Returns a task; parameters as for the entry points. Left out, what comes
            back is a decorator of a class or a function.
        about: One line for lists; by default the first line of the docstring.

    Raises:
        InputError: The name is no plain word, or is one of this project's.
    """
    return TASKS.register(name, make, about=about)


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
    folder = None if data is None else data_folder(data)
    tasks = {
        name: about
        for key, family in _FAMILIES.items()
        if needs_data in (None, family.needs_data)
        for name, about in family.names(key, data).items()
        if folder is None or _holds(folder, key, name)
    }
    if needs_data is None:
        tasks |= {name: about for name, about in TASKS.abouts().items() if name not in _FAMILIES}
    return tasks


def _holds(folder: Path, family: str, name: str) -> bool:
    """Whether a data folder has rows of a task's own; its examples may lie in other tables."""
    tables = _tables(family, split_name(name)[1])
    own = [table for table in tables if table.path.startswith(f"{family}/")] or tables
    return not tables or any(file_in(folder, table) for table in own)


def _names() -> list[str]:
    """Return the names of all tasks; no package is imported for them."""
    own = [name for key, family in _FAMILIES.items() for name in family.names(key, None)]
    return [*own, *(name for name in TASKS if name not in _FAMILIES)]


def task_tables(name: str) -> list[Source]:
    """Return the tables of benchmark rows that a task, or a whole family, reads.

    Raises:
        InputError: The task is unknown.
    """
    family, variant, _ = split_name(name)
    names = (*_names(), *_FAMILIES)
    if f"{family}/{variant}".rstrip("/") not in names:
        raise unknown("task", name, names)
    return _tables(family, variant)


def _tables(family: str, variant: str) -> list[Source]:
    if family not in _FAMILIES or not _FAMILIES[family].needs_data:
        return []
    module, _, _ = _FAMILIES[family].path.partition(":")
    return resolve_name(f"{module}:tables")(variant)


@arguments
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
        name: Such as `hierarchy/max:leaves=4`, or `path/file.py:Name` for a task, or a class or
            function that makes one, in a file of one's own.
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
    script = parse_script(name)
    if script is None and family not in TASKS:
        raise unknown("task", name, _names())
    factory = TASKS.find(family) if script is None else _factory(script)
    if both := named.keys() & params.keys():
        raise InputError(f"task {name!r}: {', '.join(sorted(both))} is given twice")
    accepted = dict(inspect.signature(factory).parameters)
    takes_variant = accepted.pop("variant", None)
    settings = {"data": data, "skip_bad_rows": skip_bad_rows}
    settings = {key: value for key, value in settings.items() if accepted.pop(key, None)}
    needs_variant = takes_variant and takes_variant.default is takes_variant.empty
    if needs_variant and not variant or variant and not takes_variant:
        raise unknown("task", name, _names())
    for key in (*named, *params):
        if not accepted:
            raise InputError(f"task {name!r} takes no parameters, so no {key!r}")
        if key not in accepted:
            raise unknown(f"parameter of task {family!r}:", key, accepted)
    given = ({"variant": variant} if variant else {}) | settings | named | params
    if missing := [key for key, one in accepted.items() if _needed(one) and key not in given]:
        raise InputError(f"task {name!r} needs {missing[0]!r}, as in {name}:{missing[0]}=VALUE")
    with blamed():
        task = factory(**given)
    if family in _FAMILIES:
        return task
    asked = named | params
    defaults = {key: accepted[key].default for key in accepted if key in asked}
    asked = {key: asked[key] for key in defaults}  # in one order, whatever that of the request
    task = _identified(task, full_name(f"{family}/{variant}".rstrip("/"), asked, defaults))
    if script is not None:
        task.origins = {**task.origins, script.file: f"sha256:{script.digest}"}
    return task


def _factory(script: Script) -> Callable[..., Task]:
    """Return what makes the task of a user's file, which may be the task itself."""
    found = script.load()
    if isinstance(found, Task):
        return lambda: found
    if not callable(found):
        raise InputError(
            f"task {script.name!r} must be a task, or a class or function that makes "
            f"one, not {found!r:.80}"
        )
    return found


def _needed(parameter: inspect.Parameter) -> bool:
    variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not variable


def _identified(task: Any, name: str) -> Task:
    """Return a task under the name by which it was asked for.

    Stores and runs know a task by its name. One that its author sets may leave out a parameter,
    and two different tasks would then pass for one.
    """
    if not isinstance(task, Task):
        raise InputError(f"task {name!r}: its function must return a Task, got {task!r:.80}")
    task = copy(task)  # it may be one that its function keeps
    if task.name != name:
        try:
            task.name = name
        except AttributeError as error:
            raise InputError(f"task {name!r}: its name cannot be set: {error}") from error
    return task
