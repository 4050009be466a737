"""A training run from its options to its result, stoppable and resumable at any moment.

What a step does follows from the options and the step's number alone: its questions,
the seeds of its episodes and torch's global random state. So a resumed run equals one
that was never stopped.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from neuromas_env.agents import checkpoint
from neuromas_env.agents.config import TrainConfig, read_config
from neuromas_env.agents.evaluate import Evaluation, communication_ablation, evaluate
from neuromas_env.agents.growth import grow
from neuromas_env.agents.learner import Learner, make_learner
from neuromas_env.agents.llm import llm_team
from neuromas_env.agents.models import load_base
from neuromas_env.agents.runlog import Reporter, RunLog, writing
from neuromas_env.agents.transformers_engine import TransformersEngine
from neuromas_env.errors import InputError
from neuromas_env.policy import Sampling, Team, Usage
from neuromas_env.rollout import derive_seed, run_episodes
from neuromas_env.tasks import SPLITS, Example, Task, make_task
from neuromas_env.topology import Topology

_ADAPTERS, _EPISODES, _QUESTIONS, _GLOBAL = range(4)  # streams of random numbers


class Interrupted(Exception):
    """The user stopped the run; it can go on from its last checkpoint.

    Attributes:
        folder: The run folder.
    """

    def __init__(self, folder: Path, step: int) -> None:
        """Say where the run stands and how to go on."""
        self.folder = folder
        super().__init__(f"stopped after step {step}; go on with: neuromas train --resume {folder}")


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Attributes:
        folder: The run folder.
        steps: Training steps taken.
        before: Evaluation before training, None if none was asked for.
        after: Evaluation after training.
        ablation: `blanked` and `shuffled`: after training, with messages taken away.
        growth: For each growth `step`, `old`, `new` and the evaluations `before`, `after`.
        cost: Phase to calls, tokens and seconds of generation.
        facts: Model, weights, topology, task, reward and seed of the run.
    """

    folder: Path
    steps: int
    before: Evaluation | None
    after: Evaluation | None
    ablation: dict[str, Evaluation]
    growth: list[dict[str, Any]]
    cost: dict[str, dict[str, float]]
    facts: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return a dict for JSON, as written to `result.json`."""
        return {**asdict(self), "folder": str(self.folder)}


def train(config: TrainConfig, *, report: Reporter | None = None) -> RunResult:
    """Train a network and evaluate it before and after.

    Args:
        config: The options.
        report: Told how the run goes on.

    Raises:
        InputError: An option is wrong, an episode or a file failed, or the loss is not finite.
        Interrupted: The user stopped the run.
    """
    config.validate()
    task = make_task(config.task, config.data)
    stages = config.stages()
    source = None
    if config.grow_from is not None:
        source = checkpoint.latest(config.grow_from)
        old = checkpoint.read_state(source).topology
        old.grow_to(stages[0][0])
        stages = [(old, 0), *stages]  # growth is what happens between two stages
    _check_splits(config, task)
    engine = make_engine(config)
    nodes = config.node_names(stages[0][0]) if source is None else stages[0][0].nodes
    for node in stages[0][0].nodes:
        number = int(node.removeprefix("node_"))
        engine.adapters.add(node, derive_seed(config.seed, _ADAPTERS, number))
    learner = make_learner(config.learner, engine, nodes, config)
    if source is not None:
        checkpoint.load(source, engine)
        learner.load_state_dict(checkpoint.load_learner(source))
    folder = _new_folder(config, task, stages[-1][0])
    _write_head(folder, config, task, engine, stages)
    run = _Run(folder, config, task, engine, stages, report or Reporter())
    run.start(learner, nodes)
    return run.finish()


def resume(folder: str | Path, *, report: Reporter | None = None) -> RunResult:
    """Go on with a run from its last checkpoint; a finished run is only read.

    Raises:
        InputError: The folder is no run, or its base model has changed; else as `train`.
        Interrupted: The user stopped the run.
    """
    folder = Path(folder)
    if not (folder / "config.yaml").is_file():
        raise InputError(f"{folder} is no run folder: it holds no config.yaml")
    config = TrainConfig.from_mapping(
        read_config(folder / "config.yaml"), str(folder / "config.yaml")
    )
    if (folder / "result.json").is_file():
        return read_result(folder)
    source = checkpoint.latest(folder)
    head = _read_json(folder / "run.json")
    stages = [(Topology.from_json(data), steps) for data, steps in head["stages"]]
    task = make_task(config.task, config.data)
    engine = make_engine(config)
    state = checkpoint.load(source, engine)
    learner = make_learner(config.learner, engine, state.trained, config)
    learner.load_state_dict(checkpoint.load_learner(source))
    run = _Run(folder, config, task, engine, stages, report or Reporter())
    run.restore(learner, state)
    return run.finish()


def read_result(folder: str | Path) -> RunResult:
    """Read the result of a finished run.

    Raises:
        InputError: There is none.
    """
    data = _read_json(Path(folder) / "result.json")
    for key in ("before", "after"):
        data[key] = data[key] and Evaluation.from_dict(data[key])
    data["ablation"] = {k: Evaluation.from_dict(v) for k, v in data["ablation"].items()}
    return RunResult(**(data | {"folder": Path(folder)}))


def make_engine(config: TrainConfig) -> TransformersEngine:
    """Load the base model of a run and prepare it for adapters.

    Raises:
        InputError: The model cannot be loaded or does not fit the options.
    """
    return TransformersEngine(
        load_base(config.model, config.dtype, config.device),
        rank=config.rank,
        alpha=config.alpha,
        targets=config.target_layers(),
        chunk_rows=config.chunk_rows,
        token_budget=config.token_budget,
        gradient_checkpointing=config.gradient_checkpointing,
    )


def step_questions(config: TrainConfig, examples: Sequence[Example], step: int) -> list[Example]:
    """Return the questions of a step: without replacement until all have been seen.

    The order depends on the seed alone, so any step can be drawn by itself.
    """
    first = (step - 1) * config.questions
    chosen = []
    for place in range(first, first + config.questions):
        epoch, index = divmod(place, len(examples))
        chosen.append(examples[int(_permutation(config.seed, epoch, len(examples))[index])])
    return chosen


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    return np.random.default_rng(derive_seed(seed, _QUESTIONS, epoch)).permutation(size)


class _Run:
    """A run that is going on; `start` or `restore` first, then `finish`."""

    def __init__(
        self,
        folder: Path,
        config: TrainConfig,
        task: Task,
        engine: TransformersEngine,
        stages: list[tuple[Topology, int]],
        report: Reporter,
    ) -> None:
        self.folder, self.config, self.task, self.engine = folder, config, task, engine
        self.stages, self.report = stages, report
        self.ends = list(itertools.accumulate(steps for _, steps in stages))
        self.step = self.stage = 0
        self.stop = False
        self.trained: tuple[str, ...] = ()
        self.learner: Learner
        self.log: RunLog
        self._last: tuple[tuple[int, int], Evaluation] | None = None

    @property
    def topology(self) -> Topology:
        return self.stages[self.stage][0]

    def start(self, learner: Learner, trained: tuple[str, ...]) -> None:
        self.learner, self.trained, self.log = learner, trained, RunLog(self.folder)
        self.save()

    def restore(self, learner: Learner, state: checkpoint.State) -> None:
        self.learner, self.trained = learner, state.trained
        self.step, self.stage = state.step, state.stage
        self.log = RunLog(self.folder, state.log, state.step)
        for phase, adapter, *usage in state.cost:
            self.engine.cost.usage[phase, adapter] = Usage(*usage)

    def finish(self) -> RunResult:
        try:
            with self._listening():
                return self._go()
        finally:
            self.report.end()
            self.log.close()

    def _go(self) -> RunResult:
        if not self.log.events("before"):
            self._record("before", self.evaluate("before training"))
        for stage, end in enumerate(self.ends[self.stage :], start=self.stage):
            if stage > self.stage:
                self.grow(stage)
            self.report.begin(f"training {self.topology.name}", self.ends[-1], self.step)
            while self.step < end:
                self.take_step()
        self.save()
        after = self.evaluate("after training")
        ablation = self.ablate() if after and after.n > 1 and len(self.topology) > 1 else {}
        before = self.log.events("before")[0]["evaluation"]
        result = RunResult(
            folder=self.folder,
            steps=self.step,
            before=before and Evaluation.from_dict(before),
            after=after,
            ablation=ablation,
            growth=self.log.events("growth"),
            cost={p: asdict(self.engine.cost.total(p)) for p in ("train", "eval")},
            facts={k: v for k, v in _read_json(self.folder / "run.json").items() if k != "stages"},
        )
        _write(self.folder / "result.json", json.dumps(result.to_dict(), indent=1))
        return result

    def take_step(self) -> None:
        started = time.perf_counter()
        step, config = self.step + 1, self.config
        torch.manual_seed(derive_seed(config.seed, _GLOBAL, step))
        questions = step_questions(config, self.task.examples("train"), step)
        self.engine.cost.phase = "train"
        trajectories = run_episodes(
            self.topology,
            self.task,
            self.team(temperature=1.0),
            questions,
            seed=derive_seed(config.seed, _EPISODES, step),
            rollouts=config.rollouts,
            reward=config.reward,
        )
        rolled = time.perf_counter()
        for trajectory in trajectories:
            if trajectory.error is not None:
                raise InputError(
                    f"step {step}, question {trajectory.example.id!r}: {trajectory.error}"
                )
        try:
            metrics = self.learner.update(trajectories)
        except FloatingPointError as error:
            raise InputError(
                f"step {step}: {error}; a smaller learning_rate would be right. "
                f"{self.folder} holds the checkpoints of earlier steps"
            ) from error
        trained = time.perf_counter()
        self.step = step
        scores = [t.score for t in trajectories if t.score is not None]
        self.log.transcripts(step, trajectories, config.transcripts)
        generated = [s.completion for t in trajectories for s in t.steps.values() if s.completion]
        extracted = float(np.mean([score.extracted for score in scores]))
        line = {
            "step": step,
            "topology": self.topology.name,
            "strict": float(np.mean([score.strict for score in scores])),
            "extracted": extracted,
            "rollout_tokens": sum(len(c.ids) for c in generated),
            **metrics,
            "rollout_seconds": rolled - started,
            "train_seconds": trained - rolled,
        }
        line["other_seconds"] = time.perf_counter() - trained
        self.log.metrics(line)
        shown = {k: metrics[k] for k in ("reward",) if k in metrics}
        self.report.advance(step, shown | {"extracted": extracted})
        if config.eval_every and step % config.eval_every == 0 and step < self.ends[-1]:
            # Runs to its end even if the user stops the run, so that the log has no gap.
            self._record("evaluation", self.evaluate(f"after step {step}", stoppable=False))
            self.report.begin(f"training {self.topology.name}", self.ends[-1], step)
        if self.stop or step % config.checkpoint_every == 0:
            self.save()
        if self.stop:
            raise Interrupted(self.folder, step)

    def grow(self, stage: int) -> None:
        self.save()  # everything from here on is repeated if it is interrupted
        old, new = self.topology, self.stages[stage][0]
        before = self.evaluate(f"{old.name} before growing")
        names, state = grow(
            self.engine,
            old,
            new,
            self.learner.state_dict(),
            init=self.config.grow_init,
            seed=derive_seed(self.config.seed, _ADAPTERS, stage, 0),
        )
        fresh = tuple(node for node in new.nodes if node not in names.values())
        if self.config.freeze_inherited:
            if not fresh:
                raise InputError(
                    f"freeze_inherited: growing from {old.name!r} to {new.name!r} makes no new node"
                )
            self.trained = fresh
        else:
            self.trained = self.config.node_names(new)
        self.stage = stage
        self.learner = make_learner(self.config.learner, self.engine, self.trained, self.config)
        self.learner.load_state_dict(state)
        after = self.evaluate(f"{new.name} after growing")
        self.log.metrics(
            {
                "event": "growth",
                "step": self.step,
                "old": old.name,
                "new": new.name,
                "inherited": names,
                "before": before and before.to_dict(),
                "after": after and after.to_dict(),
            }
        )

    def team(self, temperature: float) -> Team:
        limit = self.config.max_new_tokens or self.task.max_new_tokens
        return llm_team(self.topology, self.task, self.engine, Sampling(temperature, limit))

    def held_out(self) -> list[Example]:
        rows = self.task.examples(self.config.eval_split)
        return [rows[i] for i in range(min(self.config.eval_questions, len(rows)))]

    def evaluate(self, when: str, stoppable: bool = True) -> Evaluation | None:
        examples, place = self.held_out(), (self.step, self.stage)
        if not examples:
            return None
        if self._last is None or self._last[0] != place:
            self.report.begin(f"evaluating {when}", len(examples))
            result = evaluate(
                self.topology,
                self.task,
                self.team(temperature=0.0),
                examples,
                self.engine,
                split=self.config.eval_split,
                progress=self._progress(stoppable),
            )
            self._last = place, result
        result = self._last[1]
        self.report.note(
            f"{when}: strict {result.strict:.3f}, extracted {result.extracted:.3f} "
            f"of {result.n} held-out questions"
        )
        return result

    def ablate(self) -> dict[str, Evaluation]:
        examples = self.held_out()
        self.report.begin("evaluating without messages", len(examples))
        return communication_ablation(
            self.topology,
            self.task,
            self.team(temperature=0.0),
            examples,
            self.engine,
            split=self.config.eval_split,
            seed=self.config.seed,
            progress=self._progress(stoppable=True),
        )

    def save(self) -> None:
        usage = self.engine.cost.usage.items()
        state = checkpoint.State(
            step=self.step,
            stage=self.stage,
            topology=self.topology,
            trained=self.trained,
            model=self.engine.name,
            weights_hash=self.engine.weights_hash,
            log=self.log.sync(),
            cost=[[*key, *asdict(value).values()] for key, value in usage],
        )
        checkpoint.save(self.folder, state, self.engine, self.learner.state_dict())

    def _record(self, event: str, evaluation: Evaluation | None) -> None:
        values = None if evaluation is None else evaluation.to_dict()
        self.log.metrics({"event": event, "step": self.step, "evaluation": values})

    def _progress(self, stoppable: bool) -> Callable[[int, int], None]:
        def progress(done: int, total: int) -> None:
            self.report.advance(done)
            if self.stop and stoppable:
                raise Interrupted(self.folder, self.step)

        return progress

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Let the first Ctrl-C finish the step; a second one stops at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: Any) -> None:
            if self.stop:
                raise KeyboardInterrupt
            self.stop = True
            self.report.note("stopping after this step; Ctrl-C again stops at once")

        previous = signal.signal(signal.SIGINT, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)


def _check_splits(config: TrainConfig, task: Task) -> None:
    if not len(task.examples("train")):
        raise InputError(
            f"task {task.name!r} has no training questions; another task would be right"
        )
    if config.eval_questions and not len(task.examples(config.eval_split)):
        raise InputError(
            f"task {task.name!r} has no questions in its {config.eval_split} split; "
            "another eval_split, or eval_questions 0, would be right"
        )


def _new_folder(config: TrainConfig, task: Task, topology: Topology) -> Path:
    if config.out is not None:
        folder = Path(config.out)
        if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
            raise InputError(
                f"out: {folder} holds files already; a new folder would be right, or resume the run"
            )
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder
    slug = re.sub(r"[^\w-]+", "-", f"{task.name}-{topology.name}-s{config.seed}")
    with writing(Path("runs") / slug):
        for number in itertools.count(1):
            folder = Path("runs") / (slug if number == 1 else f"{slug}-{number}")
            try:
                folder.mkdir(parents=True)
                break
            except FileExistsError:
                continue
    return folder


def _write_head(
    folder: Path,
    config: TrainConfig,
    task: Task,
    engine: TransformersEngine,
    stages: list[tuple[Topology, int]],
) -> None:
    packages = ("torch", "transformers", "peft", "neuromas-env")
    head = {
        "model": engine.name,
        "weights_hash": engine.weights_hash,
        "topology": stages[-1][0].to_json(),
        "stages": [[topology.to_json(), steps] for topology, steps in stages],
        "task": task.name,
        "reward": config.reward,
        "seed": config.seed,
        "splits": {split: len(task.examples(split)) for split in SPLITS},
        "versions": {"python": sys.version.split()[0], **{p: version(p) for p in packages}},
        "machine": {
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "device": str(engine.model.device),
            "threads": torch.get_num_threads(),
        },
    }
    saved = replace(config, out=str(folder)).to_mapping()
    _write(folder / "run.json", json.dumps(head, indent=1))
    _write(folder / "config.yaml", yaml.safe_dump(saved, sort_keys=False))


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    with writing(path):
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
