"""The folder of a run: where a new one is made, and that one process at a time writes in it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from neuromas_env.agents.engines import distributed
from neuromas_env.errors import InputError
from neuromas_env.files import lock, writing

LOCK = "run.lock"
_BEFORE_THE_RUN = {LOCK, ".config.yaml.part"}
"""What a process leaves that is killed between making a folder and writing `config.yaml`."""


def check_free(folder: Path) -> None:
    """Refuse a folder for a new run that holds something already.

    Raises:
        InputError: It does, or is a file.
    """
    held = [] if not folder.is_dir() else [p.name for p in folder.iterdir()]
    if folder.is_file() or set(held) - _BEFORE_THE_RUN:
        raise InputError(
            f"out: {folder} holds files already; give a new folder, or resume the run with --resume"
        )


def make(out: str | None, name: str) -> Path:
    """Make the folder of a new run.

    Args:
        out: The folder, None for a new one under `runs/`.
        name: What a new one is named after.

    Raises:
        InputError: It is not free, or cannot be made.
    """
    if out is not None:
        check_free(folder := Path(out))
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder
    slug = re.sub(r"[^\w-]+", "-", name)
    with writing(Path("runs") / slug):
        for number in itertools.count(1):
            folder = Path("runs") / (slug if number == 1 else f"{slug}-{number}")
            try:
                folder.mkdir(parents=True)
                break
            except FileExistsError:
                continue
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder; of several processes of one run the main one holds it.

    Raises:
        InputError: Another run holds it, or it cannot be written.
    """
    with ExitStack() as held:

        def take() -> None:
            held.enter_context(lock(folder / LOCK, folder))

        distributed.from_main(take)
        yield
