"""What a store says: one line per method and task, with its comparisons."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean as average
from typing import Any

import numpy as np

from neuromas_env.bench.statistics import Comparison, Estimand, compare, corrected, mean_interval
from neuromas_env.bench.store import Store, conditions
from neuromas_env.bench.stored import Facts
from neuromas_env.errors import InputError, placed, unknown
from neuromas_env.files import parse

SCORES = ("extracted", "strict")
_NUMBERS = (
    "row", "strict", "extracted", "reason", "tie", "error", "calls", "cached",
    "prompt_tokens", "completion_tokens", "seconds", "sandbox",
)  # fmt: skip
_LEFT_OUT = """
    SELECT DISTINCT name.value AS name
    FROM (SELECT transcript FROM answers WHERE cell = ? AND instr(transcript, '"left_out"')),
        json_each(transcript) AS turn, json_each(turn.value, '$.left_out') AS name
"""
Settings = dict[str, Any]
_Matches = dict[tuple[str, str, str, str], str]
"""Task, split, method and conditions to the self-consistency row of the same budget."""


@dataclass(frozen=True)
class Line:
    """A method on a task with all its seeds. Shares are from 0 to 1, costs per question.

    Attributes:
        task: Full name of the task, with the split unless that is `test`.
        method: As the user named it, with the settings in which it differs from others of
            its name.
        cells: Numbers of its cells in the store, one for each seed.
        seeds: The seeds, `(None,)` for a method without randomness.
        n: Questions answered with all seeds; the scores are about these.
        asked: Questions that were asked for.
        score: Mean score of each kind.
        estimand: What the line speaks about.
        interval: 95 % interval of each kind, None where nothing is random.
        parse_failures: Share of the replies in which no answer was found.
        ties: Share of the votes that were tied, None without votes.
        errors: Share of the questions that failed; they count as wrong.
        majority: Accuracy of the best constant answer, None where unknown.
        blind: Best accuracy without messages, None where unknown.
        calls: Model calls.
        cached: Share of the calls that a cache answered.
        prompt_tokens: Of all calls.
        completion_tokens: Of all calls.
        seconds: In the engine.
        money: By the prices that were given, None without.
        trainable: Trained parameters.
        training: What learning took in all, by `methods.Training`'s names, the mean where seeds are
            trainings; empty for a frozen method, None where it is not known.
        sandbox: What isolated the code that was run.
        skipped: Broken rows of the task's files that were left out.
        left_out: What a server refused, so that calls were made without, comma separated.
        against: Comparison with each method that this one is compared with, by its label.
        reference: Label of the method that this one is marked against, None for that one itself.
        matched: Label of the self-consistency row with the same budget.
        budget_ratio: Completion tokens of that row over those of this one, None without.
        topology: The network, as `Topology.to_json` gives it.
        labels: What its nodes are in the method's own words.
    """

    task: str
    method: str
    cells: tuple[int, ...]
    seeds: tuple[int | None, ...]
    n: int
    asked: int
    score: dict[str, float]
    estimand: Estimand
    interval: dict[str, tuple[float, float] | None]
    parse_failures: float
    ties: float | None
    errors: float
    majority: float | None
    blind: float | None
    calls: float
    cached: float
    prompt_tokens: float
    completion_tokens: float
    seconds: float
    money: float | None
    trainable: int
    training: dict[str, float] | None
    sandbox: str | None
    skipped: int
    left_out: str
    topology: dict[str, Any] = field(repr=False)
    labels: dict[str, str] = field(repr=False)
    against: dict[str, Comparison] = field(default_factory=dict)
    reference: str | None = None
    matched: str | None = None
    budget_ratio: float | None = None

    @property
    def alone(self) -> bool:
        """Whether the line is a single training run, and so speaks for that run alone."""
        runs = self.estimand in (Estimand.TRAINING, Estimand.FINITE)
        return self.training != {} and not runs


@dataclass
class Group:
    """A method on a task: cells that differ in their seed alone.

    Attributes:
        task: Full name of the task, with the split unless that is `test`.
        method: As the user named it.
        settings: Everything else that can change an answer.
        cells: Rows of the store's table, in the order of seeds.
        label: Method, with the settings in which it differs from others of its name.
        rows: Numbers of the questions that all seeds answered.
        tables: Kind of score to scores `[questions, seeds]`.
    """

    task: str
    method: str
    settings: Settings
    cells: list[dict[str, Any]]
    label: str = ""
    rows: tuple[int, ...] = ()
    tables: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def conditions(self) -> str:
        """The settings that comparable methods share, as JSON."""
        return conditions(self.settings)

    @property
    def seeds(self) -> tuple[int | None, ...]:
        """The seeds, `(None,)` for a method without randomness."""
        return tuple(cell["seed"] for cell in self.cells)

    @property
    def estimand(self) -> Estimand:
        """What these answers speak about, by what was done more than once.

        The seeds of an experiment's cells are training runs, those of others are samplings of one
        method. Questions of discrete networks are all that there are.
        """
        trained = "study" in self.settings and len(self.cells) > 1
        if self.settings.get("model") == "coded":
            return Estimand.FINITE if trained else Estimand.ANSWERS
        if len(self.rows) < 2:
            return Estimand.ANSWERS
        return Estimand.TRAINING if trained else Estimand.METHOD

    @property
    def training(self) -> dict[str, float] | None:
        """What learning took, the mean of several trainings.

        Empty for a frozen method, None where it is not known of each of them.
        """
        every = [cell["facts"] for cell in self.cells]
        took = [facts.get("training", None if facts["trainable"] else {}) for facts in every]
        if None in took:
            return None
        names = [name for name in took[-1] if all(name in one for one in took)]
        return {name: average(one[name] for one in took) for name in names}

    @property
    def alone(self) -> bool:
        """Whether it is a single training run, and so speaks for that run alone."""
        return self.training != {} and self.estimand not in (Estimand.TRAINING, Estimand.FINITE)

    def scores(self, kind: str, rows: Iterable[int]) -> np.ndarray:
        """Scores `[questions, seeds]` of some of the rows that all seeds have."""
        place = {row: i for i, row in enumerate(self.rows)}
        return self.tables[kind][[place[row] for row in rows]]


def summarise(
    store: Store,
    against: str | None = None,
    score: str = "extracted",
    cells: Collection[str] | None = None,
) -> list[Line]:
    """Work out all lines of a store.

    Args:
        store: The store.
        against: Label of the method to compare with, by default the first one run.
        score: Kind of score to compare.
        cells: Hashes of the cells to read, by default all.

    Raises:
        InputError: There are no answers, or no such score or method.
    """
    if score not in SCORES:
        raise unknown("score", score, SCORES)
    groups, matches = read_groups(store, cells), _matches(store)
    labels = [group.label for group in groups]
    against = groups[0].method if against is None else against
    if against not in {*labels, *(group.method for group in groups)}:
        raise unknown("method", against, labels)
    lines = [_compared(group, groups, against, score, matches) for group in groups]
    return _corrected(lines)


def read_groups(store: Store, cells: Collection[str] | None = None) -> list[Group]:
    """Read the cells that were asked for, and of those that were only tried the matched ones.

    Raises:
        InputError: There are no answers.
    """
    found = _matches(store).items()
    matched = {(task, split, name, c) for (task, split, _, c), name in found}
    groups: dict[tuple[str, str, str], Group] = {}
    for cell in store.rows("SELECT * FROM cells ORDER BY id"):
        with placed(str(store.path)):
            cell["facts"], settings = parse(cell["facts"], Facts), parse(cell["settings"])
        place = cell["task"], cell["split"], cell["method"], conditions(settings)
        tried = cell["facts"].get("tried") and place not in matched
        if tried or (cells is not None and cell["hash"] not in cells):
            continue
        query = f"SELECT {', '.join(_NUMBERS)} FROM answers WHERE cell = ? ORDER BY row"
        cell["answers"] = store.rows(query, (cell["id"],))
        cell["left_out"] = {row["name"] for row in store.rows(_LEFT_OUT, (cell["id"],))}
        if cell["answers"]:
            task = cell["task"] + ("" if cell["split"] == "test" else f" ({cell['split']})")
            key = task, cell["method"], cell["settings"]
            groups.setdefault(key, Group(task, cell["method"], settings, [])).cells.append(cell)
    for group in groups.values():
        group.cells.sort(key=lambda cell: cell["seed"] or 0)  # cells were made in any order
        rows = [{answer["row"] for answer in cell["answers"]} for cell in group.cells]
        group.rows = tuple(sorted(set.intersection(*rows)))
        wanted = set(group.rows)
        for kind in SCORES:
            columns = [
                [answer[kind] for answer in cell["answers"] if answer["row"] in wanted]
                for cell in group.cells
            ]
            group.tables[kind] = np.array(columns, dtype=float).T
    if not (answered := [group for group in groups.values() if group.rows]):
        raise InputError(f"{store.path} holds no answers yet; run the benchmark first")
    _label(answered)
    return answered


def _matches(store: Store) -> _Matches:
    return {
        (m["task"], m["split"], m["method"], m["conditions"]): m["matched"]
        for m in store.rows("SELECT * FROM matches")
    }


def _label(groups: Sequence[Group]) -> None:
    """Name in each label the settings in which groups of one method differ on some task."""
    flat = [_flat(group.settings) for group in groups]
    differing: dict[str, dict[str, None]] = {}
    for group, mine in zip(groups, flat, strict=True):
        for other, theirs in zip(groups, flat, strict=True):
            if (other.task, other.method) == (group.task, group.method):
                keys = [k for k in mine if json.dumps(mine[k]) != json.dumps(theirs.get(k))]
                differing.setdefault(group.method, {}).update(dict.fromkeys(keys))
    for group, mine in zip(groups, flat, strict=True):
        shown = ", ".join(f"{key}={mine[key]}" for key in differing[group.method] if key in mine)
        group.label = f"{group.method} [{shown}]" if shown else group.method


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": item for inner, item in value.items()}
        else:
            flat[key] = value
    return flat


def _compared(
    group: Group,
    groups: Sequence[Group],
    against: str,
    score: str,
    matches: _Matches,
) -> Line:
    key = group.cells[0]["task"], group.cells[0]["split"], group.method, group.conditions
    peers = [g for g in groups if g.task == group.task]
    comparable = [g for g in peers if g.conditions == group.conditions]
    matched = next((g for g in comparable if g.method == matches.get(key)), None)
    reference = next(
        (g for g in peers if g.label == against),
        next((g for g in comparable if g.method == against), None),
    )
    reference = None if reference is group else reference
    first = next(g for g in groups if (g.task, g.method) == (group.task, group.method))
    elsewhere = first if first.settings.get("model") != group.settings.get("model") else None
    comparisons = {}
    for other in filter(None, (reference, matched, elsewhere)):
        common = sorted(set(group.rows) & set(other.rows))
        if common:
            same = group.seeds == other.seeds or 1 in (len(group.cells), len(other.cells))
            comparisons[other.label] = compare(
                group.scores(score, common),
                other.scores(score, common),
                both(group, other, len(common)),
                paired=same,
            )
    marked = reference.label if reference and reference.label in comparisons else None
    line = replace(_line(group), against=comparisons, reference=marked)
    if matched is None:
        return line
    spent = line.completion_tokens
    ratio = _line(matched).completion_tokens / spent if spent else None
    return replace(line, matched=matched.label, budget_ratio=ratio)


def both(ours: Group, theirs: Group, questions: int) -> Estimand:
    """Return what a comparison of two groups on so many questions speaks about.

    Several runs of one do not speak for other runs where the other is a single one.
    """
    found = {ours.estimand, theirs.estimand}
    if Estimand.ANSWERS in found or (questions < 2 and Estimand.FINITE not in found):
        return Estimand.ANSWERS
    if ours.alone or theirs.alone:
        return Estimand.METHOD
    runs = found & {Estimand.TRAINING, Estimand.FINITE}
    return runs.pop() if runs else Estimand.METHOD


def _line(group: Group) -> Line:
    facts = group.cells[-1]["facts"]
    wanted = set(group.rows)
    answers = [a for cell in group.cells for a in cell["answers"] if a["row"] in wanted]
    whole = [answer for answer in answers if answer["error"] is None]
    votes = [answer["tie"] for answer in whole if answer["tie"] is not None]
    unread = sum(answer["reason"] in ("no_answer", "unparsable") for answer in whole)

    def mean(column: str) -> float:
        return sum(answer[column] for answer in whole) / len(whole) if whole else 0.0

    prompt, completion = mean("prompt_tokens"), mean("completion_tokens")
    prices = facts["prices"]
    return Line(
        task=group.task,
        method=group.label,
        cells=tuple(cell["id"] for cell in group.cells),
        seeds=group.seeds,
        n=len(group.rows),
        asked=facts["asked"],
        score={kind: float(table.mean()) for kind, table in group.tables.items()},
        estimand=group.estimand,
        interval={
            kind: mean_interval(table, group.estimand) for kind, table in group.tables.items()
        },
        parse_failures=unread / len(whole) if whole else 0.0,
        ties=sum(votes) / len(votes) if votes else None,
        errors=1 - len(whole) / len(answers),
        majority=facts["majority"],
        blind=facts["blind"],
        calls=mean("calls"),
        cached=mean("cached") / (mean("calls") or 1),
        prompt_tokens=prompt,
        completion_tokens=completion,
        seconds=mean("seconds"),
        money=(prompt * prices[0] + completion * prices[1]) / 1e6 if prices else None,
        trainable=facts["trainable"],
        training=group.training,
        sandbox=next((a["sandbox"] for a in whole if a["sandbox"]), None),
        skipped=len(facts.get("skipped_rows", ())),
        left_out=", ".join(sorted(set().union(*(cell["left_out"] for cell in group.cells)))),
        topology=facts["topology"],
        labels=facts["labels"],
    )


def _corrected(lines: Sequence[Line]) -> list[Line]:
    """Put Holm's correction over all comparisons of the table into them."""
    found = iter(corrected([one for line in lines for one in line.against.values()]))
    return [replace(line, against={name: next(found) for name in line.against}) for line in lines]
