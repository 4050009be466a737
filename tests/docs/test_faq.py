"""The errors that the FAQ shows are those of its commands, and the ones it quotes exist."""

import ast
import re
import shlex

import pytest
from support.paths import ROOT

from neuromas_env.cli.app import main

PAGE = (ROOT / "docs" / "faq.md").read_text()
SHOWN = re.findall(r"^    neuromas (.+)\n\n```text\n((?:.+\n)+)```", PAGE, re.M)
QUOTED = re.findall(r"^\| `(.+?)` \|", PAGE, re.M)


@pytest.mark.parametrize(("command", "message"), SHOWN, ids=[command for command, _ in SHOWN])
def test_commands_end_with_the_message_shown(command, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ROWS").mkdir()
    with pytest.raises(SystemExit) as end:
        main(shlex.split(command))
    assert end.value.code == 2
    assert capsys.readouterr().err.split() == message.split()


@pytest.mark.slow
def test_quoted_messages_are_in_the_sources():
    assert len(QUOTED) > 5
    texts = [
        node.value
        for file in (ROOT / "neuromas_env").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    missing = [quoted for quoted in QUOTED if not any(quoted in text for text in texts)]
    assert not missing
