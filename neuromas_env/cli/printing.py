"""What commands print: results as tables, a run's network, transcripts.

Everything here reads the plain values that `result.json`, `run.json` and
`transcripts.jsonl` hold, so that looking at a run needs no torch.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from neuromas_env.agents.training.records import Head, Result, Transcript
from neuromas_env.drawing import said
from neuromas_env.errors import InputError
from neuromas_env.files import read, read_lines
from neuromas_env.progress import duration
from neuromas_env.tasks.base import Task
from neuromas_env.tasks.gold import GoldCheck
from neuromas_env.text import cell, say, visible
from neuromas_env.topology import Topology

Values = Mapping[str, Any]
_NAMED = 20


def stop(text: str) -> NoReturn:
    """End a command that its user has stopped, with a line and exit code 130."""
    say(Console(stderr=True), text)
    raise typer.Exit(130)


def print_training(console: Console, result: Values) -> None:
    """Print the result of a training run.

    Args:
        console: Where.
        result: What `RunResult.to_dict` gives.
    """
    before, after, facts = result["before"], result["after"], result["facts"]
    topology = Topology.from_json(facts["topology"]).name
    say(
        console,
        f"{topology} of {facts['model']} (weights {facts['weights_hash']}) on {facts['task']}: "
        f"{result['steps']} steps, seed {facts['seed']}, reward {facts['reward']}",
    )
    if after is not None:
        rows = {"before training": before, "after training": after}
        rows |= {f"messages {name}": row for name, row in result["ablation"].items()}
        console.print(_scores(rows))
        gain = 100 * (after["extracted"] - before["extracted"])
        say(
            console,
            f"extracted accuracy {_percent(before['extracted'])} -> "
            f"{_percent(after['extracted'])} ({gain:+.1f} points)",
        )
    for growth in result["growth"]:
        if growth["before"] is not None:
            say(
                console,
                f"grown from {growth['old']} to {growth['new']} after step {growth['step']}: "
                f"extracted {_percent(growth['before']['extracted'])} right before, "
                f"{_percent(growth['after']['extracted'])} right after",
            )
    _print_course(console, result)
    say(console, "rows: " + ", ".join(f"{k} {n}" for k, n in facts["splits"].items()))
    _print_skipped(console, facts.get("skipped_rows", ()))
    for phase, cost in result["cost"].items():
        say(console, _cost(phase, cost))
    say(console, f"run: {result['folder']}")
    say(console, f"look at it: {shlex.join(['neuromas', 'show', str(result['folder'])])}")


def _print_course(console: Console, result: Values) -> None:
    """Print how validation questions were answered in the course of a run, and gradient norms."""
    if found := result.get("validation"):
        peak, final = found["peak"], found["final"]
        say(
            console,
            f"{final['n']} validation questions, strict and extracted: peak {_both(peak)} after "
            f"step {peak['step']}, final {_both(final)} after step {final['step']}",
        )
    if (kept := result.get("kept")) not in (None, result["steps"]):
        say(console, f"the weights are those after step {kept}, the best on validation questions")
    if norms := result.get("gradient_norms"):
        each = ", ".join(f"{node} {norm:.3g}" for node, norm in norms.items())
        say(console, f"gradient norm before clipping, mean of all steps: {each}")


def print_evaluation(console: Console, what: str, rows: Mapping[str, Values]) -> None:
    """Print evaluations.

    Args:
        console: Where.
        what: Which network answered which questions.
        rows: Label to what `Evaluation.to_dict` gives.
    """
    say(console, what)
    console.print(_scores(rows))
    for reader in sorted({row["reader"] for row in rows.values()} - {""}):
        say(console, f"answers read by {reader}")
    for label, row in rows.items():
        say(console, _cost(label, row["cost"]))


def print_names(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and what they stand for, as plain lines that other programs can read."""
    lines = list(rows)
    width = max(len(name) for name, _ in lines)
    for name, about in lines:
        print(visible(f"{name:{width}}  {about}".rstrip()))


def print_gold(console: Console, what: str, check: GoldCheck) -> None:
    """Print how the reference solutions scored, and name those that are not right."""
    say(console, f"{what}: {check.extracted}/{check.n} right ({check.strict}/{check.n} strict)")
    for id, reason in islice(check.wrong.items(), _NAMED):
        say(console, f"not right: {id}: {reason}")
    if len(check.wrong) > _NAMED:
        say(console, f"and {len(check.wrong) - _NAMED} more")
    say(console, f"scored in {duration(check.seconds)}")


def print_rows(console: Console, task: Task) -> None:
    """Print how many rows each split of a task has, and which broken ones were left out."""
    sizes = ", ".join(f"{split} {size}" for split, size in task.split_sizes().items())
    say(console, f"rows of {task.name}: {sizes}")
    if tier := task.tier:
        say(console, f"programs run in the sandbox tier: {tier}")
    _print_skipped(console, task.skipped)


def _print_skipped(console: Console, skipped: Sequence[str]) -> None:
    if skipped:
        say(console, f"broken rows left out: {len(skipped)}; the first: {skipped[0]}")


def print_run(console: Console, run: Path, step: int | None, episode: int) -> None:
    """Print the network of a run, one transcript node by node and, if there is one, its result.

    Raises:
        InputError: The folder is no run, or has no such step or episode.
    """
    head = read(run / "run.json", Head, "give a run folder, as training writes it")
    topology = Topology.from_json(head["topology"])
    say(console, f"{topology.name} of {head['model']} on {head['task']}\n")
    say(console, topology.draw() + "\n")
    shown = _transcript(run, step, episode)
    say(console, f"step {shown['step']}, question {shown['id']}")
    say(console, said("question", shown["question"]))
    number, replies = 0, dict(enumerate(shown.get("replies", [])))
    for message in shown["messages"]:
        if message.get("round", 0) > number:
            _print_reply(console, replies.get(number))
            number = message["round"]
            say(console, f"[round {number + 1} of {topology.rounds}]")
        cut = "" if message["finished"] else ", cut off"
        say(console, said(f"{message['node']} ({message['tokens']} tokens{cut})", message["text"]))
    _print_reply(console, replies.get(number))
    if shown["error"]:
        say(console, said("error", shown["error"]))
    else:
        say(
            console,
            f"target: {shown['target']} | {shown['reason']} | strict {shown['strict']:g} | "
            f"extracted {shown['extracted']:g} | reward {shown['reward']:g}",
        )
    if (run / "result.json").is_file():
        say(console, "")
        print_training(console, read(run / "result.json", Result) | {"folder": str(run)})


def _print_reply(console: Console, reply: str | None) -> None:
    if reply is not None:
        say(console, said("world", reply))


def _transcript(run: Path, step: int | None, episode: int) -> dict[str, Any]:
    path = run / "transcripts.jsonl"
    lines = read_lines(path, Transcript)
    if not lines:
        raise InputError(f"{path} holds no episode; it takes a run of one step or more")
    steps = sorted({line["step"] for line in lines})
    step = steps[-1] if step is None else step
    found = [line for line in lines if line["step"] == step]
    if not found:
        raise InputError(f"--step {step}: there are transcripts of the steps {_ranges(steps)}")
    if not 0 <= episode < len(found):
        raise InputError(
            f"--episode {episode}: step {step} has transcripts of the episodes 0 to "
            f"{len(found) - 1}"
        )
    return found[episode]


def _ranges(steps: list[int]) -> str:
    whole = steps == list(range(steps[0], steps[-1] + 1))
    return f"{steps[0]} to {steps[-1]}" if whole else ", ".join(map(str, steps))


def _scores(rows: Mapping[str, Values]) -> Table:
    """One line per evaluation, then what can be had without a network or without messages."""
    any_row = next(iter(rows.values()))
    table = Table(title=f"{any_row['n']} held-out questions, greedy, percent", title_justify="left")
    table.add_column("")
    for column in ("strict", "95 %", "extracted", "95 %", "parsed"):
        table.add_column(column, justify="right", no_wrap=True)
    for label, row in rows.items():
        table.add_row(
            cell(label),
            _percent(row["strict"]),
            _interval(row["strict_interval"]),
            _percent(row["extracted"]),
            _interval(row["extracted_interval"]),
            _percent(row["parse_rate"]),
        )
    table.add_section()
    table.add_row("best constant answer", _percent(any_row["majority"]))
    if any_row["blind"] is not None:
        table.add_row("best without messages", _percent(any_row["blind"]))
    failed = [row for row in rows.values() if row["errors"]]
    if failed:
        table.caption = cell(
            f"{failed[0]['errors']} failed, counted as wrong: {failed[0]['first_error']}"
        )
    return table


def _both(found: Values) -> str:
    return f"{_percent(found['strict'])} and {_percent(found['extracted'])}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _interval(bounds: tuple[float, float]) -> str:
    return f"{100 * bounds[0]:.1f}-{100 * bounds[1]:.1f}"


def _cost(label: str, cost: Values) -> str:
    return (
        f"cost, {label}: {cost['calls']:,} calls, {cost['prompt_tokens']:,} prompt and "
        f"{cost['completion_tokens']:,} completion tokens, {duration(cost['seconds'])}"
    )
