"""The `neuromas` command. torch is imported by the commands that need it, when they run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

from neuromas_env import __version__
from neuromas_env.agents.engines.base import list_engines
from neuromas_env.agents.learners.base import list_learners
from neuromas_env.agents.tables.registry import list_algorithms
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.baselines import (
    list_baselines,
    list_trained,
    make_baseline,
)
from neuromas_env.cli import bench, downloads, printing
from neuromas_env.cli.adapt import adapt_
from neuromas_env.cli.experiment import experiment
from neuromas_env.cli.marl import bench_marl
from neuromas_env.cli.options import config_options, filed, path
from neuromas_env.cli.schema import schema_
from neuromas_env.config import canonical, read_config
from neuromas_env.envs.discrete.levels import list_levels
from neuromas_env.errors import InputError, unknown
from neuromas_env.tasks import Example, Task, list_tasks, make_task
from neuromas_env.tasks.gold import check_gold
from neuromas_env.topology import Topology

if TYPE_CHECKING:
    from neuromas_env.agents.training.evaluate import Evaluation

TOPOLOGIES = {
    "1": "one node: the control without a network",
    "1-1-1": "a chain",
    "2-1": "two nodes that one node reads",
    "2-2-1": "two layers; every node reads the whole layer before",
    "2-2-1:skip": "the same, and every node reads all earlier layers",
    "2-2-2-1": "seven nodes",
}
MODELS = {
    "smollm2-135m": "embedded default, fetched from the package index",
    "<folder>": "as written by save_pretrained",
    "<file>.gguf": "converted once into the cache",
    "<organisation>/<name>": "from the Hugging Face hub",
}
LISTS = {
    "tasks": list_tasks,
    "learners": list_learners,
    "engines": list_engines,
    "baselines": lambda: list_baselines() | list_trained(),
    "models": lambda: MODELS,
    "topologies": lambda: TOPOLOGIES,
    "algorithms": list_algorithms,
    "levels": list_levels,
}
_EVAL_OPTIONS = (
    "task", "data", "skip_bad_rows", "topology", "connect", "model", "dtype", "device", "seed",
    "max_new_tokens", "chunk_rows", "engine", "vllm_cache",
)  # fmt: skip
_RUN_OPTIONS = ("rank", "alpha", "targets", "learner", "prompt", "whole_questions")

app = typer.Typer(
    help="Networks of language models, trained end to end from one shared reward.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.add_typer(downloads.app, name="assets")
bench.register(app)
app.command("adapt", epilog="Example: neuromas adapt gptswarm --task hierarchy/max --out DIR")(
    adapt_
)
app.command(epilog="Example: neuromas experiment parameters --scale tiny --out DIR")(experiment)
app.command("schema", epilog="Example: neuromas schema train > train.schema.json")(schema_)
app.command("bench-marl", epilog="Example: neuromas bench-marl --quick --out runs/marl")(bench_marl)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; bad input ends with one message and exit code 2."""
    try:
        app(args, prog_name="neuromas")
    except InputError as error:
        _fail(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}")


def _fail(message: str, code: int = 2) -> NoReturn:
    text = f"error: {message}" if code == 2 else message
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False):
    if version:
        typer.echo(__version__)
        raise typer.Exit()


@app.command(
    epilog="Examples:\n\n"
    "neuromas train\n\n"
    "neuromas train --task bbh/navigate --data DIR --topology 1-1-1 --steps 4\n\n"
    "neuromas train --config run.yaml --seed 1\n\n"
    "neuromas train --resume runs/NAME\n\n"
    "neuromas train --grow-from runs/NAME --topology 2-2-1"
)
@config_options(TrainConfig)
def train(
    config: Annotated[
        Path | None,
        typer.Option(parser=path, help="YAML file with these options; the command line wins"),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(parser=path, help="go on with a run that was stopped or killed")
    ] = None,
    **given: Any,
) -> None:
    """Train all nodes of a network from one shared reward, and evaluate it before and after."""
    options = {name: value for name, value in given.items() if value is not None}
    if resume is not None and (options or config):
        extra = "config" if config else min(options)
        raise InputError(
            f"--resume goes on with the options of the run, so --{extra.replace('_', '-')} "
            "cannot be given with it; leave it out, or start a new run"
        )
    chosen = TrainConfig.from_mapping(filed(config, options))
    from neuromas_env.agents.training import api as training
    from neuromas_env.progress import ConsoleReporter

    try:
        if resume is not None:
            result = training.resume(resume, report=ConsoleReporter())
        else:
            result = training.train(chosen, report=ConsoleReporter())
    except training.Interrupted as stopped:
        _fail(str(stopped), code=130)
    except KeyboardInterrupt:
        _fail("stopped before training began; give the same command again", code=130)
    if training.is_main():
        printing.print_training(Console(), result.to_dict())


@app.command(
    "eval",
    epilog="Examples:\n\n"
    "neuromas eval --task arc/challenge --data DIR --limit 100\n\n"
    "neuromas eval --run runs/NAME --split validation --ablation\n\n"
    "neuromas eval --config run.yaml --limit 100\n\n"
    "neuromas eval --baseline direct --task hierarchy/max --limit 64\n\n"
    "neuromas eval --policy gold --task mmlu --data DIR",
)
@config_options(TrainConfig, *_EVAL_OPTIONS, topology="1, or the run's", connect="dense")
def evaluate_(
    run: Annotated[
        Path | None,
        typer.Option(parser=path, help="a run's trained network; its options are the defaults"),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="a baseline's network; see: neuromas list baselines")
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(help="gold: answer with the reference solution, which checks the scorer"),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="only so many questions")] = None,
    split: Annotated[str, typer.Option(help="train, validation or test")] = "test",
    ablation: Annotated[
        bool, typer.Option("--ablation", help="also with messages blanked and shuffled")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            parser=path, help="YAML file of `train`; the options of `eval` in it are read"
        ),
    ] = None,
    **given: Any,
) -> None:
    """Evaluate a trained network or the frozen base at every node greedily, or a baseline."""
    options = {name: value for name, value in given.items() if value is not None}
    if baseline is not None and (run or "topology" in options):
        other = "--run" if run else "--topology"
        raise InputError(f"--baseline brings its own network, so {other} cannot be given with it")
    if policy is not None:
        if policy != "gold":
            raise unknown("policy", policy, ("gold",))
        unused: dict[str, Any] = {"run": run, "baseline": baseline, "ablation": ablation} | options
        for key in ("task", "data", "skip_bad_rows"):
            unused.pop(key, None)
        if clash := [key.replace("_", "-") for key, value in unused.items() if value]:
            raise InputError(f"--policy gold runs no network; leave --{clash[0]} out")
    held = filed(config, options)
    TrainConfig.from_mapping(held)  # a file of `train` has options that an evaluation leaves
    options = {canonical(k): v for k, v in held.items() if canonical(k) in _EVAL_OPTIONS}
    if policy is not None:
        sys.exit(_check_gold(TrainConfig.from_mapping(options), split, limit))
    if "topology" in options:
        Topology.parse(options["topology"], options.get("connect", "dense"))
    try:
        what, rows = _evaluate(run, baseline, limit, split, ablation, options)
    except KeyboardInterrupt:
        _fail("stopped; nothing was written, so give the same command again", code=130)
    printing.print_evaluation(Console(), what, {k: row.to_dict() for k, row in rows.items()})


def _questions(config: TrainConfig, split: str, limit: int | None) -> tuple[Task, list[Example]]:
    task = make_task(config.task, config.data, skip_bad_rows=config.skip_bad_rows)
    rows = task.examples(split)
    return task, [rows[i] for i in range(min(limit or len(rows), len(rows)))]


def _check_gold(config: TrainConfig, split: str, limit: int | None) -> int:
    """Print how the reference solutions score; 1 if one is wrong for no known reason."""
    task, examples = _questions(config, split, limit)
    check = check_gold(task, examples)
    printing.print_gold(Console(), f"gold on {task.name}, {split} split", check)
    printing.print_rows(Console(), task)
    return 0 if check.wrong.keys() <= task.flaws.keys() else 1


def _evaluate(
    run: Path | None,
    baseline: str | None,
    limit: int | None,
    split: str,
    ablation: bool,
    options: dict[str, Any],
) -> tuple[str, dict[str, Evaluation]]:
    saved, checkpoint_folder = ({"topology": "1"}, None) if run is None else _saved_options(run)
    config = TrainConfig.from_mapping(saved | options)
    task, examples = _questions(config, split, limit)
    if baseline is not None:  # a wrong name is told before a model is loaded
        make_baseline(baseline, task, None)

    from neuromas_env.agents.learners.base import learner_class
    from neuromas_env.agents.llm import llm_network
    from neuromas_env.agents.training import checkpoint
    from neuromas_env.agents.training.api import make_engine
    from neuromas_env.agents.training.evaluate import communication_ablation, evaluate
    from neuromas_env.policy import Sampling
    from neuromas_env.progress import ConsoleReporter

    engine = make_engine(config)
    sampling = Sampling(0.0, config.max_new_tokens or task.max_new_tokens)
    topology = Topology.parse(config.topology, config.connect)
    if checkpoint_folder is not None:
        expected = topology if "topology" in options else None
        topology = checkpoint.load(checkpoint_folder, engine, expected).topology
    if baseline is not None:
        method = make_baseline(baseline, task, engine, config.max_new_tokens or None)
        if ablation and (method.schedule or method.options):
            raise InputError(
                f"--ablation needs a network in which the same nodes speak on every question, "
                f"and in {method.name} they differ; leave it out"
            )
    elif run is not None:
        learner = learner_class(config.learner)
        method = learner.method(config, topology, task, engine, sampling)
        method = replace(method, name=f"trained {topology.name}")
    else:
        method = llm_network(topology, task, engine, sampling, adapter_of={})
        method = replace(method, name=f"frozen {topology.name}")
    name = method.name
    progress = ConsoleReporter()

    def advance(done: int, total: int) -> None:
        progress.advance(done)

    try:
        progress.begin(f"evaluating {name}", len(examples))
        found = {
            name: evaluate(method, task, examples, split=split, seed=config.seed, progress=advance)
        }
        if ablation:
            progress.begin("evaluating without messages", len(examples))
            without = communication_ablation(
                method, task, examples, split=split, seed=config.seed, progress=advance
            )
            found |= {f"messages {key}": row for key, row in without.items()}
    finally:
        progress.end()
    if len(method.topology) == 1:  # there is no message to go without
        found = {key: replace(row, blind=None) for key, row in found.items()}
    model = f"{engine.name} (weights {engine.weights_hash})"
    printing.print_rows(Console(), task)
    return f"{name} of {model} on {task.name}, {split} split, seed {config.seed}", found


def _saved_options(run: Path) -> tuple[dict[str, Any], Path]:
    """Return those options of a run that an evaluation takes over, and its last checkpoint."""
    from neuromas_env.agents.training import checkpoint

    folder = checkpoint.latest(run)
    saved = read_config(folder.parent.parent / "config.yaml")
    kept = (*_EVAL_OPTIONS, *_RUN_OPTIONS)
    return {name: value for name, value in saved.items() if name in kept}, folder


@app.command(epilog="Example: neuromas show runs/NAME --step 3 --episode 1")
def show(
    run: Annotated[Path, typer.Argument(parser=path, help="run folder")],
    step: Annotated[int | None, typer.Option(help="training step; by default the last")] = None,
    episode: Annotated[int, typer.Option(help="which of the step's kept episodes")] = 0,
) -> None:
    """Print a run's network, one transcript node by node, and its result."""
    printing.print_run(Console(), run, step, episode)


@app.command("list", epilog="Example: neuromas list tasks")
def list_(
    what: Annotated[str, typer.Argument(help=", ".join(LISTS))],
    data: Annotated[
        str | None, typer.Option(help="list the tasks of this folder with benchmark rows")
    ] = None,
) -> None:
    """List what can be chosen by name."""
    if what not in LISTS:
        raise unknown("list", what, LISTS)
    if data is not None and what != "tasks":
        raise InputError(f"--data goes with `neuromas list tasks`, not with {what}")
    printing.print_names((list_tasks(data=data) if what == "tasks" else LISTS[what]()).items())
