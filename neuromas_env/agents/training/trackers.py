"""Where the figures of a run go besides its own files: trackers of accelerate, by name."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuromas_env.errors import InputError, unknown
from neuromas_env.files import write

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker

TRACKERS = ("tensorboard", "wandb")
"""Those of accelerate's trackers that are tested; their names are those of their packages."""
PROJECT = "neuromas"
SCORES = ("strict", "extracted", "parse_rate")


def read_trackers(text: str | None) -> tuple[str, ...]:
    """Return the names in a list with commas; for None, `tensorboard` if it is installed.

    Raises:
        InputError: There is no such tracker.
    """
    if text is None:
        return ("tensorboard",) if find_spec("tensorboard") else ()
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in () if names == ("none",) else names:
        if name not in TRACKERS:
            raise unknown("tracker in report_to:", name, (*TRACKERS, "none"))
    return () if names == ("none",) else names


def check_trackers(text: str | None) -> None:
    """Check that the packages of trackers are installed.

    Args:
        text: Names of trackers, as `report_to` has them.

    Raises:
        InputError: One is not.
    """
    for name in read_trackers(text):
        if find_spec(name) is None:
            raise InputError(f"report_to: {name} is not installed: pip install {name}")


def start_trackers(
    run: Path, names: tuple[str, ...], config: Mapping[str, Any], step: int | None
) -> list[GeneralTracker]:
    """Start trackers for a run.

    Args:
        run: The run folder, which files of trackers go into.
        names: Of trackers.
        config: Options of the run, by name.
        step: Of a resumed run, the last step that stays: trackers continue their own run. None for
            a new run.

    Raises:
        InputError: One cannot be started, for example because nobody is logged in.
    """
    from accelerate import PartialState
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    PartialState(cpu=True)  # trackers ask it for the process; that of several processes stays
    started = []
    for name in names:
        cls = LOGGER_TYPE_TO_CLASS[name]
        where = {"logging_dir": str(run)} if cls.requires_logging_directory else {}
        project = name if name == "tensorboard" else PROJECT  # its folder within the run's
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # protobuf's, about itself
                tracker = cls(project, **where, **_options(name, run, step))
                tracker.start()
                if step is None:
                    given = {key: value for key, value in config.items() if value is not None}
                    tracker.store_init_configuration(given)
        except Exception as error:  # each package has errors of its own
            said = str(error).strip().partition("\n")[0] or type(error).__name__
            raise InputError(f"report_to: {name} does not start: {said}") from error
        started.append(tracker)
    return started


def _options(name: str, run: Path, step: int | None) -> dict[str, Any]:
    """Return what makes a tracker keep a run's figures together, also when it is resumed."""
    if name == "tensorboard":
        return {"purge_step": (step or 0) + 1}
    return {"dir": str(run), "name": run.name, "id": _identity(run), "resume": "allow"}


def _identity(run: Path) -> str:
    """Return what tells a run from all others; two of the same name may follow one another."""
    file = run / "tracker_id"
    if not file.is_file():
        write(file, uuid.uuid4().hex[:8])
    return file.read_text(encoding="utf-8")


def figures(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a line of metrics.

    Scores on held-out questions are called `held_out/NAME`, those on validation questions
    `validation/NAME`.
    """
    numbers = {name: value for name, value in values.items() if type(value) in (int, float)}
    numbers.pop("step", None)
    for place, found in {
        "held_out": values.get("evaluation") or values.get("after") or {},
        "validation": values.get("validation", {}),
    }.items():
        numbers |= {f"{place}/{name}": found[name] for name in SCORES if name in found}
    return numbers
