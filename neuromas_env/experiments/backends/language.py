"""Arms on language models: `neuromas train` and `neuromas adapt`, resumed where they stopped."""

from __future__ import annotations

import json
import runpy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

from neuromas_env.agents.learners.base import learner_class
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.agents.training.evaluate import blank, shuffle
from neuromas_env.agents.training.records import Metrics, Network, Result
from neuromas_env.baselines import Method, make_baseline
from neuromas_env.baselines.adapted import FILE as ADAPTED
from neuromas_env.baselines.adapted import adapt, read_adapted
from neuromas_env.baselines.trained import OWN_FORM
from neuromas_env.bench.config import BenchConfig
from neuromas_env.bench.methods import TrainedRun, make_method, read_run
from neuromas_env.bench.store import Answer
from neuromas_env.bench.worker import answer_of
from neuromas_env.checks import Natural
from neuromas_env.config import read_config
from neuromas_env.downloads import build_once, cache_dir
from neuromas_env.errors import InputError, placed
from neuromas_env.experiments.bound import Bound
from neuromas_env.experiments.spec import Arm, Reached, Study, digest
from neuromas_env.files import read, read_lines, write
from neuromas_env.progress import Reporter
from neuromas_env.rollout import Intervene, run_episodes
from neuromas_env.tasks import Task, make_task
from neuromas_env.tasks.base import Example
from neuromas_env.tasks.ready import check_ready

OUTCOME = "outcome.json"
SETTINGS: dict[str, Any] = {
    "validate_questions": 0,
    "warm_up": 0,
    "warmup_steps": 0,
    "reward": "both",
    "temperature": 0.5,
    "learning_rate": 0.001,
}
"""Options of runs that claims are about, unless the arm says so, whatever the defaults of training
are: what they learn is scored from the study's answers, and is the same as ever."""
_LOADED = ("model", "dtype", "device", "rank", "alpha", "targets", "chunk_rows")


class _Outcome(TypedDict):
    topology: Network
    trainable: Natural
    weights_hash: str
    result: Reached


class Language:
    """Trains and asks the arms of a study on one language model."""

    def __init__(self, study: Study, folder: Path, data: str | None = None) -> None:
        """Make the tasks and name the model, which its script makes if need be.

        Args:
            study: What is to be trained.
            folder: Of the scales, where the script is.
            data: Folder with benchmark rows.

        Raises:
            InputError: A learner refuses the options of an arm, a task's rows are missing, or two
                of its splits share questions.
        """
        self._study, self._data = study, data
        self._usual: dict[str, Any] = {} if study.table else SETTINGS
        for arm in study.trained():
            with placed(f"arm {arm.name!r}"):
                self._check(arm)
        self.tasks: dict[str, Task] = {name: make_task(name, data) for name in study.tasks}
        for name, task in self.tasks.items():
            # Missing rows are an error before hours of work, not after.
            rows = {split: task.examples(split) for split in ("train", "validation", "test")}
            if study.table and not len(rows["validation"]):
                raise InputError(
                    f"task {name!r} has no validation questions, whose scores a table shows"
                )
            check_ready(task)
        if study.sample_complexity is not None:
            for name, task in self.tasks.items():
                if task.chance() is None:
                    raise InputError(
                        f"sample_complexity: what a guess scores on {name} is not known; the task "
                        "must have a method `chance`, as hierarchy/max has"
                    )
        self.model = study.model or str(_made(folder / str(study.script)))
        self._held: tuple[dict[str, Any], Any] | None = None
        self._answered: dict[tuple[str, str, tuple[int, ...]], list[Answer]] = {}

    def config(
        self, arm: Arm, task: str, seed: int, rate: float | None, out: Path, pilot: bool
    ) -> TrainConfig:
        """Return the options of a run; only a pilot is evaluated, on validation questions.

        In a table they are those of training.
        """
        more: dict[str, Any] = {} if rate is None else {"learning_rate": rate}
        more |= {"eval_split": "validation"} if pilot else {"eval_questions": 0}
        more |= {"task": task, "seed": seed, "out": str(out), "model": self.model}
        return TrainConfig.from_mapping({**self._usual, **arm.options, **more, "data": self._data})

    def _check(self, arm: Arm) -> None:
        """Refuse what a learner refuses, before any arm is trained."""
        if arm.kind == "train":
            config = TrainConfig.from_mapping({**self._usual, **arm.options})
            learner_class(config.learner).check(config)

    def train(
        self, arm: Arm, task: str, seed: int, rate: float | None, out: Path, pilot: bool,
        report: Reporter,
    ) -> None:  # fmt: skip
        """Train a run, go on with it, or find it finished."""
        if arm.kind == "adapt":
            self._adapt(arm, task, seed, out, report)
            return
        from neuromas_env.agents.training import api as training

        if (out / "config.yaml").is_file():
            training.resume(out, report=report)
            return
        training.train(self.config(arm, task, seed, rate, out, pilot), report=report)

    def _adapt(self, arm: Arm, task: str, seed: int, out: Path, report: Reporter) -> None:
        if not self.finished(arm, out):
            engine = self._engine(TrainConfig(model=self.model, **self._shared()))
            adapt(
                arm.options["adapt"], self.tasks[task], engine, arm.options["iterations"], out,
                seed=seed, report=report,
            )  # fmt: skip

    def _shared(self) -> dict[str, Any]:
        """Where and how precisely the study's runs compute."""
        first = next(arm for arm in self._study.arms.values() if arm.kind == "train")
        return {
            k: first.options[k] for k in ("dtype", "device", "chunk_rows") if k in first.options
        }

    def _limit(self) -> int | None:
        """The longest reply of trained arms, which frozen ones share."""
        first = next(arm for arm in self._study.arms.values() if arm.kind == "train")
        return first.options.get("max_new_tokens")

    def finished(self, arm: Arm, out: Path) -> bool:
        """Say whether a run has its result."""
        if arm.kind == "adapt":
            if not (out / ADAPTED).is_file():
                return False
            return read_adapted(out).iterations >= arm.options["iterations"]
        return any((out / file).is_file() for file in ("result.json", OUTCOME))

    def result(self, arm: Arm, out: Path) -> Reached:
        """Return `validation`, `parameters`, `curve` and `counters` of a finished run.

        Parameters are all that were trained, critics included.
        """
        if arm.kind == "adapt":
            held = read_adapted(out)
            size = held.cost["questions"] / max(1, held.iterations)
            curve = [((i + 1) * size, reward) for i, reward in enumerate(held.rewards)]
            counters = {"updates": held.iterations, "questions": held.cost["questions"]}
            counters |= _named(held.cost) | {"trained tokens": 0, "critic tokens": 0}
            return {"validation": None, "parameters": 0, "curve": curve, "counters": counters}
        return _outcome(out)["result"]

    def questions(self, task: str) -> list[Example]:
        """Return the test questions."""
        rows = self.tasks[task].examples("test")
        count = min(self._study.questions or len(rows), len(rows))
        return [rows[i] for i in range(count)]

    def bounds(self, arm: Arm, task: str) -> tuple[float, float]:
        """Return the score of a guess, and 1."""
        chance = self.tasks[task].chance()
        assert chance is not None  # checked at the start
        return chance, 1.0

    def facts(self, arm: Arm, task: str, out: Path, calls: float) -> dict[str, Any]:
        """Return what a store's cell says of an arm."""
        made = self.tasks[task]
        topology: Any = {}
        trainable = 0
        if arm.kind == "frozen":
            method = make_baseline(arm.options["frozen"], made, None)  # its shape needs no engine
            topology, calls = method.topology.to_json(), method.calls
        elif arm.kind != "adapt":
            topology, trainable = _outcome(out)["topology"], _outcome(out)["trainable"]
        return {
            "topology": topology,
            "majority": float(made.majority("test")),
            "blind": made.blind_accuracy("test"),
            "trainable": trainable,
            "calls": calls,
        }

    def settings(self, out: Path) -> dict[str, Any]:
        """Return what all answers of the study share, given the folder of one of its runs."""
        name = self._study.model or str(self._study.script)
        return {"model": name, "weights_hash": _outcome(out)["weights_hash"], **self._shared()}

    def answer(
        self, arm: Arm, task: str, seed: int, out: Path, rows: Sequence[int], samples: float
    ) -> list[Answer]:
        """Answer test questions.

        Args:
            arm: How.
            task: Whose questions.
            seed: Of the run, and of samples.
            out: The run that answers.
            rows: Numbers of the questions.
            samples: How many samples vote.
        """
        made = self.tasks[task]
        engine, method, intervene = self._method(arm, made, seed, out, samples)
        key = (arm.name, task, tuple(rows))
        if arm.kind == "frozen" and not method.sampled and key in self._answered:
            return self._answered[key]  # no seed changes what it answers
        chosen = [made.examples("test")[row] for row in rows]
        before = engine.cost.total("eval").seconds
        engine.cost.phase = "eval"
        done = run_episodes(method, made, chosen, seed=seed, numbers=rows, intervene=intervene)
        seconds = (engine.cost.total("eval").seconds - before) / len(done)
        self._answered[key] = [
            answer_of(row, trajectory, seconds, method, reader=made.read_by)
            for row, trajectory in zip(rows, done, strict=True)
        ]
        return self._answered[key]

    def _method(
        self, arm: Arm, task: Task, seed: int, out: Path, samples: float
    ) -> tuple[Any, Method, Intervene | None]:
        """Return the engine, the method on it, and what is done to its messages."""
        if arm.kind == "frozen":
            engine = self._engine(TrainConfig(model=self.model, **self._shared()))
            return engine, make_baseline(arm.options["frozen"], task, engine, self._limit()), None
        if arm.kind == "adapt":
            engine = self._engine(TrainConfig(model=self.model, **self._shared()))
            # Options of learning alone, such as how many graphs are drawn, mean nothing afterwards.
            given = arm.options.get("test") or arm.options["adapt"]
            name = f"{given}{',' if ':' in given else ':'}state={out}"
            return engine, make_baseline(name, task, engine), None
        engine, saved = self._load(out), _saved(out)
        limit = saved.max_new_tokens
        if arm.kind == "vote":
            name = f"sc:k={samples:g},prompt=direct,temperature={saved.temperature:g}"
            return engine, make_baseline(name, task, Bound(engine, "node_0"), limit), None
        asked = BenchConfig(str(out), ("any",), (task.name,), max_new_tokens=limit)
        method = make_method(_name(out), task, engine, asked)
        if arm.kind != "ablate":
            return engine, method, None
        node, kept = str(arm.node), method.topology.output
        if arm.how in ("base", "swap"):
            other = arm.partner
            adapters = {node: None} if other is None else {node: other, other: node}
            changed = {
                name: replace(method.team[name], adapter=adapter)  # type: ignore[type-var]
                for name, adapter in adapters.items()
            }
            return engine, replace(method, team={**method.team, **changed}), None
        make = blank(kept, (node,)) if arm.how == "blank" else shuffle(kept, seed, (node,))
        return engine, method, make

    def _load(self, out: Path) -> Any:
        """Return the engine with the adapters of a run."""
        from neuromas_env.agents.training import checkpoint

        saved = _saved(out)
        engine = self._engine(TrainConfig(**{k: getattr(saved, k) for k in _LOADED}))
        checkpoint.load(checkpoint.kept(out), engine)
        return engine

    def _engine(self, config: TrainConfig) -> Any:
        """Return an engine; a new one only where the adapters have another shape."""
        from neuromas_env.agents.training.api import make_engine

        shape = {key: getattr(config, key) for key in _LOADED}
        if self._held is None or self._held[0] != shape:
            self._held = None  # frees the memory before more is taken
            self._held = shape, make_engine(config)
        return self._held[1]

    def probe(self, arm: Arm, task: str, out: Path) -> dict[str, Any]:
        """Return how far a run's adapters are apart; see `probes`."""
        from neuromas_env.experiments.probes import adapter_similarity

        topology = _run(out).state.topology
        return {"similarity": adapter_similarity(self._load(out), topology.nodes)}


def _saved(out: Path) -> TrainConfig:
    return TrainConfig.from_mapping(read_config(out / "config.yaml"))


def _name(out: Path) -> str:
    """Name a run as the benchmark does: learners with roles have a form of their own."""
    learner = _saved(out).learner
    return f"{learner if learner in OWN_FORM else 'neuromas'}@{out}"


def _run(out: Path) -> TrainedRun:
    return read_run(_name(out))


def _outcome(out: Path) -> _Outcome:
    """Return what is said of a finished run, noted once: a report needs no weights.

    So a folder without its checkpoints, which is small enough to be published, can still be gone
    on with.
    """
    if (out / OUTCOME).is_file():
        return read(out / OUTCOME, _Outcome)
    run, questions = _run(out), _saved(out).questions
    steps = [line for line in read_lines(out / "metrics.jsonl", Metrics) if "event" not in line]
    spent = run.training or {}
    critics = int(steps[-1].get("critic_parameters", 0)) if steps else 0
    found = {
        "topology": run.state.topology.to_json(),
        "trainable": run.trainable,
        "weights_hash": run.state.weights_hash,
        "result": {
            "validation": (read(out / "result.json", Result)["after"] or {}).get("extracted"),
            "parameters": run.trainable + critics,
            "curve": [(line["step"] * questions, line["extracted"]) for line in steps],
            "counters": {
                "updates": spent.get("steps", 0),
                "questions": spent.get("questions", 0),
                **(_named(spent) if spent else {}),
                "trained tokens": spent.get("trained_tokens", 0),
                "critic tokens": spent.get("critic_tokens", 0),
            },
        },
    }
    write(out / OUTCOME, json.dumps(found, indent=1))
    return read(out / OUTCOME, _Outcome)


def _named(cost: dict[str, Any]) -> dict[str, int]:
    return {
        "calls": cost["calls"],
        "prompt tokens": cost["prompt_tokens"],
        "tokens": cost["completion_tokens"],
    }


def _made(script: Path) -> Path:
    """Return the folder of the model that a script makes, made once for each of its contents."""
    folder = cache_dir() / "models" / f"{script.stem}-{digest(script)}"
    return build_once(folder, lambda part: runpy.run_path(str(script))["pretrain"](part))
