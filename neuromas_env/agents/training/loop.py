"""A run that is going on: its steps, growths and evaluations, and where it stands.

What a step does follows from the options and the step's number alone: its questions,
the seeds of its episodes and torch's global random state. So a resumed run equals one
that was never stopped.
"""

from __future__ import annotations

import itertools
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from neuromas_env.agents.engines import distributed, handover
from neuromas_env.agents.engines.base import TrainableEngine
from neuromas_env.agents.learners.base import Learner, learner_class
from neuromas_env.agents.learners.make import make_learner
from neuromas_env.agents.training import checkpoint, validation
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.agents.training.evaluate import Evaluation, communication_ablation, evaluate
from neuromas_env.agents.training.growth import grow
from neuromas_env.agents.training.log import NoLog, RunLog
from neuromas_env.agents.training.records import Head
from neuromas_env.agents.training.result import Interrupted, RunResult
from neuromas_env.agents.training.signals import Watch, measures, summary
from neuromas_env.agents.training.trackers import read_trackers, start_trackers
from neuromas_env.errors import InputError
from neuromas_env.files import read, write
from neuromas_env.method import Method
from neuromas_env.policy import Sampling, Trajectory, Usage
from neuromas_env.progress import Reporter
from neuromas_env.rollout import step_questions
from neuromas_env.seeds import Stream, derive_seed
from neuromas_env.tasks import Example, Task
from neuromas_env.topology import Topology


class Run:
    """A run that is going on; `start` or `restore` first, then `finish`."""

    def __init__(
        self,
        folder: Path,
        config: TrainConfig,
        task: Task,
        engine: TrainableEngine,
        stages: list[tuple[Topology, int]],
        report: Reporter,
    ) -> None:
        """Take the parts of a run; `stages` are topologies with their numbers of steps."""
        self.folder, self.config, self.task, self.engine = folder, config, task, engine
        self.stages, self.report = stages, report
        self.ends = list(itertools.accumulate(steps for _, steps in stages))
        self.step = self.stage = 0
        self.stop = False
        self.trained: tuple[str, ...] = ()
        self.learner: Learner
        self.log: RunLog
        self._watch = Watch()
        self._last: tuple[tuple[int, int], Evaluation] | None = None

    @property
    def topology(self) -> Topology:
        """The network of the current stage."""
        return self.stages[self.stage][0]

    def start(self, learner: Learner, trained: tuple[str, ...]) -> None:
        """Begin at step 0."""
        self._prove()
        self.learner, self.trained, self.log = learner, trained, self._open()
        self._save()

    def restore(self, learner: Learner, state: checkpoint.State) -> None:
        """Begin where a checkpoint stands; the log forgets what came after it."""
        self._prove()
        self.learner, self.trained = learner, state.trained
        self.step, self.stage = state.step, state.stage
        self.log = self._open(state.log, state.step)
        self._watch.resume(distributed.from_main(lambda: self.log.lines()))
        for phase, adapter, *usage in state.cost:
            self.engine.cost.usage[phase, adapter] = Usage(*usage)

    def _open(self, lengths: Mapping[str, int] | None = None, step: int | None = None) -> RunLog:
        if distributed.number():
            return NoLog()
        names, options = read_trackers(self.config.report_to), self.config.to_mapping()
        return RunLog(self.folder, lengths, start_trackers(self.folder, names, options, step))

    def _events(self, kind: str) -> list[dict[str, Any]]:
        return distributed.from_main(lambda: self.log.events(kind))

    def finish(self) -> RunResult:
        """Do what is left of the run and write its result."""
        try:
            with self._listening():
                return self._go()
        finally:
            self.report.end()
            self.log.close()

    def _go(self) -> RunResult:
        if not self._events("before"):
            before = self._evaluate("before training")
            self._record("before", before, self._validate())
        for stage, end in enumerate(self.ends[self.stage :], start=self.stage):
            if stage > self.stage:
                self._grow(stage)
            self.report.begin(f"training {self.topology.name}", self.ends[-1], self.step)
            while self.step < end:
                self._step()
        self._save()
        kept = self._keep()
        after = self._evaluate("after training")
        self.log.track({"step": self.step, "after": after and after.to_dict()})
        ablation = self._ablate() if after and after.n > 1 and len(self.topology) > 1 else {}
        return distributed.from_main(lambda: self._result(kept, after, ablation))

    def _result(
        self, kept: int, after: Evaluation | None, ablation: dict[str, Evaluation]
    ) -> RunResult:
        lines, before = self.log.lines(), self.log.events("before")[0]["evaluation"]
        result = RunResult(
            folder=self.folder,
            steps=self.step,
            before=before and Evaluation.from_dict(before),
            after=after,
            ablation=ablation,
            growth=self.log.events("growth"),
            cost={p: asdict(self.engine.cost.total(p)) for p in ("train", "eval", "validation")},
            facts={k: v for k, v in read(self.folder / "run.json", Head).items() if k != "stages"},
            kept=kept,
            validation=validation.peak_and_final(lines, self.config.reward) or None,
            gradient_norms=validation.mean_norms(lines, self.topology.name),
        )
        write(self.folder / "result.json", json.dumps(result.to_dict(), indent=1))
        return result

    def _step(self) -> None:
        started = time.perf_counter()
        trajectories = self._rollout(self.step + 1)
        rolled = time.perf_counter()
        try:
            metrics = self.learner.update(trajectories)
            trained = time.perf_counter()
            metrics |= self._compare(metrics)
        except (FloatingPointError, InputError) as error:
            advice = "" if isinstance(error, InputError) else "; take a smaller learning_rate"
            raise InputError(
                f"step {self.step + 1}: {error}{advice}. "
                f"{self.folder} holds the checkpoints of earlier steps"
            ) from error
        self.step += 1
        self.log.transcripts(self.step, trajectories, self.config.transcripts)
        line: dict[str, Any] = {"step": self.step, "topology": self.topology.name}
        line |= summary(trajectories) | measures(trajectories) | metrics
        line |= {"rollout_seconds": rolled - started, "train_seconds": trained - rolled}
        line["other_seconds"] = time.perf_counter() - trained
        line |= self._validate()
        self.log.metrics(line)
        self.report.advance(self.step, {key: line[key] for key in ("reward", "extracted")})
        for told in self._watch.step(line):
            self.report.note(f"step {self.step}: {told}")
        every = self.config.eval_every
        if every and self.step % every == 0 and self.step < self.ends[-1]:
            # Runs to its end even if the user stops the run, so that the log has no gap.
            self._record("evaluation", self._evaluate(f"after step {self.step}", stoppable=False))
            self.report.begin(f"training {self.topology.name}", self.ends[-1], self.step)
        self.stop = distributed.anyone(self.stop)
        best = "validation" in line and distributed.from_main(self._best) == self.step
        if self.stop or best or self.step % self.config.checkpoint_every == 0:
            self._save()
        if self.stop:
            raise Interrupted(self.folder, self.step)

    def _prove(self) -> None:
        """See that the engine samples with every adapter that it trains."""
        distributed.together(lambda: handover.prove(self.engine))

    def _compare(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """See that what samples has the weights that are trained, where it holds copies.

        A step's replies say so of the weights before it; those of the last step get no replies.
        """
        if not self.engine.hands_over:
            return {}
        started = time.perf_counter()
        names = self.config.model_nodes(self.topology)
        told = metrics if self.step + 1 < self.ends[-1] else None
        gap = max(distributed.together(lambda: handover.compare(self.engine, names, told)))
        return {"handover_gap": gap, "handover_seconds": time.perf_counter() - started}

    def _rollout(self, step: int) -> list[Trajectory]:
        config = self.config
        torch.manual_seed(derive_seed(config.seed, Stream.TORCH, step))
        self.engine.cost.phase = "train"
        rows = self.task.examples("train")
        questions = step_questions(rows, config.seed, step, config.questions)
        play = partial(
            distributed.run_episodes,
            task=self.task,
            examples=questions,
            seed=derive_seed(config.seed, Stream.EPISODES, step),
            rollouts=config.rollouts,
            reward=config.reward,
        )
        trajectories = self.learner.gather(play, self._method(config.temperature))
        for trajectory in trajectories:
            if trajectory.error is not None:
                raise InputError(
                    f"step {step}, question {trajectory.example.id!r}: {trajectory.error}"
                )
        return trajectories

    def _grow(self, stage: int) -> None:
        self._save()  # everything from here on is repeated if it is interrupted
        old, new = self.topology, self.stages[stage][0]
        before = self._evaluate(f"{old.name} before growing")
        state = self.learner.grow(old.grow_to(new))
        names = grow(
            self.engine,
            old,
            new,
            init=self.config.grow_init,
            seed=derive_seed(self.config.seed, Stream.GROWTH, stage),
            bare=self.config.tool_names(),
        )
        frozen = self.config.freeze_inherited
        self.trained = self.config.new_nodes(old, new) if frozen else self.config.node_names(new)
        self.stage = stage
        self.learner = make_learner(
            self.config.learner, self.engine, self.trained, self.config, self.task.extract
        )
        self.learner.load_state_dict(state)
        self._prove()
        after = self._evaluate(f"{new.name} after growing")
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

    def _method(self, temperature: float) -> Method:
        limit = self.config.max_new_tokens or self.task.max_new_tokens
        return learner_class(self.config.learner).method(
            self.config, self.topology, self.task, self.engine, Sampling(temperature, limit)
        )

    def _held_out(self) -> list[Example]:
        rows = self.task.examples(self.config.eval_split)
        return [rows[i] for i in range(min(self.config.eval_questions, len(rows)))]

    def _evaluate(self, when: str, stoppable: bool = True) -> Evaluation | None:
        examples, place = self._held_out(), (self.step, self.stage)
        if not examples:
            return None
        if self._last is None or self._last[0] != place:
            self.report.begin(f"evaluating {when}", len(examples))
            result = evaluate(
                self._method(temperature=0.0),
                self.task,
                examples,
                split=self.config.eval_split,
                progress=self._progress(stoppable),
                play=distributed.run_episodes,
            )
            self._last = place, result
        result = self._last[1]
        self.report.note(
            f"{when}: strict {result.strict:.3f}, extracted {result.extracted:.3f} "
            f"of {result.n} held-out questions"
        )
        return result

    def _validate(self) -> dict[str, Any]:
        """Return what the present step's line says of validation, if it is due."""
        examples = validation.questions(self.config, self.task)
        if not examples or not validation.due(self.config, self.step):
            return {}
        self.report.begin("validating", len(examples))
        found = evaluate(
            self._method(temperature=0.0),
            self.task,
            examples,
            split="validation",
            # Within a step it runs to its end even if the user stops the run.
            progress=self._progress(stoppable=self.step == 0),
            play=distributed.run_episodes,
            phase="validation",
        )
        self.report.note(
            f"step {self.step}: strict {found.strict:.3f}, extracted {found.extracted:.3f} of "
            f"{found.n} validation questions"
        )
        self.report.begin(f"training {self.topology.name}", self.ends[-1], self.step)
        return {"validation": validation.figures(found)}

    def _best(self) -> int | None:
        """The step after which the last network of the run scored best, None for the last one.

        The best one has a checkpoint, unless the run went on from an older one.
        """
        first = self.ends[-2] + 1 if len(self.ends) > 1 else 0
        held = checkpoint.steps(self.folder) | {self.step}
        lines = [line for line in self.log.lines() if line["step"] in held]
        return validation.best_step(lines, self.config, first)

    def _keep(self) -> int:
        """Take the weights that the option `keep` says; return after which step they were had."""
        best = distributed.from_main(self._best)
        if best not in (None, self.step):
            self.report.note(f"keeping step {best}, the best on validation questions")
            folder = checkpoint.find(self.folder, best)
            assert folder is not None  # `_best` names no other
            checkpoint.load(folder, self.engine, self.topology)
            self._last = None
        return self.step if best is None else best

    def _ablate(self) -> dict[str, Evaluation]:
        examples = self._held_out()
        self.report.begin("evaluating without messages", len(examples))
        return communication_ablation(
            self._method(temperature=0.0),
            self.task,
            examples,
            split=self.config.eval_split,
            seed=self.config.seed,
            progress=self._progress(stoppable=True),
        )

    def _save(self) -> None:
        distributed.from_main(self._checkpoint)

    def _checkpoint(self) -> None:
        usage = self.engine.cost.usage.items()
        models = self.config.model_nodes(self.topology)
        state = checkpoint.State(
            step=self.step,
            stage=self.stage,
            topology=self.topology,
            trained=self.trained,
            model=self.engine.name,
            weights_hash=self.engine.weights_hash,
            adapters={n: self.engine.adapters.digest(n) for n in models},
            log=self.log.sync(),
            cost=[[*key, *asdict(value).values()] for key, value in usage],
        )
        learned = self.learner.state_dict()
        checkpoint.save(self.folder, state, self.engine, learned, self._best())

    def _record(
        self, event: str, evaluation: Evaluation | None, more: Mapping[str, Any] | None = None
    ) -> None:
        values = None if evaluation is None else evaluation.to_dict()
        line = {"event": event, "step": self.step, "evaluation": values}
        self.log.metrics(line | dict(more or {}))

    def _progress(self, stoppable: bool) -> Callable[[int, int], None]:
        def progress(done: int, total: int) -> None:
            self.report.advance(done)
            if stoppable and distributed.anyone(self.stop):
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
