"""What the docs show is so: code runs and prints what they say, commands and links exist."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import shlex
from contextlib import redirect_stdout
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import click
import pytest
import typer
from click.testing import CliRunner
from markdown_it import MarkdownIt
from support.paths import ROOT, ROWS

from neuromas_env import __version__, tasks
from neuromas_env.agents.learners import base
from neuromas_env.agents.tables.registry import ALGORITHMS
from neuromas_env.bench.config import BenchConfig
from neuromas_env.cli.app import app
from neuromas_env.cli.schema import OPTIONS
from neuromas_env.envs.discrete.tasks import DISCRETE_TASKS

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
TOKENS = {page: MarkdownIt().enable("table").parse(page.read_text()) for page in PAGES}
# `<!-- not run: REASON -->` above a block of Python: it needs the hub, a GPU or minutes.
NOT_RUN = re.compile(r"<!-- not run: \S.+ -->\n")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def has_python(page: Path) -> bool:
    return any(token.info == "python" for token in TOKENS[page])


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to work in, small benchmark rows, and names that are forgotten again."""
    monkeypatch.chdir(tmp_path)
    real = Path(os.environ.get("NEUROMAS_DATA") or ROWS)
    (tmp_path / "data").mkdir()
    for made in ROWS.iterdir():  # which stand in for what is not there
        found = real / made.name
        (tmp_path / "data" / made.name).symlink_to(found if found.is_dir() else made)
    monkeypatch.setenv("NEUROMAS_DATA", str(tmp_path / "data"))
    for names in (tasks.TASKS, base.LEARNERS, DISCRETE_TASKS, ALGORITHMS):
        monkeypatch.setattr(names, "registered", {})


@pytest.mark.slow
@pytest.mark.parametrize("page", list(filter(has_python, PAGES)), ids=name)
def test_python_runs_and_prints_what_follows_it(page, place):
    """The blocks of a page share one namespace; a `text` block after one is what it prints."""
    names = {"__name__": "docs"}
    tokens = TOKENS[page]
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        if token.info != "python" or before and NOT_RUN.fullmatch(before.content):
            continue
        code = compile("\n" * (token.map[0] + 1) + token.content, str(page), "exec")
        with redirect_stdout(io.StringIO()) as printed:
            exec(code, names)
        if after is not None and after.info == "text":
            assert printed.getvalue() == after.content


@pytest.mark.parametrize("page", [DOCS / "cite.md", ROOT / "CITATION.cff"], ids=name)
def test_citation_names_this_version(page):
    assert re.findall(r"version[ :={]+([\d.]+)", page.read_text())[-1] == __version__


def shown_commands(page: Path) -> list[tuple[list[str], bool]]:
    """The arguments of every `neuromas` command of a page, and whether more are left out.

    A command above its error message is one of `test_faq`.
    """
    blocks = [
        t.content
        for t, after in pairwise([*TOKENS[page], None])
        if t.type in ("fence", "code_block") and not (after and after.content.startswith("error: "))
    ]
    inline = [c.content for t in TOKENS[page] for c in t.children or () if c.type == "code_inline"]
    lines = [line for text in blocks for line in text.replace("\\\n", " ").splitlines()]
    found = []
    for line, partly in [*((line, False) for line in lines), *((text, True) for text in inline)]:
        if match := re.search(r"(?:^|[ /])(?:neuromas|-m neuromas_env) (?=[a-z-])(.*)", line):
            arguments = shlex.split(match[1].partition(" > ")[0], comments=True)
            found.append(([a for a in arguments if a != "..."], partly or "..." in arguments))
    return found


def commands(group: click.Group) -> dict[str, click.Command]:
    found = {}
    for key, command in group.commands.items():
        sub = commands(command) if hasattr(command, "commands") else {}  # typer has its own click
        found |= {f"{key} {rest}": c for rest, c in sub.items()} or {key: command}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("page", list(filter(shown_commands, PAGES)), ids=name)
def test_commands_are_right(page, monkeypatch):
    # Which shell runs the tests, and whether any does, says nothing of a page.
    monkeypatch.setattr("shellingham.detect_shell", lambda *_: ("bash", "/bin/bash"))
    command = typer.main.get_command(app)
    given = {}
    for one in commands(command).values():
        one.callback = lambda **options: given.update(options)
    for arguments, partly in shown_commands(page):
        given.clear()
        done = CliRunner().invoke(command, arguments)
        missing = partly and re.search("Missing|requires an argument", done.output)
        assert not done.exit_code or missing, done.output
        options = OPTIONS.get(arguments[0])
        if options and not given.get("config") and not (partly and options is BenchConfig):
            names = [option.name for option in fields(options)]
            options.from_mapping({key: given[key] for key in names if given.get(key)})


def test_options_in_the_text_exist():
    known = {
        option
        for command in commands(typer.main.get_command(app)).values()
        for parameter in command.params
        for option in parameter.opts
    }
    scripts = (ROOT / "examples" / "marl").glob("*.py")
    known |= {
        option for file in scripts for option in re.findall(r'"(--[\w-]+)"', file.read_text())
    }
    for page in PAGES:
        for token in TOKENS[page]:
            for child in token.children or ():
                if child.type == "code_inline" and child.content.startswith("--"):
                    assert child.content.split()[0] in known, f"{name(page)}: {child.content}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for token in TOKENS[page]:
        for child in token.children or ():
            target = child.attrGet("href") or child.attrGet("src") or "#"
            if not re.match(r"https?:|#", target):
                assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_picture_has_a_text(page):
    for token in TOKENS[page]:
        for child in token.children or ():
            assert child.type != "image" or child.content.strip(), child.attrGet("src")


def test_pictures_are_what_their_script_writes():
    spec = importlib.util.spec_from_file_location("make_pictures", DOCS / "make_pictures.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    written = {file.name: file.read_text() for file in (DOCS / "pictures").iterdir()}
    assert script.pictures() == written, "run: python docs/make_pictures.py"
