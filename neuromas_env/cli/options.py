"""Options of commands, made from the fields of `Options`, and files that hold them."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from neuromas_env.agents.engines.base import LOADED
from neuromas_env.agents.engines.models import check_model_name
from neuromas_env.agents.learners.names import check_learner_name
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.cli.names import offering, offering_names
from neuromas_env.config import REQUIRED, Options, Section, canonical, read_config
from neuromas_env.errors import InputError
from neuromas_env.files import path_of
from neuromas_env.tasks import Task, make_task


def path(text: str) -> Path:
    """Read a path of the command line; see `path_of`."""
    try:
        return path_of("it", text)
    except InputError as error:
        raise typer.BadParameter(str(error)) from None


F = TypeVar("F", bound=Callable[..., None])
Score = Annotated[
    str,
    typer.Option(
        help="extracted (the answer found in a reply) or strict (exact match)",
        autocompletion=offering(lambda: dict.fromkeys(("extracted", "strict"), "")),
    ),
]
"""The option that says which score a table shows."""
_LISTED = {
    "task": "tasks",
    "tasks": "tasks",
    "topology": "topologies",
    "model": "models",
    "engine": "engines",
    "learner": "learners",
    "methods": "baselines",
}
"""Option to the list that holds its names."""


class Command(TyperCommand):
    """Shows a switch as `--[no-]name`: two columns of names leave no room for what they mean."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        switches = [one for one in self.params if one.secondary_opts]
        names = [(one.opts, one.secondary_opts) for one in switches]
        for one in switches:
            one.opts, one.secondary_opts = [one.opts[0].replace("--", "--[no-]", 1)], []
        try:
            super().format_help(ctx, formatter)
        finally:
            for one, before in zip(switches, names, strict=True):
                one.opts, one.secondary_opts = before


def config_options(cls: type[Options], *names: str, **defaults: str) -> Callable[[F], F]:
    """Give a command fields of a class as options, all unless some are named.

    The command receives them by keyword; an option that was not given is None, so that
    a configuration file can tell. A list is one text with commas.

    Args:
        cls: Declares them.
        *names: The fields.
        **defaults: What the help says to be the default where it is not the field's.
    """

    def decorate(command: F) -> F:
        signature = inspect.signature(command, eval_str=True)
        own = [
            p.replace(kind=p.KEYWORD_ONLY)
            for p in signature.parameters.values()
            if p.kind is not p.VAR_KEYWORD
        ]
        hints = typing.get_type_hints(cls)
        options = [
            inspect.Parameter(
                one.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[
                    _kind(hints[one.name]),
                    typer.Option(
                        help=_help(one.metadata),
                        show_default=defaults.get(one.name, _shown(one)),
                        rich_help_panel=one.metadata["panel"],
                        autocompletion=_completion(one),
                    ),
                ],
            )
            for one in fields(cls)
            if not names or one.name in names
        ]
        command.__signature__ = signature.replace(parameters=options + own)  # type: ignore[attr-defined]
        return command

    return decorate


def named_task(config: TrainConfig) -> Task:
    """Return the task of a command, once learner and model can be what they are called.

    Nothing is loaded for it, so that a wrong name is told at once.

    Raises:
        InputError: A name is unknown.
    """
    check_learner_name(config.learner)
    if config.engine in LOADED:
        check_model_name(config.model)
    return make_task(config.task, config.data, skip_bad_rows=config.skip_bad_rows)


def _completion(one: Field) -> Callable[[str], list[tuple[str, str]]] | None:
    if choices := one.metadata["choices"]:
        return offering(lambda: dict.fromkeys(choices, ""))
    return offering_names(_LISTED[one.name]) if one.name in _LISTED else None


def filed(config: Path | None, given: Mapping[str, Any]) -> Section:
    """Return the options of a file and those of the command line, which wins.

    Args:
        config: The file, None for none.
        given: Options of the command line, None where one was not given.
    """
    options = {name: value for name, value in given.items() if value is not None}
    values = Section() if config is None else read_config(config)
    for key in [key for key in values if canonical(key) in options]:
        del values[key]
    return values.updated(options)


def _kind(hint: Any) -> Any:
    kinds = typing.get_args(hint) or (hint,)
    listed = any(typing.get_origin(kind) is tuple for kind in (hint, *kinds))
    return (str if listed else hint) | None


def _help(metadata: Mapping[str, Any]) -> str:
    choices = metadata["choices"]
    return metadata["help"] + (f" ({', '.join(choices)})" if choices else "")


def _shown(one: Field) -> str | bool:
    if one.default in (None, False, REQUIRED, (), ""):
        return False
    return ",".join(map(str, one.default)) if isinstance(one.default, tuple) else str(one.default)
