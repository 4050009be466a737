"""Answers chunks of questions for cells; knows no store, so that many can work for one."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from neuromas_env.agents.engines.cached import CachedCompletion, CachedEngine, Kept
from neuromas_env.bench.config import BenchConfig
from neuromas_env.bench.engines import Adapters, Identity, check_trainable, make_engine
from neuromas_env.bench.methods import (
    TrainedRun,
    is_trained,
    learned_files,
    make_method,
    read_run,
    training_of,
)
from neuromas_env.bench.store import Answer, Cell
from neuromas_env.errors import InputError
from neuromas_env.method import Method
from neuromas_env.policy import Engine, Trajectory, Turn
from neuromas_env.rollout import opening, run_episodes
from neuromas_env.tasks import Task, make_task
from neuromas_env.tasks.base import Example
from neuromas_env.tasks.ready import check_ready
from neuromas_env.tasks.reply import cut_off

REPLIES = "replies.sqlite"
"""Replies of a server that is paid, in the benchmark's directory, each kept when it comes."""

_PROBE = {"system": "Answer with one word."}


def replies_of(config: BenchConfig) -> Path:
    """Return the file in which a benchmark keeps replies that are paid, or all with a cache."""
    return Path(config.out) / REPLIES if config.cache is None else Path(config.cache)


class Worker:
    """Plans the cells of a benchmark and answers their questions.

    One engine is held at a time. Planning needs the base model but no adapters.
    """

    def __init__(self, config: BenchConfig) -> None:
        """Remember what is asked for; models are loaded when they are needed."""
        config.validate()
        self._config = config
        self._engine: tuple[Adapters | None, Engine, Identity] | None = None
        self._method: tuple[str, Method, Task] | None = None
        self._runs: dict[str, TrainedRun] = {}
        self._facts: dict[str, dict[str, Any]] = {}

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """The tasks by full name."""
        data, skip = self._config.data, self._config.skip_bad_rows
        made = [make_task(name, data, skip_bad_rows=skip) for name in self._config.tasks]
        return {task.name: task for task in made}

    def kept(self) -> str | Path | Kept:
        """Return where replies are kept: the cache, or the benchmark's directory."""
        return replies_of(self._config)

    def plan(self, names: Sequence[tuple[str, str]] | None = None) -> list[Cell]:
        """Return the cells in the order in which they are to run.

        Args:
            names: Task and method of each; by default all methods on all tasks.

        Raises:
            InputError: A task, a method or an option is unknown or does not fit.
        """
        config = self._config
        if names is None:
            names = [(task, method) for method in config.methods for task in self.tasks]
        cells: dict[str, Cell] = {}
        for task_name, method_name in names:
            task = self.tasks[task_name]
            for cell in self._cells(method_name, task):
                cells.setdefault(cell.hash, cell)
        return list(cells.values())

    def questions(self, cell: Cell) -> list[Example]:
        """Return the questions that are asked for now."""
        rows = self.tasks[cell.task].examples(cell.split)
        return [rows[i] for i in range(cell.questions)]

    def answer(self, cell: Cell, rows: Sequence[int]) -> list[Answer]:
        """Answer questions of a cell.

        Args:
            cell: The cell.
            rows: Numbers of the questions in their split; seeds derive from them.

        Raises:
            InputError: Every single call failed, so that going on makes no sense.
        """
        method, task = self._build(cell)
        engine = self._engine_for(None)[0]
        examples = [task.examples(cell.split)[row] for row in rows]
        before = engine.cost.total("eval").seconds
        done = run_episodes(method, task, examples, seed=cell.seed or 0, numbers=rows)
        seconds = (engine.cost.total("eval").seconds - before) / len(done)
        if not any(turn.completion for t in done for turn in t.turns):
            self._check_alive(cell, task, method, done)
        sandbox = task.tier
        return [
            answer_of(row, trajectory, seconds, method, sandbox, task.read_by)
            for row, trajectory in zip(rows, done, strict=True)
        ]

    def close(self) -> None:
        """End the engine."""
        if self._engine is not None:
            self._engine[1].close()
            self._engine = self._method = None

    def _check_alive(
        self, cell: Cell, task: Task, method: Method, done: Sequence[Trajectory]
    ) -> None:
        """Tell an engine that fails from questions that do, by a call that asks little.

        It has roles, adapter, temperature and length of the calls that failed, and no cache
        answers it.
        """
        failed = [t for t in done if t.error]
        asked = opening(method, task, failed[0].example) if failed else []
        if not asked:
            return
        turns = tuple((role, _PROBE.get(role, "Say yes.")) for role, _ in asked[0].turns)
        engine = asked[0].engine
        inner = engine.engine if isinstance(engine, CachedEngine) else engine
        if inner.generate([replace(asked[0], turns=turns)])[0].error:
            raise InputError(
                f"{cell.method} on {cell.task}: every model call fails, so the benchmark stops "
                f"here. The first of {len(failed)}: {failed[0].error}"
            )

    def _cells(self, name: str, task: Task) -> list[Cell]:
        config = self._config
        engine, identity = self._engine_for(None)
        method = make_method(name, task, engine, config)
        split = task.examples(config.split)
        if not len(split):
            raise InputError(f"task {task.name!r} has no questions in its {config.split} split")
        settings = {
            **identity,
            "engine": config.engine,
            "chunk": config.chunk,
            "max_new_tokens": config.max_new_tokens,
            "temperature": config.temperature,
        }
        known = self._known(task)
        if known["skipped_rows"]:
            # Rows are known by their numbers, which depend on what was left out before them.
            settings["skipped_rows"] = known["skipped_rows"]
        count = min(config.limit or len(split), len(split))
        trainable = 0
        if is_trained(name):
            run = self._run(name, identity)
            check_trainable(engine, config.engine)
            settings["adapters"], trainable = run.hashes, run.trainable
        elif files := learned_files(method.name):
            settings["adapters"] = files
        facts = {
            "topology": method.topology.to_json(),
            "labels": dict(method.labels),
            "calls": method.calls,
            "trainable": trainable,
            "training": training_of(method.name),
            "asked": count,
            **known,
            "prices": config.prices,
            "versions": identity["versions"] | {"python": sys.version.split()[0]},
        }
        return [
            Cell(method.name or name, task.name, config.split, seed, settings, facts, count)
            for seed in (config.seeds if method.sampled else (None,))
        ]

    def _known(self, task: Task) -> dict[str, Any]:
        """What can be said of a task without any method, worked out once."""
        if task.name not in self._facts:
            split = self._config.split
            questions = len(task.examples(split))
            facts = {
                "questions": questions,
                "skipped_rows": list(task.skipped),
                "majority": float(task.majority(split)),
                "blind": task.blind_accuracy(split),
            }
            if task.origins:
                facts["origins"] = dict(task.origins)
            # Last, since it may read further tables and add to what was skipped.
            check_ready(task)
            self._facts[task.name] = facts
        return self._facts[task.name]

    def _run(self, name: str, identity: Identity) -> TrainedRun:
        run = self._runs[name] = self._runs.get(name) or read_run(name)
        if identity.get("weights_hash") not in (None, run.state.weights_hash):
            raise InputError(
                f"method {name!r} was trained on the base {run.state.model!r} (weights "
                f"{run.state.weights_hash}), but {identity['model']!r} (weights "
                f"{identity['weights_hash']}) is loaded; give "
                f"--model {shlex.quote(run.state.model)}"
            )
        return run

    def _build(self, cell: Cell) -> tuple[Method, Task]:
        """Return a cell's method with its adapters in the engine, kept until the next cell."""
        if self._method is None or self._method[0] != cell.hash:
            task = self.tasks[cell.task]
            trained = is_trained(cell.method)
            run = self._run(cell.method, cell.settings) if trained else None
            engine, _ = self._engine_for(run.shape if run else None)
            if run is not None:
                from neuromas_env.agents.engines.handover import prove_copies
                from neuromas_env.agents.training import checkpoint

                inner = engine.engine if isinstance(engine, CachedEngine) else engine
                checkpoint.load(run.checkpoint, inner, run.state.topology)  # type: ignore[arg-type]
                prove_copies(inner)  # type: ignore[arg-type]
                if isinstance(engine, CachedEngine):
                    engine.adapters = run.hashes
            if isinstance(engine, CachedEngine) and self._config.cache is None:
                # What was asked is known to this cell alone: it must not lend its replies.
                engine.identity = {"cell": cell.hash}
            method = make_method(cell.method, task, engine, self._config)
            self._method = cell.hash, method, task
        return self._method[1:]

    def _engine_for(self, adapters: Adapters | None) -> tuple[Engine, Identity]:
        """Return the engine; a new one only where the adapters need another shape."""
        if self._engine is None or (adapters is not None and self._engine[0] != adapters):
            self._engine = self._method = None  # frees the memory before more is taken
            engine, identity = make_engine(self._config, adapters)
            if self._config.cache is not None or engine.paid:
                engine = CachedEngine(engine, identity, self.kept())
            self._engine = adapters, engine, identity
        return self._engine[1:]


def answer_of(
    row: int,
    trajectory: Trajectory,
    seconds: float,
    method: Method,
    sandbox: str | None = None,
    reader: str = "",
) -> Answer:
    """Return what the store keeps of an episode.

    Args:
        row: Number of the question in its split.
        trajectory: The episode.
        seconds: The question's share of the time in the engine.
        method: Says whether a vote was tied.
        sandbox: What isolated the code that was run.
        reader: By whose rules the answer was scored.
    """
    score = trajectory.score
    calls = [turn.completion for turn in trajectory.turns if turn.completion]
    return Answer(
        row=row,
        row_id=trajectory.example.id,
        answer=trajectory.answer,
        strict=score.strict if score else 0.0,
        extracted=score.extracted if score else 0.0,
        reason=score.reason if score else None,
        tie=None if trajectory.error else method.tied(trajectory),
        error=trajectory.error,
        calls=len(calls),
        cached=sum(isinstance(call, CachedCompletion) for call in calls),
        prompt_tokens=sum(len(call.prompt_ids) for call in calls),
        completion_tokens=sum(len(call.ids) for call in calls),
        seconds=seconds,
        sandbox=sandbox,
        transcript=json.dumps([_said(turn) for turn in trajectory.turns]),
        reader=reader,
    )


def _said(turn: Turn) -> dict[str, Any]:
    said: dict[str, Any] = {"node": turn.node, "text": turn.text}
    said |= {"round": turn.round} if turn.round else {}
    completion = turn.completion
    if completion is not None:
        said |= {"prompt_tokens": len(completion.prompt_ids), "tokens": len(completion.ids)}
    if cut_off(turn.text):  # also where a vote passes on a reply that was
        said["cut"] = True
    if completion is not None and completion.left_out:
        said["left_out"] = completion.left_out
    return said
