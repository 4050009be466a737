"""Reads the arms of an experiment from YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.errors import InputError, unknown
from neuromas_env.experiments.checks import check_keys, mapping
from neuromas_env.experiments.options import DiscreteOptions
from neuromas_env.experiments.spec import ABLATIONS, Arm
from neuromas_env.topology import Topology

_OWN_ARM_KEYS = (
    "task", "grow", "vote", "tokens_of", "adapt", "test", "iterations", "ablate", "node", "how",
    "with", "scales",
)  # fmt: skip
_RESERVED = ("seed", "out", "learning_rate", "alpha", "task", "data", "eval_split", "model")


def read_arms(
    path: Path,
    where: str,
    kind: str,
    given: Any,
    here: Any,
    base: dict[str, Any],
    tasks: tuple[str, ...],
    scale: str,
    scales: Sequence[str],
) -> tuple[dict[str, Arm], set[str]]:
    """Read the arms of a study.

    Args:
        path: Of the file, for messages.
        where: In the file, for messages.
        kind: `discrete` or `language`.
        given: Arm to what is said of it.
        here: Arm to what this scale changes of it.
        base: Options of all arms.
        tasks: Of all arms that have none of their own.
        scale: Arms with `scales` are there at these alone.
        scales: All that the experiment has.

    Returns:
        The arms, and the names of those that this scale does not have.

    Raises:
        InputError: An entry is wrong; the message names the file.
    """
    written = _changed(path, kind, scale, given, here)
    elsewhere = {
        name
        for name, options in written.items()
        if scale not in _own_scales(path, f"{where}: {name}", options, scale, scales)
    }
    arms = {
        name: _arm(path, f"{where}: {name}", name, kind, base, options)
        for name, options in written.items()
        if name not in elsewhere
    }
    return _dealt(path, where, arms, tasks), elsewhere


def _changed(path: Path, kind: str, scale: str, given: Any, here: Any) -> dict[str, Any]:
    """Return what is said of every arm, with what a scale changes of it."""
    place = f"{kind}: arms"
    arms = {
        str(arm): dict(mapping(path, f"{place}: {arm}", options or {}))
        for arm, options in mapping(path, place, given).items()
    }
    where = f"{kind}: at: {scale}: arms"
    for arm, options in mapping(path, where, here).items():
        if arm not in arms:
            raise InputError(f"{path}, {where}: {unknown('arm', str(arm), arms)}")
        arms[arm] |= mapping(path, f"{where}: {arm}", options)
    return arms


def _own_scales(
    path: Path, where: str, options: dict, scale: str, scales: Sequence[str]
) -> list[str]:
    given = options.pop("scales", [scale])
    if not isinstance(given, list) or not given:
        raise InputError(f"{path}, {where}: scales must be a list such as [tiny], got {given!r}")
    for one in given:
        if one not in scales:
            raise InputError(f"{path}, {where}: {unknown('scale', str(one), scales)}")
    return given


def _arm(path: Path, where: str, name: str, kind: str, base: dict, options: dict) -> Arm:
    if "vote" in options:
        check_keys(path, where, options, ("vote", "tokens_of"), needed=("tokens_of",))
        return Arm(name, "vote", {}, source=options["vote"], budget=options["tokens_of"])
    if "ablate" in options:
        swaps = options.get("how") == "swap"
        keys = ("ablate", "node", "how", *(("with",) if swaps else ()))
        check_keys(path, where, options, keys, needed=keys)
        if options["how"] not in ABLATIONS:
            raise InputError(f"{path}, {where}: {unknown('how', str(options['how']), ABLATIONS)}")
        return Arm(
            name, "ablate", {}, options["ablate"], None, str(options["node"]), options["how"],
            partner=str(options["with"]) if swaps else None,
        )  # fmt: skip
    options = dict(options)
    task = options.pop("task", None)
    if task is not None and not isinstance(task, str):
        raise InputError(f"{path}, {where}: task: {task!r}, but hierarchy/max would be right")
    own = () if task is None else (task,)
    if "adapt" in options:
        check_keys(path, where, options, ("adapt", "test", "iterations"), needed=("iterations",))
        if kind == "discrete":
            raise InputError(f"{path}, {where}: only language models adapt without weights")
        return Arm(name, "adapt", options, tasks=own)
    options = _grown(path, where, kind, base, options)
    known = {f.name for f in fields(DiscreteOptions if kind == "discrete" else TrainConfig)}
    known = known - set(_RESERVED) | {"parameters_of"}
    for key in [*options, *base]:
        if key not in known:
            raise InputError(
                f"{path}, {where}: {unknown('option', str(key), [*known, *_OWN_ARM_KEYS])}"
            )
    try:
        merged = _discrete(base | options) if kind == "discrete" else _language(base | options)
    except InputError as error:
        raise InputError(f"{path}, {where}: {error}") from None
    return Arm(name, "train", merged, tasks=own)


def _dealt(
    path: Path, where: str, arms: Mapping[str, Arm], tasks: tuple[str, ...]
) -> dict[str, Arm]:
    """Give each arm its tasks: its own, those of the arm that it uses, or the study's."""
    found = {}
    for name, arm in arms.items():
        source = arms.get(str(arm.source), arm)
        found[name] = replace(arm, tasks=source.tasks or tasks)
        if not found[name].tasks:
            raise InputError(
                f"{path}, {where}: {name}: no tasks; `tasks: [hierarchy/max]`, or a task of its "
                "own, would be right"
            )
    return found


def _grown(path: Path, where: str, kind: str, base: dict, options: dict) -> dict[str, Any]:
    """Turn `grow`, a list of networks, into a schedule that gives each an equal share."""
    if "grow" not in options:
        return options
    options = dict(options)
    stages = options.pop("grow")
    key = "updates" if kind == "discrete" else "steps"
    total = {**base, **options}.get(key)
    if not isinstance(stages, list) or not stages or type(total) is not int:
        raise InputError(
            f"{path}, {where}: grow: {stages!r}, but a list such as [2-1, 2-2-1] and a number of "
            f"{key} would be right"
        )
    share = total // len(stages)
    counts = [share] * (len(stages) - 1) + [total - share * (len(stages) - 1)]
    plan = (f"{stage}:{count}" for stage, count in zip(stages, counts, strict=True))
    return options | {"schedule": ", ".join(plan)}


def _discrete(options: dict[str, Any]) -> dict[str, Any]:
    DiscreteOptions.from_mapping(options)
    return options


def _language(options: dict[str, Any]) -> dict[str, Any]:
    """Check training options; the rank follows from `parameters_of`, alpha / rank is constant."""
    options = dict(options)
    wanted = options.pop("parameters_of", None)
    base = TrainConfig.from_mapping(options)
    if wanted is not None:
        nodes, own = len(Topology.parse(str(wanted))), len(base.stages()[-1][0])
        if base.rank * nodes % own:
            raise InputError(
                f"parameters_of: rank {base.rank} of {nodes} nodes cannot be spread over {own} "
                "nodes evenly; another rank would be right"
            )
        options["rank"] = base.rank * nodes // own
    ratio = TrainConfig.alpha / TrainConfig.rank
    options["alpha"] = ratio * options.get("rank", base.rank)
    TrainConfig.from_mapping(options)
    return options
