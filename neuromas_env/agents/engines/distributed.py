"""Data-parallel training: several processes, each with the whole network, share a step.

Started by `torchrun` (or `accelerate launch` on GPUs), every process plays some questions of a step
and all get all episodes. So each of them knows the same rewards and advantages, computes
the gradient of its share of the rows, and takes the same step from the sum. Started
alone, a process shares with nobody, and everything here does nothing.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from neuromas_env import rollout
from neuromas_env.agents.engines.devices import place_of
from neuromas_env.errors import InputError
from neuromas_env.method import Method
from neuromas_env.policy import Trajectory, Usage
from neuromas_env.tasks.base import Example, Task

T = TypeVar("T")
_TIMEOUT = timedelta(hours=2)  # of a process that hangs; one that is gone is noticed at once
_NOTICE = 3.0  # seconds in which the operating system tells that a process is gone
_peers: list[tuple[str, int]] = []  # host and process id, by number
_control: list[Any] = []  # the group through which the processes tell each other things


def start(device: str) -> None:
    """Join the other processes, if a launcher started several.

    Raises:
        InputError: They did not come together.
    """
    if _peers:
        return
    by_accelerate = os.environ.get("ACCELERATE_USE_CPU") == "True"
    meant_for_several = "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ
    if by_accelerate and meant_for_several:
        raise InputError(
            "`accelerate launch --cpu` has started this process alone, whatever the number of "
            "processes; run `torchrun --nproc-per-node N -m neuromas_env train`"
        )
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    import accelerate

    place = place_of(device)
    try:
        accelerate.PartialState(cpu=place == "cpu", timeout=_TIMEOUT)
    except Exception as error:  # each backend has errors of its own
        raise InputError(f"the processes did not come together: {error}") from error
    # A broken connection is noticed at once by gloo, and by other backends after their timeout.
    _control.append(torch.distributed.new_group(backend="gloo", timeout=_TIMEOUT))
    _peers.extend(gather((os.uname().nodename, os.getpid())))
    atexit.register(_leave)
    _on_terminate(_terminated)


def _leave() -> None:
    """Leave all groups while Python still runs.

    Threads of a group that outlives the interpreter end the process by a signal when they let
    go of a tensor (pytorch/pytorch pull request 179291).
    """
    _control.clear()
    torch.distributed.destroy_process_group()


def size() -> int:
    """Return the number of processes."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def number() -> int:
    """Return this process's number; 0 is the main process, which writes all files."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def gather(value: T) -> list[T]:
    """Give every process the values of all, in their order.

    Raises:
        InputError: A process is gone.
    """
    if size() == 1:
        return [value]
    found: list[Any] = [None] * size()
    group = _control[0] if _control else None
    _communicate(lambda: torch.distributed.all_gather_object(found, value, group))
    return found


def together(work: Callable[[], T]) -> list[T]:
    """Let every process do its own work; all get all results, or all raise an error.

    It is a process's own, or else the first of the others'. An error that one process kept to
    itself would leave the others waiting for it.
    """
    if size() == 1:
        return [work()]
    outcome: Any = None
    error: Exception | None = None
    try:
        outcome = work()
    except Exception as caught:
        error = caught
    told = None if error is None else (str(error), isinstance(error, InputError))
    outcomes = gather((outcome, told))
    if error is not None:
        raise error
    for process, (_, failed) in enumerate(outcomes):
        if failed is not None:
            raise (InputError if failed[1] else RuntimeError)(f"process {process}: {failed[0]}")
    return [value for value, _ in outcomes]


def from_main(work: Callable[[], T]) -> T:
    """Let the main process do some work, and give every process the result or the error."""
    return together(lambda: work() if number() == 0 else None)[0]  # type: ignore[return-value]


def anyone(flag: bool) -> bool:
    """Return whether the flag is up in any process."""
    return any(gather(flag))


def check_same(values: Mapping[str, Any], kind: str = "option") -> None:
    """Refuse processes that would not compute the same.

    Args:
        values: What must be the same, by name.
        kind: Of value, for the message.

    Raises:
        InputError: A value, a package's version or this package's code differs.
    """
    if size() == 1:
        return
    facts = {f"{kind} {name}": value for name, value in values.items()}
    packages = ("torch", "transformers", "peft", "neuromas-env")
    facts |= {f"version of {package}": version(package) for package in packages}
    facts |= {f"code of {name}": digest for name, digest in _code().items()}
    first, *others = gather(facts)
    for process, found in enumerate(others, start=1):
        for name in first | found:
            if first.get(name) != found.get(name):
                raise InputError(
                    f"process {process} has another {name} ({found.get(name)!r}) than process 0 "
                    f"({first.get(name)!r}); it must be the same in all processes"
                )


def run_episodes(
    method: Method,
    task: Task,
    examples: Sequence[Example],
    *,
    intervene: rollout.Intervene | None = None,
    numbers: Sequence[int] | None = None,
    **options: Any,
) -> list[Trajectory]:
    """Run episodes as `rollout.run_episodes` does, each process those of some questions.

    Every process books the calls of all.

    Args:
        method: What is run.
        task: Scores the answers.
        examples: The questions.
        intervene: Replaces messages. It may mix the episodes of a batch, so with it every
            process runs all of them.
        numbers: What stands for a question in the seeds, by default its place in the list.
        options: Further arguments of `rollout.run_episodes`.
    """
    numbers = range(len(examples)) if numbers is None else numbers
    if size() == 1 or intervene is not None:
        return rollout.run_episodes(
            method, task, examples, intervene=intervene, numbers=numbers, **options
        )
    own = np.array_split(np.arange(len(examples)), size())[number()].tolist()
    chosen, theirs = [examples[i] for i in own], [numbers[i] for i in own]
    costs = method.costs
    before = [{key: replace(usage) for key, usage in cost.usage.items()} for cost in costs]

    def play() -> tuple[list[Trajectory], list[dict[tuple[str, str], Usage]]]:
        runs = rollout.run_episodes(method, task, chosen, numbers=theirs, **options)
        runs = [replace(run, group=own[run.group]) for run in runs]
        spent = [
            {key: _spent(usage, old.get(key)) for key, usage in cost.usage.items()}
            for cost, old in zip(costs, before, strict=True)
        ]
        return runs, spent

    parts = together(play)
    for process, (_, accounts) in enumerate(parts):
        for cost, spent in zip(costs, accounts, strict=True):
            for key, usage in spent.items() if process != number() else ():
                cost.usage.setdefault(key, Usage()).add(usage)
    return [run for runs, _ in parts for run in runs]


def share(groups: Sequence[int], work: Sequence[float]) -> list[int]:
    """Return the places of this process's episodes: whole groups, dealt in turn.

    Args:
        groups: The group of each episode.
        work: 0 for an episode that will be dropped; groups of such are dealt last.
    """
    busy = {group for group, amount in zip(groups, work, strict=True) if amount}
    order = sorted(set(groups), key=lambda group: (group not in busy, group))
    turn = {group: i for i, group in enumerate(order)}
    return [i for i, group in enumerate(groups) if turn[group] % size() == number()]


def sum_gradients(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Replace each gradient by its sum over the processes; None stays None if it is so in all."""
    if size() == 1 or not parameters:
        return
    present = parameters[0].new_tensor([float(p.grad is not None) for p in parameters])
    parts = [(torch.zeros_like(p) if p.grad is None else p.grad).ravel() for p in parameters]
    flat = torch.cat([present, *parts]).detach()
    _communicate(lambda: torch.distributed.all_reduce(flat))
    present, *sums = flat.split([len(parameters), *(p.numel() for p in parameters)])
    for parameter, known, total in zip(parameters, present.tolist(), sums, strict=True):
        parameter.grad = total.view_as(parameter).clone() if known else None


def _communicate(work: Callable[[], Any]) -> None:
    try:
        work()
    except RuntimeError as error:  # what a backend raises when a connection breaks
        _on_terminate(signal.SIG_IGN)  # it ends by itself, with the message
        elsewhere = f"a process on another machine ({str(error).splitlines()[0]})"
        raise InputError(_message(_lost() or elsewhere)) from error


def _on_terminate(handler: Any) -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _terminated(*_: Any) -> None:
    """A launcher ends what is left when a process is lost; say which one it was."""
    _on_terminate(signal.SIG_IGN)
    if lost := _lost():
        raise InputError(_message(lost))
    raise SystemExit(143)


def _message(lost: str) -> str:
    return (
        f"{lost} was lost in mid-step, so process {number()} stops. The run goes on from its "
        "last checkpoint: start the processes again with --resume"
    )


def _lost() -> str:
    """Name the processes of this machine that are gone."""
    import psutil

    def gone(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    until = time.monotonic() + _NOTICE
    while time.monotonic() < until:
        names = [
            f"process {i} (pid {pid} on {host})"
            for i, (host, pid) in enumerate(_peers)
            if host == os.uname().nodename and gone(pid)
        ]
        if names:
            return ", ".join(names)
        time.sleep(0.1)
    return ""


def _spent(now: Usage, before: Usage | None) -> Usage:
    before = before or Usage()
    return Usage(*(getattr(now, key) - getattr(before, key) for key in Usage.__annotations__))


def _code() -> dict[str, str]:
    """Return a digest of each source file of this package."""
    root = Path(rollout.__file__).parent
    return {
        f"{root.name}/{path.relative_to(root).as_posix()}": _digest(path)
        for path in sorted(root.rglob("*.py"))
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
