"""The report of the docs is what its command and its stand-in for a model make."""

import re

import pytest
from support.paths import ROOT

from neuromas_env.bench.report import make_markdown
from neuromas_env.cli.app import main

PAGE = (ROOT / "docs" / "report.md").read_text()
SECONDS = re.compile(r"\| [\d.e-]+ (?=\| 0 \|$)")


@pytest.mark.slow
def test_the_tables_are_those_of_the_command(tmp_path, monkeypatch):
    [name, code] = re.search(r'^```python title="(\S+)"\n(.*?)^```', PAGE, re.M | re.S).groups()
    [command] = re.findall(r"^    neuromas (bench (?:.*\\\n)?.*)", PAGE, re.M)
    (tmp_path / name).write_text(code)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(command.replace("\\\n", " ").split())
    assert not end.value.code
    text = make_markdown(tmp_path / "DIR")
    made = {SECONDS.sub("| … ", line) for line in text.splitlines()}
    shown = re.findall(r"^(?:\|.*\||\*\*.*\*\*)$", PAGE, re.M)
    assert len(shown) == 31 and not set(shown) - made
