"""Reads experiments from YAML and checks them before hours of work."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from os.path import isfile
from pathlib import Path
from typing import Any

from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.checks import Count, arguments, shown
from neuromas_env.config import REQUIRED, Section, checked, option, read_config
from neuromas_env.errors import InputError, placed, unknown
from neuromas_env.experiments.answers import check_alike
from neuromas_env.experiments.arms import read_arms
from neuromas_env.experiments.options import DiscreteOptions
from neuromas_env.experiments.spec import (
    FILE,
    HOME,
    KINDS,
    SCALES,
    Arm,
    Claim,
    Experiment,
    SampleComplexity,
    Settings,
    Study,
    shape,
    slug,
)

_PART = ("options", "arms", "compare", "at", "probes", "sample_complexity")
_TABLE, _PAIR = ("options", "arms", "compare"), ("better", "than")
_SIZE = option(REQUIRED, "of a task", low=1).metadata


def list_experiments(home: Path = HOME) -> dict[str, tuple[str, list[str]]]:
    """Return title and scales of every experiment of a folder, by name."""
    found = {}
    for path in sorted(home.glob(f"*/{FILE}")):
        text = read_config(path)
        found[path.parent.name] = str(text.get("title", "")), _scales(text)
    return found


@arguments
def load(
    name: str | Path,
    scale: str = "tiny",
    seeds: Count | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Experiment:
    """Read an experiment.

    Args:
        name: Of an experiment of this package, or the path of a folder with `experiment.yaml`.
        scale: One of the experiment's.
        seeds: Instead of the scale's.
        options: Study to options of its arms instead of the scale's.

    Raises:
        InputError: There is no such experiment or scale, or an entry is wrong; the message
            names the file and the line.
    """
    folder = Path(name) if isfile(Path(name) / FILE) else HOME / str(name)
    if not isfile(folder / FILE):
        raise unknown("experiment", str(name), list_experiments())
    text, scales = read_config(folder / FILE), read_config(_ground(folder))
    own = {str(study) for name in scales for study in scales.inner(name)}
    said = ("table",) if "table" in text else ("claim", "refuted_if")
    text.check(("title", *said, "matched", "scales", *KINDS, *own), needed=("title", *said))
    for key in ("title", *said, "matched"):
        text.value(key, str, "")
    if scale not in _scales(text):
        raise unknown(f"scale of experiment {folder.name!r}:", scale, _scales(text))
    if scale not in scales:
        raise InputError(f"{scales.place}: {unknown('scale', scale, map(str, scales))}")
    studies = []
    for study in scales.inner(scale):
        settings = scales.inner(scale).inner(study)
        if not isinstance(study, str) or not re.fullmatch(r"\w[\w.-]*", study):
            raise InputError(
                f"{scales.inner(scale).at(study)}: a study must be named by letters, digits, '_', "
                f"'.' and '-', got {shown(study)}"
            )
        kind = settings.get("kind", "language")
        if kind not in KINDS:
            raise InputError(f"{settings.at('kind')}: {unknown('kind', str(kind), KINDS)}")
        more = settings.inner("options").updated((options or {}).get(study, {}))
        settings = settings.updated({"options": more})
        key = study if study in text else kind
        if key in text:
            place = scale, _scales(text)
            made = _study(study, settings, text.inner(key), *place, seeds, "table" in text)
            studies.append(made)
    if not studies:
        raise InputError(
            f"{text.place}: {' or '.join(KINDS)} must have arms for scale {scale!r}, got none"
        )
    kinds = sorted({study.kind for study in studies})
    if "table" in text and len(kinds) > 1:
        raise InputError(
            f"{text.place}: all studies of a table must be of one kind, got {' and '.join(kinds)}"
        )
    return Experiment(
        folder.name, folder, scale, str(text["title"]), _line(text[said[0]]),
        _line(text.get("refuted_if", "")), tuple(studies), _line(text.get("matched", "")),
    )  # fmt: skip


def _scales(text: Section) -> list[str]:
    given = text.value("scales", list[str | int] | None)
    return list(map(str, given or ("tiny", "small", "paper")))


def _ground(folder: Path) -> Path:
    """The scales of a folder of experiments, else those of this package."""
    for place in (folder, folder.parent, HOME):
        if (place / SCALES).is_file():
            return place / SCALES
    raise InputError(f"there is no {SCALES} in {folder}, beside it or in {HOME}")


def _study(
    name: str, settings: Section, part: Section, scale: str, scales: Sequence[str],
    seeds: int | None, table: bool,
) -> Study:  # fmt: skip
    by_size = "sample_complexity" in part
    part.check(
        ("tasks", *(_TABLE if table else _PART)),
        needed=("arms",) if by_size or table else ("arms", "compare"),
    )
    here = part.inner("at").inner(scale)
    # The more special one wins.
    base = settings.inner("options").updated(part.inner("options")).updated(here.inner("options"))
    merged = settings.without("options").updated(part.without(*_PART))
    merged = merged.updated(here.without("arms", "options"))
    chosen = Settings.from_mapping(merged.updated({"seeds": seeds} if seeds else {}))
    with placed(settings.place):
        _check_rates(chosen, table)
    given = part.inner("arms")
    arms, elsewhere = read_arms(
        chosen.kind, given, here.inner("arms"), base, chosen.tasks, scale, scales, table
    )
    tasks = tuple(dict.fromkeys(task for arm in arms.values() for task in arm.tasks))
    study = Study(
        name, chosen.kind, tasks, chosen.seeds, chosen.rates, arms,
        _claims(part, arms, elsewhere, decide=not by_size and not table), chosen.pilots,
        chosen.questions, chosen.model, chosen.script, part.value("probes", str | None),
        _sample_complexity(part.inner("sample_complexity"), arms) if by_size else None,
        chosen.note, table, chosen.title,
    )  # fmt: skip
    if table and study.claims and study.kind == "language":
        raise InputError(f"{part.at('compare')}: a table of language models compares no arms")
    with placed(part.at("probes")):
        trained = [arm.name for arm in arms.values() if arm.kind == "train"]
        if study.probes is not None and study.probes not in trained:
            raise unknown("arm", str(study.probes), trained)
    folders: dict[str, str] = {}
    for arm in arms:
        if not slug(arm).strip(".-"):
            raise InputError(f"{given.at(arm)}: an arm must be named by letters, got {shown(arm)}")
        if (other := folders.setdefault(slug(arm), arm)) != arm:
            raise InputError(f"{given.at(arm)}: {arm!r} and {other!r} would share a folder")
    for arm in arms:
        with placed(given.at(arm)):
            _check_arm(study, arms[arm])
    return study


def _check_rates(chosen: Settings, table: bool) -> None:
    """Check that there are rates to try, or in a table none: its arms bring their own."""
    if table and chosen.rates:
        raise InputError(f"rates must be left out of a table, got {list(chosen.rates)}")
    if not table and not chosen.rates:
        raise InputError("rates must have at least one entry, got none")


def _claims(
    part: Section, arms: Mapping[str, Arm], elsewhere: Collection[str], decide: bool
) -> tuple[Claim, ...]:
    """Read what is compared, but for comparisons with an arm that this scale does not have."""
    claims = []
    for entry in part.value("compare", list | None) or ():
        if not isinstance(entry, Section):
            raise InputError(
                f"{part.at('compare')}: each of compare must be a mapping, got {entry!r}"
            )
        named = [pair.get(key) for pair in (entry, entry.inner("minus")) for key in _PAIR]
        if not any(isinstance(name, str) and name in elsewhere for name in named):
            claims.append(_claim(entry, arms))
    if not decide:
        return tuple(replace(claim, decides=False) for claim in claims)
    if not any(claim.decides for claim in claims):
        raise InputError(f"{part.at('compare')}: at least one comparison must decide, got none")
    return tuple(claims)


def _claim(entry: Section, arms: Mapping[str, Arm]) -> Claim:
    given = entry.without("minus")
    if "minus" in entry:
        own = entry.inner("minus")
        own.check(_PAIR, needed=_PAIR)
        pair = tuple(own[key] for key in _PAIR)
        given = given.updated(Section({"minus": pair}, entry.at("minus")))
    claim = Claim.from_mapping(given)
    with placed(entry.place):
        for arm in claim.signs:
            if arm not in arms:
                raise unknown("arm", arm, arms)
            if lacks := sorted(set(arms[claim.better].tasks) - set(arms[arm].tasks)):
                raise InputError(
                    f"{arm!r} must have the tasks of {claim.better!r}, with which it is compared: "
                    f"it lacks {', '.join(lacks)}"
                )
        if claim.seeds == "unpaired" and len({arms[arm].source or arm for arm in claim.signs}) == 1:
            raise InputError(
                f"seeds must be paired, got unpaired: {claim.better!r} and {claim.than!r} are the "
                "same runs"
            )
    return claim


def _sample_complexity(entry: Section, arms: Mapping[str, Arm]) -> SampleComplexity:
    claim = SampleComplexity.from_mapping(entry)
    curves = {str(curve): entry.inner("curves").inner(curve) for curve in claim.curves}
    trained = [name for name, one in arms.items() if one.kind == "train"]
    for points in curves.values():
        for size, arm in points.items():
            with placed(points.at(size)):
                checked("size", size, int, _SIZE)
                if arm not in trained:
                    raise unknown("arm", str(arm), trained)
                if len(arms[arm].tasks) > 1:
                    raise InputError(f"{arm!r} must have one task, got {len(arms[arm].tasks)}")
        if len(points) < 3 or set(points) != set(next(iter(curves.values()))):
            raise InputError(
                f"{points.place}: sizes must be three or more, the same on all curves, got "
                f"{sorted(points)}"
            )
    return replace(claim, curves={curve: dict(points) for curve, points in curves.items()})


def _check_arm(study: Study, arm: Arm) -> None:
    """Check what an arm says of others, and that a discrete network fits its tasks."""
    trained = {one.name: one for one in study.trained() if one.kind == "train"}
    if study.table:
        _check_shown(study, arm)
    for other, among in ((arm.source, trained), (arm.budget, study.arms)):
        if other is not None and other not in among:
            raise unknown("arm", str(other), among)
    if arm.node is not None and arm.source is not None:
        nodes = shape(study, trained[arm.source]).nodes
        for node in (arm.node, arm.partner):
            # Without the output node's message there is no answer.
            known = nodes[:-1] if arm.partner is None else nodes
            if node is not None and node not in known:
                raise unknown("node", node, known)
        if arm.node == arm.partner:
            raise InputError(f"{arm.node} must be swapped with another node, got itself")
    if arm.budget is not None:
        budget = study.arms[arm.budget]
        if budget.kind == "vote":
            raise InputError(f"tokens_of must name no vote, got {budget.name!r}")
        if budget.tasks != arm.tasks:
            raise InputError(f"tokens_of must name an arm of its tasks, got {budget.name!r}")
    if arm.kind == "vote" and len(shape(study, trained[str(arm.source)])) > 1:
        raise InputError(f"only a network of one node votes, got {arm.source!r}")
    if study.kind == "discrete":
        _check_layouts(arm, trained.get(arm.source or arm.name))


def _check_shown(study: Study, arm: Arm) -> None:
    """Check that a table can show an arm."""
    if arm.kind != "train":
        raise InputError(f"a table must have trained arms, got one of kind {arm.kind}")
    if study.kind == "discrete" and not study.claims and set(arm.tasks) != set(study.tasks):
        raise InputError(
            "a table that compares no arms ranks them over all its tasks: this one must have "
            f"{', '.join(study.tasks)}, got {', '.join(arm.tasks)}"
        )
    if study.kind == "language" and not TrainConfig.from_mapping(arm.options).validate_questions:
        raise InputError("validate_questions must be at least 1 in a table, got 0")


def _check_layouts(arm: Arm, source: Arm | None) -> None:
    """Check that a discrete network fits its tasks, and that nodes which swap are alike."""
    if source is None:
        return
    for task in arm.tasks:
        [*_, (layout, _)] = DiscreteOptions.from_mapping(source.options).layouts(task)
        if arm.partner is not None:
            check_alike(layout, str(arm.node), arm.partner)


_line: Callable[[Any], str] = lambda text: " ".join(str(text).split())  # noqa: E731
