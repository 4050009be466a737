"""`check_learner`: silent on sound learners, all faults of others at once."""

import numpy as np
import pytest
from support.engines import tiny_engine

from neuromas_env.agents.learners.base import Learner
from neuromas_env.agents.learners.independent import Independent
from neuromas_env.agents.learners.reinforce import Reinforce
from neuromas_env.agents.learners.tabular import TabularReinforce
from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.errors import InputError
from neuromas_env.testing import check_learner


class Counter(Learner):
    """Counts episodes."""

    def __init__(self, engine, nodes, config):
        self.state = {"seen": 0}

    def update(self, trajectories):
        self.state = {"seen": self.state["seen"] + len(trajectories)}
        return {"seen": float(self.state["seen"])}

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


class Forgetful(Counter):
    def load_state_dict(self, state):
        pass


class Unstorable(Counter):
    """Has numbers that no checkpoint holds."""

    def __init__(self, engine, nodes, config):
        self.state = {"seen": np.zeros(1), "deep": {"set": {1}}}

    def update(self, trajectories):
        self.state["seen"] += len(trajectories)
        return {"seen": self.state["seen"], "loss": float("nan")}


class Discounting(Counter):
    options = ("gamma",)


class Misdeclared(Counter):
    """Declares what is none, and forgets the checks of the base class."""

    options = ("gama", "rank")
    rounds = "two"

    @classmethod
    def check(cls, config):
        pass


class Refusing(Counter):
    """Refuses what it declares."""

    options = ("gamma",)

    @classmethod
    def check(cls, config):
        super().check(config)
        if config.gamma is not None:
            raise InputError("gamma must be left out")


class Lone(Counter):
    options = "gamma"


@pytest.mark.parametrize("make", [Counter, Discounting, TabularReinforce])
def test_sound_learners_have_no_fault(make):
    check_learner(make)


@pytest.mark.slow
@pytest.mark.parametrize("make", [Reinforce, Independent])
def test_learners_of_language_models_have_no_fault(make):
    config = TrainConfig(topology="2-1", learning_rate=1e-2)
    check_learner(make, lambda: tiny_engine("llama"), config)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (dict, ["must be a subclass of neuromas_env.Learner"]),
        (Forgetful, ["state_dict() is not what load_state_dict() was given", "loses something"]),
        (
            Misdeclared,
            [
                "options must be of gamma, value_coef, ",
                "sft_steps, not 'gama'",
                "sft_steps, not 'rank'",
                "rounds must be True or False, not 'two'",
                "check() must refuse dpo_beta, which options lacks; call super().check(config)",
            ],
        ),
        (Refusing, ["check() refuses gamma, which options has"]),
        (Lone, ["options must be a tuple of names such as ('gamma',), not 'gamma'"]),
        (
            Unstorable,
            [
                "a metric is a finite float with a name, not 'seen': array",
                "not 'loss': nan",
                "state_dict()['seen'] must be a number",
                "state_dict()['deep']['set'] must be a number",
            ],
        ),
    ],
)
def test_all_faults_are_said_at_once(make, says):
    with pytest.raises(InputError) as error:
        check_learner(make)
    assert [part for part in says if part not in str(error.value)] == []
