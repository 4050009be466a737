"""Growing: inherited nodes keep weights and optimiser state, new ones start as asked."""

from __future__ import annotations

import json

import pytest
import torch
from support.tiny_models import make_tiny
from support.tiny_runs import lines, tiny_config

from neuromas_env.agents.learners.make import make_learner
from neuromas_env.agents.training import checkpoint
from neuromas_env.agents.training.api import make_engine, train
from neuromas_env.agents.training.growth import grow
from neuromas_env.errors import InputError
from neuromas_env.topology import Topology

SMALL, LARGE = Topology.parse("2-1"), Topology.parse("3-2-1")
MAPPING = {"node_0": "node_0", "node_1": "node_1", "node_2": "node_5"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_tiny("llama", tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def engine(model, tmp_path):
    engine = make_engine(tiny_config(model, tmp_path))
    for seed, node in enumerate(SMALL.nodes):
        engine.adapters.add(node, seed)
        engine.adapters.add_noise(node, 1.0, seed)
    return engine


def weights(engine, node):
    return torch.cat([p.detach().ravel() for p in engine.adapters.parameters(node).values()])


def b_size(engine, node):
    parameters = engine.adapters.parameters(node)
    return sum(float(p.detach().abs().sum()) for key, p in parameters.items() if key.endswith("B"))


@pytest.mark.slow
@pytest.mark.parametrize("init", ["zero", "copy", "noise"])
def test_inherited_nodes_keep_their_weights_and_new_ones_start_as_asked(engine, init):
    before = {node: weights(engine, node) for node in SMALL.nodes}
    names = grow(engine, SMALL, LARGE, init=init)
    assert names == MAPPING
    assert sorted(engine.adapters.names) == sorted(LARGE.nodes)
    for old, new in MAPPING.items():
        assert torch.equal(weights(engine, new), before[old])
    siblings = {"node_2": "node_1", "node_3": "node_0", "node_4": "node_1"}
    for node, sibling in siblings.items():
        copied = torch.equal(weights(engine, node), before[sibling])
        assert copied == (init == "copy")
        assert (b_size(engine, node) == 0) == (init == "zero")
    if init != "copy":
        assert not torch.equal(weights(engine, "node_2"), weights(engine, "node_3"))


def test_names_that_overlap_do_not_overwrite_each_other(engine):
    before = {node: weights(engine, node) for node in SMALL.nodes}
    turned = {"node_0": "node_1", "node_1": "node_2", "node_2": "node_3"}
    grow(engine, SMALL, Topology.parse("3-1"), mapping=turned)
    for old, new in turned.items():
        assert torch.equal(weights(engine, new), before[old])


def test_a_grown_network_can_still_be_trained(engine, model, tmp_path):
    grow(engine, SMALL, LARGE)
    config = tiny_config(model, tmp_path)
    learner = make_learner("joint", engine, LARGE.nodes, config)
    assert learner.state_dict()["optimisers"].keys() == set(LARGE.nodes)
    assert all(p.requires_grad for n in LARGE.nodes for p in engine.adapters.parameters(n).values())


@pytest.mark.parametrize("name", ["joint", "independent"])
def test_a_learner_hands_on_what_it_knows_of_each_node(engine, model, tmp_path, name):
    config = tiny_config(model, tmp_path, advantage="moving_average")
    old = make_learner(name, engine, SMALL.nodes, config)
    for parameter in engine.adapters.parameters("node_0").values():
        parameter.grad = torch.ones_like(parameter)
    {"joint": old, "independent": getattr(old, "_learners", {}).get("node_0")}[name].step()
    state = old.grow({"node_0": "node_1", "node_1": "node_0", "node_2": "node_3"})
    grow(engine, SMALL, Topology.parse("3-1"))
    new = make_learner(name, engine, Topology.parse("3-1").nodes, config)
    new.load_state_dict(state)
    found = new.state_dict()
    if name == "joint":
        moved, steps = found["optimisers"], found["steps"]
    else:
        moved = {node: each["optimisers"][node] for node, each in found.items()}
        steps = found["node_1"]["steps"]
    assert steps == 1 and [node for node in moved if moved[node]["state"]] == ["node_1"]
    new.restart()
    assert 0 in (new.state_dict().get("steps"), new.state_dict().get("node_1", {}).get("steps"))


def test_wrong_growth_is_refused(engine):
    with pytest.raises(InputError, match="unknown initialisation 'zeor'. Did you mean 'zero'"):
        grow(engine, SMALL, LARGE, init="zeor")
    with pytest.raises(InputError, match="cannot grow"):
        grow(engine, SMALL, Topology.parse("1-1"))
    assert engine.adapters.names == list(SMALL.nodes)


def run_state(folder):
    path = checkpoint.latest(folder)
    files = {p.parent.name: p.read_bytes() for p in path.rglob("*.safetensors")}
    return checkpoint.read_state(path), files, checkpoint.load_learner(path)


@pytest.mark.slow
def test_growing_from_a_run_logs_accuracy_on_both_sides(model, tmp_path):
    small = tiny_config(model, tmp_path / "small")
    train(small)
    grown = tiny_config(
        model, tmp_path / "grown", topology="2-1", grow_from=str(tmp_path / "small"), steps=0
    )
    result = train(grown)
    old, old_files, old_learner = run_state(tmp_path / "small")
    new, files, learner = run_state(tmp_path / "grown")
    assert (old.topology.name, new.topology.name) == ("1-1", "2-1")
    assert files["node_0"] == old_files["node_0"] and files["node_2"] == old_files["node_1"]
    moments = [
        {k: [v["exp_avg"] for v in o["state"].values()] for k, o in state["optimisers"].items()}
        for state in (old_learner, learner)
    ]
    assert len(moments[1]["node_2"]) == len(moments[0]["node_1"]) > 0
    for a, b in zip(moments[0]["node_1"], moments[1]["node_2"], strict=True):
        assert torch.equal(a, b)
    assert moments[1]["node_1"] == []
    (event,) = [r for r in lines(tmp_path / "grown/metrics.jsonl") if r.get("event") == "growth"]
    assert (event["old"], event["new"], event["step"]) == ("1-1", "2-1", 0)
    assert event["before"]["n"] == event["after"]["n"] == 2
    assert result.growth == [event]


@pytest.mark.slow
def test_frozen_inherited_nodes_do_not_move(model, tmp_path):
    train(tiny_config(model, tmp_path / "small", steps=1, eval_questions=0))
    options = {"topology": "2-1", "grow_from": str(tmp_path / "small"), "eval_questions": 0}
    train(tiny_config(model, tmp_path / "grown", freeze_inherited=True, **options))
    _, old, _ = run_state(tmp_path / "small")
    state, new, _ = run_state(tmp_path / "grown")
    assert state.trained == ("node_1",)
    assert new["node_0"] == old["node_0"] and new["node_2"] == old["node_1"]
    with pytest.raises(InputError, match="growing from '1-1' to '1-1' makes no new node"):
        train(
            tiny_config(
                model, tmp_path / "x", freeze_inherited=True, **options | {"topology": "1-1"}
            )
        )
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_a_grown_network_is_not_warmed_up_and_its_rate_falls_over_all_of_its_steps(model, tmp_path):
    own = {"eval_questions": 0, "validate_questions": 0, "warm_up": 2}
    train(tiny_config(model, tmp_path / "small", steps=3, **own))
    more = own | {"topology": "2-1", "grow_from": str(tmp_path / "small")}
    train(tiny_config(model, tmp_path / "grown", steps=4, checkpoint_every=1, **more))
    learners = [
        checkpoint.load_learner(checkpoint.find(tmp_path / "grown", step)) for step in (3, 4)
    ]
    rates = [one["optimisers"]["node_0"]["param_groups"][0]["lr"] for one in learners]
    assert rates == [pytest.approx(1e-3 * share) for share in (0.5, 0.25)]
    steps = [row for row in lines(tmp_path / "grown/metrics.jsonl") if "event" not in row]
    assert not any("imitated" in row for row in steps)


def test_growing_into_a_smaller_network_is_refused_before_anything_is_written(model, tmp_path):
    train(tiny_config(model, tmp_path / "small", steps=0, eval_questions=0))
    with pytest.raises(InputError, match="cannot grow"):
        train(tiny_config(model, tmp_path / "new", topology="1", grow_from=str(tmp_path / "small")))
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [("independent", "joint"), ("joint", "independent")])
def test_growing_with_another_learner_is_refused(model, tmp_path, first, second):
    train(tiny_config(model, tmp_path / "small", steps=1, eval_questions=0, learner=first))
    grown = {"topology": "2-1", "grow_from": str(tmp_path / "small"), "eval_questions": 0}
    with pytest.raises(InputError, match=f"give --learner {first}"):
        train(tiny_config(model, tmp_path / "new", learner=second, **grown))
    assert not (tmp_path / "new").exists()
    train(tiny_config(model, tmp_path / "new", learner=first, **grown))


def test_growing_with_another_scale_of_adapters_is_refused(model, tmp_path):
    train(tiny_config(model, tmp_path / "small", steps=0, eval_questions=0, alpha=16.0))
    grown = {"topology": "2-1", "grow_from": str(tmp_path / "small"), "eval_questions": 0}
    with pytest.raises(InputError, match="alpha 16.0, but alpha is 32.0 here; give alpha 16.0"):
        train(tiny_config(model, tmp_path / "new", **grown))
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_grown_network_takes_its_own_weight_decay(model, tmp_path):
    train(tiny_config(model, tmp_path / "small", steps=1, eval_questions=0, weight_decay=0.5))
    grown = {"topology": "2-1", "grow_from": str(tmp_path / "small"), "eval_questions": 0}
    train(tiny_config(model, tmp_path / "new", weight_decay=0.25, **grown))
    optimisers = run_state(tmp_path / "new")[2]["optimisers"]
    decays = {node: o["param_groups"][0]["weight_decay"] for node, o in optimisers.items()}
    assert decays == dict.fromkeys(("node_0", "node_1", "node_2"), 0.25)


@pytest.mark.slow
def test_a_schedule_grows_within_one_run(model, tmp_path):
    train(tiny_config(model, tmp_path / "run", schedule="1:1, 1-1:1, 2-1:2"))
    steps = [r for r in lines(tmp_path / "run/metrics.jsonl") if "event" not in r]
    assert [row["topology"] for row in steps] == ["1", "1-1", "2-1", "2-1"]
    growths = [r for r in lines(tmp_path / "run/metrics.jsonl") if r.get("event") == "growth"]
    assert [(g["old"], g["new"], g["step"]) for g in growths] == [
        ("1", "1-1", 1),
        ("1-1", "2-1", 2),
    ]
    assert json.loads((tmp_path / "run/run.json").read_text())["topology"]["name"] == "2-1"
