"""Every bad input ends in one line that says what is right, and leaves nothing behind.

`uv run pytest` tries a share of the corpus; `uv run pytest tests/fuzz -m whole --dist worksteal`
tries the whole and prints the counts that `docs/security.md` quotes.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import islice

import pytest
from fuzz import corpus
from fuzz.commands import lines
from fuzz.outcome import SECONDS, Tally, told
from fuzz.places import build

PARTS = {
    "files": corpus.try_files,  # the longest first, where two processes share them
    "commands": corpus.try_commands,
    "configs": corpus.try_configs,
    "calls": corpus.try_calls,
}
"""Part of the corpus to what tries its inputs."""
SHARE = {"commands": 29, "configs": 9, "files": 37, "calls": 5}
"""Of how many inputs of a part one is tried where there is no time for all."""
FEWEST = 700
PROCESSES = 40
"""Inputs that are also tried in processes of their own."""


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The folders of `places.build`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("fuzz"))
        patch.delenv("OPENAI_API_KEY", raising=False)
        yield build(tmp_path_factory.mktemp("places"))


def tried(part, share, places, record_property):
    tally = Tally()
    for group, name, outcome in PARTS[part](places, share):
        tally.add(group, name, outcome)
    record_property("tally", "\n".join([tally.table(), *tally.faults]))
    assert tally.faults == []
    return sum(sum(count.values()) for count in tally.counts.values())


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("part", PARTS)
def test_a_share_of_the_corpus(part, places, record_property):
    tried(part, slice(None, None, SHARE[part]), places, record_property)


@pytest.mark.slow
@pytest.mark.whole
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("part", PARTS)
def test_the_whole_corpus(part, places, record_property):
    assert tried(part, slice(None), places, record_property) >= (FEWEST if part == "calls" else 50)


@pytest.mark.slow
@pytest.mark.whole
def test_the_real_command(places, record_property, tmp_path):
    """The same through processes: nothing but this shows what an interpreter prints at its end."""
    chosen = list(lines())
    tally = Tally()
    for name, words in islice(chosen, 0, None, len(chosen) // PROCESSES):
        given = [corpus.filled(word, places) for word in words]
        done = subprocess.run(
            [sys.executable, "-m", "neuromas_env", *given],
            capture_output=True, text=True, timeout=5 * SECONDS, cwd=tmp_path,
        )  # fmt: skip
        tally.add(f"process {name}", " ".join(words), told(done.returncode, done.stderr))
    record_property("tally", tally.table())
    assert tally.faults == []
