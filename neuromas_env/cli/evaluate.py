"""The command `neuromas eval`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from neuromas_env.agents.engines.base import LOADED
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.cli import printing
from neuromas_env.cli.names import offering, offering_names
from neuromas_env.cli.options import config_options, filed, named_task
from neuromas_env.config import canonical, read_config
from neuromas_env.errors import InputError, unknown
from neuromas_env.extras import need
from neuromas_env.tasks.base import SPLITS
from neuromas_env.topology import Topology

if TYPE_CHECKING:
    from neuromas_env.agents.training.evaluate import Evaluation
    from neuromas_env.tasks import Example, Task

EXAMPLES = (
    "neuromas eval --task arc/challenge --data DIR --limit 100",
    "neuromas eval --run runs/NAME --split validation --ablation",
    "neuromas eval --config run.yaml --limit 100",
    "neuromas eval --baseline direct --task hierarchy/max --limit 64",
    "neuromas eval --policy gold --task mmlu --data DIR",
)
_OPTIONS = (
    "task", "data", "skip_bad_rows", "topology", "connect", "model", "dtype", "device", "seed",
    "max_new_tokens", "chunk_rows", "engine", "vllm_cache",
)  # fmt: skip
_RUN_OPTIONS = (
    "rank", "alpha", "targets", "learner", "prompt", "whole_questions", "max_news", "tools",
    "schedule",
)  # fmt: skip


@config_options(TrainConfig, *_OPTIONS, topology="1, or the run's", connect="dense")
def evaluate_(
    run: Annotated[
        Path | None,
        typer.Option(
            help="a run, or ORG/NAME of one on the hub; its options are the defaults",
            rich_help_panel="Network",
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="a baseline's network; see: neuromas list baselines",
            rich_help_panel="Network",
            autocompletion=offering_names("baselines"),
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="gold: answer with the reference solution, which checks the scorer",
            rich_help_panel="Network",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="only so many questions", rich_help_panel="Task")
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            help="train, validation or test",
            rich_help_panel="Task",
            autocompletion=offering(lambda: dict.fromkeys(SPLITS, "")),
        ),
    ] = "test",
    ablation: Annotated[
        bool, typer.Option("--ablation", help="also with messages blanked and shuffled")
    ] = False,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of `train`; the options of `eval` in it are read")
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
    # A file of `train` has options that an evaluation leaves.
    asked = TrainConfig.from_mapping(held)
    if policy is None:
        need("an evaluation of a network", "torch")  # said before rows are fetched
    named = named_task(asked)
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    if baseline is not None:
        from neuromas_env.baselines import make_baseline

        make_baseline(baseline, named, None)  # a wrong name is told before a model is loaded
    options = {canonical(k): v for k, v in held.items() if canonical(k) in _OPTIONS}
    if policy is not None:
        raise typer.Exit(_check_gold(TrainConfig.from_mapping(options), split, limit))
    if "topology" in options:
        Topology.parse(options["topology"], options.get("connect", "dense"))
    try:
        what, rows = _evaluate(run, baseline, limit, split, ablation, options)
    except KeyboardInterrupt:
        printing.stop("stopped; nothing was written, so give the same command again")
    printing.print_evaluation(Console(), what, {k: row.to_dict() for k, row in rows.items()})


def _questions(config: TrainConfig, split: str, limit: int | None) -> tuple[Task, list[Example]]:
    task = named_task(config)
    rows = task.examples(split)
    return task, [rows[i] for i in range(min(limit or len(rows), len(rows)))]


def _check_gold(config: TrainConfig, split: str, limit: int | None) -> int:
    """Print how the reference solutions score; 1 if one is wrong for no known reason."""
    from neuromas_env.tasks.gold import check_gold

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

    from neuromas_env.agents.engines.base import make_engine as make_by_name
    from neuromas_env.agents.engines.devices import described
    from neuromas_env.agents.engines.handover import prove_copies
    from neuromas_env.agents.learners.base import learner_class
    from neuromas_env.agents.llm import llm_network
    from neuromas_env.agents.training import checkpoint
    from neuromas_env.agents.training.api import make_engine
    from neuromas_env.agents.training.evaluate import communication_ablation, evaluate
    from neuromas_env.baselines import make_baseline
    from neuromas_env.envs.channel import rounds_note
    from neuromas_env.policy import Engine, Sampling
    from neuromas_env.progress import ConsoleReporter

    progress = ConsoleReporter()
    if config.engine in LOADED:
        progress.note(described(config.device, config.dtype))
    sampling = Sampling(0.0, config.max_new_tokens or task.max_new_tokens)
    topology = Topology.parse(config.topology, config.connect)
    engine: Engine
    if checkpoint_folder is None:
        engine = make_by_name(config.engine, config.engine_options())
    else:
        engine = trained = make_engine(config)
        expected = topology if "topology" in options else None
        topology = checkpoint.load(checkpoint_folder, trained, expected).topology
        prove_copies(trained)
    if baseline is None and (note := rounds_note(task, topology)):
        progress.note(note)
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
    weights = f" (weights {engine.weights_hash})" if engine.weights_hash else ""
    model = f"{engine.name or config.engine}{weights}"
    printing.print_rows(Console(), task)
    return f"{name} of {model} on {task.name}, {split} split, seed {config.seed}", found


def _saved_options(run: Path) -> tuple[dict[str, Any], Path]:
    """Return those options of a run that an evaluation takes over, and its checkpoint."""
    from neuromas_env.agents.training import checkpoint
    from neuromas_env.agents.training.publish import run_folder

    folder = checkpoint.kept(run_folder(run))
    saved = read_config(folder.parent.parent / "config.yaml")
    kept = {*_OPTIONS, *_RUN_OPTIONS} - {"device"}  # which this machine may lack
    return {name: value for name, value in saved.items() if name in kept}, folder
