"""Reads experiments from YAML and checks them before hours of work."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from neuromas_env.agents.training.config import read_config
from neuromas_env.errors import InputError, unknown
from neuromas_env.experiments.answers import check_alike
from neuromas_env.experiments.arms import read_arms
from neuromas_env.experiments.checks import check_keys, count, mapping, positive
from neuromas_env.experiments.options import DiscreteOptions
from neuromas_env.experiments.spec import (
    FILE,
    HOME,
    KINDS,
    SCALES,
    SCORES,
    SEEDS,
    TESTS,
    Arm,
    Claim,
    Experiment,
    SampleComplexity,
    Study,
    shape,
    slug,
)

_SETTINGS = (
    "kind", "tasks", "seeds", "pilots", "rates", "questions", "model", "script", "options",
)  # fmt: skip


def list_experiments(home: Path = HOME) -> dict[str, tuple[str, list[str]]]:
    """Return title and scales of every experiment of a folder, by name."""
    found = {}
    for path in sorted(home.glob(f"*/{FILE}")):
        text = read_config(path)
        found[path.parent.name] = str(text.get("title", "")), _scales(text)
    return found


def load(
    name: str | Path,
    scale: str = "tiny",
    seeds: int | None = None,
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
            names the file.
    """
    folder = Path(name) if (Path(name) / FILE).is_file() else HOME / str(name)
    if not (folder / FILE).is_file():
        raise unknown("experiment", str(name), list_experiments())
    path = folder / FILE
    text = read_config(path)
    ground = _ground(folder)
    scales = read_config(ground)
    own = [str(study) for one in scales.values() if isinstance(one, dict) for study in one]
    said = ("table",) if "table" in text else ("claim", "refuted_if")
    check_keys(
        path, "", text, ("title", *said, "matched", "scales", *KINDS, *own),
        needed=("title", *said),
    )  # fmt: skip
    if scale not in _scales(text):
        raise unknown(f"scale of experiment {folder.name!r}:", scale, _scales(text))
    if scale not in scales:
        raise InputError(f"{ground}: {unknown('scale', scale, map(str, scales))}")
    studies = []
    for study, settings in scales[scale].items():
        settings = mapping(ground, f"{scale}: {study}", settings)
        kind = settings.get("kind", "language")
        if kind not in KINDS:
            raise InputError(f"{ground}, {scale}: {study}: {unknown('kind', str(kind), KINDS)}")
        more = (options or {}).get(study, {})
        settings = settings | {"options": {**(settings.get("options") or {}), **more}}
        key = study if study in text else kind
        if key in text:
            place = scale, _scales(text)
            made = _table if "table" in text else _study
            studies.append(made(path, study, kind, settings, key, text[key], *place, seeds))
    if not studies:
        raise InputError(
            f"{path}: holds no arms for scale {scale!r}; a part {KINDS} would be right"
        )
    return Experiment(
        folder.name, folder, scale, str(text["title"]), _line(text[said[0]]),
        _line(text.get("refuted_if", "")), tuple(studies), _line(text.get("matched", "")),
    )  # fmt: skip


def _scales(text: Mapping[str, Any]) -> list[str]:
    return list(map(str, text.get("scales") or ("tiny", "small", "paper")))


def _ground(folder: Path) -> Path:
    """The scales of a folder of experiments, else those of this package."""
    for place in (folder, folder.parent, HOME):
        if (place / SCALES).is_file():
            return place / SCALES
    raise InputError(f"there is no {SCALES} in {folder}, beside it or in {HOME}")


def _table(
    path: Path, name: str, kind: str, settings: dict, key: str, given: Any, scale: str,
    scales: Sequence[str], seeds: int | None,
) -> Study:  # fmt: skip
    """Read a study that claims nothing: its comparisons decide nothing, its rates are its arms'."""
    if kind != "discrete":
        raise InputError(f"{path}, {key}: only discrete networks make a table, got kind {kind}")
    part = {"compare": [], **mapping(path, key, given)}
    check_keys(path, key, part, ("tasks", "options", "arms", "compare"), needed=("arms",))
    check_keys(path, f"{key} at {scale} ({name})", settings, ("kind", "seeds", "tasks", "options"))
    part["compare"] = [
        {**mapping(path, f"{key}: comparison {number}", claim), "decides": False}
        for number, claim in enumerate(part["compare"], 1)
    ]
    study = _study(
        path, name, kind, settings | {"rates": [1]}, key, part, scale, scales, seeds, table=True
    )
    if others := [arm.name for arm in study.arms.values() if arm.kind != "train"]:
        raise InputError(f"{path}, {key}: {others[0]}: a table shows arms that are trained")
    return replace(study, rates=(), table=True)


def _study(
    path: Path, name: str, kind: str, settings: dict, key: str, given: Any, scale: str,
    scales: Sequence[str], seeds: int | None, table: bool = False,
) -> Study:  # fmt: skip
    part = mapping(path, key, given)
    by_size = "sample_complexity" in part
    check_keys(
        path, key, part,
        ("tasks", "options", "arms", "compare", "at", "probes", "sample_complexity"),
        needed=("arms",) if by_size or table else ("arms", "compare"),
    )  # fmt: skip
    at = mapping(path, f"{key}: at", part.get("at") or {})
    here = dict(mapping(path, f"{key}: at: {scale}", at.get(scale) or {}))
    changed = here.pop("arms", {})
    where = f"{key} at {scale} ({name})"
    merged = {**settings, **({"tasks": part["tasks"]} if "tasks" in part else {}), **here}
    check_keys(path, where, merged, _SETTINGS, needed=("seeds", "rates"))
    base: dict[str, Any] = {}
    for source in (settings, part, here):  # the more special one wins
        base |= source.get("options") or {}
    rates = merged["rates"]
    if not isinstance(rates, list) or not rates or not all(positive(rate) for rate in rates):
        raise InputError(f"{path}, {where}: rates: {rates!r}, but [0.001, 0.003] would be right")
    own = tuple(map(str, merged.get("tasks") or ()))
    arms, elsewhere = read_arms(path, where, kind, part["arms"], changed, base, own, scale, scales)
    tasks = tuple(dict.fromkeys(task for arm in arms.values() for task in arm.tasks))
    study = Study(
        name, kind, tasks, count(path, where, "seeds", seeds or merged["seeds"]),
        tuple(map(float, rates)), arms, (), count(path, where, "pilots", merged.get("pilots", 1)),
        merged.get("questions"), merged.get("model"), merged.get("script"), part.get("probes"),
        _sample_complexity(path, where, part["sample_complexity"], arms) if by_size else None,
    )  # fmt: skip
    if kind == "language" and not (study.model or study.script):
        raise InputError(f"{path}, {where}: no model; `model: smollm2-135m` would be right")
    claims = _claims(path, where, part, arms, elsewhere)
    if by_size:
        claims = tuple(replace(claim, decides=False) for claim in claims)
    elif not table and not any(claim.decides for claim in claims):
        raise InputError(f"{path}, {where}: no comparison decides; at least one would be right")
    return _checked(path, where, replace(study, claims=claims))


def _claims(
    path: Path, where: str, part: dict, arms: Mapping[str, Arm], elsewhere: Collection[str]
) -> tuple[Claim, ...]:
    """Read what is compared, but for comparisons with an arm that this scale does not have."""
    claims = []
    for number, given in enumerate(part.get("compare") or (), 1):
        place = f"{where}: comparison {number}"
        entry = mapping(path, place, given)
        own = mapping(path, f"{place}: minus", entry.get("minus", {}))
        named = [pair.get(key) for pair in (entry, own) for key in ("better", "than")]
        if not any(isinstance(name, str) and name in elsewhere for name in named):
            claims.append(_claim(path, place, entry, arms))
    return tuple(claims)


def _claim(path: Path, place: str, given: Any, arms: Mapping[str, Arm]) -> Claim:
    entry = dict(mapping(path, place, given))
    check_keys(path, place, entry, tuple(f.name for f in fields(Claim)),
                needed=("better", "than"))  # fmt: skip
    if "minus" in entry:
        own = mapping(path, f"{place}: minus", entry["minus"])
        check_keys(path, f"{place}: minus", own, ("better", "than"), needed=("better", "than"))
        entry["minus"] = (own["better"], own["than"])
    claim = Claim(**entry)
    for key, known in (("score", SCORES), ("seeds", SEEDS), ("test", TESTS)):
        if getattr(claim, key) not in known:
            raise InputError(f"{path}, {place}: {unknown(key, str(getattr(claim, key)), known)}")
    if type(claim.margin) not in (int, float) or not 0 <= claim.margin <= 1:
        raise InputError(f"{path}, {place}: margin must be from 0 to 1, got {claim.margin!r}")
    if type(claim.decides) is not bool:
        raise InputError(f"{path}, {place}: decides must be true or false, got {claim.decides!r}")
    pairs = [(claim.better, claim.than), *([claim.minus] if claim.minus else [])]
    for arm in (arm for pair in pairs for arm in pair):
        if arm not in arms:
            raise InputError(f"{path}, {place}: {unknown('arm', str(arm), arms)}")
        if arms[arm].tasks != arms[claim.better].tasks:
            raise InputError(
                f"{path}, {place}: {claim.better!r} and {arm!r} have different tasks, so that no "
                "question is common; arms of one task would be right"
            )
    for one, other in pairs:
        if one == other:
            raise InputError(f"{path}, {place}: {one!r} is compared with itself")
    if not any(claim.signs.values()):
        raise InputError(f"{path}, {place}: minus takes away the very difference that is claimed")
    if claim.seeds == "unpaired" and len({arms[arm].source or arm for arm in claim.signs}) == 1:
        raise InputError(
            f"{path}, {place}: seeds must be paired, got unpaired: {claim.better!r} and "
            f"{claim.than!r} are the same runs"
        )
    return claim


def _sample_complexity(
    path: Path, where: str, given: Any, arms: Mapping[str, Arm]
) -> SampleComplexity:
    where = f"{where}: sample_complexity"
    entry = mapping(path, where, given)
    check_keys(path, where, entry, tuple(f.name for f in fields(SampleComplexity)),
                needed=("curves", "steeper", "than", "reach"))  # fmt: skip
    claim = SampleComplexity(**entry)
    curves = mapping(path, f"{where}: curves", claim.curves)
    for curve, points in curves.items():
        place = f"{where}: curves: {curve}"
        for size, arm in mapping(path, place, points).items():
            count(path, place, "size", size)
            if arm not in arms or arms[arm].kind != "train":
                trained = [name for name, one in arms.items() if one.kind == "train"]
                raise InputError(f"{path}, {place}: {unknown('arm', str(arm), trained)}")
            if len(arms[arm].tasks) > 1:
                raise InputError(f"{path}, {place}: {arm!r} has several tasks; one would be right")
        if len(points) < 3 or set(points) != set(next(iter(curves.values()))):
            raise InputError(
                f"{path}, {place}: sizes {sorted(points)}; three or more, the same on all curves, "
                "would be right"
            )
    for curve in (claim.steeper, claim.than):
        if curve not in curves:
            raise InputError(f"{path}, {where}: {unknown('curve', str(curve), curves)}")
    if claim.steeper == claim.than:
        raise InputError(f"{path}, {where}: {claim.than!r} is compared with itself")
    count(path, where, "smooth", claim.smooth)
    if not (positive(claim.reach) and claim.reach <= 1):
        raise InputError(f"{path}, {where}: reach: {claim.reach!r}, but 0.5 would be right")
    if not positive(claim.margin):
        raise InputError(f"{path}, {where}: margin: {claim.margin!r}, but 0.1 would be right")
    return claim


def _checked(path: Path, where: str, study: Study) -> Study:
    """Check what arms say of one another."""
    trained = {arm.name: arm for arm in study.arms.values() if arm.kind == "train"}
    folders: dict[str, str] = {}
    for name in study.arms:
        if folders.setdefault(slug(name), name) != name:
            raise InputError(
                f"{path}, {where}: arms {folders[slug(name)]!r} and {name!r} would share a folder; "
                "names that differ in more than signs would be right"
            )
    for arm in study.arms.values():
        for other, among in ((arm.source, trained), (arm.budget, study.arms)):
            if other is not None and other not in among:
                raise InputError(f"{path}, {where}: {arm.name}: {unknown('arm', other, among)}")
        if arm.node is not None and arm.source is not None:
            nodes = shape(study, trained[arm.source]).nodes
            for node in (arm.node, arm.partner):
                # Without the output node's message there is no answer.
                known = nodes[:-1] if arm.partner is None else nodes
                if node is not None and node not in known:
                    raise InputError(f"{path}, {where}: {arm.name}: {unknown('node', node, known)}")
            if arm.node == arm.partner:
                raise InputError(f"{path}, {where}: {arm.name}: {arm.node} is swapped with itself")
        if arm.budget is not None and study.arms[arm.budget].kind == "vote":
            raise InputError(f"{path}, {where}: {arm.name}: tokens_of names a vote, {arm.budget!r}")
        if arm.budget is not None and study.arms[arm.budget].tasks != arm.tasks:
            raise InputError(f"{path}, {where}: {arm.name}: {arm.budget!r} has other tasks")
        if arm.kind == "vote" and len(shape(study, trained[str(arm.source)])) > 1:
            raise InputError(f"{path}, {where}: {arm.name}: only a network of one node votes")
    if study.probes is not None and study.probes not in trained:
        raise InputError(f"{path}, {where}: probes: {unknown('arm', study.probes, trained)}")
    if study.kind == "discrete":
        for arm in study.arms.values():
            try:
                _check_layouts(arm, trained.get(arm.source or arm.name))
            except InputError as error:
                raise InputError(f"{path}, {where}: {arm.name}: {error}") from None
    return study


def _check_layouts(arm: Arm, source: Arm | None) -> None:
    """Check that a discrete network fits its tasks, and that nodes which swap are alike."""
    if source is None:
        return
    for task in arm.tasks:
        [*_, (layout, _)] = DiscreteOptions.from_mapping(source.options).layouts(task)
        if arm.partner is not None:
            check_alike(layout, str(arm.node), arm.partner)


_line: Callable[[Any], str] = lambda text: " ".join(str(text).split())  # noqa: E731
