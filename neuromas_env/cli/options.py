"""Options of commands, made from the fields of `TrainConfig`."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, TypeVar

import typer

from neuromas_env.agents.training.config import TrainConfig

F = TypeVar("F", bound=Callable[..., None])


def config_options(*names: str, **defaults: str) -> Callable[[F], F]:
    """Give a command fields of `TrainConfig` as options, all unless some are named.

    The command receives them by keyword; an option that was not given is None, so that
    a configuration file can tell.

    Args:
        *names: The fields.
        **defaults: What the help says to be the default where it is not the field's.
    """

    def decorate(command: F) -> F:
        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        hints = typing.get_type_hints(TrainConfig)
        options = [
            inspect.Parameter(
                option.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[
                    hints[option.name] | None,
                    typer.Option(
                        help=_help(option.metadata),
                        show_default=defaults.get(option.name, _shown(option.default)),
                    ),
                ],
            )
            for option in fields(TrainConfig)
            if not names or option.name in names
        ]
        command.__signature__ = signature.replace(parameters=own + options)  # type: ignore[attr-defined]
        return command

    return decorate


def _help(metadata: typing.Mapping[str, Any]) -> str:
    choices = metadata["choices"]
    return metadata["help"] + (f" ({', '.join(choices)})" if choices else "")


def _shown(default: Any) -> str | bool:
    return False if default in (None, False) else str(default)
