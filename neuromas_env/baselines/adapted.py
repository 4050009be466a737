"""Baselines that are adapted to a task before they are tested, and what they have learned.

`adapt` lets one learn on training questions and keeps what it has learned, as JSON, in
`adapted.json` of a folder, written whole after every iteration: a run that was killed
continues with the next one. The baseline then takes the folder as its option `state`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from neuromas_env.baselines import (
    BASELINES,
    COMMON,
    as_text,
    builder,
    make_setup,
    read_options,
)
from neuromas_env.baselines.net import Fitted, Learning, Setup
from neuromas_env.checks import WHOLE, Natural, check, made
from neuromas_env.errors import InputError, placed
from neuromas_env.files import lock, read, write
from neuromas_env.policy import Engine, Usage
from neuromas_env.progress import Reporter
from neuromas_env.rollout import step_questions
from neuromas_env.seeds import derive_seed
from neuromas_env.tasks.base import Task
from neuromas_env.tasks.ready import check_ready

FILE, LOCK = "adapted.json", "adapted.lock"


@dataclass(frozen=True)
class Adapted:
    """What a folder of `adapt` holds.

    Attributes:
        method: The baseline with its options.
        task: What it was adapted to.
        seed: Of the questions and of what is sampled.
        iterations: How many are done.
        state: What was learned.
        rewards: Mean reward of each iteration.
        cost: Training `questions`, `calls`, `prompt_tokens` and `completion_tokens`.
        facts: Name and weights of the model, where the engine knows them, and the task's origins.
    """

    method: str
    task: str
    seed: Natural
    iterations: Natural
    state: dict[str, Any]
    rewards: list[float]
    cost: dict[str, Natural]
    facts: dict[str, str]


def adapt(
    name: str,
    task: Task,
    engine: Engine,
    iterations: int,
    out: str | Path,
    seed: int = 0,
    report: Reporter | None = None,
) -> Adapted:
    """Adapt a baseline on its task's training questions, or continue that.

    Args:
        name: The baseline with its options, such as `gptswarm:agents=3,graphs=4`.
        task: What it is adapted to.
        engine: Serves all nodes; its cost is counted under the phase `train`.
        iterations: How many are to be done in all.
        out: Folder of the result; one that holds fewer iterations of the same is continued.
        seed: Iteration i depends on it and i alone. Its questions are those of a training step
            of as many questions with this seed.
        report: Shows how far it is.

    Raises:
        InputError: The baseline does not learn, there are no training questions, the folder
            holds something else or is written by another process, or a model call failed.
    """
    learning = _learning(name, task, engine)
    examples = task.examples("train")
    if not len(examples):
        raise InputError(f"task {task.name!r} has no training questions to adapt {name!r} to")
    check_ready(task)
    facts = {"name": engine.name, "weights_hash": engine.weights_hash, **task.origins}
    begun = Adapted(name, task.name, seed, 0, learning.state, [], _no_cost(), facts)
    folder, report = Path(out), report or Reporter()
    with lock(folder / LOCK, folder):
        done = _going_on(folder, begun) if (folder / FILE).is_file() else begun
        learning.state = done.state
        report.begin(f"adapting {name}", iterations, done.iterations)
        try:
            for number in range(done.iterations, iterations):
                chosen = step_questions(examples, seed, number + 1, learning.questions)
                engine.cost.phase = "train"
                before = engine.cost.total("train")
                metrics = learning.iterate(chosen, derive_seed(seed, 1, number))
                spent = engine.cost.total("train")
                done = replace(
                    done,
                    iterations=number + 1,
                    state=learning.state,
                    rewards=[*done.rewards, metrics["reward"]],
                    cost=_add(done.cost, before, spent, len(chosen)),
                )
                write(folder / FILE, json.dumps(asdict(done), indent=1))
                report.advance(number + 1, metrics)
        finally:
            report.end()
    return done


def learned(setup: Setup, family: str, folder: str) -> dict[str, Any]:
    """Return what a baseline has learned, for its builder.

    The baseline is to be what has learned: all its options that learning has as well are the
    same, and so is the model. Decoding and task may be others, as for trained networks.

    Raises:
        InputError: No folder is given, or it holds what another baseline, other options or
            another model have learned.
    """
    right = (
        f"`neuromas adapt {family} --task {shlex.quote(setup.task.name)} --out DIR` makes it, and "
        f"'{family}:state=DIR' takes it"
    )
    if not folder:
        raise InputError(f"baseline {setup.name!r} must learn before it is tested: {right}")
    if not (Path(folder) / FILE).is_file():
        raise InputError(f"baseline {setup.name!r}: there is no {Path(folder) / FILE}; {right}")
    held = read_adapted(Path(folder))
    if held.method.partition(":")[0] != family:
        raise InputError(
            f"baseline {setup.name!r}: {folder} holds what {held.method!r} has learned; {right}"
        )
    _check_options(setup, held, folder)
    weights = held.facts.get("weights_hash")
    loaded = setup.engine.weights_hash if setup.engine else ""
    if weights and loaded and weights != loaded:  # a server does not tell its weights
        raise InputError(
            f"baseline {setup.name!r}: {folder} was learned with the model "
            f"{held.facts.get('name')!r} (weights {weights}), but {loaded} are loaded; load that "
            "model"
        )
    return held.state


def _check_options(setup: Setup, held: Adapted, folder: str) -> None:
    family = held.method.partition(":")[0]
    given, tested = read_options(setup.name, builder(family, setup.name))
    learnt, learning = read_options(held.method, learning_of(held.method))
    for option in tested:
        if option in COMMON or option not in learning:
            continue
        value, wanted = (tested | given)[option], (learning | learnt)[option]
        if value != wanted:
            raise InputError(
                f"baseline {setup.name!r}: {folder} was learned with {option}={as_text(wanted)}, "
                f"not {as_text(value)}; give the same {option} as in adapting"
            )


def learning_of(name: str) -> Callable[..., Learning]:
    """Return what makes the learning of a baseline.

    Raises:
        InputError: There is no such baseline, or it does not learn.
    """
    return _fitted(name).learning


def _fitted(name: str) -> Fitted:
    found = BASELINES.find(family := name.partition(":")[0])
    if not isinstance(found, Fitted):
        learn = [name for name in BASELINES.built_in if isinstance(BASELINES.find(name), Fitted)]
        raise InputError(
            f"baseline {family!r} learns nothing before it is tested; of those built in, "
            f"{', '.join(learn[:-1])} and {learn[-1]} do"
        )
    return found


def _learning(name: str, task: Task, engine: Engine) -> Learning:
    make = learning_of(name)
    options, _ = read_options(name, make)
    common = {key: options.pop(key) for key in COMMON if key in options}
    setup = make_setup(name, task, engine, common)
    if common.get("prompts", "roles") != "roles":
        raise InputError(
            f"baseline {name!r} learns with prompts of its own: leave prompts out, or give "
            "prompts=roles"
        )
    return make(setup, **options)


def _going_on(folder: Path, begun: Adapted) -> Adapted:
    held = read_adapted(folder)
    for key in ("method", "task", "seed", "facts"):
        if getattr(held, key) != getattr(begun, key):
            raise InputError(
                f"{folder} holds an adaptation with {key} {getattr(held, key)!r}, not "
                f"{getattr(begun, key)!r}; give another folder"
            )
    return held


def read_adapted(folder: Path) -> Adapted:
    """Read what a folder of `adapt` holds.

    Raises:
        InputError: There is none, or it is broken.
    """
    path = folder / FILE
    with placed(str(path)):
        held = made(WHOLE, read(path), Adapted)
        return replace(held, state=check("state", held.state, _fitted(held.method).state))


def _no_cost() -> dict[str, int]:
    return dict.fromkeys(("questions", "calls", "prompt_tokens", "completion_tokens"), 0)


def _add(cost: Mapping[str, int], before: Usage, after: Usage, questions: int) -> dict[str, int]:
    spent = {key: getattr(after, key) - getattr(before, key) for key in cost if key != "questions"}
    return {key: cost[key] + (questions if key == "questions" else spent[key]) for key in cost}
