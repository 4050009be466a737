"""Spreads a benchmark over a Ray cluster; this process alone writes the store.

Every worker holds an engine of its own and answers one chunk at a time, the same chunks with the
same seeds as one process alone would. The chunk of a worker that dies is given to another, and a
new worker takes its place. Replies that are paid, or that `--cache` keeps, go to the benchmark's
directory one by one, whatever becomes of the worker. Ray is not part of the package's extras for
training, because RLlib pins an older gymnasium; plain `pip install ray` is enough here.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from neuromas_env.agents.engines.cached import CachedCompletion, Kept, Replies
from neuromas_env.bench.config import BenchConfig
from neuromas_env.bench.runner import Job
from neuromas_env.bench.store import Answer, Cell
from neuromas_env.bench.worker import Worker, replies_of
from neuromas_env.checks import Count, arguments
from neuromas_env.errors import InputError
from neuromas_env.policy import Completion
from neuromas_env.tasks.base import Example

_DEATHS = 3
"""A chunk on which so many workers have died is not tried again."""


class _Keeper:
    """Keeps the replies of all workers, in a process on the machine of the benchmark's directory.

    SQLite is for processes of one machine, and the disks of others are not searched later.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _replies(self) -> Replies:  # no file where nothing is kept
        return Replies(self._path)

    def find(self, keys: Sequence[bytes]) -> list[CachedCompletion | None]:
        return self._replies.find(keys)

    def keep(self, key: bytes, reply: Completion) -> None:
        self._replies.keep(key, reply)


class _Kept:
    """What a worker sees of the keeper: it waits until a reply is kept."""

    def __init__(self, keeper: Any) -> None:
        self._keeper = keeper

    def find(self, keys: Sequence[bytes]) -> list[CachedCompletion | None]:
        return _got(self._keeper.find.remote(keys))

    def keep(self, key: bytes, reply: Completion) -> None:
        _got(self._keeper.keep.remote(key, reply))

    def close(self) -> None:
        """Leave the keeper to the other workers."""


class _Far(Worker):
    """A worker that finds the modules which the user's process finds."""

    def __init__(self, config: BenchConfig, path: Sequence[str], keeper: Any) -> None:
        sys.path += [folder for folder in path if folder not in sys.path]
        super().__init__(config)
        self._keeper = keeper

    def kept(self) -> Kept:
        return _Kept(self._keeper)


@arguments
class Cluster:
    """Workers on a Ray cluster, as a `runner.Team`."""

    def __init__(self, config: BenchConfig, address: str, workers: Count | None = None) -> None:
        """Connect, or start Ray on this machine, and start the workers.

        Args:
            config: What to do.
            address: Of a cluster, `auto`, or `local` for this machine.
            workers: How many; by default one for each GPU or, on CPU, for each core.

        Raises:
            InputError: Ray is missing, the cluster cannot be reached or is too small.
        """
        config.validate()
        try:
            import ray
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
        except ImportError:
            raise InputError("--ray needs a package: pip install ray") from None
        self._ray, self._config = ray, config
        local = address == "local"
        try:
            _check_reachable(address)
            ray.init(
                address=address,
                num_cpus=max(workers or 0, os.cpu_count() or 1) if local else None,
                include_dashboard=False if local else None,
                log_to_driver=False,
                logging_level="error",
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(
                f"--ray {address}: {str(error).splitlines()[0]}; give the address of a "
                "running cluster such as 10.0.0.1:6379, or local"
            ) from error
        there = ray.cluster_resources()
        gpu = config.device.startswith("cuda") or (config.device == "auto" and "GPU" in there)
        resource = "GPU" if gpu else "CPU"
        most = int(there.get(resource, 0))
        count = workers or most
        if not 0 < count <= most:
            raise InputError(
                f"--workers: {count} workers need a {resource} each, the cluster has {most}"
            )
        self._remote = ray.remote(num_cpus=0 if gpu else 1, num_gpus=1 if gpu else 0)(_Far)
        here = ray.get_runtime_context().get_node_id()
        self._keeper = (
            ray.remote(_Keeper)
            .options(
                num_cpus=0, max_restarts=-1, max_task_retries=-1,
                scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False),
            )
            .remote(replies_of(config).absolute())
        )  # fmt: skip
        self._workers = [self._new() for _ in range(count)]

    def plan(self, names: Sequence[tuple[str, str]] | None = None) -> list[Cell]:
        """Let a worker plan, which has the models at hand."""
        return self._first("plan", names)

    def questions(self, cell: Cell) -> list[Example]:
        """Let a worker read the questions, which has the data at hand."""
        return self._first("questions", cell)

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, list[Answer]]]:
        """Answer all jobs, in whatever order the workers finish.

        Raises:
            InputError: What a worker raised, or several died over one chunk.
        """
        waiting, deaths = deque(jobs), Counter[tuple[str, int]]()
        idle = deque(range(len(self._workers)))
        busy: dict[Any, tuple[int, Job]] = {}
        while waiting or busy:
            while waiting and idle:
                number, job = idle.popleft(), waiting.popleft()
                busy[self._workers[number].answer.remote(job.cell, job.rows)] = number, job
            [done], _ = self._ray.wait(list(busy))
            number, job = busy.pop(done)
            idle.append(number)
            try:
                answers = _got(done)
            except self._ray.exceptions.RayActorError as error:
                chunk = job.cell.hash, job.rows[0]
                deaths[chunk] += 1
                if deaths[chunk] == _DEATHS:
                    raise InputError(
                        f"{_DEATHS} workers died over the same questions of {job.cell.method} on "
                        f"{job.cell.task}; is there enough memory? Ray says: {error}"
                    ) from error
                self._workers[number] = self._new()
                waiting.appendleft(job)
            else:
                yield job, answers

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self._ray.shutdown()

    def _first(self, name: str, argument: Any) -> Any:
        """Ask the first worker, or the one that takes its place if it dies."""
        for left in reversed(range(_DEATHS)):
            try:
                return _got(getattr(self._workers[0], name).remote(argument))
            except self._ray.exceptions.RayActorError as error:
                if not left:
                    raise InputError(f"workers die while they load the model: {error}") from error
                self._workers[0] = self._new()

    def _new(self) -> Any:
        path = [os.path.abspath(folder) for folder in sys.path]
        return self._remote.remote(self._config, path, self._keeper)


def _got(reference: Any) -> Any:
    """Wait for what another process returns, or raise its InputError as if it were this one's."""
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        raise


def _check_reachable(address: str) -> None:
    """Raise OSError where nobody listens: Ray itself would try for minutes."""
    if match := re.fullmatch(r"(?:ray://)?([^/]+):([0-9]+)", address):
        socket.create_connection((match[1], int(match[2])), timeout=10).close()
