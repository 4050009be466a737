"""Networks in training in which tools stand at some nodes: they have no adapter and no gradient."""

import pytest
from support.tiny_models import make_tiny
from support.tiny_runs import At, Killed, assert_same_end, kill, lines, tiny_config

from neuromas_env.agents.engines import tools
from neuromas_env.agents.training import checkpoint
from neuromas_env.agents.training.api import resume, train
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.cli.app import main
from neuromas_env.errors import InputError

OPTIONS = {"topology": "1-1:rounds=3", "tools": "node_0=calculator"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny("llama", tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    """A run in which every reply is a call of the tool."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tools, "fenced", lambda text: [("", text or "0", True)])
        yield train(tiny_config(model, tmp_path_factory.mktemp("runs") / "run", **OPTIONS))


@pytest.mark.slow
def test_only_models_have_adapters_and_count_as_calls(run):
    folder = checkpoint.latest(run.folder)
    state = checkpoint.read_state(folder)
    assert [*state.adapters] == [*state.trained] == ["node_1"]
    assert [path.name for path in (folder / "adapters").iterdir()] == ["node_1"]
    spent = {(phase, name): calls for phase, name, calls, *_ in state.cost}
    # Three steps of two questions, each twice: three turns of the model, two of the tool.
    assert spent["train", "node_1"] == 36 and spent["train", "tool:calculator"] == 24
    assert run.cost["train"]["calls"] == 36 and run.after.cost["calls"] == 6
    said = lines(run.folder / "transcripts.jsonl")[0]["messages"]
    assert [turn["node"] for turn in said] == ["node_1", *["node_0", "node_1"] * 2]


@pytest.mark.slow
def test_a_trained_network_is_evaluated_with_its_tools(run, capsys):
    with pytest.raises(SystemExit) as end:
        main(["eval", "--run", str(run.folder), "--limit", "2"])
    said = capsys.readouterr()
    assert end.value.code in (None, 0), said.err
    assert "trained 1-1:rounds=3" in said.out


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_was_not(model, run, tmp_path):
    with pytest.raises(Killed):
        train(tiny_config(model, tmp_path / "killed", **OPTIONS), report=At(3, kill))
    resume(tmp_path / "killed")
    assert_same_end(run.folder, tmp_path / "killed")


@pytest.mark.slow
def test_a_network_with_a_tool_grows_in_rounds(model, run, tmp_path):
    more = OPTIONS | {"topology": "1-1:rounds=4", "grow_from": str(run.folder), "steps": 1}
    grown = train(tiny_config(model, tmp_path / "grown", **more))
    state = checkpoint.read_state(checkpoint.latest(grown.folder))
    assert state.topology.rounds == 4 and [*state.adapters] == ["node_1"]
    with pytest.raises(InputError, match="was trained with tools 'node_0=calculator', but ''"):
        train(tiny_config(model, tmp_path / "other", **more | {"tools": ""}))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tools": "node_0"}, "tools: options must be key=value, each key once"),
        ({"tools": "node_2=python"}, "unknown node of topology '1-1' 'node_2'"),
        ({"tools": "node_0=pyton"}, "unknown tool 'pyton'. Did you mean 'python'?"),
        ({"tools": "node_0=python,node_1=python"}, "tools must leave a node that is trained"),
        (
            {"tools": "node_0=python", "train_nodes": "node_0"},
            "train_nodes must name nodes with a model, but node_0 has the tool 'python'",
        ),
        (
            {"tools": "node_1=python", "schedule": "1-1:1, 2-1:1"},
            "growing from '1-1' to '2-1' makes node_2 of node_1",
        ),
    ],
)
def test_options_are_checked(options, said):
    with pytest.raises(InputError, match=said):
        TrainConfig(**{"topology": "1-1"} | options).validate()


def test_a_learner_of_what_every_node_says_takes_none(tmp_path):
    config = TrainConfig(
        topology="1-1", tools="node_0=python", learner="collm_cc", out=str(tmp_path)
    )
    with pytest.raises(InputError, match="learner 'collm_cc' learns from what every node says"):
        train(config)
