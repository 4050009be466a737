"""Write `docs/tasks/`, a page for each family of tasks, from docstrings and the rows themselves.

    python docs/make_task_pages.py --data DIR

The numbers of rows are those of the data folder, or of the cache without one; a dash stands
for those of a benchmark that is not there.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from string import Template
from unittest import mock

from neuromas_env.envs.registration import SINGLE
from neuromas_env.errors import InputError
from neuromas_env.tasks import _FAMILIES, SPLITS, Task, make_task, sources
from neuromas_env.tasks.interactive import InteractiveTask

FOLDER = Path(__file__).parent / "tasks"
_ABOUT = """\
A task is a family of questions with a scorer. A name such as `hierarchy/max:leaves=4` picks a task
of a family and sets parameters; `neuromas list tasks` prints all names."""
_NOTE = "<!-- Written by docs/make_task_pages.py: change the docstrings, then run it again. -->\n"
PAGE = Template("""\
# $family

$summary

```python
import gymnasium
from neuromas_env import neuromas_v0

# $alone
env = gymnasium.make("neuromas/Task-v0", task="$first")
# a network of nodes
env = neuromas_v0.env(task="$first", topology="$topology")
```

$example| | |
| --- | --- |
| Gymnasium | $ids |
| scorer | $scorer |
| reward | 0 or 1; with `reward="both"` also 0.5 |
| data | $data |
| licence | $licence |
| version | $version |

## Tasks

$tasks

## Parameters

$parameters

## Description

$description

## Versions

$versions

$note""")
_SHOWN = {"bbh": "bbh/navigate"}
_DATA = re.compile(r"\sData: (.+?), licence (.+?)\.(?=\n|$)", re.DOTALL)


def pages(data: str | None = None) -> dict[str, str]:
    """Return file name to text: a page for each family and the index."""
    with mock.patch.object(sources, "read_rows", cache_by_file(sources.read_rows)):
        facts = {family: describe(family, data) for family in _FAMILIES}
    lines = [
        f"| [{family}]({family}.md) | {fact['summary'].partition('. ')[0].rstrip('.')} "
        f"| {fact['count']} | {fact['licence']} |"
        for family, fact in facts.items()
    ]
    head = f"# Tasks\n\n{_ABOUT}\n\n{_markdown(['family', 'what it is', 'tasks', 'licence'], [])}\n"
    tail = "\n\nA task of your own: [your own task](../tutorial/your-own-task.md).\n"
    texts = {f"{family}.md": PAGE.substitute(fact) for family, fact in facts.items()}
    return {"README.md": head + "\n".join(lines) + f"{tail}\n{_NOTE}", **texts}


def cache_by_file(read):
    """Let the many tasks of a table read its file once."""
    kept = {}

    def read_once(file, *arguments):
        if file not in kept:
            kept[file] = read(file, *arguments)
        return kept[file]

    return read_once


def describe(family: str, data: str | None = None) -> dict[str, object]:
    """Return what the page of a family says."""
    entry = _FAMILIES[family]
    make = resolve_name(entry.path)
    module = inspect.getmodule(make)
    summary, _, description = inspect.getdoc(module).partition("\n\n")
    origin = _DATA.search(f"\n{description}")
    names = list(entry.names(family, data))
    tasks = [_made(name, data) or make for name in names]
    rounds = getattr(tasks[0], "rounds", 1)
    scorer = make if inspect.isclass(make) else type(tasks[0])
    ids = [id for id, stands in SINGLE.items() if stands.get("family", "").split("/")[0] == family]
    return {
        "note": _NOTE,
        "family": family,
        "summary": summary,
        "description": _DATA.sub("", f"\n{description}").strip() + _kinds(module),
        "first": _SHOWN.get(family, names[0]),
        "alone": "one question, one action a step" if rounds > 1 else "one question, one answer",
        "topology": f"2-1:rounds={rounds}" if rounds > 1 else "2-1",
        "count": len(names),
        "example": _example(tasks[names.index(_SHOWN.get(family, names[0]))]),
        "ids": ", ".join(f"`{id}`" for id in ids or ["neuromas/Task-v0"]),
        "scorer": inspect.getdoc(scorer.score).partition("\n")[0],
        "data": " ".join(origin[1].split()) if origin else "made by the task itself",
        "licence": origin[2] if origin else "that of this project",
        "version": f"v{len(entry.versions) - 1}",
        "tasks": _table(tasks),
        "parameters": _parameters(make) + _levels(module),
        "versions": "\n".join(f"- v{n}: {what}" for n, what in enumerate(entry.versions)),
    }


LONGEST = 700
"""Characters of a question that is shown."""


def _example(task: Task | type[Task]) -> str:
    """Return the first training question that is short enough, with its answer."""
    if isinstance(task, type):
        return ""
    shown = next((e for e in task.examples("train") if len(e.question) <= LONGEST), None)
    if shown is None:
        return ""
    parts = "".join(f"\n[part {n}]\n{part}" for n, part in enumerate(shown.parts, 1))
    query = f"\n[query]\n{shown.query}" if shown.parts and shown.query else ""
    text = parts.strip() + query if parts else shown.question
    return (
        "From the training split:\n\n"
        f'```text title="question"\n{text.strip()}\n```\n\n'
        f'```text title="answer"\n{shown.target.strip()}\n```\n\n'
    )


def _made(name: str, data: str | None) -> Task | None:
    try:
        return make_task(name, data)
    except InputError:  # its rows are not there
        return None


WIDEST = 8
"""Columns of a table."""


def _table(tasks: list[Task | type[Task]]) -> str:
    formats = {task.answer_format for task in tasks}
    asked = ["answer"] if len(formats) > 1 else []
    head = ["task", *asked, *SPLITS, "majority", *_baselines(tasks[0])]
    rows = [[f"`{t.name}`", *[t.answer_format for _ in asked], *_figures(t)] for t in tasks]
    meanings = [f"*{name}*: {_MEANINGS[name]}" for name in head if name in _MEANINGS]
    if isinstance(tasks[0], type):
        meanings.append("a dash: not counted, since the rows were not there")
    lines, rest = [head, *rows], 1 + len(asked) + len(SPLITS)  # after task, answer and rows
    tables = [lines]
    if len(head) > WIDEST:
        tables = [[line[:rest] for line in lines], [line[:1] + line[rest:] for line in lines]]
    same = "" if asked else f"Nodes read: *{formats.pop()}*\n\n"
    head_line = f"Rows of each split, and accuracies on the test rows: {'; '.join(meanings)}.\n\n"
    return same + head_line + ("\n\n".join(_markdown(first, others) for first, *others in tables))


def _figures(task: Task | type[Task]) -> list[str]:
    if isinstance(task, type):
        return ["–"] * (len(SPLITS) + 1)
    counts = [f"{len(task.examples(split)):,}" for split in SPLITS]
    shares = [task.majority("test"), *_baselines(task).values()]
    return counts + [f"{x:.3f}" if isinstance(x, float) else str(x) for x in shares]


_MEANINGS = {
    "majority": "of the best constant answer",
    "chance": "of a guess",
    "blind": "at most, of an output node that gets no messages",
    "rounds": "after how many actions it is over",
    "one round": "at most, of a network that acts once",
}


def _baselines(task: Task | type[Task]) -> dict[str, float]:
    if isinstance(task, type):  # its rows are not there
        return {}
    measures = {"chance": task.chance(), "blind": task.blind_accuracy("test")}
    if isinstance(task, InteractiveTask):
        measures = {"rounds": task.rounds, "one round": task.one_round_accuracy("test")} | measures
    return {name: measure for name, measure in measures.items() if measure is not None}


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def _parameters(make: Callable[..., Task]) -> str:
    text = f"{inspect.getdoc(make.__init__)}\n\n{inspect.getdoc(make)}"
    section = re.search(r"^(?:Args|Attributes):\n((?:    .*\n?)+)", text, re.MULTILINE)
    if not section:
        return "None."
    listed = re.sub(r"\n {8}", " ", section[1])
    return re.sub(r"^ {4}(\w+): ", r"- `\1`: ", listed, flags=re.MULTILINE).strip()


def _kinds(module: object) -> str:
    rows = [[f"`{name}`", kind.about] for name, kind in getattr(module, "KINDS", {}).items()]
    table = "\n\n" + _markdown(["kind", "a question"], rows) if rows else ""
    games = getattr(module, "GAMES", {}).items()
    about = (f"\n\n### {name}\n\n{inspect.getdoc(inspect.getmodule(g))}" for name, g in games)
    return table + "".join(about)


def _levels(module: object) -> str:
    levels = getattr(module, "LEVELS", ())
    tables = levels if isinstance(levels, dict) else {"": levels} if levels else {}
    text = ""
    for name, table in tables.items():
        rows = [[str(n), *map(str, level.values())] for n, level in enumerate(table, 1)]
        text += "\n\n" + f"Levels of `{name}`:\n\n" * bool(name)
        text += _markdown(["level", *table[0]], rows)
    return text


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", help="folder with benchmark rows, or NEUROMAS_DATA")
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages(parser.parse_args().data).items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
