"""PettingZoo's own tests on every topology and task, with no unexplained warning."""

import functools
import pickle
import warnings
from pathlib import Path

import pettingzoo
import pytest
from pettingzoo.test import (
    api_test,
    parallel_api_test,
    parallel_seed_test,
    render_test,
    seed_test,
    state_test,
)
from support.paths import DATA, ROWS, WHOLE
from support.toy_tasks import RECURRENT, TOPOLOGIES, Counts, Dealt, Whole

from neuromas_env import neuromas_v0
from neuromas_env.tasks import list_tasks, make_task

TOYS = {"whole": Whole(), "dealt": Dealt()}
FREE = list_tasks(needs_data=False)
MADE_UP = str(ROWS)
ROWS = DATA or MADE_UP
WITH_ROWS = list_tasks(needs_data=True, data=ROWS)

# Texts are neither arrays nor boxes: PettingZoo mentions it and goes on.
SPACE_WARNINGS = {
    "Observation is not a NumPy array",
    "Observation space for each agent probably should be gymnasium.spaces.box or "
    "gymnasium.spaces.discrete",
    "Action space for each agent probably should be gymnasium.spaces.box or "
    "gymnasium.spaces.discrete",
}
STATE_WARNINGS = {
    "State space for each environment probably should be gymnasium.spaces.box or "
    "gymnasium.spaces.discrete",
    "State is not NumPy array",
}

networks = pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=TOPOLOGIES)
tasks = pytest.mark.parametrize(
    "task",
    [
        *(pytest.param(task, id=name) for name, task in TOYS.items()),
        *FREE,
        *(pytest.param(name, marks=WHOLE if DATA else pytest.mark.slow) for name in WITH_ROWS),
    ],
)


def made(task, split="train"):
    family = str(getattr(task, "name", task)).partition("/")[0]
    data = ROWS if (Path(ROWS) / family).is_dir() else MADE_UP
    task = make_task(task, data)
    if data == MADE_UP and not task.examples(split):
        pytest.skip(f"no made-up rows for the {split} split of {task.name}")
    return task


def warnings_of(check, *args):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        check(*args)
    return {str(warning.message) for warning in seen}


@networks
@pytest.mark.parametrize("task", TOYS.values(), ids=TOYS)
def test_every_topology_conforms(task, topology):
    check_conformance(task, topology)


@pytest.mark.parametrize("topology", RECURRENT)
@pytest.mark.parametrize("task", [Counts(), Dealt()], ids=lambda task: task.name)
def test_every_recurrent_topology_conforms(task, topology):
    check_conformance(task, topology, cycles=10)
    bare = neuromas_v0.raw_env(task, topology)
    assert warnings_of(api_test, bare, 10) == SPACE_WARNINGS


@tasks
def test_every_task_conforms(task):
    check_conformance(made(task), TOPOLOGIES["2-2-1:skip"])


def check_conformance(task, topology, cycles=3):
    aec = functools.partial(neuromas_v0.env, task, topology)
    parallel = functools.partial(neuromas_v0.parallel_env, task, topology)
    assert warnings_of(api_test, aec(), cycles) == SPACE_WARNINGS
    assert warnings_of(seed_test, aec, cycles) == set()
    assert warnings_of(render_test, aec) == set()
    assert warnings_of(state_test, aec(), parallel()) == STATE_WARNINGS
    assert warnings_of(parallel_api_test, parallel(), 10) == set()
    assert warnings_of(parallel_seed_test, parallel, 10) == set()


@networks
def test_the_bare_environment_conforms_too(topology):
    assert warnings_of(api_test, neuromas_v0.raw_env(Whole(), topology), 3) == SPACE_WARNINGS


@tasks
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_question_lies_in_its_space(task, split):
    env = neuromas_v0.raw_env(made(task, split), "2-1", split=split)
    for index in range(min(len(env.channel.examples), 50)):
        env.reset(options={"index": index})
        for node in env.possible_agents:
            assert env.observation_space(node).contains(env.observe(node))
        assert env.state_space.contains(env.state())


@pytest.mark.parametrize("kind", ["aec", "parallel"])
def test_the_registry_makes_the_environment(kind):
    env = pettingzoo.make(kind, "neuromas/network-v0", task="signal", topology="2-2-1")
    assert env.metadata["name"] == "neuromas_v0" == str(env.unwrapped)
    assert len(env.possible_agents) == 5
    env.reset(seed=0)
    assert pettingzoo.spec(kind, "neuromas/network-v0").version == 0


@pytest.mark.parametrize("kind", ["aec", "parallel"])
def test_the_registered_environment_needs_no_arguments(kind):
    env = pettingzoo.make(kind, "neuromas/network-v0")
    env.reset(seed=0)
    assert env.unwrapped.channel.task.name == "hierarchy/max" and len(env.possible_agents) == 3


def test_conversion_to_parallel_is_refused():
    from pettingzoo.utils import aec_to_parallel

    with pytest.raises(AssertionError, match="is_parallelizable"):
        aec_to_parallel(neuromas_v0.env("signal"))


def test_copies_by_pickle_behave_alike():
    for make in (neuromas_v0.raw_env, neuromas_v0.parallel_env):
        env = make("signal", "2-1", reward="extracted", max_message_length=9)
        twin = pickle.loads(pickle.dumps(env))
        env.reset(seed=3)
        twin.reset(seed=3)
        assert env.episode.example == twin.episode.example
        assert env.action_space("node_0") == twin.action_space("node_0")
        assert env.observation_space("node_0") == twin.observation_space("node_2")
