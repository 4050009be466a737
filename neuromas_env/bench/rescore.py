"""Reads stored answers again, by another reader; no model is asked."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from neuromas_env.bench.store import Store
from neuromas_env.bench.stored import answer_in, read_said
from neuromas_env.errors import InputError
from neuromas_env.tasks import Task, make_task
from neuromas_env.tasks.base import Reply, Score
from neuromas_env.tasks.interactive import InteractiveTask
from neuromas_env.tasks.readers import get_reader

_CELLS = """
SELECT id, task, split, settings ->> '$.model' AS model,
    json_array_length(facts, '$.skipped_rows') AS skipped,
    json_extract(facts, '$.topology.nodes') AS nodes FROM cells ORDER BY id
"""
_ANSWERS = """
SELECT row, row_id, answer, transcript, question FROM answers JOIN questions USING (row_id)
WHERE cell = ? AND task = ? AND split = ? AND error IS NULL ORDER BY row
"""


def rescored(store: Store, reader: str, data: str | Path | None = None) -> tuple[Store, str]:
    """Return a copy of a store in memory with the scores that a reader gives.

    What is read is each answer's text. Votes that led to it stay as they were. Code, the symbols
    of discrete networks and the actions of tasks that reply are no replies to be read; their scores
    stay, too.

    Args:
        store: The store, which stays as it is.
        reader: Name of the reader.
        data: Folder with benchmark rows, which say what the options of a question are.

    Returns:
        The copy, and a line that says what was read by whom.

    Raises:
        InputError: There is no such reader, a task or its rows are missing, or rows differ from
            those that were asked.
    """
    by, kept = get_reader(reader), set()

    @cache
    def task_of(name: str, skip: bool) -> Task:
        task = make_task(name, data, skip_bad_rows=skip)
        task.reader = by
        return task

    scores: dict[int, list[tuple[int, Score, str]]] = {}
    for cell in store.rows(_CELLS):
        coded = cell["model"] == "coded"
        task = None if coded else task_of(cell["task"], bool(cell["skipped"]))
        if task is None or task.answer_form is None or isinstance(task, InteractiveTask):
            kept.add(cell["task"])
        else:
            scores[cell["id"]] = list(_scores(store, cell, task))
    note = f"Stored answers are read again by {by}; votes among them are counted as they were."
    if kept:
        note += f" Scores that no reader gives are as stored: {', '.join(sorted(kept))}."
    twin = store.copy()
    for number, found in scores.items():
        twin.rescore(number, found)
    return twin, note


def _scores(store: Store, cell: dict[str, Any], task: Task) -> Iterator[tuple[int, Score, str]]:
    examples = task.examples(cell["split"])
    for found in store.rows(_ANSWERS, (cell["id"], cell["task"], cell["split"])):
        row, asked = found["row"], (found["row_id"], found["question"])
        example = examples[row] if row < len(examples) else None
        if example is None or (example.id, example.question) != asked:
            raise InputError(
                f"{store.path}: row {row} of task {task.name} reads differently now than when it "
                f"was answered as {found['row_id']!r}; --data must name the rows of then"
            )
        said = answer_in(read_said(found["transcript"]), cell["nodes"])
        reply = Reply(found["answer"], cut_off=bool(said and said.get("cut")))
        yield row, task.score(example, reply), task.read_by
