"""The tasks of the tutorial: short, sound, and played to the end by scripted policies."""

from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt
from support.paths import ROOT

from neuromas_env import Method, Policy, Topology, env, make_task, run_episodes
from neuromas_env.cli.app import main
from neuromas_env.tasks import SPLITS

PAGE = ROOT / "docs" / "tutorial" / "your-own-task.md"
TOKENS = MarkdownIt().parse(PAGE.read_text())
FILES = {
    title[1]: token.content
    for token in TOKENS
    if (title := re.search(r'title="([\w.]+)"', token.info))
}
NAMES = re.findall(r"neuromas check (\S+\.py:\S+)", PAGE.read_text())
MOST = 19


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder that holds the files of the page, where a user stands."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_every_task_is_under_twenty_lines_and_checked():
    own = {name: text for name, text in FILES.items() if name.endswith(".py")}
    lines = {name: sum(map(bool, text.splitlines())) for name, text in own.items()}
    assert len(lines) == 4 and max(lines.values()) <= MOST, lines
    assert {name.partition(":")[0] for name in NAMES} == set(lines)


@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_the_contract(name, place, capsys):
    with pytest.raises(SystemExit) as end:
        main(["check", name])
    assert not end.value.code, capsys.readouterr().out
    assert capsys.readouterr().out == f"task {name}: no faults\n"
    assert all(make_task(name).split_sizes()[split] for split in SPLITS)


class Knowing(Policy):
    """Says the right answer to a question that it knows."""

    def __init__(self, answers):
        self.answers = answers

    def request(self, observation, seed):
        return next((a for q, a in self.answers.items() if q in observation["question"]), "hm")


@pytest.mark.parametrize("name", NAMES)
def test_it_is_played_by_scripted_policies(name, place):
    task = make_task(name)
    examples = task.examples("test")[:3]
    topology = Topology.parse("2-1" if "parts=3" not in name else "3-1")
    dealt = bool(examples[0].parts)  # the last node does not see what the others were dealt
    for example in examples[: 1 if dealt else 3]:
        team = {n: Knowing({example.query or example.question: example.target})
                for n in topology.nodes}  # fmt: skip
        [run] = run_episodes(Method(topology, team), task, [example])
        assert run.reward == 1.0 and run.answer == example.target
    network = env(task=task, topology=topology.name)
    network.reset(seed=0)
    for _ in network.agents[:]:
        network.step("I do not know.")
    assert set(network.rewards.values()) == {0.0}


def test_a_near_guess_of_the_last_one_earns_a_part(place):
    task = make_task("peaks.py:Peaks")
    example = task.examples("test")[0]
    score = task.score(example, f"It is {1.05 * float(example.target):.0f} m.")
    assert score.extracted == pytest.approx(0.5, abs=0.01) and score.strict == 0.0
