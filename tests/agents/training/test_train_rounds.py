"""Training networks whose nodes act more than once, end to end on a tiny model."""

from __future__ import annotations

import json

import pytest
from support.tiny_models import make_tiny
from support.tiny_runs import At, Killed, assert_same_end, kill, lines, tiny_config

from neuromas_env.agents.llm import llm_network
from neuromas_env.agents.training import checkpoint
from neuromas_env.agents.training.api import make_engine, resume, train
from neuromas_env.cli.app import main
from neuromas_env.errors import InputError
from neuromas_env.policy import Sampling
from neuromas_env.progress import Reporter
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task
from neuromas_env.topology import Topology

GUESS = {"task": "games/guess", "topology": "2-1:rounds=2", "eval_questions": 0}


class Notes(Reporter):
    """Keeps what it is told."""

    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny("llama", tmp_path_factory.mktemp("models") / "tiny")


@pytest.mark.slow
def test_a_killed_run_of_several_rounds_ends_as_one_that_was_not(model, tmp_path, capsys):
    whole = train(tiny_config(model, tmp_path / "whole", **GUESS))
    with pytest.raises(Killed):
        train(tiny_config(model, tmp_path / "killed", **GUESS), report=At(3, kill))
    assert resume(tmp_path / "killed").steps == whole.steps == 3
    assert_same_end(tmp_path / "whole", tmp_path / "killed")
    state = json.loads((checkpoint.latest(tmp_path / "whole") / "state.json").read_text())
    assert Topology.from_json(state["topology"]) == Topology.parse("2-1:rounds=2")
    steps = [row for row in lines(tmp_path / "whole" / "metrics.jsonl") if "event" not in row]
    assert [row["train_rows"] for row in steps] == [2 * 2 * 6.0] * 3
    rows = lines(tmp_path / "whole" / "transcripts.jsonl")
    assert [m.get("round", 0) for m in rows[0]["messages"]] == [0, 0, 0, 1, 1, 1]

    with pytest.raises(SystemExit):
        main(["show", str(tmp_path / "whole")])
    shown = capsys.readouterr().out
    assert "2-1:rounds=2 of" in shown and "2 rounds, every node remembers" in shown
    assert shown.count("[round 2 of 2]") == 1 and shown.count("\nworld:\n") == 2
    with pytest.raises(SystemExit):
        main(["eval", "--run", str(tmp_path / "whole"), "--limit", "2"])
    assert "trained 2-1:rounds=2" in capsys.readouterr().out
    with pytest.raises(InputError, match="holds the topology '2-1:rounds=2', but '2-1' is asked"):
        engine = make_engine(tiny_config(model, tmp_path))
        checkpoint.load(checkpoint.latest(tmp_path / "whole"), engine, Topology.parse("2-1"))


@pytest.mark.slow
def test_the_first_round_of_a_grown_network_is_that_of_the_network_before(model, tmp_path):
    small = tiny_config(model, tmp_path / "small", learning_rate=0.05)
    train(small)
    rounds = "1-1:rounds=3"
    grown = train(tiny_config(model, tmp_path / "grown", topology=rounds, steps=1,
                              grow_from=str(tmp_path / "small")))  # fmt: skip
    assert (grown.growth[0]["old"], grown.growth[0]["new"]) == ("1-1", rounds)
    task, engine = make_task("signal:symbols=3"), make_engine(small)
    checkpoint.load(checkpoint.latest(tmp_path / "small"), engine)
    one, three = (
        run_episodes(llm_network(shape, task, engine, Sampling(0.0, 4)), task,
                     task.examples("train")[:2])
        for shape in ("1-1", rounds)
    )  # fmt: skip
    for before, after in zip(one, three, strict=True):
        assert len(after.turns) == 6
        for turn, again in zip(before.turns, after.turns[:2], strict=True):
            assert turn.completion.prompt_ids.tolist() == again.completion.prompt_ids.tolist()
            assert turn.completion.ids.tolist() == again.completion.ids.tolist()
    with pytest.raises(InputError, match="it has 3 rounds and there only 1"):
        train(tiny_config(model, tmp_path / "back", topology="1-1",
                          grow_from=str(tmp_path / "grown")))  # fmt: skip


@pytest.mark.slow
def test_a_schedule_adds_rounds_and_a_shorter_network_is_told(model, tmp_path):
    options = {"task": "games/guess", "schedule": "1-1:1, 1-1:rounds=2:1", "eval_questions": 0}
    notes = Notes()
    run = train(tiny_config(model, tmp_path / "run", **options), report=notes)
    assert run.steps == 2 and run.growth[0]["new"] == "1-1:rounds=2"
    note = "games/guess takes up to 2 actions and 1-1 has 1 round: an episode ends after 1"
    assert notes.said.count(note) == 1
