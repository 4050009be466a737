"""`check_policy`: silent on sound policies, all faults of others at once."""

import pytest

from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.agents.llm import LLMPolicy
from neuromas_env.baselines import make_baseline
from neuromas_env.errors import InputError
from neuromas_env.policy import Policy, Request, Sampling
from neuromas_env.tasks import make_task
from neuromas_env.testing import check_policy

ENGINE = MockEngine()


class Echo(Policy):
    """No model."""

    def request(self, observation, seed):
        return observation["question"][:9]

    def read(self, completion):
        return completion.text


class Asks(Policy):
    def __init__(self, **changes):
        self.turns, self.engine, self.drawn = (("user", "Name a colour."),), ENGINE, True
        self.sampling = Sampling()
        vars(self).update(changes)

    def request(self, observation, seed):
        return Request(self.turns, self.engine, None, self.sampling, seed if self.drawn else 0)


class Random(Policy):
    sampled = False

    def request(self, observation, seed):
        return str(seed)


class Vandal(Policy):
    """Wrong in several ways."""

    scripted = "no"
    calls = 0

    def request(self, observation, seed):
        observation["question"] = ""
        self.calls += 1
        return f"{self.calls}\ud800"

    def read(self, completion):
        return completion.text[0]

    def tied(self, observation):
        return "perhaps"


def test_sound_policies_have_no_fault():
    check_policy(Echo())
    check_policy(Asks())
    check_policy(LLMPolicy(ENGINE, lambda observation: (("user", observation["question"]),)))
    for name in ("cot", "sc:ties=seed"):
        for policy in make_baseline(name, make_task("hierarchy/max"), ENGINE).team.values():
            check_policy(policy)
    assert not ENGINE.batches


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (object(), ["must be a subclass of neuromas_env.Policy"]),
        (Asks(turns=(("robot", "Hi"),)), ["role of system, user, assistant", "('robot', 'Hi')"]),
        (Asks(turns=[]), ["turns must be a tuple"]),
        (Asks(engine=None), ["engine must be an Engine, got None"]),
        (Asks(drawn=False), ["same seed whatever the seed"]),
        (Random(), ["sampled is False, but the message depends on the seed"]),
        (
            Vandal(),
            [
                "scripted must be True or False, not 'no'",
                "changes the observation",
                "in two ways",
                "without lone surrogates",
                "read of an empty completion raises IndexError",
                "tied() must return True, False or None, not 'perhaps'",
            ],
        ),
    ],
)
def test_all_faults_are_said_at_once(policy, says):
    with pytest.raises(InputError) as error:
        check_policy(policy)
    assert [part for part in says if part not in str(error.value)] == []
