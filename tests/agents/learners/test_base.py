import pytest
from support.plugins import install

from neuromas_env.agents.learners import base as door
from neuromas_env.agents.learners.make import make_learner
from neuromas_env.agents.learners.names import list_learners
from neuromas_env.agents.learners.tabular import TabularEngine, TabularReinforce
from neuromas_env.agents.llm import llm_network
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.errors import InputError
from neuromas_env.policy import Sampling
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks import make_task
from neuromas_env.topology import Topology

CONFIG = TrainConfig(learning_rate=5.0)


class Counter(door.Learner):
    """Learns nothing, counts episodes."""

    def __init__(self, engine, nodes, config):
        self.nodes, self.rate, self.seen = tuple(nodes), config.learning_rate, 0

    def update(self, trajectories):
        self.seen += len(trajectories)
        return {"seen": float(self.seen)}

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = state["seen"]


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    monkeypatch.setattr(door.LEARNERS, "registered", {})


def test_a_learner_registered_in_code_is_made_with_nodes_and_configuration():
    door.register_learner("counter", Counter)
    made = make_learner("counter", None, ["node_0", "node_1"], CONFIG)
    assert made.nodes == ("node_0", "node_1") and made.rate == 5.0
    assert made.update([None] * 3) == {"seen": 3.0}
    assert "counter" in list_learners()


def test_a_learner_of_an_installed_package_is_found(monkeypatch, tmp_path):
    offered = {"theirs": f"{__name__}:Counter"}
    install(monkeypatch, tmp_path, "their-learners", {"neuromas_env.learners": offered})
    assert type(make_learner("theirs", None, ["node_0"], CONFIG)).__name__ == "Counter"
    assert "package their-learners" in list_learners()["theirs"]


def test_a_package_that_cannot_be_imported_is_named(monkeypatch, tmp_path):
    offered = {"broken": "no_such_package.learners:make"}
    install(monkeypatch, tmp_path, "broken-learners", {"neuromas_env.learners": offered})
    with pytest.raises(InputError, match="'broken' of the package broken-learners.*no_such_pack"):
        make_learner("broken", None, ["node_0"], CONFIG)


def test_the_built_in_ones_are_listed_and_an_unknown_name_gets_a_suggestion():
    assert {"joint", "independent", "tabular"} <= set(list_learners())
    with pytest.raises(InputError, match="independent"):
        make_learner("independant", None, ["node_0"], CONFIG)


def test_the_tabular_learner_comes_through_the_door_and_wants_a_table():
    engine = TabularEngine("AB")
    made = make_learner("tabular", engine, ["node_0"], CONFIG)
    assert isinstance(made, TabularReinforce)
    with pytest.raises(InputError, match="TabularEngine"):
        make_learner("tabular", object(), ["node_0"], CONFIG)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["joint", "independent"])
def test_the_learners_for_language_models_train_every_node(name):
    from support.engines import NODES, tiny_engine

    engine = tiny_engine("llama")
    task, topology = make_task("signal"), Topology.parse("2-1")
    made = make_learner(name, engine, NODES, CONFIG)
    network = llm_network(topology, task, engine, Sampling(1.0, 3))
    runs = run_episodes(network, task, task.examples("train"), rollouts=2)
    before = {n: [p.sum().item() for p in engine.adapters.parameters(n).values()] for n in NODES}
    object.__setattr__(runs[0], "reward", 1.0)
    metrics = made.update(runs)
    assert metrics["reward"] == 1 / 8
    for node in NODES:
        assert before[node] != [p.sum().item() for p in engine.adapters.parameters(node).values()]


@pytest.mark.parametrize(
    ("learner", "options"),
    [
        ("joint", {"gamma": 0.9}),
        ("magrpo", {"standardise": False}),
        ("magrpo", {"advantage": "batch_mean"}),
        ("independent", {"advantage": "none"}),
        ("collm_cc", {"dpo_beta": 0.2}),
        ("malt", {"critic_scale": 1.0, "topology": "1-1-1:skip"}),
        ("malt", {"warm_up": 3, "topology": "1-1-1:skip"}),
    ],
)
def test_an_option_that_a_learner_has_no_use_for_is_refused(learner, options):
    name = next(iter(options))
    config = TrainConfig.from_mapping({"learner": learner, **options})
    said = f"{name} must be left out with learner '{learner}', which has no use for it, got "
    with pytest.raises(InputError, match=said):
        door.learner_class(learner).check(config)
    fits = {"magrpo": {"gamma": 0.9}, "collm_cc": {"standardise": False}, "malt": {"dpo_beta": 0.2}}
    config = TrainConfig.from_mapping(
        {"learner": learner, **options, name: getattr(TrainConfig, name), **fits.get(learner, {})}
    )
    door.learner_class(learner).check(config)


def test_a_learner_without_a_warm_up_may_be_told_to_have_none():
    for steps in (None, 0):
        config = TrainConfig(learner="malt", topology="1-1-1:skip", warm_up=steps)
        door.learner_class("malt").check(config)
