import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from neuromas_env import Topology, env
from neuromas_env.bench.tables import Grid, to_rich
from neuromas_env.cli.app import main
from neuromas_env.progress import ConsoleReporter
from neuromas_env.text import say, valid, visible

ANY = st.text(st.characters(exclude_categories=()))


@given(ANY)
def test_a_valid_text_can_be_written_and_is_left_as_it_is(text: str):
    assert valid(text).encode("utf-8").decode("utf-8") == valid(text)
    assert len(valid(text)) == len(text)
    assert valid(valid(text)) == valid(text)


@given(st.text())
def test_unicode_text_is_valid(text: str):
    assert valid(text) == text


@given(ANY)
def test_a_visible_text_has_nothing_that_a_terminal_obeys(text: str):
    shown = visible(text)
    assert not {"\x1b", "\x9b", "\r", "\b", "\x07", "\u202e", "\u2066", "\u2028"} & set(shown)
    assert visible(shown) == shown
    shown.encode("utf-8")


@pytest.mark.parametrize(
    "text, shown",
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\u202eb", r"a\u202eb"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("line\nnext\ttab, Größe, 木, \N{WOMAN}\u200d\N{ROCKET}", None),
    ],
    ids=["escape", "override", "surrogate", "tag", "plain"],
)
def test_controls_are_shown_and_plain_text_is_unchanged(text: str, shown: str | None):
    assert visible(text) == (text if shown is None else shown)


MARKUP = "[bold red]x[/] :smile: [/x.gguf] \x1b[2J\u202egnp"


def printed(**options) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=True, width=200, **options), file


def test_a_line_is_printed_as_it_stands():
    console, file = printed()
    say(console, MARKUP)
    assert file.getvalue() == visible(MARKUP) + "\n"


def test_progress_shows_names_as_they_stand():
    console, file = printed()
    reporter = ConsoleReporter(console)
    reporter.begin(MARKUP, 2)
    reporter.note(MARKUP)
    reporter.end()
    assert file.getvalue().count("[bold red]x[/] :smile: [/x.gguf]") >= 2
    assert "\x1b[2J" not in file.getvalue() and "\u202e" not in file.getvalue()


def test_tables_show_cells_as_they_stand():
    console, file = printed()
    console.print(to_rich(Grid(MARKUP, (MARKUP, "n"), ((MARKUP, "1"),))))
    assert file.getvalue().count("red]x[/]") == 3  # the head breaks between words
    assert "\x1b[2J" not in file.getvalue() and "\u202e" not in file.getvalue()


@pytest.mark.parametrize("model", ["./m[/x].gguf", "\x1b[2J", "[red]none[/red]"], ids=ascii)
def test_an_error_shows_what_was_typed(model, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["eval", "--model", model, "--task", "hierarchy/max", "--limit", "1"])
    said = capsys.readouterr().err
    assert visible(model) in said and "\x1b" not in said
    assert said.count("\n") <= 2 and "Traceback" not in said


def test_a_picture_of_an_episode_shows_escapes():
    network = env(task="hierarchy/max", topology="1", render_mode="ansi")
    network.reset(seed=0)
    network.step("\x1b[2J7")
    assert r"\x1b[2J7" in network.render() and "\x1b" not in network.render()


def test_a_transcript_shows_escapes(tmp_path, capsys):
    topology = Topology.parse("1")
    head = {
        "topology": topology.to_json(), "model": MARKUP, "task": MARKUP, "weights_hash": "",
        "reward": MARKUP, "seed": 0, "splits": {}, "stages": [],
    }  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps(head))
    message = {"node": "node_0", "text": MARKUP, "tokens": 1, "finished": True}
    line = {
        "step": 1, "id": MARKUP, "question": MARKUP, "messages": [message], "target": MARKUP,
        "error": MARKUP, "parts": [], "seed": 0, "answer": MARKUP, "reward": 0.0, "strict": None,
        "extracted": None, "reason": None,
    }  # fmt: skip
    (tmp_path / "transcripts.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(SystemExit, match="0"):
        main(["show", str(tmp_path)])
    said = capsys.readouterr().out
    assert said.count("[bold red]x[/] :smile:") >= 4
    assert "\x1b" not in said and "\u202e" not in said
