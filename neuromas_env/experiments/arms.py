"""Reads the arms of an experiment from YAML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from neuromas_env.agents.learners.names import check_learner_name
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.baselines import builder, read_options
from neuromas_env.checks import Count, shown
from neuromas_env.config import Section, checked
from neuromas_env.errors import InputError, placed, unknown
from neuromas_env.experiments.options import DiscreteOptions
from neuromas_env.experiments.spec import ABLATIONS, Arm
from neuromas_env.topology import Topology

_OWN_ARM_KEYS = (
    "task", "grow", "vote", "tokens_of", "adapt", "test", "iterations", "frozen", "ablate", "node",
    "how", "with", "scales",
)  # fmt: skip
_RESERVED = ("seed", "out", "learning_rate", "alpha", "task", "data", "eval_split", "model")


def read_arms(
    kind: str,
    given: Section,
    here: Section,
    base: Section,
    tasks: tuple[str, ...],
    scale: str,
    scales: Sequence[str],
    table: bool = False,
) -> tuple[dict[str, Arm], set[str]]:
    """Read the arms of a study.

    Args:
        kind: `discrete` or `language`.
        given: Arm to what is said of it.
        here: Arm to what this scale changes of it.
        base: Options of all arms.
        tasks: Of all arms that have none of their own.
        scale: Arms with `scales` are there at these alone.
        scales: All that the experiment has.
        table: Whether arms have learning rates of their own, as nothing tries any.

    Returns:
        The arms, and the names of those that this scale does not have.

    Raises:
        InputError: An entry is wrong; the message names the file and the line.
    """
    written = _changed(given, here)
    elsewhere = {
        name
        for name, options in written.items()
        if scale not in _own_scales(options, scale, scales)
    }
    arms = {
        name: _arm(name, kind, base, options.without("scales"), table)
        for name, options in written.items()
        if name not in elsewhere
    }
    for name, arm in arms.items():
        # Its own tasks, those of the arm that it uses, or the study's.
        arms[name] = replace(arm, tasks=arms.get(str(arm.source), arm).tasks or tasks)
        if not arms[name].tasks:
            raise InputError(
                f"{given.at(name)}: {name} must have a task, such as hierarchy/max, of its own or "
                "of the study, got none"
            )
    return arms, elsewhere


def _changed(given: Section, here: Section) -> dict[str, Section]:
    """Return what is said of every arm, with what a scale changes of it."""
    arms = {str(arm): given.inner(arm) for arm in given}
    for arm in here:
        if arm not in arms:
            raise InputError(f"{here.at(arm)}: {unknown('arm', str(arm), arms)}")
        arms[arm] = arms[arm].updated(here.inner(arm))
    return arms


def _own_scales(options: Section, scale: str, scales: Sequence[str]) -> list[str]:
    given, place = options.get("scales", [scale]), options.at("scales")
    if not isinstance(given, list) or not given:
        raise InputError(f"{place}: scales must be a list such as [tiny], got {shown(given)}")
    for one in given:
        if one not in scales:
            raise InputError(f"{place}: {unknown('scale', str(one), scales)}")
    return given


def _arm(name: str, kind: str, base: Section, options: Section, table: bool) -> Arm:
    if "vote" in options:
        options.check(("vote", "tokens_of"), needed=("tokens_of",))
        source, budget = (options.value(key, str) for key in ("vote", "tokens_of"))
        return Arm(name, "vote", {}, source=source, budget=budget)
    if "ablate" in options:
        swaps = options.get("how") == "swap"
        keys = ("ablate", "node", "how", *(("with",) if swaps else ()))
        options.check(keys, needed=keys)
        for key in keys:
            options.value(key, str)
        if options["how"] not in ABLATIONS:
            raise InputError(
                f"{options.at('how')}: {unknown('how', str(options['how']), ABLATIONS)}"
            )
        return Arm(
            name, "ablate", {}, options["ablate"], None, str(options["node"]), options["how"],
            partner=str(options["with"]) if swaps else None,
        )  # fmt: skip
    with placed(options.at("task")):
        task = checked("task", options.get("task"), str | None)
    own = () if task is None else (task,)
    options = options.without("task")
    if "adapt" in options:
        options.check(("adapt", "test", "iterations"), needed=("iterations",))
        for key, hint in (("adapt", str), ("test", str | None), ("iterations", Count)):
            options.value(key, hint)
        if kind == "discrete":
            raise InputError(
                f"{options.at('adapt')}: only language models adapt without weights, got {kind}"
            )
        return Arm(name, "adapt", dict(options), tasks=own)
    if "frozen" in options:
        options.check(("frozen",))
        options.value("frozen", str)
        if kind == "discrete":
            raise InputError(
                f"{options.at('frozen')}: only language models answer untrained, got {kind}"
            )
        with placed(options.at("frozen")):
            method = options["frozen"]
            read_options(method, builder(method.partition(":")[0], method))
        return Arm(name, "frozen", dict(options), tasks=own)
    merged = _grown(kind, base.updated(options))
    merged.place = options.place
    known = {f.name for f in fields(DiscreteOptions if kind == "discrete" else TrainConfig)}
    known = known - set(_RESERVED) | {"parameters_of"}
    if table and kind == "language":
        known.add("learning_rate")
    for key in merged:
        if key not in known:
            raise InputError(
                f"{merged.at(key)}: {unknown('option', str(key), [*known, *_OWN_ARM_KEYS])}"
            )
    return Arm(
        name, "train", _discrete(merged) if kind == "discrete" else _language(merged), tasks=own
    )


def _grown(kind: str, options: Section) -> Section:
    """Turn `grow`, a list of networks, into a schedule that gives each an equal share."""
    if "grow" not in options:
        return options
    stages, place = options["grow"], options.at("grow")
    key = "updates" if kind == "discrete" else "steps"
    total = options.get(key)
    if not isinstance(stages, list) or not stages:
        raise InputError(f"{place}: grow must be a list such as [2-1, 2-2-1], got {stages!r}")
    if type(total) is not int:
        raise InputError(f"{place}: grow needs {key}, a whole number, got {total!r}")
    share = total // len(stages)
    counts = [share] * (len(stages) - 1) + [total - share * (len(stages) - 1)]
    plan = (f"{stage}:{count}" for stage, count in zip(stages, counts, strict=True))
    return options.without("grow").updated(Section({"schedule": ", ".join(plan)}, place))


def _discrete(options: Section) -> dict[str, Any]:
    DiscreteOptions.from_mapping(options)
    return dict(options)


def _language(options: Section) -> dict[str, Any]:
    """Check training options; the rank follows from `parameters_of`, alpha / rank is constant."""
    wanted, place = options.get("parameters_of"), options.at("parameters_of")
    options = options.without("parameters_of")
    base = TrainConfig.from_mapping(options)
    rank = base.rank
    if wanted is not None:
        with placed(place):
            nodes, own = len(Topology.parse(str(wanted))), len(base.stages()[-1][0])
        rank, left = divmod(rank * nodes, own)
        if left:
            raise InputError(
                f"{place}: parameters_of must spread evenly over {own} nodes, got rank {base.rank} "
                f"of {nodes} nodes"
            )
        options = options.updated(Section({"rank": rank}, place))
    ratio = TrainConfig.alpha / TrainConfig.rank
    options = options.updated({"alpha": ratio * rank})
    with placed(options.at("learner")):
        check_learner_name(TrainConfig.from_mapping(options).learner)
    return dict(options)
