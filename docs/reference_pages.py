"""Parts of pages that are made when the site is built: commands, options, metrics, rooms, cards.

A line `<!-- made: NAME WORDS -->` of a page stands for what `PARTS[NAME](*WORDS)` returns.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import click
import typer
import yaml

from neuromas_env.agents.training.metrics import METRICS
from neuromas_env.baselines import list_baselines
from neuromas_env.baselines.fidelity import Card, linked, read_cards, written
from neuromas_env.cli.app import app
from neuromas_env.cli.schema import OPTIONS
from neuromas_env.config import Options, schema

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "neuromas_env"
FLOORS = yaml.safe_load(Path(__file__).with_name("rooms.yaml").read_text(encoding="utf-8"))
KINDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "yes or no"}
SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}
MADE = re.compile(r"<!-- made: (\w+)(.*) -->")
_DEFAULT = re.compile(r"\s*\[(?:default: \(?(.*?)\)?|required)(?:; x>=\d+)?\]$")
_LEAST = re.compile(r"\s*\[x>=(\d+)\]")


def filled(markdown: str) -> str:
    """Put the parts into a page that wants them."""
    return MADE.sub(lambda match: PARTS[match[1]](*match[2].split()), markdown)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    lines = [list(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def commands() -> str:
    """Return a section for each command, in the order of the help."""
    root = typer.main.get_command(app)
    return "\n\n".join(
        part
        for name, command in root.commands.items()
        for part in _command(name, command, click.Context(root, info_name="neuromas"))
    )


def _command(name: str, command: Any, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    yield f"## `{context.command_path}`\n\n{command.help}"
    inner = getattr(command, "commands", None)
    if inner:
        for name, one in inner.items():
            yield from _command(name, one, context)
        return
    yield _console([" ".join([context.command_path, *command.collect_usage_pieces(context)])])
    shared = {one.name for one in fields(OPTIONS[name])} if name in OPTIONS else set()
    if shared:
        yield f"It takes all [options of `{name}`](options.md#{name}), and these:"
    records = [p.get_help_record(context) for p in command.params if p.name not in shared]
    rows = [_split(*record) for record in records if record]
    if rows:
        yield table(("option", "meaning", "default"), rows)
    examples = [line for line in (command.epilog or "").splitlines() if "neuromas " in line]
    if examples:
        yield (
            "```console\n" + "\n".join("$ " + e[e.index("neuromas ") :] for e in examples) + "\n```"
        )


def _console(lines: Iterable[str]) -> str:
    return "\n".join(["```console", *(f"$ {line}" for line in lines), "```"])


def _split(option: str, about: str) -> tuple[str, str, str]:
    found = _DEFAULT.search(about)
    default = "" if found is None else f"`{found[1]}`" if found[1] else "must be given"
    option = option.replace("<int range>", "<int>").replace("<Path>", "<path>")
    return f"`{option}`", _LEAST.sub(r", at least \1", _DEFAULT.sub("", about)), default


def options(cls: type[Options]) -> str:
    """Return tables of a command's options, one for each panel of its help."""
    properties: Mapping[str, Any] = schema(cls, "")["properties"]
    panels: dict[str, list[tuple[str, ...]]] = {}
    for one in fields(cls):
        described = properties[one.name]
        row = (f"`--{one.name.replace('_', '-')}`", described["description"], _values(described))
        panels.setdefault(one.metadata["panel"], []).append((*row, _default(described)))
    head = ("option", "meaning", "values", "default")
    return "\n\n".join(f"### {panel}\n\n{table(head, rows)}" for panel, rows in panels.items())


def _values(described: Mapping[str, Any]) -> str:
    one = described.get("items", described)
    if "enum" in one:
        return ", ".join(f"`{value}`" for value in one["enum"] if value is not None)
    types = one["type"] if isinstance(one["type"], list) else [one["type"]]
    limits = [f"{sign} {one[key]:g}" for key, sign in SIGNS.items() if key in one]
    kind = " ".join([KINDS[next(t for t in types if t != "null")], ", ".join(limits)]).strip()
    return f"{kind}; several with commas" if "items" in described else kind


def _default(described: Mapping[str, Any]) -> str:
    if "default" not in described:
        return "must be given"
    value = described["default"]
    if isinstance(value, list):
        value = ",".join(map(str, value))
    return "" if value in (None, "") else f"`{json.dumps(value).strip(chr(34))}`"


def metrics() -> str:
    """Return a table of the figures that training logs for each part that logs some."""
    head = ("figure", "unit", "meaning")
    return "\n\n".join(
        f"## {writer}\n\n" + table(head, ((f"`{m.name}`", m.unit, m.about) for m in group))
        for writer, group in METRICS.items()
    )


def baseline(name: str) -> str:
    """Return a line about a baseline: its source, its temperature and its calls."""
    card, about = _known()[name]
    temperature, calls = card.settings["temperature"][1], about.rpartition("; ")[2]
    source = "" if card.paper.startswith("none") else f"{linked(card.paper)}. "
    return (
        f"*{source}Temperature {temperature}; {calls} a question. "
        f"[Compared with its source](baselines-cards.md#{name}).*"
    )


@cache
def _known() -> dict[str, tuple[Card, str]]:
    cards = read_cards()
    return {name: (cards[name], about) for name, about in list_baselines().items()}


def rooms() -> str:
    """Return the rooms of the package, the ground floor first."""
    names = (" ".join(f"`{room}`" for room in floor["rooms"].split()) for floor in FLOORS)
    held = (floor["holds"] for floor in FLOORS)
    return table(("rooms", "what they hold"), zip(names, held, strict=True))


def face() -> str:
    """Return the names of the package's face with a link and a line each, and its modules."""
    names, modules = [], []
    for name, module in _names(PACKAGE / "__init__.pyi").items():
        path = f"{module}.{name}".lstrip(".")
        if _source(path).is_file():
            offered = ", ".join(f"`{one}`" for one in _offered(path))
            modules.append((f"`{name}`", _first_line(_tree(path)), offered))
        else:
            names.append((f"[`{name}`][neuromas_env.{path}]", _about(module, name)))
    return "\n\n".join(
        [
            table(("name", "what it is"), names),
            "Modules hold what belongs to one subject, as in `testing.check_task`:",
            table(("module", "what it holds", "names"), modules),
        ]
    )


def _source(module: str) -> Path:
    place = PACKAGE.joinpath(*module.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(_source(module).read_text(encoding="utf-8"))


def _first_line(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> str:
    return (ast.get_docstring(node) or "").partition("\n")[0]


def _names(file: Path) -> dict[str, str]:
    """Return the names that a file imports from the package, with their modules."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = (node for node in tree.body if isinstance(node, ast.ImportFrom))
    return {a.name: (n.module or "").removeprefix("neuromas_env.") for n in found for a in n.names}


def _offered(module: str) -> list[str]:
    """Return what a module offers: what its stub imports, else its `__all__`."""
    stub = _source(module).with_suffix(".pyi")
    if stub.is_file():
        return list(_names(stub))
    found = [n.value for n in _tree(module).body if ast.unparse(n).startswith("__all__ = [")]
    return ast.literal_eval(found[0]) if found else []


def _about(module: str, name: str) -> str:
    """Return the first line of what a module says of one of its names."""
    body = _tree(module).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return _first_line(node)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return str(ast.literal_eval(after.value)) if isinstance(after, ast.Expr) else ""
    return _about(_names(_source(module))[name], name)


def file(name: str) -> str:
    """Return a file of the repository's root as a page, its links led from there."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
    for one, page in PROJECT.items():
        text = text.replace(f"]({one})", f"]({page})")
    return text


PROJECT = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security-policy.md",
}
PARTS: dict[str, Callable[..., str]] = {
    "baseline": baseline,
    "cards": lambda: written(read_cards()),
    "commands": commands,
    "face": face,
    "file": file,
    "metrics": metrics,
    "options": lambda name: options(OPTIONS[name]),
    "rooms": rooms,
}
