"""Audits published results: scores stored answers again and makes their tables again."""

from __future__ import annotations

import json
import lzma
import shutil
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from neuromas_env.baselines.vote import vote
from neuromas_env.bench.report import make_markdown
from neuromas_env.bench.store import FILE, Cell, Store
from neuromas_env.bench.stored import actions_of, answer_in, read_said
from neuromas_env.checks import Count, check
from neuromas_env.errors import InputError, placed, unknown
from neuromas_env.experiments import answers
from neuromas_env.experiments.load import list_experiments, load
from neuromas_env.experiments.marl import Chosen, marl_experiment
from neuromas_env.experiments.run import HEAD, on_tasks, open_studies, run_experiment
from neuromas_env.experiments.spec import FILE as YAML
from neuromas_env.files import read, write
from neuromas_env.progress import Reporter
from neuromas_env.tasks import Example, Task, make_task
from neuromas_env.tasks.base import Reply
from neuromas_env.tasks.interactive import InteractiveTask

MOST = 4 << 30
"""Bytes that an archive may unpack to."""

_ARCHIVES = (".tar.xz", ".sqlite.xz")
_DISCRETE = "coded"  # what the cells of discrete networks have for a model
_CHUNK = 256
_CELLS = """
SELECT *, json_array_length(facts, '$.skipped_rows') AS skipped,
    json_extract(facts, '$.topology.nodes') AS nodes FROM cells ORDER BY id
"""
_QUESTIONS = "SELECT row_id, question, target, parts FROM questions WHERE task = ? AND split = ?"


@dataclass
class Audit:
    """What was checked, and what is wrong.

    Attributes:
        stores: Files of answers.
        cells: Methods on tasks with seeds, whose hash is that of their settings.
        failed: Answers that are no answers since a call failed; they count as wrong.
        same: How many answers were scored again, with the same score.
        moved: Former version of a reader to how many answers have another score by the present
            version.
        skipped: Task to why its answers were not scored again.
        faults: What does not hold, a line each.
        rows: Rows of tables that were found again in the page.
    """

    stores: int = 0
    cells: int = 0
    failed: int = 0
    same: int = 0
    moved: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    rows: int = 0

    @property
    def checked(self) -> int:
        """How many answers and rows of tables were compared."""
        return self.same + self.moved.total() + self.rows + len(self.faults)


def verify(
    place: str | Path,
    *,
    data: str | Path | None = None,
    page: str | Path | None = None,
    experiment: str | Path | None = None,
    reader: str | None = None,
    report: Reporter | None = None,
) -> Audit:
    """Check the results of a benchmark or an experiment against their own transcripts.

    Every answer must be the last message of its transcript, over several rounds that of the output
    node, and have the score that its reader gives it; every cell must have the hash of its
    settings; questions must read as their task has them.

    Args:
        place: A folder with results, or an archive of one: `.tar.xz`, or `.sqlite.xz` of a store.
        data: Folder with benchmark rows, for tasks that need them.
        page: A page, each row of whose tables the stored answers must give.
        experiment: For a page of an experiment that is not of this package, the folder of its
            `experiment.yaml`.
        reader: Reader whose scores the page has, None for the stored ones.
        report: Told how the work goes on.

    Raises:
        InputError: The place holds no results, a file of it cannot be read, a reader is unknown, or
            an experiment is given without need or is not known.
    """
    audit, report = Audit(), report or Reporter()
    with unpacked(Path(place)) as folder:
        files = sorted(folder.rglob(FILE))
        heads = sorted(folder.rglob(HEAD))
        if not files and not heads:
            raise InputError(f"{place} holds no results; give a folder with {FILE} or {HEAD}")
        for head in heads:
            _head(head)
        if experiment is not None and (page is None or not heads):
            raise InputError("experiment must be left out without a page of an experiment")
        for file in files:
            # A copy is of the present version, whatever the file's.
            with Store(file.parent) as stored, stored.copy() as store:
                _check_store(store, str(file.relative_to(folder)), data, audit, report)
        if page is not None:
            made = [_experiment(head.parent, data, experiment) for head in heads] or [
                make_markdown(file.parent, reader=reader, data=data) for file in files
            ]
            _check_page(Path(page), made, audit)
    return audit


@contextmanager
def unpacked(place: Path) -> Iterator[Path]:
    """Unpack an archive into a folder of its own, for `with`; a folder passes through.

    Raises:
        InputError: It is neither, is broken, or unpacks to more than `MOST` bytes.
    """
    if place.is_dir():
        yield place
        return
    if not place.name.endswith(_ARCHIVES):
        raise InputError(f"{place} must be a folder or an archive ({' or '.join(_ARCHIVES)})")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        try:
            if place.name.endswith(".tar.xz"):
                with tarfile.open(place, "r:xz") as archive:
                    if sum(member.size for member in archive) > MOST:
                        raise InputError(f"{place} must unpack to at most {MOST:,} bytes")
                    archive.extractall(folder, filter="data")
            else:
                with lzma.open(place) as packed, (folder / FILE).open("wb") as file:
                    while block := packed.read(1 << 20):
                        if file.tell() + len(block) > MOST:
                            raise InputError(f"{place} must unpack to at most {MOST:,} bytes")
                        file.write(block)
        except (OSError, EOFError, lzma.LZMAError, tarfile.TarError) as error:
            raise InputError(f"{place} cannot be unpacked: {error}") from None
        yield folder


def _check_store(
    store: Store, name: str, data: str | Path | None, audit: Audit, report: Reporter
) -> None:
    audit.stores += 1
    cells = store.rows(_CELLS)
    [count] = store.rows("SELECT count(*) AS n, total(error IS NOT NULL) AS failed FROM answers")
    audit.failed += int(count["failed"])
    report.begin(f"checking {name}", count["n"])
    done, tasks = 0, dict[tuple, tuple[Task | None, Sequence[Example]]]()
    for row in cells:
        audit.cells += 1
        settings = json.loads(row["settings"])
        cell = Cell(row["method"], row["task"], row["split"], row["seed"], settings, {})
        where = f"{name}: {cell.method} on {cell.task}, seed {cell.seed}"
        if cell.hash != row["hash"]:
            audit.faults.append(f"{where}: its settings have the hash {cell.hash}, not its own")
        found = store.rows(
            "SELECT row, row_id, answer, strict, extracted, transcript, reader FROM answers "
            "WHERE cell = ? AND error IS NULL ORDER BY row",
            (row["id"],),
        )
        key = (cell.task, cell.split, row["skipped"])
        try:
            if key not in tasks:
                tasks[key] = _task(cell, bool(row["skipped"]), data)
                _check_questions(store, cell, tasks[key][1], where, audit)
        except InputError as error:
            audit.skipped[cell.task] = str(error)
        else:
            for start in range(0, len(found), _CHUNK):
                chunk = found[start : start + _CHUNK]
                _check_answers(chunk, row["nodes"], *tasks[key], where, audit)
                report.advance(done + min(start + _CHUNK, len(found)))
        done += len(found)
    report.end()


def _task(cell: Cell, skip: bool, data: str | Path | None) -> tuple[Task | None, Sequence[Example]]:
    """Return what scores a cell's answers, None for discrete networks, and its questions."""
    if cell.settings.get("model") == _DISCRETE:
        return None, answers.examples(cell.task)
    task = make_task(cell.task, data, skip_bad_rows=skip)
    return task, task.examples(cell.split)


def _check_questions(
    store: Store, cell: Cell, examples: Sequence[Example], where: str, audit: Audit
) -> None:
    own = {e.id: (e.question, e.target, list(e.parts)) for e in examples}
    for held in store.rows(_QUESTIONS, (cell.task, cell.split)):
        content = (held["question"], held["target"], json.loads(held["parts"]))
        if own.get(held["row_id"]) != content:
            audit.faults.append(f"{where}: question {held['row_id']!r} is not the task's")


def _check_answers(
    found: Sequence[dict[str, Any]],
    nodes: int | None,
    task: Task | None,
    examples: Sequence[Example],
    where: str,
    audit: Audit,
) -> None:
    known, asked, replies, actions = [], [], [], []
    for row in found:
        place = f"{where}, row {row['row']}"
        example = examples[row["row"]] if row["row"] < len(examples) else None
        said = read_said(row["transcript"])
        if example is None or example.id != row["row_id"]:
            audit.faults.append(f"{place}: {row['row_id']!r} is not there in the task")
        elif (last := answer_in(said, nodes)) is None or _answer(last["text"], task) != row[
            "answer"
        ]:
            audit.faults.append(f"{place}: the answer is not the last message of the transcript")
        else:
            known.append(row)
            asked.append(example)
            replies.append(Reply(row["answer"], cut_off=bool(last.get("cut"))))
            actions.append(tuple(one["text"] for one in actions_of(said, nodes)))
    if task is None:
        again = [(float(r == e.target),) * 2 for r, e in zip(replies, asked, strict=True)]
    else:
        scores = (
            task.outcome_many(asked, actions)
            if isinstance(task, InteractiveTask)
            else task.score_many(asked, replies)
        )
        again = [(score.strict, score.extracted) for score in scores]
    present = task.read_by if task else ""
    for row, (strict, extracted) in zip(known, again, strict=True):
        if (row["strict"], row["extracted"]) == (strict, extracted):
            audit.same += 1
        elif present and row["reader"] != present:
            audit.moved[row["reader"] or "neuromas 1"] += 1
        else:
            audit.faults.append(
                f"{where}, row {row['row']}: stored as strict {row['strict']:g}, extracted "
                f"{row['extracted']:g}, scored again as {strict:g}, {extracted:g}"
            )


def _answer(message: str, task: Task | None) -> str:
    """Return the answer that a last message gives; symbols of a discrete network vote."""
    if task is not None:
        return message
    symbols = message.split()
    return symbols[vote(symbols).winner or 0] if symbols else ""


def _experiment(folder: Path, data: str | Path | None, experiment: str | Path | None) -> str:
    """Make the report of an experiment again, in a copy."""
    with tempfile.TemporaryDirectory() as made:
        copy = Path(made) / folder.name
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("checkpoints", "tensorboard"))
        return remake(copy, data, experiment).read_text(encoding="utf-8")


def remake(
    folder: Path, data: str | Path | None = None, experiment: str | Path | None = None
) -> Path:
    """Write the report of a finished experiment again, without any training; return its path.

    Args:
        folder: Of the experiment, as `neuromas experiment` left it.
        data: Folder with benchmark rows, by default the one that was used.
        experiment: Folder of its `experiment.yaml`, by default found by its name.

    Raises:
        InputError: Results are missing, or no experiment has its name.
    """
    head = _head(folder / HEAD)
    rows = str(data) if data else head.get("data")
    if rows != head.get("data"):  # where rows lie is no part of a result
        write(folder / HEAD, json.dumps(head | {"data": rows}, indent=1))
    scale = head.get("scale", "tiny")
    where = f"{folder / HEAD}: chosen"
    if chosen := check(where, head.get("chosen", {}), Chosen):
        with placed(where):
            for key in chosen:
                if key not in Chosen.__annotations__:
                    raise unknown("key", key, Chosen.__annotations__)
            found = marl_experiment(scale, **chosen)
    else:
        found = load(_place(head["name"]) if experiment is None else experiment, scale)
    seeds = check(f"{folder / HEAD}: seeds", head.get("seeds", {}), dict[str, Count])
    counted = (replace(one, seeds=seeds.get(one.name, one.seeds)) for one in found.studies)
    found = replace(found, studies=tuple(counted))
    tasks = check(f"{folder / HEAD}: tasks", head.get("tasks", []), list[str])
    part = on_tasks(found, tasks) if tasks else found
    for running in open_studies(part, folder, rows, Reporter()):
        for run in (*running.pilots(), *running.runs()):
            if not running.backend.finished(run.arm, running.path(run)):
                raise InputError(f"{folder} lacks a result: {running.path(run).name}")
    return run_experiment(found, folder, data=rows, tasks=tasks)


def _head(path: Path) -> dict[str, Any]:
    """Read what an experiment notes of itself."""
    head: dict[str, Any] = read(path)
    check(f"{path}: name", head.get("name"), str)
    return head


def _place(name: str) -> str:
    """Return the name of an experiment, where it can be found by it."""
    if name not in list_experiments() and not (Path(name) / YAML).is_file():
        raise InputError(
            f"the experiment {name!r} is not one of this package; give the folder that holds its "
            f"{YAML} with --experiment"
        )
    return name


def _check_page(page: Path, made: Sequence[str], audit: Audit) -> None:
    """Check that each row of the tables made again stands in a page."""
    try:
        held = set(page.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {page}: {error}") from None
    for line in (line for text in made for line in text.splitlines() if line.startswith("|")):
        if line in held:
            audit.rows += 1
        else:
            audit.faults.append(f"{page} lacks the row {line}")
