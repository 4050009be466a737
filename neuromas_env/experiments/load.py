"""Reads experiments from YAML and checks them before hours of work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from neuromas_env.agents.config import TrainConfig, read_config
from neuromas_env.errors import InputError, unknown
from neuromas_env.experiments.options import CodedOptions
from neuromas_env.experiments.spec import (
    ABLATIONS,
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
    Need,
    Study,
    shape,
    slug,
)
from neuromas_env.topology import Topology

_SETTINGS = (
    "kind", "tasks", "seeds", "pilots", "rates", "questions", "model", "script", "options",
)  # fmt: skip
_OWN_ARM_KEYS = (
    "task",
    "grow",
    "vote",
    "tokens_of",
    "adapt",
    "test",
    "iterations",
    "ablate",
    "node",
    "how",
)
_RESERVED = ("seed", "out", "learning_rate", "alpha", "task", "data", "eval_split", "model")


def list_experiments(home: Path = HOME) -> dict[str, tuple[str, list[str]]]:
    """Return title and scales of every experiment of a folder, by name."""
    found = {}
    for path in sorted(home.glob(f"*/{FILE}")):
        text = read_config(path)
        found[path.parent.name] = str(text.get("title", "")), _scales(text)
    return found


def load(name: str | Path, scale: str = "tiny", seeds: int | None = None) -> Experiment:
    """Read an experiment.

    Args:
        name: Of an experiment of this checkout, or the path of a folder with `experiment.yaml`.
        scale: One of the experiment's.
        seeds: Instead of the scale's.

    Raises:
        InputError: There is no such experiment or scale, or an entry is wrong; the message
            names the file.
    """
    folder = Path(name) if (Path(name) / FILE).is_file() else HOME / str(name)
    if not (folder / FILE).is_file():
        raise unknown("experiment", str(name), list_experiments())
    path = folder / FILE
    text = read_config(path)
    _check_keys(
        path, "", text, ("title", "claim", "refuted_if", "matched", "scales", *KINDS),
        needed=("title", "claim", "refuted_if"),
    )  # fmt: skip
    if scale not in _scales(text):
        raise unknown(f"scale of experiment {folder.name!r}:", scale, _scales(text))
    ground = _ground(folder)
    scales = read_config(ground)
    if scale not in scales:
        raise InputError(f"{ground}: {unknown('scale', scale, map(str, scales))}")
    studies = []
    for study, settings in scales[scale].items():
        settings = _mapping(ground, f"{scale}: {study}", settings)
        kind = settings.get("kind", "language")
        if kind not in KINDS:
            raise InputError(f"{ground}, {scale}: {study}: {unknown('kind', str(kind), KINDS)}")
        if kind in text:
            studies.append(_study(path, study, kind, settings, text[kind], scale, seeds))
    if not studies:
        raise InputError(
            f"{path}: holds no arms for scale {scale!r}; a part {KINDS} would be right"
        )
    return Experiment(
        folder.name, folder, scale, str(text["title"]), _line(text["claim"]),
        _line(text["refuted_if"]), tuple(studies), _line(text.get("matched", "")),
    )  # fmt: skip


def _scales(text: Mapping[str, Any]) -> list[str]:
    return list(map(str, text.get("scales") or ("tiny", "small", "paper")))


def _ground(folder: Path) -> Path:
    """The scales of a folder of experiments, else those of this checkout."""
    for place in (folder, folder.parent, HOME):
        if (place / SCALES).is_file():
            return place / SCALES
    raise InputError(f"there is no {SCALES} in {folder}, beside it or in {HOME}")


def _study(
    path: Path, name: str, kind: str, settings: dict, given: Any, scale: str, seeds: int | None
) -> Study:
    part = _mapping(path, kind, given)
    _check_keys(path, kind, part, ("tasks", "options", "arms", "compare", "at", "probes", "need"),
                needed=("arms",) if "need" in part else ("arms", "compare"))  # fmt: skip
    at = _mapping(path, f"{kind}: at", part.get("at") or {})
    here = dict(_mapping(path, f"{kind}: at: {scale}", at.get(scale) or {}))
    written = _arms(path, kind, scale, part["arms"], here.pop("arms", {}))
    where = f"{kind} at {scale} ({name})"
    merged = {**settings, **({"tasks": part["tasks"]} if "tasks" in part else {}), **here}
    _check_keys(path, where, merged, _SETTINGS, needed=("seeds", "rates"))
    base: dict[str, Any] = {}
    for source in (settings, part, here):  # the more special one wins
        base |= source.get("options") or {}
    rates = merged["rates"]
    if not isinstance(rates, list) or not rates or not all(_positive(rate) for rate in rates):
        raise InputError(f"{path}, {where}: rates: {rates!r}, but [0.001, 0.003] would be right")
    arms = {
        arm: _arm(path, f"{where}: {arm}", arm, kind, base, options)
        for arm, options in written.items()
    }
    arms = _dealt(path, where, arms, tuple(map(str, merged.get("tasks") or ())))
    tasks = tuple(dict.fromkeys(task for arm in arms.values() for task in arm.tasks))
    study = Study(
        name, kind, tasks, _count(path, where, "seeds", seeds or merged["seeds"]),
        tuple(map(float, rates)), arms, (), _count(path, where, "pilots", merged.get("pilots", 1)),
        merged.get("questions"), merged.get("model"), merged.get("script"), part.get("probes"),
        _need(path, f"{where}: need", part["need"], arms) if "need" in part else None,
    )  # fmt: skip
    if kind == "language" and not (study.model or study.script):
        raise InputError(f"{path}, {where}: no model; `model: smollm2-135m` would be right")
    return _checked(path, where, replace(study, claims=_claims(path, where, part, arms)))


def _arms(path: Path, kind: str, scale: str, given: Any, here: Any) -> dict[str, Any]:
    """Return what is said of every arm, with what a scale changes of it."""
    arms = {str(arm): o for arm, o in _mapping(path, f"{kind}: arms", given).items()}
    where = f"{kind}: at: {scale}: arms"
    for arm, options in _mapping(path, where, here).items():
        if arm not in arms:
            raise InputError(f"{path}, {where}: {unknown('arm', str(arm), arms)}")
        place = f"{where}: {arm}"
        arms[arm] = _mapping(path, place, arms[arm] or {}) | _mapping(path, place, options)
    return arms


def _arm(path: Path, where: str, name: str, kind: str, base: dict, given: Any) -> Arm:
    options = _mapping(path, where, given or {})
    if "vote" in options:
        _check_keys(path, where, options, ("vote", "tokens_of"), needed=("tokens_of",))
        return Arm(name, "vote", {}, source=options["vote"], budget=options["tokens_of"])
    if "ablate" in options:
        _check_keys(path, where, options, ("ablate", "node", "how"), needed=("node", "how"))
        if options["how"] not in ABLATIONS:
            raise InputError(f"{path}, {where}: {unknown('how', str(options['how']), ABLATIONS)}")
        return Arm(
            name, "ablate", {}, options["ablate"], None, str(options["node"]), options["how"]
        )
    options = dict(options)
    task = options.pop("task", None)
    if task is not None and not isinstance(task, str):
        raise InputError(f"{path}, {where}: task: {task!r}, but hierarchy/max would be right")
    own = () if task is None else (task,)
    if "adapt" in options:
        _check_keys(path, where, options, ("adapt", "test", "iterations"), needed=("iterations",))
        if kind == "coded":
            raise InputError(f"{path}, {where}: only language models adapt without weights")
        return Arm(name, "adapt", options, tasks=own)
    options = _grown(path, where, kind, base, options)
    known = {f.name for f in fields(CodedOptions if kind == "coded" else TrainConfig)}
    known = known - set(_RESERVED) | {"parameters_of"}
    for key in [*options, *base]:
        if key not in known:
            raise InputError(
                f"{path}, {where}: {unknown('option', str(key), [*known, *_OWN_ARM_KEYS])}"
            )
    try:
        merged = _coded(base | options) if kind == "coded" else _language(base | options)
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
    key = "updates" if kind == "coded" else "steps"
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


def _coded(options: dict[str, Any]) -> dict[str, Any]:
    CodedOptions.from_mapping(options)
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


def _claims(path: Path, where: str, part: dict, arms: Mapping[str, Arm]) -> tuple[Claim, ...]:
    claims = [
        _claim(path, f"{where}: comparison {number}", given, arms)
        for number, given in enumerate(part.get("compare") or (), 1)
    ]
    if "need" in part:
        return tuple(replace(claim, decides=False) for claim in claims)
    if not any(claim.decides for claim in claims):
        raise InputError(f"{path}, {where}: no comparison decides; at least one would be right")
    return tuple(claims)


def _claim(path: Path, place: str, given: Any, arms: Mapping[str, Arm]) -> Claim:
    entry = dict(_mapping(path, place, given))
    _check_keys(path, place, entry, tuple(f.name for f in fields(Claim)),
                needed=("better", "than"))  # fmt: skip
    if "minus" in entry:
        own = _mapping(path, f"{place}: minus", entry["minus"])
        _check_keys(path, f"{place}: minus", own, ("better", "than"), needed=("better", "than"))
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


def _need(path: Path, where: str, given: Any, arms: Mapping[str, Arm]) -> Need:
    entry = _mapping(path, where, given)
    _check_keys(path, where, entry, tuple(f.name for f in fields(Need)),
                needed=("curves", "steeper", "than", "reach"))  # fmt: skip
    need = Need(**entry)
    curves = _mapping(path, f"{where}: curves", need.curves)
    for curve, points in curves.items():
        place = f"{where}: curves: {curve}"
        for size, arm in _mapping(path, place, points).items():
            _count(path, place, "size", size)
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
    for curve in (need.steeper, need.than):
        if curve not in curves:
            raise InputError(f"{path}, {where}: {unknown('curve', str(curve), curves)}")
    if need.steeper == need.than:
        raise InputError(f"{path}, {where}: {need.than!r} is compared with itself")
    _count(path, where, "smooth", need.smooth)
    if not (_positive(need.reach) and need.reach <= 1):
        raise InputError(f"{path}, {where}: reach: {need.reach!r}, but 0.5 would be right")
    if not _positive(need.margin):
        raise InputError(f"{path}, {where}: margin: {need.margin!r}, but 0.1 would be right")
    return need


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
            nodes = shape(study, trained[arm.source]).nodes[:-1]
            if arm.node not in nodes:
                raise InputError(f"{path}, {where}: {arm.name}: {unknown('node', arm.node, nodes)}")
        if arm.budget is not None and study.arms[arm.budget].kind == "vote":
            raise InputError(f"{path}, {where}: {arm.name}: tokens_of names a vote, {arm.budget!r}")
        if arm.budget is not None and study.arms[arm.budget].tasks != arm.tasks:
            raise InputError(f"{path}, {where}: {arm.name}: {arm.budget!r} has other tasks")
        if arm.kind == "vote" and len(shape(study, trained[str(arm.source)])) > 1:
            raise InputError(f"{path}, {where}: {arm.name}: only a network of one node votes")
    if study.probes is not None and study.probes not in trained:
        raise InputError(f"{path}, {where}: probes: {unknown('arm', study.probes, trained)}")
    if study.kind == "coded":
        for arm in trained.values():
            for task in arm.tasks:
                try:
                    CodedOptions.from_mapping(arm.options).layouts(task)
                except InputError as error:
                    raise InputError(f"{path}, {where}: {arm.name}: {error}") from None
    return study


def _check_keys(
    path: Path, where: str, given: Mapping, known: Iterable[str], needed: Iterable[str] = ()
) -> None:
    place = f"{path}, {where}" if where else f"{path}"
    known = tuple(known)
    for key in given:
        if key not in known:
            raise InputError(f"{place}: {unknown('key', str(key), known)}")
    for key in needed:
        if not given.get(key):
            raise InputError(f"{place}: key {key!r} is missing")


def _mapping(path: Path, where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{path}, {where}: {value!r}, but keys with values would be right")
    return value


def _count(path: Path, where: str, key: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise InputError(f"{path}, {where}: {key}: {value!r} is no count of at least 1")
    return value


def _positive(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < float("inf")


_line: Callable[[Any], str] = lambda text: " ".join(str(text).split())  # noqa: E731
